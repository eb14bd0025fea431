// Why: each cut, each answer and each code leads where the protocol says, on a clock that is an argument.

import assert from "node:assert/strict";
import { test } from "node:test";
import { policyOf, restMs } from "../page/policy.js";
import { Wire } from "../page/wire.js";

const HELLO = { op: "hello", protocol: 1, heartbeat_ms: 10_000, identify_ms: 5_000, frame_bytes: 65_536 };
const READY = { op: "ready", session: "s", epoch: "e", connection: "c", user: "ann", resume_ms: 60_000 };
const CONNECT = { is: "connect", who: { user: "ann" } };

const says = (wire, frame, now) => wire.step({ is: "text", text: JSON.stringify(frame) }, now);

function live(dice = 0.5) {
  const wire = new Wire(() => dice);
  wire.step(CONNECT, 0);
  wire.step({ is: "opened" }, 0);
  says(wire, HELLO, 0);
  says(wire, READY, 0);
  return wire;
}

/** Cut off and open again, up to `hello`'s answer. */
function back(wire, code, now) {
  wire.step({ is: "closed", code, reason: "" }, now);
  wire.step({ is: "due" }, wire.deadline());
  wire.step({ is: "opened" }, now);
  return says(wire, HELLO, now);
}

test("the first frame is identify, without what is not known", () => {
  const wire = new Wire(() => 0);
  assert.deepEqual(wire.step({ is: "connect", who: {} }, 0), [{ do: "open" }]);
  wire.step({ is: "opened" }, 0);
  assert.deepEqual(says(wire, HELLO, 0), [{ do: "send", frame: { op: "identify" } }]);
  assert.equal(wire.phase, "entering");
  const [effect] = says(wire, READY, 0);
  assert.equal(effect.do, "ready");
  assert.deepEqual([wire.phase, wire.user], ["live", "ann"]);
});

test("a token goes along with identify and with resume", () => {
  const wire = new Wire(() => 0);
  wire.step({ is: "connect", who: { user: "ann", token: "t" } }, 0);
  wire.step({ is: "opened" }, 0);
  assert.deepEqual(says(wire, HELLO, 0)[0].frame, { op: "identify", user: "ann", token: "t" });
  says(wire, READY, 0);
  assert.deepEqual(back(wire, 1006, 1)[0].frame, { op: "resume", session: "s", epoch: "e", seq: 0, token: "t" });
});

test("a close code leads where its range says", () => {
  const cases = [
    [1000, "resume"], [1001, "resume"], [1006, "resume"], [1011, "resume"], [1012, "resume"], [3999, "resume"], [5000, "resume"],
    [4000, "resume"], [4001, "anew"], [4005, "anew"], [4499, "anew"],
    [4500, "stay"], [4502, "stay"], [4999, "stay"], [1003, "stay"], [1007, "stay"], [1009, "stay"],
  ];
  for (const [code, policy] of cases) {
    assert.equal(policyOf(code), policy, code);
    const wire = live();
    if (policy === "stay") {
      const [effect] = wire.step({ is: "closed", code, reason: "because" }, 0);
      assert.deepEqual([effect.do, effect.why.words, wire.phase, wire.deadline()], ["stayed", "because", "off", null], code);
    } else {
      assert.equal(back(wire, code, 0)[0].frame.op, policy === "resume" ? "resume" : "identify", code);
    }
  }
});

test("rests are fully jittered, double, and end at ten seconds", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 50].map((n) => restMs(n, () => 1)), [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.equal(restMs(4, () => 0), 0);
  const wire = live(1);
  const rests = [];
  for (let i = 0; i < 6; i += 1) {
    wire.step({ is: "closed", code: 1006, reason: "" }, i ? 0 : 6_000);
    rests.push(wire.retryAt);
    assert.deepEqual(wire.step({ is: "due" }, wire.retryAt), [{ do: "open" }]);
  }
  assert.deepEqual(rests, [6_500, 500, 1000, 2000, 4000, 8000]);
  wire.step({ is: "opened" }, 0);
  says(wire, HELLO, 0);
  says(wire, { op: "resumed", replayed: 0 }, 0);
  assert.equal(wire.attempt, 0);
});

test("who is cut as soon as it came rests longer each time", () => {
  const wire = live(1);
  const rests = [];
  let now = 0;
  for (let i = 0; i < 5; i += 1) {
    wire.step({ is: "closed", code: 4003, reason: "" }, now);
    rests.push(wire.retryAt - now);
    now = wire.retryAt;
    wire.step({ is: "due" }, now);
    wire.step({ is: "opened" }, now);
    says(wire, HELLO, now);
    says(wire, READY, now);
  }
  assert.deepEqual(rests, [500, 1000, 2000, 4000, 8000]);
});

test("heartbeats carry the last number, the first after a random part", () => {
  const wire = live(0.25);
  assert.equal(wire.deadline(), 2_500);
  says(wire, { seq: 1, op: "typing", conversation: "a", users: [] }, 1);
  assert.deepEqual(wire.step({ is: "due" }, 2_499), []);
  assert.deepEqual(wire.step({ is: "due" }, 2_500), [{ do: "send", frame: { op: "heartbeat", seq: 1 } }]);
  says(wire, { op: "heartbeat_ack", last: 1 }, 2_600);
  assert.equal(wire.step({ is: "due" }, 12_500)[0].frame.op, "heartbeat");
});

