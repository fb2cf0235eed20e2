// The model, in this browser: onnxruntime-web, from beside this page, one thread.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1;

/** Log odds of class `c`. */
function logOdds(logits, c) {
  let most = -Infinity, sum = 0;
  logits.forEach((logit, k) => { if (k !== c) most = Math.max(most, logit); });
  logits.forEach((logit, k) => { if (k !== c) sum += Math.exp(logit - most); });
  return logits[c] - most - Math.log(sum);
}

/** What the model answers, as `fittingroom predict` does: the class's number, and whether that is sure. */
export function answered({ classes, confidence, operating }, logits, probabilities) {
  const likeliest = except => [...probabilities.keys()].reduce(
    (best, k) => k !== except && (best < 0 || probabilities[k] > probabilities[best]) ? k : best, -1);
  if (!operating) {
    const best = likeliest(-1);
    return { best, sure: probabilities[best] >= confidence.sure_at };
  }
  const c = classes.indexOf(operating.positive), taken = logOdds(logits, c) >= operating.threshold;
  const best = taken ? c : likeliest(c);
  return { best, sure: taken || classes.length === 2 || probabilities[best] >= confidence.sure_at };
}

export class Model {
  static async load(address) {
    const model = new Model();
    model.session = await ort.InferenceSession.create(address, { executionProviders: ["wasm"] });
    return model;
  }

  /** Logits and probabilities of `n` images: Uint8Array (n, channels, height, width) to arrays of Float32Array. */
  async run(images, n, { channels, height, width }) {
    const said = await this.session.run({ images: new ort.Tensor("uint8", images, [n, channels, height, width]) });
    const rows = ({ data }) => Array.from({ length: n }, (_, i) => data.slice(i * data.length / n, (i + 1) * data.length / n));
    return { logits: rows(said.logits), probabilities: rows(said.probabilities) };
  }
}
