// Why: everything that came from elsewhere goes into the page as text, but for one function: a message's HTML, which the
// server has made safe.

/** An element: properties by their names, `class`, `data-*`, `aria-*` and `role` as attributes. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export const id = (name) => document.getElementById(name);

/** Sets a text only if it is another one: what reads the page aloud would read it again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** One child an item, in order; the same key keeps its element, and the focus in it. */
export function keyed(parent, items, keyOf, make, update) {
  const keys = items.map((item) => String(keyOf(item)));
  const wanted = new Set(keys);
  const old = new Map();
  for (const node of [...parent.children]) {
    if (wanted.has(node.dataset.key)) old.set(node.dataset.key, node);
    else node.remove();
  }
  let at = parent.firstElementChild;
  items.forEach((item, i) => {
    const node = old.get(keys[i]) ?? make(item);
    node.dataset.key = keys[i];
    update?.(node, item);
    if (node === at) {
      at = at.nextElementSibling;
      return;
    }
    const held = node.contains(document.activeElement) && document.activeElement;
    parent.insertBefore(node, at);
    if (held) held.focus();
  });
}

/** The only way in for HTML. It is parsed where nothing loads or runs; links leave in a window of their own. */
export function setServerHtml(node, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  // The server has said where links may lead, and made one of each picture: to fetch it would tell another host who looks.
  for (const link of template.content.querySelectorAll("a[href]")) link.target = "_blank";
  for (const table of template.content.querySelectorAll("table")) wrap(table, el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Table" }));
  for (const pre of template.content.querySelectorAll("pre")) {
    pre.tabIndex = 0;
    wrap(pre, el("div", { class: "code" })).append(copyButton(() => pre.textContent, "Copy code"));
  }
  node.replaceChildren(template.content);
}

function wrap(node, around) {
  node.replaceWith(around);
  around.append(node);
  return around;
}

export function copyButton(text, words) {
  return el("button", { type: "button", class: "copy", onclick: (event) => copied(event.currentTarget, text(), words) }, words);
}

export async function copied(button, text, words) {
  const done = await copy(text);
  button.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => (button.textContent = words), 1500);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no clipboard, but off loopback there may be no TLS.
    const held = document.activeElement;
    const field = el("textarea", { class: "unseen", readonly: "" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    held?.focus();
    return done;
  }
}

/** A name nobody else has; `randomUUID` is not there without TLS off loopback. */
export function unique() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
