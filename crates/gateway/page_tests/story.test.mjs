// Why: whatever is cut, and wherever, in the end the page shows what was said, once each. Random stories of a page against
// a small server, on a clock that is a number; a story that fails is told again by its seed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Desk } from "../page/desk.js";
import { join as rejoin } from "../page/room.js";
import { Wire } from "../page/wire.js";

const STORIES = 3_000;
const STEPS = 120;
const PAGE = 6;
const WORDS = ["a", "é", "😀", "long word ", "\n", "👩‍👩‍👧"];

/** mulberry32 */
function dice(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** What a server does of the protocol, for one client and one conversation. */
class Server {
  messages = [];
  nonces = new Map();
  waiting = [];
  session = null;
  sessions = 0;
  resumes = 0;
  send = () => {};

  out(frame) {
    if (!this.session?.joined) return;
    this.number(frame);
  }

  number(frame) {
    const numbered = { seq: this.session.log.length + 1, ...frame, conversation: "a" };
    this.session.log.push(numbered);
    this.send(numbered);
  }

  hears(frame) {
    if (frame.op === "identify") {
      this.sessions += 1;
      this.session = { id: `s${this.sessions}`, log: [], joined: false };
      this.send({ op: "ready", session: this.session.id, epoch: "e", connection: "c", user: "ann", resume_ms: 1 });
    } else if (frame.op === "resume") {
      if (this.session?.id !== frame.session) return this.send({ op: "invalid_session", resumable: false, reason: "" });
      this.resumes += 1;
      const missed = this.session.log.slice(frame.seq);
      missed.forEach((one) => this.send(one));
      this.send({ op: "resumed", replayed: missed.length });
    } else if (frame.op === "heartbeat") {
      this.send({ op: "heartbeat_ack", last: this.session.log.length });
    } else if (frame.op === "join") {
      this.session.joined = true;
      this.number({ op: "room", ...this.part(frame.after ?? 0, Infinity), last: this.messages.length, members: [], typing: [], turns: this.waiting.map((one) => ({ ...one })) });
    } else if (frame.op === "messages") {
      this.number({ op: "messages", before: frame.before, ...this.part(0, frame.before) });
    } else if (frame.op === "say") {
      if (!this.nonces.has(frame.nonce)) this.begins(frame.text, frame.nonce);
      this.number({ op: "said", nonce: frame.nonce, turn: this.nonces.get(frame.nonce) });
    }
  }

  /** The newest of what lies between two numbers, as much as fits. */
  part(after, before) {
    const all = this.messages.filter((one) => one.number > after && one.number < before);
    const left = all.length - PAGE;
    return { messages: all.slice(-PAGE), after: left > 0 ? all[left - 1].number : after };
  }

  begins(asked, nonce) {
    const turn = `t${this.nonces.size}`;
    this.nonces.set(nonce, turn);
    const live = { turn, asked_by: "ann", asked, nonce, model: "m", text: "", activity: { doing: "typing" } };
    this.waiting.push(live);
    this.out({ op: "turn", turn: { ...live } });
  }

  /** The agent's next word, or its last. */
  works(random) {
    const [live] = this.waiting;
    if (!live) return random() < 0.1 ? this.begins("of another", `other ${this.nonces.size}`) : undefined;
    if (random() < 0.7) {
      const text = WORDS[Math.floor(random() * WORDS.length)];
      this.out({ op: "delta", turn: live.turn, at: [...live.text].length, text });
      live.text += text;
      return undefined;
    }
    const { turn, asked, nonce, text } = this.waiting.shift();
    const before = this.messages.length;
    const messages = [{ role: "user", user: "ann", text: asked, nonce }, { role: "assistant", text }].map((one, at) => ({ ...one, number: before + 1 + at, turn, at_ms: 1 }));
    this.messages.push(...messages);
    this.out({ op: "ended", turn, ending: { how: "finished", reason: "stop", prompt_tokens: 1, answer_tokens: 1 } });
    // The store may be too busy to be read.
    const lost = random() < 0.05;
    return this.out({ op: "kept", turn, nonce, ...(lost ? { before: 0, last: 0, messages: [] } : { before, last: before + 2, messages }) });
  }
}

/** Somebody joins again: what could not be read is found. */
function join(desk) {
  const [room, frame] = rejoin(desk.room, "a");
  desk.rooms.a = room;
  return frame;
}

/** One page, one server, and what is on its way between them. */
function tell(seed) {
  const random = dice(seed);
  const server = new Server();
  const desk = new Desk();
  const wire = new Wire(random);
  let now = 0;
  let open = false;
  let up = [];
  let down = [];

  const carry = (effects) => {
    for (const effect of effects) {
      if (effect.do === "open") {
        [open, up, down] = [true, [], []];
        server.send = (frame) => down.push(frame);
        step({ is: "opened" });
        down.push({ op: "hello", protocol: 1, heartbeat_ms: 400, identify_ms: 1, frame_bytes: 1e6 });
      } else if (effect.do === "send") up.push(effect.frame);
      else if (effect.do === "close") cut();
      else if (effect.do === "ready") send(desk.ready("ann"));
      else if (effect.do === "resumed") send(desk.resumed());
      else if (effect.do === "frame") send(desk.frame(effect.frame, true));
    }
  };
  const step = (event) => carry(wire.step(event, now));
  const send = (frames) => frames.forEach((frame) => step({ is: "send", frame }));
  const cut = () => {
    [open, up, down] = [false, [], []];
    server.send = () => {};
  };
  const move = () => {
    if (open && up.length && random() < 0.5) server.hears(up.shift());
    else if (open && down.length) step({ is: "text", text: JSON.stringify(down.shift()) });
    if (wire.deadline() !== null && now >= wire.deadline()) step({ is: "due" });
  };

  let said = 0;
  send(desk.show("a"));
  step({ is: "connect", who: {} });
  for (let i = 0; i < STEPS; i += 1) {
    now += random() < 0.1 ? 40 : 1;
    const chance = random();
    if (chance < 0.06 && open) {
      cut();
      if (random() < 0.1) server.session = null; // its process is another one
      step({ is: "closed", code: [1006, 1001, 4000, 4001][Math.floor(random() * 4)], reason: "" });
    } else if (chance < 0.12 && desk.room.known) send(desk.say(random() < 0.5 ? "same" : `no ${said}`, `n${(said += 1)}`, { model: null, temperature: null }));
    else if (chance < 0.3) server.works(random);
    else if (chance < 0.32) down.shift(); // lost on the way
    else move();
  }
  // In the end nothing is cut any more, and each answer ends; then the room is read anew, and back to its beginning.
  const settle = (each) => {
    for (let i = 0; i < 20_000 && (i < 600 || up.length || down.length || wire.phase !== "live"); i += 1) {
      now += 5;
      move();
      each();
    }
  };
  settle(() => server.waiting.length && server.works(() => 0.9));
  send([join(desk)]);
  settle(() => !up.length && !down.length && send(desk.older()));
  return { server, desk, wire, said };
}

test("in the end the page shows what was said, once each, in order", () => {
  let anew = 0;
  let resumes = 0;
  let words = 0;
  for (let seed = 1; seed <= STORIES; seed += 1) {
    const { server, desk, wire, said } = tell(seed);
    const { room } = desk;
    const line = ({ role, text }) => `${role}: ${text}`;
    assert.equal(wire.phase, "live", `seed ${seed}`);
    assert.deepEqual(room.messages.map(line), server.messages.map(line), `seed ${seed}`);
    assert.deepEqual(room.messages.map((one) => one.number), server.messages.map((one) => one.number), `seed ${seed}`);
    assert.deepEqual([room.turns, room.after], [[], 0], `seed ${seed}`);
    assert.deepEqual(room.pending, [], `seed ${seed}`);
    const mine = [...server.nonces.keys()].filter((nonce) => nonce.startsWith("n"));
    assert.equal(mine.length, said, `seed ${seed}`);
    anew += server.sessions - 1;
    resumes += server.resumes;
    words += said;
  }
  // A story in which nothing happens would hold as well.
  assert.ok(anew > STORIES / 2 && resumes > STORIES / 2 && words > STORIES, `${anew} new sessions, ${resumes} resumes, ${words} words`);
});
