// Why: at a desk three areas stand beside each other; on a phone one is shown at a time. What is open is an attribute of
// the body, and the style sheet does the rest.

import { id } from "./dom.js";
import { keep, kept } from "./prefs.js";

const phone = matchMedia("(max-width: 600px)");
const narrow = matchMedia("(max-width: 1000px)");

export function panels({ onTree, onChange }) {
  const { dataset } = document.body;

  function put(which, open) {
    dataset[which] = open ? "open" : "shut";
    id(`${which}-toggle`).setAttribute("aria-expanded", String(open));
    if (which === "tree") onTree(open);
    onChange();
  }

  function toggle(which, other) {
    const open = dataset[which] !== "open";
    if (open && phone.matches && dataset[other] === "open") put(other, false);
    put(which, open);
    if (which === "tree" && !narrow.matches) keep("tree", open ? "open" : "shut");
    if (open && phone.matches) id(which).querySelector(".head button").focus();
    if (!open) id(`${which}-toggle`).focus();
  }

  const toggleTree = () => toggle("tree", "list");
  id("list-toggle").addEventListener("click", () => toggle("list", "tree"));
  id("tree-toggle").addEventListener("click", toggleTree);
  id("tree-close").addEventListener("click", toggleTree);
  id("list-items").addEventListener("click", (event) => event.target.closest("a") && toChat());

  function toChat() {
    if (!phone.matches) return;
    if (dataset.list === "open") put("list", false);
    if (dataset.tree === "open") put("tree", false);
  }

  /** At a desk the tree is open unless it was folded; where it would cover the chat it is not. */
  const start = () => put("tree", !narrow.matches && kept("tree") !== "shut");
  narrow.addEventListener("change", start);

  return {
    toChat,
    toggleTree,
    start,
    /** Closes what covers the chat; false if nothing did. */
    shut() {
      if (!narrow.matches) return false;
      const open = ["list", "tree"].find((which) => dataset[which] === "open" && (phone.matches || which === "tree"));
      if (!open) return false;
      put(open, false);
      id(`${open}-toggle`).focus();
      return true;
    },
  };
}
