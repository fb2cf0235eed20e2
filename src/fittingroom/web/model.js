// The model, in this browser: onnxruntime-web, from beside this page, one thread.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1;

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
