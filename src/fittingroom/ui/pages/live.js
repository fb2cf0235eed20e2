// Keeps what is marked data-live in step with the server, moves through pages by keys, sends small forms without leaving.

import { children } from "./morph.js";

const EVERY_MS = 2000;

/** Ask for a place's content and show what differs. What it says of itself (data-say) is announced when it changes. */
async function refresh(place) {
  if (document.hidden) return;
  const reply = await fetch(place.dataset.live, { headers: { accept: "text/html" } });
  if (!reply.ok) return;
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").body;
  const active = document.activeElement, log = place.querySelector(".log");
  const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  children(place, fresh);
  if (active.isConnected && document.activeElement !== active) active.focus({ preventScroll: true }); // it was moved
  if (log && atEnd) log.scrollTop = log.scrollHeight;
  announce(place);
  if (place.querySelector("[data-reload]")) location.reload();
}

function announce(place) {
  const said = [...place.querySelectorAll("[data-say]")].map(one => one.dataset.say).join(". ");
  if (place.said !== undefined && place.said !== said) document.getElementById("said").textContent = said;
  place.said = said;
}

async function keep(place) {
  try {
    await refresh(place);
  } catch {
    // the server has gone; it may come back
  }
  setTimeout(keep, EVERY_MS, place);
}

for (const place of document.querySelectorAll("[data-live]")) {
  const log = place.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
  announce(place);
  setTimeout(keep, EVERY_MS, place);
}
for (const place of document.querySelectorAll("[data-again]")) {
  setTimeout(() => location.replace(place.dataset.again), Number(place.dataset.after));
}
for (const select of document.querySelectorAll("[data-submit]")) {
  select.onchange = () => select.form.requestSubmit();
  // chosen before this script was there, or put back by the browser after Back
  if (select.value !== (select.querySelector("[selected]") ?? select.options[0])?.value) select.onchange();
}

document.addEventListener("keydown", event => {
  const typing = event.target.closest?.("input, select, textarea, canvas");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) event.preventDefault(), search.focus();
  }
  const link = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (link) document.querySelector(`a[rel=${link}]`)?.click();
});

document.addEventListener("submit", async event => {
  const form = event.target;
  if (!form.matches(".decide")) return;
  event.preventDefault();
  const body = new FormData(form, event.submitter);
  const reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(body), headers: { accept: "application/json" } });
  if (!reply.ok) return location.reload();
  const { decision } = await reply.json();
  for (const button of form.querySelectorAll("button")) {
    const on = button.dataset.decision === decision;
    button.setAttribute("aria-pressed", on);
    button.value = on ? "" : button.dataset.decision;
  }
});
