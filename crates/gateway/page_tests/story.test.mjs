// Why: whatever is cut, and wherever, in the end the page shows what was said, once each. Random stories of a page against
// a small server, on a clock that is a number; a story that fails is told again by its seed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Desk } from "../page/desk.js";
import { Wire } from "../page/wire.js";

const STORIES = 3_000;
const STEPS = 120;
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
  nonces = new Set();
  turn = null;
  session = null;
  sessions = 0;
  resumes = 0;
  turns = 0;
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
      const messages = this.messages.filter((one) => one.number > (frame.after ?? 0));
      this.number({ op: "room", messages, members: [], typing: [], turns: this.turn ? [{ ...this.turn }] : [] });
    } else if (frame.op === "say") {
      if (!this.nonces.has(frame.nonce)) {
        this.nonces.add(frame.nonce);
        this.put("user", frame.text);
      }
      this.number({ op: "said", nonce: frame.nonce, turn: "t" });
    }
  }

  put(role, text) {
    const message = { number: this.messages.length + 1, role, text, at_ms: 1, ...(role === "user" && { user: "ann" }) };
    this.messages.push(message);
    this.out({ op: "message", message });
  }

  /** The agent's next word, or its first, or its last. */
  works(random) {
    if (!this.turn) {
      this.turns += 1;
      this.turn = { turn: `t${this.turns}`, asked_by: "ann", model: "m", text: "", activity: { doing: "typing" } };
      return this.out({ op: "turn", turn: { ...this.turn } });
    }
    if (random() < 0.8) {
      const text = WORDS[Math.floor(random() * WORDS.length)];
      this.out({ op: "delta", turn: this.turn.turn, at: [...this.turn.text].length, text });
      this.turn.text += text;
      return undefined;
    }
    const { turn, text } = this.turn;
    this.turn = null;
    const end = { op: "ended", turn, ending: { how: "finished", reason: "stop", prompt_tokens: 1, answer_tokens: 1 } };
    if (random() < 0.5) {
      this.out(end);
      return this.put("assistant", text);
    }
    this.put("assistant", text);
    return this.out(end);
  }
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
  // In the end nothing is cut any more.
  for (let i = 0; i < 20_000 && (i < 600 || up.length || down.length || wire.phase !== "live"); i += 1) {
    now += 5;
    move();
  }
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
    assert.equal(room.turn?.text, server.turn?.text, `seed ${seed}`);
    assert.deepEqual(room.pending, [], `seed ${seed}`);
    assert.equal(server.nonces.size, said, `seed ${seed}`);
    anew += server.sessions - 1;
    resumes += server.resumes;
    words += said;
  }
  // A story in which nothing happens would hold as well.
  assert.ok(anew > STORIES / 2 && resumes > STORIES / 2 && words > STORIES, `${anew} new sessions, ${resumes} resumes, ${words} words`);
});
