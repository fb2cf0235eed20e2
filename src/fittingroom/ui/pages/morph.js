// Makes an element's content what it should be by changing what differs: focus, scrolling, ticks and open details stay.

/** Give `old` the attributes and children of `fresh`. Children with the same data-key are the same thing, wherever they are. */
export function morph(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !mine(old, name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !mine(old, name)) old.setAttribute(name, value);
  }
  children(old, fresh);
}

/** Give `old` the children of `fresh`. */
export function children(old, fresh) {
  const keyed = new Map([...old.children].filter(child => child.dataset.key).map(child => [child.dataset.key, child]));
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = wanted.dataset?.key;
    const same = key ? keyed.get(key) : next && alike(next, wanted) ? next : null;
    if (!same) {
      old.insertBefore(wanted, next);
      continue;
    }
    if (same === next) next = next.nextSibling;
    else old.insertBefore(same, next);
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, wanted);
    else if (same.data !== wanted.data) same.data = wanted.data;
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

/** What belongs to the person who looks: what is open, what is ticked. */
function mine(element, name) {
  return (name === "open" && element.localName === "details") || (name === "checked" && element.localName === "input");
}

/** Whether `a` can become `b`: no link becomes another, and no button does another thing, under a person's finger. */
function alike(a, b) {
  const leads = one => ["href", "action"].map(name => one.getAttribute?.(name) ?? "").join();
  return a.nodeName === b.nodeName && !a.dataset?.key && leads(a) === leads(b);
}
