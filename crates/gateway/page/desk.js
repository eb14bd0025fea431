// Why: which conversations there are, which is shown, and what to say to the server about it: without socket or page.
//
// A conversation is left when another is shown, but not while it answers or something of mine is on its way: an answer
// that nobody looks at is stopped.

import * as room from "./room.js";

export class Desk {
  me = null;
  /** By id; only those that are joined, or are to be. Nothing else is in it: an id may be `constructor`. */
  rooms = Object.create(null);
  list = null;
  shown = null;
  tree = [];
  watching = false;
  #left = new Set();
  /** Joined anew after a cut, and not seen yet. */
  #unsure = new Set();

  get room() {
    return this.rooms[this.shown] ?? room.EMPTY;
  }

  get unread() {
    return Object.values(this.rooms).reduce((sum, one) => sum + one.unread, 0);
  }

  /** Shows a conversation (or none: null). Gives the frames to send, as all of these do. */
  show(id) {
    if (id === this.shown) return [];
    const before = this.shown;
    this.shown = id;
    const frames = id === null || this.rooms[id] ? [] : [this.#join(id)];
    if (id !== null) this.#left.delete(id);
    this.looked();
    const left = before === null ? [] : this.#leaveIfIdle(before);
    // Its answer says that what stands before it was heard.
    return [...left, ...frames, ...(left.length ? [{ op: "conversations" }] : [])];
  }

  /** Somebody looks at what is shown. */
  looked() {
    const one = this.rooms[this.shown];
    if (one?.unread) this.rooms[this.shown] = { ...one, unread: 0 };
  }

  watch(on) {
    this.watching = on;
    return [{ op: "tree", watch: on }];
  }

  /** A new session: it knows nothing of what was joined. */
  ready(user) {
    this.me = user;
    this.#left.clear();
    const joins = Object.keys(this.rooms).map((id) => this.#join(id));
    // What of my words was written down meanwhile is known when the room has come.
    this.#unsure = new Set(Object.keys(this.rooms));
    return [...joins, ...this.#standing()];
  }

  /** The old session: what was asked and not answered, in the moment of a cut or too fast, is asked again. */
  resumed() {
    const asked = Object.keys(this.rooms).filter((id) => this.rooms[id].asked);
    const leaves = [...this.#left].map((conversation) => ({ op: "leave", conversation }));
    const says = Object.entries(this.rooms).flatMap(([id, one]) => room.again(one, id));
    return [...leaves, ...asked.map((id) => this.#join(id)), ...this.#standing(), ...says];
  }

  say(text, nonce, { model, temperature }) {
    const frame = { op: "say", conversation: this.shown, text, nonce, ...(model && { model }), ...(temperature !== null && { temperature }) };
    this.rooms[this.shown] = room.say(this.room, frame);
    return [frame];
  }

  /** Takes back what was refused, and gives its text. */
  discard(nonce) {
    const text = this.room.pending.find((one) => one.nonce === nonce)?.text ?? "";
    this.rooms[this.shown] = room.discard(this.room, nonce);
    return text;
  }

  stop() {
    if (!this.room.turns.length) return [];
    this.rooms[this.shown] = { ...this.room, stopping: true };
    return [{ op: "stop", conversation: this.shown }];
  }

  /** Asks for older messages of what is shown. */
  older() {
    const [asked, frames] = room.older(this.room, this.shown);
    if (frames.length) this.rooms[this.shown] = asked;
    return frames;
  }

  frame(frame, looking) {
    if (frame.op === "conversations") {
      this.list = frame.conversations;
      this.#left.clear();
      return [];
    }
    if (frame.op === "tree") {
      this.tree = frame.nodes;
      return [];
    }
    const id = frame.conversation ?? Object.keys(this.rooms).find((one) => this.rooms[one].pending.some(({ nonce }) => nonce === frame.nonce));
    const before = this.rooms[id];
    if (!before) return [];
    const after = room.reduce(before, frame, this.me, looking && id === this.shown);
    this.rooms[id] = after;
    if (after.lost && !before.lost) return [this.#join(id)];
    const says = frame.op === "room" && this.#unsure.delete(id) ? room.again(after, id) : [];
    return [...says, ...(id === this.shown ? [] : this.#leaveIfIdle(id))];
  }

  #join(id) {
    const [joined, frame] = room.join(this.rooms[id] ?? room.EMPTY, id);
    this.rooms[id] = joined;
    return frame;
  }

  #leaveIfIdle(id) {
    const one = this.rooms[id];
    if (!one || one.turns.length || one.pending.some(({ said, error }) => !said && !error)) return [];
    if (one.unread) return []; // until somebody has read it, it counts
    delete this.rooms[id];
    this.#left.add(id);
    return [{ op: "leave", conversation: id }];
  }

  #standing() {
    return [{ op: "conversations", watch: true }, ...(this.watching ? [{ op: "tree", watch: true }] : [])];
  }
}
