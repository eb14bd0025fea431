// Why: the parts are put together here: what the socket says goes to the desk, what the desk is goes to the views, and
// what a person does goes to both.

import { Desk } from "./desk.js";
import { ask } from "./dialogs.js";
import { copied, id, setText, unique } from "./dom.js";
import { panels } from "./panels.js";
import { UNAUTHORISED } from "./policy.js";
import { keep, keepToken, kept, keptToken } from "./prefs.js";
import { Socket } from "./socket.js";
import { StatusView } from "./view_status.js";
import { ChatView } from "./view_chat.js";
import { Composer } from "./view_composer.js";
import { address, drawList, lines } from "./view_list.js";
import { TreeView } from "./view_tree.js";
import { Wire } from "./wire.js";

const NAME = /^[\p{Alphabetic}\p{N}\-_.:@]{1,128}$/u;

const desk = new Desk();
const wire = new Wire(Math.random);
const url = Object.assign(new URL("ws", location.href), { hash: "", search: "" });
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new Socket(wire, url, told);
const looking = () => document.visibilityState === "visible";

const status = new StatusView(wire);
const tree = new TreeView(draw);
const chat = new ChatView({ retry, edit, older: () => send(desk.older()) });
const composer = new Composer({ say, typing: (typing, conversation) => socket.send({ op: "typing", conversation, typing }) });
const panel = panels({ onTree: (on) => send(desk.watch(on)), onChange: draw });

// --- what comes from the server

function told(effect) {
  if (effect.do === "ready") send(desk.ready(effect.ready.user));
  if (effect.do === "resumed") send(desk.resumed());
  if (effect.do === "frame") heard(effect.frame);
  if (effect.do === "cut" || effect.do === "ready") tree.forget();
  if (effect.do === "stayed") stayed(effect.why);
  if (effect.do === "ready") models();
  status.told(effect);
  draw();
}

function heard(frame) {
  // It was not looked at, so it is asked for again, and a person need not know.
  if (frame.code === "too_fast") return void setTimeout(() => send(desk.resumed()), frame.retry_after_ms);
  if (frame.op === "error" && !frame.nonce && !["typing", "leave", "heartbeat"].includes(frame.about)) notice(frame.message);
  if (frame.op === "turn" && frame.conversation === desk.shown) status.speak("The model is answering");
  send(desk.frame(frame, looking()));
  if (frame.op === "conversations") chooseFirst();
}

async function stayed(why) {
  if (why.code === UNAUTHORISED) return token(why.words);
  if (why.field === "user") await name(why.words);
}

function send(frames) {
  for (const frame of frames) socket.send(frame);
}

async function models() {
  const token = keptToken();
  try {
    const answer = await fetch("v1/models", { headers: token ? { authorization: `Bearer ${token}` } : {} });
    if (answer.ok) composer.models((await answer.json()).data.map((model) => model.id));
  } catch {
    // names can be written by hand
  }
}

// --- what a person does

function say(text) {
  if (desk.shown === null) begin();
  const frames = desk.say(text, unique(), composer.choice());
  const size = new TextEncoder().encode(JSON.stringify(frames[0])).length;
  if (size > wire.frameBytes) {
    desk.discard(frames[0].nonce);
    notice(`This is ${size - wire.frameBytes} bytes longer than the server takes: shorten it.`);
    return false;
  }
  notice("");
  send(frames);
  chat.toEnd();
  draw();
  return true;
}

function retry(nonce) {
  say(desk.discard(nonce));
}

function edit(nonce) {
  composer.put(desk.discard(nonce));
  composer.focus();
  draw();
}

function stop() {
  send(desk.stop());
  draw();
}

function begin() {
  location.hash = address(unique());
  route();
  composer.focus();
}

function connect() {
  if (wire.why?.code === UNAUTHORISED) token("");
  else enter();
}

function enter() {
  socket.step({ is: "connect", who: { user: kept("name") || undefined, token: keptToken() || undefined } });
  draw();
}

