// The page on which a picture is tried on several models: the server answers, the pad and the bars are the exported site's.

import { Camera } from "./camera.js";
import { latest } from "./latest.js";
import { Pad } from "./pad.js";
import { pictureOf } from "./picture.js";
import { bars } from "./shown.js";

const $ = id => document.getElementById(id);
if ($("pad")) begin();

function begin() {
  const pad = new Pad($("pad"), () => ask());
  const camera = new Camera($("video"), () => { $("webcam").hidden = !camera.on; });

  /** The picture as it is now: a file untouched, or what the pad shows; null for an empty pad. */
  async function picture() {
    if (pad.untouched || pad.empty) return pad.untouched;
    const { data, width, height } = pad.drawn();
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }

  const ask = latest(async () => {
    const chosen = [...document.querySelectorAll("#models input:checked")].map(box => box.value);
    const image = await picture();
    if (!image || !chosen.length) return show([]);
    const body = new FormData();
    body.append("image", image, "picture.png");
    chosen.forEach(id => body.append("run", id));
    if ($("heat").checked) body.append("heat", "1");
    try {
      const reply = await fetch("/try", { method: "POST", body });
      const told = await reply.json();
      $("trouble").textContent = told.error ?? "";
      show(told.models ?? []);
    } catch {
      $("trouble").textContent = "The server does not answer.";
    }
  });

  function show(models) {
    const places = $("answers");
    while (places.children.length < models.length) places.append($("one").content.cloneNode(true));
    while (places.children.length > models.length) places.lastElementChild.remove();
    models.forEach((told, i) => {
      const place = places.children[i], at = selector => place.querySelector(selector);
      at("h2").textContent = `${told.recipe} on ${told.dataset}, seed ${told.seed}`;
      at(".answer").textContent = told.error ? `This ${told.error}.` : told.answer;
      at(".decides").textContent = told.decides ? `It ${told.decides}.` : "";
      at(".decides").hidden = !told.decides;
      const top = told.top ?? [];
      bars(at(".bars"), top.map(one => one.name), top.map(one => one.p));
      for (const [kind, uri] of [[".seen", told.seen], [".heat", told.heat]]) {
        at(kind).hidden = !uri;
        if (uri) at(kind).src = uri;
      }
      at(".near").hidden = !told.near?.length;
      at(".near > div").replaceChildren(...(told.near ?? []).map(one => {
        const figure = document.createElement("figure");
        const shown = Object.assign(document.createElement("img"), { className: "pixels", src: one.image, alt: one.name });
        figure.append(shown, Object.assign(document.createElement("figcaption"), { textContent: one.name }));
        return figure;
      }));
    });
    document.body.dataset.answered = models.map(told => told.answer ?? "").join("|");
  }

  async function take(given) {
    if (!given) return;
    try {
      pad.show(await createImageBitmap(given), given);
      $("trouble").textContent = "";
      ask();
    } catch {
      $("trouble").textContent = `${given.name || "This"} is no picture that this browser can read.`;
    }
  }

  async function look() {
    $("camera").disabled = true;
    try {
      await camera.start();
      $("trouble").textContent = "";
    } catch (error) {
      $("trouble").textContent = error.message;
    }
    $("camera").disabled = false;
  }

  $("clear").onclick = () => { pad.clear(); $("pad").focus(); };
  $("undo").onclick = () => pad.undo();
  $("file").onchange = event => take(event.target.files[0]);
  $("models").onchange = $("heat").onchange = ask;
  $("camera").onclick = look;
  $("off").onclick = () => camera.stop();
  $("shoot").onclick = async () => {
    const canvas = camera.picture();
    camera.stop();
    take(await canvas.convertToBlob({ type: "image/png" }));
  };
  document.addEventListener("paste", event => take(pictureOf(event.clipboardData)));
  document.addEventListener("dragover", event => event.preventDefault());
  document.addEventListener("drop", event => { event.preventDefault(); take(pictureOf(event.dataTransfer)); });
  document.body.dataset.ready = "yes";
}
