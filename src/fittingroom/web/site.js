// The page that `fittingroom export RUN --web` writes: draw, drop or choose a picture, and see what the model says.

import { Camera } from "./camera.js";
import { frame, Unreadable } from "./framing.js";
import { latest } from "./latest.js";
import { answered, Model } from "./model.js";
import { occlusion } from "./occlusion.js";
import { Pad } from "./pad.js";
import { fromCanvas, fromFile, pictureOf } from "./picture.js";
import { bars, heated, pixels } from "./shown.js";

const $ = id => document.getElementById(id);
const facts = await (await fetch("./facts.json")).json();
const { framing, classes } = facts;
let model, image = null, answer = null;

const pad = new Pad($("pad"), look);

const camera = $("video") && new Camera($("video"), () => {
  $("video").hidden = !($("paper").hidden = camera.on);
  $("camera").textContent = camera.on ? "Camera off" : "Camera";
  look();
});

/** Answer what the camera sees, as fast as the model can. */
async function watch() {
  try {
    if (camera.on) return camera.stop();
    $("camera").disabled = true;
    await camera.start().finally(() => { $("camera").disabled = false; });
    $("trouble").textContent = "";
    while (camera.on) {
      await once();
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    $("trouble").textContent = error.message;
  }
}

/** Look at what is there now, once the model is; while one look is under way, only the latest wish is kept. */
function look() {
  if (model) once();
}

const once = latest(async () => {
  try {
    const picture = camera?.on ? fromCanvas(camera.picture()) : pad.untouched ?? (pad.empty ? null : pad.drawn());
    if (!picture) return nothing("");
    image = frame(picture, framing);
    const { logits, probabilities } = await model.run(image, 1, framing);
    answer = { probabilities: probabilities[0], ...answered(facts, logits[0], probabilities[0]) };
  } catch (error) {
    return nothing(error instanceof Unreadable ? `This ${error.message}.` : `That failed: ${error.message}`);
  }
  pixels($("seen"), image, framing);
  bars($("bars"), classes, answer.probabilities);
  $("answer").textContent = answer.sure ? classes[answer.best] : `not sure (${classes[answer.best]}?)`;
  $("why").disabled = false;
});

function nothing(words) {
  image = answer = null;
  pixels($("seen"), new Uint8Array(framing.channels * framing.height * framing.width), framing);
  bars($("bars"), classes, classes.map(() => 0));
  $("answer").textContent = words || "…";
  $("why").disabled = true;
}

async function why() {
  if (!image) return;
  const { best } = answer, of = image;
  const ask = async (images, n) => (await model.run(images, n, framing)).probabilities;
  const heat = await occlusion(of, framing, best, ask);
  if (of === image) heated($("seen"), of, framing, heat);
}

async function take(file) {
  if (!file) return;
  try {
    const picture = await fromFile(file, framing.range);
    camera?.stop();
    pad.show(await createImageBitmap(new ImageData(picture.data, picture.width, picture.height)), picture);
    look();
  } catch (error) {
    nothing(`${error.message}.`);
  }
}

$("clear").onclick = () => { pad.clear(); $("pad").focus(); };
$("undo").onclick = () => pad.undo();
$("why").onclick = why;
if (camera) $("camera").onclick = watch;
$("file").onchange = event => take(event.target.files[0]);
document.addEventListener("paste", event => take(pictureOf(event.clipboardData)));
document.addEventListener("dragover", event => event.preventDefault());
document.addEventListener("drop", event => { event.preventDefault(); take(pictureOf(event.dataTransfer)); });

nothing("loading the model …");
try {
  model = await Model.load("./model.onnx");
  nothing(camera ? "switch the camera on, or drop a picture" : "draw, or drop a picture");
  document.body.dataset.ready = "yes"; // for who waits, tests among them
  if (!pad.empty) look();
} catch (error) {
  nothing(`The model could not be loaded: ${error.message}`);
}
export { framing, model };
