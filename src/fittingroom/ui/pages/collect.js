// The page on which classes are collected, with the camera or from files, an answer is asked for, and the model tried live.

import { Camera } from "./camera.js";
import { scaled } from "./picture.js";
import { bars } from "./shown.js";

const EVERY_MS = 150; // between two pictures of a recording
const LIVE_MS = 400; // between two pictures that the model is asked about
const SIDE = 480; // pixels of a picture's longer side, at most
const JPEG = { type: "image/jpeg", quality: 0.92 };
const BATCH = 16, BATCH_BYTES = 16e6; // pictures and bytes of one request, at most
const LARGE_BYTES = 4e6, LARGE_SIDE = 1600; // a file above the first is made smaller

const $ = id => document.getElementById(id);
const place = $("collect"), least = Number(place.dataset.least);
let facts = JSON.parse(place.dataset.facts);
const here = `/collect/${encodeURIComponent(facts.name)}`;
const cards = new Map(); // by class
let waiting = Promise.resolve(); // pictures go one request after the other
let run = ""; // the model that is tried, when there is one
let live = 0;

const camera = new Camera($("video"), () => {
  $("video").hidden = $("off").hidden = !camera.on;
  $("camera").hidden = camera.on;
  show();
});
const trouble = text => { $("trouble").textContent = text; };
const session = () => `${Date.now().toString(16)}-r${Math.random().toString(36).slice(2, 6)}`; // sorted by time

async function post(path, body) {
  const reply = await fetch(here + path, { method: "POST", body });
  const told = await reply.json();
  if (!reply.ok) throw new Error(told.error);
  return told;
}

const frame = () => camera.picture(SIDE).convertToBlob(JPEG);

/** A file as it is, or a large photograph at a size that is enough to train on. */
async function fitting(file) {
  if (file.size <= LARGE_BYTES) return file;
  const picture = await createImageBitmap(file), canvas = scaled(picture, picture.width, picture.height, LARGE_SIDE);
  picture.close();
  return canvas.convertToBlob(JPEG);
}

/** Send pictures, one request after the other; what could not be brought is counted and said. */
function bring(label, recording, pictures) {
  waiting = waiting.then(async () => {
    let lost = 0, why = "", batch = [], bytes = 0;
    const send = async () => {
      const body = new FormData(), sent = batch;
      for (const picture of sent) body.append("image", picture, "picture");
      [batch, bytes] = [[], 0];
      try {
        const told = await post(`/pictures/${encodeURIComponent(label)}/${recording}`, body);
        lost += told.refused.length;
        why = told.refused[0] ?? why;
      } catch (error) {
        lost += sent.length;
        why = error.message;
      }
    };
    for (const file of pictures) {
      try {
        const picture = await fitting(file);
        if (batch.length && (batch.length >= BATCH || bytes + picture.size > BATCH_BYTES)) await send();
        batch.push(picture);
        bytes += picture.size;
      } catch {
        lost += 1;
        why = "is no picture that this browser can read";
      }
    }
    if (batch.length) await send();
    if (lost) trouble(`${lost} of ${pictures.length} pictures for “${label}” were left out: one ${why}.`);
    facts = await (await fetch(`${here}/facts`)).json();
    show();
  }).catch(error => trouble(error.message));
  return waiting;
}

function card(label) {
  if (cards.has(label)) return cards.get(label);
  const made = $("one").content.cloneNode(true).firstElementChild, at = selector => made.querySelector(selector);
  at("h3").textContent = label;
  const button = at(".record");
  let recording = null;
  const begin = event => {
    if (recording || !camera.on || event.button > 0) return;
    event.preventDefault();
    const mine = recording = { name: session(), pictures: [] };
    button.classList.add("recording");
    (async () => {
      while (recording === mine && camera.on) {
        mine.pictures.push(await frame());
        at(".count").textContent = `${mine.pictures.length} pictures`;
        await new Promise(done => setTimeout(done, EVERY_MS));
      }
      end();
      await bring(label, mine.name, mine.pictures);
    })();
  };
  const end = () => { recording = null; button.classList.remove("recording"); };
  button.addEventListener("pointerdown", begin);
  for (const kind of ["pointerup", "pointerleave", "pointercancel", "blur"]) button.addEventListener(kind, end);
  button.addEventListener("keydown", event => { if (event.key === " " || event.key === "Enter") begin(event); });
  button.addEventListener("keyup", end);
  at("input").onchange = event => bring(label, "alone", [...event.target.files]);
  at(".forget").onclick = async () => {
    const last = facts.classes.find(one => one.name === label)?.recordings.at(-1);
    if (!last || !confirm(`Forget the last recording of “${label}”?`)) return;
    facts = await post(`/forget/${encodeURIComponent(label)}/${last}`);
    show();
  };
  cards.set(label, made);
  $("classes").append(made);
  return made;
}

