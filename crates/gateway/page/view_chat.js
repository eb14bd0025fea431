// Why: what is complete is in a log that is read aloud once; what still grows is beside it, and silent.

import { el, id, keyed, setText } from "./dom.js";
import { avatar, fillMessage, fillPending, makeMessage, makePending } from "./view_message.js";
import { activityWords, typingWords } from "./words.js";

/** So near to its end a text counts as read to its end, in pixels. */
const NEAR = 60;

export class ChatView {
  #act;
  #shown = null;
  #told = null;
  #messages = null;
  #atEnd = true;
  #height = 0;
  /** Where the first message is, while older ones are awaited. */
  #after = 0;

  /** `act` has `retry(nonce)`, `edit(nonce)` and `older()`. */
  constructor(act) {
    this.#act = act;
    const scroll = id("scroll");
    scroll.addEventListener("scroll", () => this.#moved(), { passive: true });
    new ResizeObserver(() => this.#atEnd && this.toEnd()).observe(scroll);
    id("to-end").addEventListener("click", () => this.toEnd());
    id("older").addEventListener("click", () => act.older());
  }

  toEnd() {
    const scroll = id("scroll");
    scroll.scrollTop = scroll.scrollHeight;
    this.#moved();
  }

  draw(desk, live) {
    const { room } = desk;
    const other = this.#shown !== desk.shown;
    this.#shown = desk.shown;
    if (other) {
      for (const name of ["log", "pending", "live"]) id(name).replaceChildren();
      this.#told = this.#messages = null;
    }
    const longer = !other && room.after < this.#after;
    this.#after = room.after;
    const scroll = id("scroll");
    const below = scroll.scrollHeight - scroll.scrollTop;
    this.#drawLog(room, desk.me, other || longer);
    keyed(id("pending"), room.pending, (one) => one.nonce, (one) => makePending(one, this.#act), (node, one) => fillPending(node, one, live));
    keyed(id("live"), room.turns, (one) => one.turn, (one) => makeTurn(one, desk.me), fillTurn);
    id("older").hidden = !room.after;
    id("older").disabled = room.older || !live;
    this.#drawEmpty(desk, room);
    setText(id("typing"), typingWords(room.typing.filter((name) => name !== desk.me)));
    drawPresence(room.members, desk.me);
    if (longer) scroll.scrollTop = scroll.scrollHeight - below;
    this.#follow(other, longer);
  }

  #drawLog(room, me, old) {
    if (room.messages === this.#messages && room.known === this.#told) return;
    const log = id("log");
    // What was said before I came is there to be read, not to be read aloud.
    const quiet = old || !room.known || !this.#told;
    if (quiet) log.setAttribute("aria-live", "off");
    keyed(log, room.messages, (one) => one.key ?? one.number ?? "draft", (one) => makeMessage(one, me), fillMessage);
    this.#told = room.known;
    this.#messages = room.messages;
    if (quiet && room.known) {
      setTimeout(() => log.setAttribute("aria-live", "polite"), 200);
    }
  }

  #drawEmpty(desk, room) {
    const nothing = !room.messages.length && !room.pending.length && !room.turns.length;
    const words =
      desk.shown === null
        ? "Choose a conversation, or begin a new one with “New”."
        : room.known
          ? "Nothing has been said here yet. Write below: the model answers, and whoever has the link to this conversation reads along."
          : "The conversation comes when the page is connected…";
    id("empty").hidden = !nothing;
    setText(id("empty"), words);
  }

  #moved() {
    const { scrollTop, scrollHeight, clientHeight } = id("scroll");
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#atEnd) id("to-end").hidden = true;
  }

  /** Goes along with what grows only for who is at its end. */
  #follow(other, longer) {
    const { scrollHeight } = id("scroll");
    if (other || this.#atEnd) this.toEnd();
    else if (scrollHeight > this.#height && !longer) id("to-end").hidden = false;
    this.#height = scrollHeight;
  }
}

/** What was asked, and what is answered to it: several people may have asked at once. */
function makeTurn(turn, me) {
  const asked = { role: "user", user: turn.asked_by, text: turn.asked, at_ms: turn.at_ms };
  const question = makeMessage(asked, me);
  fillMessage(question, asked);
  return el("div", { class: "turn" }, question, makeLive(turn));
}

function fillTurn(node, turn) {
  fillLive(node.lastChild, turn);
}

function makeLive({ model, asked_by }) {
  const progress = el("progress", { max: "100", "aria-label": "How far" });
  return el(
    "article",
    { class: "message agent live", "aria-busy": "true", "aria-label": `Assistant answers ${asked_by}` },
    el("div", { class: "who" }, el("b", {}, "Assistant"), el("span", { class: "model" }, model)),
    el("div", { class: "body" }, el("p", { class: "note before" }, "… what stands before comes when the answer has ended"), el("p", { class: "plain" }, "")),
    el("div", { class: "foot" }, el("span", { class: "note doing" }), progress),
  );
}

function fillLive(node, { text, left_out, activity }) {
  const [before, plain] = node.children[1].children;
  before.hidden = !left_out;
  const shown = plain.textContent.length;
  if (shown && text.startsWith(node.said ?? "")) plain.firstChild.appendData(text.slice(shown));
  else plain.textContent = text;
  node.said = text;
  const [words, percent] = activityWords(activity);
  const [doing, progress] = node.children[2].children;
  setText(doing, words);
  progress.hidden = percent === null;
  progress.value = percent ?? 0;
}

/** One avatar a person, however many windows they have. */
function drawPresence(members, me) {
  const windows = new Map();
  for (const { user } of members) windows.set(user, (windows.get(user) ?? 0) + 1);
  const people = [...windows].sort(([a], [b]) => (a === me) - (b === me) || a.localeCompare(b));
  const shown = people.length > 5 ? people.slice(0, 4) : people;
  const node = id("presence");
  const items = [...shown.map(([name, n]) => ({ key: `${name} ${n}`, name, n })), ...(people.length ? [{ key: `all ${people.length}`, all: people }] : [])];
  keyed(node, items, (one) => one.key, ({ name, n, all }) => {
    if (all) return el("span", { class: "count", title: all.map(([who]) => who).join(", ") }, `${all.length} here`);
    return avatar(name, `${name}${name === me ? " (you)" : ""}${n > 1 ? `, ${n} windows` : ""}`);
  });
}