test("a beat that nobody answers ends in a resume, not in the end of the session", () => {
  const wire = live();
  wire.step({ is: "due" }, 5_000);
  const [close, cut] = wire.step({ is: "due" }, 15_000);
  assert.deepEqual([close.do, cut.do, wire.phase], ["close", "cut", "resting"]);
  assert.ok(close.code !== 1000 && close.code !== 1001);
  wire.step({ is: "due" }, wire.deadline());
  wire.step({ is: "opened" }, 0);
  assert.equal(says(wire, HELLO, 0)[0].frame.op, "resume");
});

test("a wanted heartbeat is sent at once", () => {
  assert.deepEqual(says(live(), { op: "heartbeat_wanted", attempt: 1, of: 2 }, 1), [{ do: "send", frame: { op: "heartbeat", seq: 0 } }]);
});

test("a number that was seen is not given on; one that is missing leads to a resume behind the last", () => {
  const wire = live();
  const frame = (seq) => ({ seq, op: "typing", conversation: "a", users: [] });
  assert.equal(says(wire, frame(1), 0)[0].do, "frame");
  assert.deepEqual(says(wire, frame(1), 0), []);
  assert.deepEqual(says(wire, frame(3), 0).map((effect) => effect.do), ["close", "cut"]);
  wire.step({ is: "due" }, wire.deadline());
  wire.step({ is: "opened" }, 0);
  assert.equal(says(wire, HELLO, 0)[0].frame.seq, 1);
  assert.equal(says(wire, frame(2), 0)[0].do, "frame");
  assert.deepEqual(says(wire, { op: "resumed", replayed: 1 }, 0), [{ do: "resumed", replayed: 1 }]);
});

test("an answer to a heartbeat may overtake frames, but not by a whole beat", () => {
  const wire = live();
  assert.deepEqual(says(wire, { op: "heartbeat_ack", last: 1 }, 0), []);
  assert.deepEqual(says(wire, { op: "heartbeat_ack", last: 1 }, 0).map((effect) => effect.do), ["close", "cut"]);
});

test("after invalid_session it identifies on the same connection, and numbers begin anew", () => {
  const wire = live();
  says(wire, { seq: 1, op: "typing", conversation: "a", users: [] }, 0);
  back(wire, 1006, 1);
  assert.deepEqual(says(wire, { op: "invalid_session", resumable: false, reason: "gone" }, 2)[0].frame, { op: "identify", user: "ann" });
  says(wire, READY, 2);
  assert.equal(says(wire, { seq: 1, op: "typing", conversation: "a", users: [] }, 3)[0].do, "frame");
});

test("a server that says nothing is left after a while, in each phase before it is live", () => {
  for (const steps of [0, 1, 2]) {
    const wire = new Wire(() => 0.5);
    wire.step(CONNECT, 0);
    if (steps > 0) wire.step({ is: "opened" }, 0);
    if (steps > 1) says(wire, HELLO, 0);
    assert.equal(wire.deadline(), 15_000, steps);
    assert.deepEqual(wire.step({ is: "due" }, 15_000).map((effect) => effect.do), ["close", "cut"], steps);
  }
});

test("what is to be sent while it is not live is dropped: who wants it says it again", () => {
  const frame = { op: "stop", conversation: "a" };
  assert.deepEqual(live().step({ is: "send", frame }, 0), [{ do: "send", frame }]);
  assert.deepEqual(new Wire(() => 0).step({ is: "send", frame }, 0), []);
});

test("a hint ends a rest, and nothing else", () => {
  const wire = live();
  assert.deepEqual(wire.step({ is: "hint" }, 0), []);
  wire.step({ is: "closed", code: 1006, reason: "" }, 0);
  assert.deepEqual(wire.step({ is: "hint" }, 0), [{ do: "open" }]);
});

test("a name that is refused stays, and says which field", () => {
  const wire = new Wire(() => 0);
  wire.step(CONNECT, 0);
  wire.step({ is: "opened" }, 0);
  says(wire, HELLO, 0);
  const [close, stayed] = says(wire, { op: "error", code: "wrong_value", about: "identify", field: "user", message: "no" }, 0);
  assert.deepEqual([close.do, stayed.why.field, wire.phase], ["close", "user", "off"]);
});

test("a newer protocol and a frame that cannot be read are not guessed at", () => {
  const wire = new Wire(() => 0);
  wire.step(CONNECT, 0);
  wire.step({ is: "opened" }, 0);
  assert.equal(says(wire, { ...HELLO, protocol: 2 }, 0)[1].do, "stayed");
  assert.deepEqual(live().step({ is: "text", text: "{" }, 0).map((effect) => effect.do), ["close", "cut"]);
});

test("to connect anew ends the session", () => {
  const wire = live();
  assert.deepEqual(wire.step({ is: "connect", who: { user: "bob" } }, 0), [{ do: "close", code: 1000, reason: "" }, { do: "open" }]);
  wire.step({ is: "opened" }, 0);
  assert.deepEqual(says(wire, HELLO, 0)[0].frame, { op: "identify", user: "bob" });
});
