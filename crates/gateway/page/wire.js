// Why: the protocol is decided here, without a socket, a clock, dice or a page, so that every cut can be tested.
//
// `step(event, now)` gives effects to carry out in order; `deadline()` says when `{is: "due"}` is wanted. Times are in ms.
// Invariants: a numbered frame is given on once and in order, or the connection is cut and resumed; what a socket says
// after `close` was ordered is not given in (see socket.js).

import { closeWords, policyOf, restMs } from "./policy.js";

/** The version of the protocol that this page speaks. */
export const PROTOCOL = 1;
/** How long to wait for the socket to open, for `hello`, and for what answers `identify`. */
const PATIENCE_MS = 15_000;
/** Who is cut so soon after it came goes on resting longer: else a server that fails at once would be stormed. */
const STEADY_MS = 5_000;
/** Our own close codes: neither 1000 nor 1001, for those end the session. */
const SILENT = 3001;
const LOST = 3002;

export class Wire {
  /** off, resting, opening, greeting, entering, live */
  phase = "off";
  attempt = 0;
  /** Why it is off or rests: `{code, words}`. */
  why = null;
  retryAt = null;
  user = null;
  frameBytes = Infinity;
  seq = 0;

  #random;
  #who;
  #session = null;
  #beatMs = 0;
  #patientUntil = null;
  #beatAt = null;
  #unanswered = false;
  #ackedSeq = 0;
  #since = { now: -Infinity, attempt: 0 };

  /** `who` is `{user?, token?}`; it may be replaced by `connect`. */
  constructor(random, who = {}) {
    this.#random = random;
    this.#who = who;
  }

  deadline() {
    const all = [this.retryAt, this.#patientUntil, this.#beatAt].filter((at) => at !== null);
    return all.length ? Math.min(...all) : null;
  }

  step(event, now) {
    switch (event.is) {
      case "connect":
        return this.#connect(event, now);
      case "opened":
        this.phase = "greeting";
        this.#patientUntil = now + PATIENCE_MS;
        return [];
      case "text":
        return this.#text(event.text, now);
      case "closed":
        return this.#closed(event.code, event.reason, now);
      case "due":
        return this.#due(now);
      case "hint": // the network is back, or somebody looks: no more rest
        return this.phase === "resting" ? this.#open(now) : [];
      case "send":
        return this.phase === "live" ? [{ do: "send", frame: event.frame }] : [];
      default:
        throw new Error(`no event of the wire: ${event.is}`);
    }
  }

  /** Comes anew as `who`; an open connection is left for good. */
  #connect({ who }, now) {
    const left = this.phase === "off" || this.phase === "resting" ? [] : [{ do: "close", code: 1000, reason: "" }];
    if (who) this.#who = who;
    this.#session = this.why = null;
    this.seq = 0;
    this.attempt = 0;
    return [...left, ...this.#open(now)];
  }

  #open(now) {
    this.#quiet();
    this.phase = "opening";
    this.attempt += 1;
    this.#patientUntil = now + PATIENCE_MS;
    return [{ do: "open" }];
  }

  #quiet() {
    this.retryAt = this.#patientUntil = this.#beatAt = null;
    this.#unanswered = false;
  }

  #due(now) {
    if (this.retryAt !== null && now >= this.retryAt) return this.#open(now);
    if (this.#patientUntil !== null && now >= this.#patientUntil) return this.#cut(SILENT, "the server is silent", now);
    if (this.#beatAt === null || now < this.#beatAt) return [];
    if (this.#unanswered) return this.#cut(SILENT, "no heartbeat was answered", now);
    return this.#beat(now);
  }

  #beat(now) {
    this.#unanswered = true;
    this.#beatAt = now + this.#beatMs;
    return [{ do: "send", frame: { op: "heartbeat", seq: this.seq } }];
  }

  /** Our own close; the session goes on. */
  #cut(code, words, now) {
    return [{ do: "close", code, reason: words }, ...this.#rest({ code, words }, now)];
  }

  #rest(why, now) {
    this.#quiet();
    if (this.phase === "live" && now - this.#since.now < STEADY_MS) this.attempt = this.#since.attempt;
    this.phase = "resting";
    this.why = why;
    this.retryAt = now + restMs(Math.max(1, this.attempt), this.#random);
    return [{ do: "cut", why }];
  }

  #stay(why) {
    this.#quiet();
    this.phase = "off";
    this.why = why;
    this.#session = null;
    return [{ do: "stayed", why }];
  }

  #closed(code, reason, now) {
    if (this.phase === "off" || this.phase === "resting") return [];
    const why = { code, words: closeWords(code, reason) };
    const policy = policyOf(code);
    if (policy === "stay") return this.#stay(why);
    if (policy === "anew") this.#session = null;
    return this.#rest(why, now);
  }

  #text(text, now) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return this.#cut(LOST, "a frame could not be read", now);
    }
    if (this.phase === "entering") this.#patientUntil = now + PATIENCE_MS;
    if (frame.op === "heartbeat_ack") return this.#acked(frame, now);
    if (frame.seq !== undefined) return this.#numbered(frame, now);
    switch (frame.op) {
      case "hello":
        return this.#hello(frame, now);
      case "ready":
        this.#session = { session: frame.session, epoch: frame.epoch };
        this.user = frame.user;
        this.seq = 0;
        return this.#live({ do: "ready", ready: frame }, now);
      case "resumed":
        return this.#live({ do: "resumed", replayed: frame.replayed }, now);
      case "invalid_session":
        this.#session = null;
        return this.#enter(now);
      case "heartbeat_wanted":
        return this.phase === "live" ? this.#beat(now) : [];
      case "error":
        if (this.phase === "entering" && frame.about === "identify") {
          return [{ do: "close", code: 1000, reason: "" }, ...this.#stay({ code: 0, words: frame.message, field: frame.field })];
        }
        return [{ do: "frame", frame }];
      default:
        return [{ do: "frame", frame }]; // of a later version: whoever knows it
    }
  }

  #numbered(frame, now) {
    if (frame.seq <= this.seq) return [];
    if (frame.seq > this.seq + 1) return this.#cut(LOST, "a frame was lost", now);
    this.seq = frame.seq;
    return [{ do: "frame", frame }];
  }

  #hello(frame, now) {
    if (frame.protocol > PROTOCOL) {
      const words = "the server speaks a newer protocol: reload this page";
      return [{ do: "close", code: 1000, reason: "" }, ...this.#stay({ code: 0, words })];
    }
    this.#beatMs = frame.heartbeat_ms;
    this.frameBytes = frame.frame_bytes;
    return this.#enter(now);
  }

  #enter(now) {
    this.phase = "entering";
    this.#patientUntil = now + PATIENCE_MS;
    const { user, token } = this.#who;
    const frame = this.#session
      ? { op: "resume", ...this.#session, seq: this.seq, ...(token && { token }) }
      : { op: "identify", ...(user && { user }), ...(token && { token }) };
    return [{ do: "send", frame }];
  }

  #live(effect, now) {
    this.phase = "live";
    this.#since = { now, attempt: this.attempt };
    this.attempt = 0;
    this.why = null;
    this.#patientUntil = null;
    this.#unanswered = false;
    this.#ackedSeq = this.seq;
    this.#beatAt = now + Math.round(this.#beatMs * this.#random());
    return [effect];
  }

  /** An answer may overtake what it counts, but not by a whole beat. */
  #acked(frame, now) {
    this.#unanswered = false;
    if (this.#ackedSeq > this.seq) return this.#cut(LOST, "frames were lost", now);
    this.#ackedSeq = frame.last;
    return [];
  }
}
