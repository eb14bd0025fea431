// Why: the live picture of the supervision tree. A state is a dot and a word, never a colour alone.

import { el, id, keyed, setText } from "./dom.js";
import { nest, restarted, summary } from "./tree.js";
import { bytes } from "./words.js";

const FLASH_MS = 2_000;

export class TreeView {
  #drawn = null;
  #changed = false;
  #flashing = new Map();
  #again;

  /** `again()` is called when something must be drawn anew. */
  constructor(again) {
    this.#again = again;
  }

  /** After a reconnect nothing may flash for what was before. */
  forget() {
    this.#drawn = null;
  }

  draw(nodes, live) {
    if (nodes.length) setText(id("tree-summary"), `${summary(nodes)}${live ? "" : ", as it was before the cut"}`);
    if (nodes === this.#drawn && !this.#changed) return;
    if (this.#drawn && nodes !== this.#drawn) this.#flash(restarted(this.#drawn, nodes));
    this.#drawn = nodes;
    this.#changed = false;
    if (!nodes.length) return;
    this.#draw(id("tree-items"), nest(nodes));
  }

  #flash(paths) {
    for (const path of paths) {
      clearTimeout(this.#flashing.get(path));
      const over = () => {
        this.#flashing.delete(path);
        this.#changed = true;
        this.#again();
      };
      this.#flashing.set(path, setTimeout(over, FLASH_MS));
    }
    if (paths.length) id("tree-spoken").textContent = `${paths.slice(0, 3).join(", ")}${paths.length > 3 ? " and others" : ""} restarted`;
  }

  #draw(list, items) {
    keyed(list, items, ({ node }) => node.path, makeNode, (item, { node, name, children, more }) => {
      const [row, below] = item.children;
      this.#fill(row, node, name);
      below.hidden = !children.length;
      this.#draw(below, children);
      const rest = below.nextElementSibling;
      rest.hidden = !more;
      setText(rest, more ? `and ${more} more` : "");
    });
  }

  #fill(row, node, name) {
    const flashing = this.#flashing.has(node.path);
    row.classList.toggle("flash", flashing);
    row.dataset.state = node.state;
    const [, names, box, figures] = row.children;
    const [title, state] = names.children;
    setText(title, name);
    title.title = node.path;
    setText(state, flashing ? "restarted" : node.state.replaceAll("_", " "));
    const [bar, count] = box.children;
    box.hidden = !node.capacity;
    if (node.capacity) {
      const share = Math.min(1, node.queued / node.capacity);
      bar.firstChild.style.setProperty("width", `${Math.round(share * 100)}%`);
      bar.dataset.full = share > 0.8 ? "yes" : "no";
      setText(count, `${node.queued}/${node.capacity}`);
      box.title = `${node.queued} messages wait, ${node.capacity} may`;
    }
    const restarts = node.restarts ? `${node.restarts} ${node.restarts === 1 ? "restart" : "restarts"}` : "";
    setText(figures, [restarts, node.leased_bytes ? `${bytes(node.leased_bytes)} leased` : ""].filter(Boolean).join(" · "));
    figures.hidden = !figures.textContent;
  }
}

function makeNode() {
  const bar = el("span", { class: "bar-of", "aria-hidden": "true" }, el("span"));
  const box = el("span", { class: "mailbox" }, bar, el("span"));
  const row = el("div", { class: "node" }, el("span", { class: "dot", "aria-hidden": "true" }), el("span", {}, el("span", { class: "name" }), " ", el("span", { class: "state" })), box, el("span", { class: "figures" }));
  return el("li", {}, row, el("ul"), el("p", { class: "note" }));
}
