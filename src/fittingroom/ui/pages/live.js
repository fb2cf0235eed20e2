// Keeps what is marked data-live in step with the server, moves through pages by keys, sends small forms without leaving.

const EVERY_MS = 2000;

async function refresh(place) {
  if (document.hidden || place.contains(document.activeElement?.closest("input[type=search], select"))) return;
  let text;
  try {
    const reply = await fetch(place.dataset.live, { headers: { accept: "text/html" } });
    if (!reply.ok) return;
    text = await reply.text();
  } catch {
    return; // the server has gone; it may come back
  }
  if (text === place.last) return;
  place.last = text;
  const chosen = new Set([...place.querySelectorAll("input:checked")].map(box => box.value));
  const focused = document.activeElement?.value, log = place.querySelector(".log");
  const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  place.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  for (const box of place.querySelectorAll("input[type=checkbox]")) {
    box.checked = chosen.has(box.value);
    if (box.value === focused) box.focus();
  }
  const now = place.querySelector(".log");
  if (now && atEnd) now.scrollTop = now.scrollHeight;
}

for (const place of document.querySelectorAll("[data-live]")) {
  const log = place.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
  setInterval(() => refresh(place), EVERY_MS);
}
for (const place of document.querySelectorAll("[data-again]")) {
  setTimeout(() => location.replace(place.dataset.again), Number(place.dataset.after ?? 5000));
}
for (const select of document.querySelectorAll("[data-submit]")) select.onchange = () => select.form.requestSubmit();

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
