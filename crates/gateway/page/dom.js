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

/** One child a item, in order; the same key keeps its element, and what is focused in it. */
export function keyed(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = old.get(key);
    if (node) old.delete(key);
    else {
      node = make(item);
      node.dataset.key = key;
    }
    update?.(node, item);
    while (at && at !== node && old.has(at.dataset.key) && !items.some((one) => String(keyOf(one)) === at.dataset.key)) {
      const gone = at;
      at = at.nextElementSibling;
      gone.remove();
      old.delete(gone.dataset.key);
    }
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  for (const node of old.values()) node.remove();
}

/** The only way in for HTML. It is parsed where nothing loads or runs; links leave in a window of their own. */
export function setServerHtml(node, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const link of template.content.querySelectorAll("a[href]")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  // A picture would tell another host that it was looked at.
  for (const image of template.content.querySelectorAll("img")) {
    const link = el("a", { href: image.getAttribute("src") ?? "", target: "_blank", rel: "noopener noreferrer" });
    link.textContent = image.alt || "picture";
    image.replaceWith(link);
  }
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
  const button = el("button", { type: "button", class: "copy", onclick: () => copied(button, text(), words) }, words);
  return button;
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
    const field = el("textarea", { class: "unseen", readonly: "" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** A name nobody else has; `randomUUID` is not there without TLS off loopback. */
export function unique() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