async function token(wrong) {
  const had = keptToken() !== null;
  const value = await ask("token", { wrong: had ? `The token was not accepted: ${wrong}` : "" });
  if (!value) return;
  keepToken(value);
  enter();
}

async function name(wrong = "") {
  const value = await ask("name", { value: kept("name") ?? "", wrong, words: kept("name") === null ? "Without a name" : "Leave it" });
  if (value === undefined || (value === null && kept("name") !== null)) return;
  const before = kept("name");
  keep("name", value ?? "");
  if (value !== before || wire.phase === "off") enter();
}

function notice(words) {
  setText(id("notice"), words);
}

// --- which conversation

/** From the address; what is none is said. */
function route() {
  const found = new URLSearchParams(location.hash.slice(1)).get("c");
  notice("");
  if (found !== null && !NAME.test(found)) notice("This link names no conversation.");
  const shown = found !== null && NAME.test(found) ? found : null;
  composer.show(shown);
  send(desk.show(shown));
  panel.toChat();
  chooseFirst();
  draw();
}

/** Whoever comes without an address sees what was last talked about. */
function chooseFirst() {
  if (desk.shown !== null || desk.list === null || !desk.list.length || location.hash) return;
  history.replaceState(null, "", address(desk.list[0].conversation));
  route();
}

function step(by) {
  const all = lines(desk).map((line) => line.conversation);
  const to = all[all.indexOf(desk.shown) + by];
  if (to !== undefined) location.hash = address(to);
}

// --- drawing: at most once a frame, and where nobody looks four times a second

let due = false;
function draw() {
  if (due) return;
  due = true;
  if (looking()) requestAnimationFrame(drawNow);
  else setTimeout(drawNow, 250);
}

function drawNow() {
  due = false;
  if (looking()) desk.looked();
  const { room } = desk;
  drawList(desk, Date.now());
  chat.draw(desk, wire.phase === "live");
  tree.draw(desk.tree, wire.phase === "live");
  status.draw();
  const line = lines(desk).find((one) => one.conversation === desk.shown);
  setText(id("chat-title"), desk.shown === null ? "Conversation" : line?.title || "New conversation");
  setText(id("name-shown"), desk.me ?? (kept("name") || "no name"));
  id("stop").hidden = !room.turns.length;
  id("stop").disabled = room.stopping;
  id("link").hidden = desk.shown === null || !room.messages.length;
  document.title = desk.unread ? `(${desk.unread}) Paraphym` : "Paraphym";
}

// --- listening

id("new").addEventListener("click", begin);
id("stop").addEventListener("click", stop);
id("connect").addEventListener("click", connect);
id("name-open").addEventListener("click", () => name());
id("keys-open").addEventListener("click", () => ask("keys"));
id("link").addEventListener("click", () => copied(id("link"), location.href, "Copy link"));
addEventListener("hashchange", route);
addEventListener("online", () => socket.step({ is: "hint" }));
document.addEventListener("visibilitychange", () => {
  if (!looking()) return;
  socket.step({ is: "hint" });
  draw();
});
visualViewport?.addEventListener("resize", () => document.documentElement.style.setProperty("--height", `${visualViewport.height}px`));

const ALT = { KeyN: begin, ArrowUp: () => step(-1), ArrowDown: () => step(1), KeyT: panel.toggleTree, KeyM: () => composer.focus() };
addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  const inField = event.target.closest?.("input, textarea, select");
  if (event.key === "Escape" && !event.isComposing) {
    if (!panel.shut() && desk.room.turns.length) stop();
  } else if (event.altKey && !event.ctrlKey && !event.metaKey && ALT[event.code]) {
    event.preventDefault();
    ALT[event.code]();
  } else if (event.key === "?" && !inField) {
    event.preventDefault();
    ask("keys");
  }
});

panel.start();
route();
if (kept("name") === null) name();
else enter();
