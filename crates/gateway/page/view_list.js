// Why: the list of conversations is links, so that the keyboard, the history and “copy link” work by themselves.

import { el, id, keyed, setText } from "./dom.js";
import { ago } from "./words.js";

/** What the list has: the server's, and before them those that it does not know yet. */
export function lines(desk) {
  const listed = desk.list ?? [];
  const known = new Set(listed.map((line) => line.conversation));
  const fresh = Object.keys(desk.rooms).filter((one) => !known.has(one)).reverse();
  return [...fresh.map((conversation) => ({ conversation, title: first(desk.rooms[conversation]) ?? "New conversation" })), ...listed];
}

const first = ({ messages, turns, pending }) => messages[0]?.text ?? turns[0]?.asked ?? pending[0]?.text;

export const address = (conversation) => `#c=${encodeURIComponent(conversation)}`;

export function drawList(desk, now) {
  const all = lines(desk);
  id("list-empty").hidden = all.length > 0 || desk.list === null;
  keyed(id("list-items"), all, (line) => line.conversation, make, (node, line) => {
    const [link] = node.children;
    const [title, meta, unread] = link.children;
    setText(title, line.title || (line.messages ? "Untitled" : "New conversation"));
    setText(meta, line.changed_ms ? `${ago(line.changed_ms, now)} · ${line.messages} ${line.messages === 1 ? "message" : "messages"}` : "");
    meta.title = line.changed_ms ? new Date(line.changed_ms).toLocaleString() : "";
    const one = desk.rooms[line.conversation];
    setText(unread, one?.unread ? `${one.unread} new` : one?.turns.length && line.conversation !== desk.shown ? "answering" : "");
    if (line.conversation === desk.shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
}

function make({ conversation }) {
  return el("li", {}, el("a", { href: address(conversation) }, el("span", { class: "title" }), el("span", { class: "meta" }), el("span", { class: "badge" })));
}