function show() {
  for (const one of facts.classes) card(one.name);
  for (const [label, made] of cards) {
    const one = facts.classes.find(other => other.name === label), at = selector => made.querySelector(selector);
    at(".record").disabled = !camera.on;
    at(".forget").disabled = !one;
    at(".count").textContent = one ? `${one.pictures} pictures` + (one.several ? `, ${one.several} recording${one.several > 1 ? "s" : ""}` : "") : "no pictures yet";
    at(".strip").replaceChildren(...(one?.latest ?? []).map(src => Object.assign(document.createElement("img"), { src: encodeURI(src), alt: label, loading: "lazy" })));
  }
  const enough = facts.classes.filter(one => one.pictures >= least).length >= 2;
  const twice = facts.classes.every(one => one.recordings.length > 1);
  $("quick").disabled = $("all").disabled = !(enough && twice);
  $("need").textContent = !enough ? `It takes two classes of at least ${least} pictures.` : twice ? "" : "Record each class a second time, in another place or light: one recording cannot be judged by itself.";
  place.dataset.pictures = facts.classes.reduce((sum, one) => sum + one.pictures, 0);
}

async function ask(quick) {
  $("quick").disabled = $("all").disabled = true;
  $("said").textContent = "It looks at the pictures …";
  try {
    const { command } = await post(`/ask${quick ? "?quick=1" : ""}`);
    for (;;) {
      await new Promise(done => setTimeout(done, 700));
      const told = await (await fetch(`${here}/answer/${command}`)).json();
      $("said").textContent = told.status === "finished" ? "" : told.said;
      if (told.status === "running") continue;
      if (told.sentences.length) answered(told);
      else trouble(told.said || "No answer came.");
      break;
    }
  } catch (error) {
    $("said").textContent = "";
    trouble(error.message);
  }
  show();
}

function answered(told) {
  $("found-out").hidden = false;
  $("sentences").replaceChildren(...told.sentences.map(text => Object.assign(document.createElement("p"), { textContent: text })));
  const links = [];
  if (told.study) links.push(["The candidates", `/compare?study=${told.study}`]);
  if (told.run) links.push(["The model", `/runs/${told.run}`], ["Try it on pictures", `/try?run=${told.run}`]);
  $("links").replaceChildren(...links.flatMap(([textContent, href]) => [Object.assign(document.createElement("a"), { className: "button", textContent, href }), " "]));
  run = told.run;
  if (run && camera.on) look();
}

/** Ask the model what the camera sees, again and again. */
async function look() {
  const mine = ++live;
  $("live").hidden = false;
  while (mine === live && run && camera.on) {
    const body = new FormData();
    body.append("image", await frame(), "picture.jpg");
    body.append("run", run);
    try {
      const { models: [told] } = await (await fetch("/try", { method: "POST", body })).json();
      $("says").textContent = told.error ? `This ${told.error}.` : told.answer;
      bars($("bars"), (told.top ?? []).map(one => one.name), (told.top ?? []).map(one => one.p));
      document.body.dataset.answered = told.answer ?? "";
    } catch {
      $("says").textContent = "The server does not answer.";
    }
    await new Promise(done => setTimeout(done, LIVE_MS));
  }
  if (mine === live) $("live").hidden = true;
}

async function see() {
  $("camera").disabled = true;
  try {
    await camera.start();
    trouble("");
    if (run) look();
  } catch (error) {
    trouble(error.message);
  }
  $("camera").disabled = false;
}

/** A folder of class folders; what lies in a folder of its own inside a class belongs together. */
async function folder(files) {
  const found = [...files].filter(file => file.type.startsWith("image/")).map(file => [file.webkitRelativePath.split("/"), file]);
  const byClass = Map.groupBy(found.filter(([parts]) => parts.length > 2), ([parts]) => parts[1]);
  if (byClass.size < 2) return trouble("Choose a folder that has a folder of pictures for each class.");
  for (const [label, pictures] of byClass) {
    for (const together of Map.groupBy(pictures, ([parts]) => parts.slice(2, -1).join("/")).values()) {
      await bring(label, together[0][0].length > 3 ? session() : "alone", together.map(([, file]) => file));
    }
  }
}

$("camera").onclick = see;
$("off").onclick = () => camera.stop();
$("folder").onchange = event => folder(event.target.files);
$("quick").onclick = () => ask(true);
$("all").onclick = () => ask(false);
$("another").onsubmit = event => {
  event.preventDefault();
  const label = $("label").value.trim();
  if (!/^[\p{L}\p{N}][\p{L}\p{N}_ .-]*$/u.test(label)) return trouble("A class is named with letters, digits, spaces, dots and dashes.");
  trouble("");
  card(label);
  $("label").value = "";
  show();
};
show();
document.body.dataset.ready = "yes";
