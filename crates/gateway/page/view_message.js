// Why: one message, as it was said; a person's as text, an answer as the HTML that the server made of it.

import { copyButton, el, setServerHtml, setText } from "./dom.js";
import { clock, endingWords, hue, initials } from "./words.js";

export function avatar(name, words = name) {
  const node = el("span", { class: "avatar", role: "img", "aria-label": words, title: words }, initials(name));
  node.style.setProperty("--hue", hue(name));
  return node;
}

/** Whose it is: `mine`, `other` or `agent`, and the name to show. */
function whose(message, me) {
  if (message.role === "assistant") return ["agent", "Assistant"];
  const name = message.user ?? "Somebody";
  return [message.user === me ? "mine" : "other", name];
}

export function makeMessage(message, me) {
  const [kind, name] = whose(message, me);
  const at = message.at_ms ? el("time", { datetime: new Date(message.at_ms).toISOString() }, clock(message.at_ms)) : "";
  const body = el("div", { class: "body" });
  const foot = el("div", { class: "foot" });
  const head = el("div", { class: "who" }, el("b", {}, kind === "mine" ? "You" : name), at);
  return el("article", { class: `message ${kind}`, "aria-label": `${kind === "mine" ? "You" : name} said` }, head, body, foot);
}

export function fillMessage(node, message) {
  if (node.said === message) return;
  const before = node.said;
  node.said = message;
  const [, body, foot] = node.children;
  if (!before || before.html !== message.html || before.text !== message.text) {
    if (message.html) setServerHtml(body, message.html);
    else body.replaceChildren(el("p", { class: "plain" }, message.text));
    body.hidden = !message.text && !message.html;
  }
  const ending = endingWords(message.ending);
  foot.replaceChildren();
  if (message.cut) foot.append(el("span", { class: "note" }, "only its beginning is shown here"));
  if (message.left_out) foot.append(el("span", { class: "note" }, "its beginning is not shown here"));
  if (ending) foot.append(el("span", { class: ending[1] ? "failed" : "note" }, ending[0]));
  if (message.role === "assistant" && message.text) foot.append(copyButton(() => message.text, "Copy"));
}

/** What I said and nobody acknowledged yet. */
export function makePending({ nonce, text }, act) {
  const foot = el("div", { class: "foot" }, el("span", { class: "note" }));
  foot.append(
    el("button", { type: "button", class: "quiet", onclick: () => act.retry(nonce) }, "Say again"),
    el("button", { type: "button", class: "quiet", onclick: () => act.edit(nonce) }, "Edit"),
  );
  return el("article", { class: "message mine pending", "aria-label": "You said, on its way" }, el("div", { class: "who" }, el("b", {}, "You")), el("div", { class: "body" }, el("p", { class: "plain" }, text)), foot);
}

export function fillPending(node, { error, said }, live) {
  const [words, again, edit] = node.children[2].children;
  words.className = error ? "failed" : "note";
  setText(words, error ?? (said ? "" : live ? "sending…" : "waits for the connection"));
  again.hidden = edit.hidden = !error;
}
