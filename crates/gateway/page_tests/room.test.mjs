// Why: a conversation is shown as it was, whatever the order, the cut or the repetition in which its frames came.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, again, join, last, reduce, say, scalars } from "../page/room.js";

const user = (number, text, who = "ann") => ({ number, role: "user", user: who, text, at_ms: 1 });
const agent = (number, text) => ({ number, role: "assistant", text, html: `<p>${text}</p>`, at_ms: 2 });
const snapshot = (messages, more = {}) => ({ op: "room", conversation: "a", messages, members: [], typing: [], turns: [], ...more });
const turn = (text = "") => ({ turn: "t1", asked_by: "ann", model: "m", text, activity: { doing: "typing" } });
const message = (one) => ({ op: "message", conversation: "a", message: one });
const delta = (at, text, of = "t1") => ({ op: "delta", conversation: "a", turn: of, at, text });
const ended = (ending) => ({ op: "ended", conversation: "a", turn: "t1", ending });
const FINISHED = { how: "finished", reason: "stop", prompt_tokens: 1, answer_tokens: 1, html: "<p>x</p>" };
const run = (room, ...frames) => frames.reduce((now, frame) => reduce(now, frame, "ann"), room);
const numbers = (room) => room.messages.map((one) => one.number);

test("at counts Unicode scalar values", () => {
  for (const text of ["", "abc", "ä€", "a😀b", "😀😀", "👩‍👩‍👧", "\ud800x", "x\ude00"]) {
    assert.equal(scalars(text), [...text].length, text);
  }
});

test("a text grows only where at fits, behind characters of every width", () => {
  const room = run(EMPTY, snapshot([]), { op: "turn", conversation: "a", turn: turn("a😀") }, delta(2, "é"), delta(3, "!"));
  assert.deepEqual([room.turn.text, room.lost], ["a😀é!", false]);
  for (const at of [0, 2, 3, 5]) {
    const lost = run(room, delta(at, "x"));
    assert.deepEqual([lost.lost, lost.turn.text], [true, "a😀é!"], at);
  }
  assert.equal(run(room, delta(0, "x", "t2")).lost, true);
});

test("a room replaces what was known; with after it is appended behind it", () => {
  const room = run(EMPTY, snapshot([user(1, "one"), user(2, "two")]));
  assert.deepEqual(numbers(run(room, snapshot([user(7, "x")]))), [7]);
  const [asked, frame] = join(room, "a");
  assert.deepEqual(frame, { op: "join", conversation: "a", after: 2 });
  const after = run(asked, snapshot([user(3, "three")]));
  assert.deepEqual([numbers(after), after.asked], [[1, 2, 3], null]);
  assert.deepEqual(numbers(run(asked, snapshot([]))), [1, 2]);
});

test("a gap is not shown as if nothing were missing", () => {
  const [asked] = join(run(EMPTY, snapshot([user(1, "one")])), "a");
  const room = run(asked, snapshot([user(9, "nine")], { truncated: true }));
  assert.deepEqual([numbers(room), room.truncated], [[9], true]);
});

test("the first join asks for all", () => {
  assert.deepEqual(join(EMPTY, "a")[1], { op: "join", conversation: "a" });
});

test("a message of a number is there once", () => {
  const room = run(EMPTY, snapshot([user(1, "one")]), message(user(1, "one")), message(user(2, "two")), message(user(2, "two")));
  assert.deepEqual(numbers(room), [1, 2]);
});

test("an answer is there once, whether its message comes before its end or behind it", () => {
  const begun = run(EMPTY, snapshot([user(1, "q")]), { op: "turn", conversation: "a", turn: turn() }, delta(0, "x"));
  for (const frames of [[message(agent(2, "x")), ended(FINISHED)], [ended(FINISHED), message(agent(2, "x"))]]) {
    const room = run(begun, ...frames);
    assert.deepEqual(numbers(room), [1, 2]);
    assert.deepEqual([room.turn, room.messages[1].ending.how, room.messages[1].html], [null, "finished", "<p>x</p>"]);
  }
  const before = run(begun, message(agent(2, "x")));
  assert.equal(before.turn.settled, true);
  const draft = run(begun, ended(FINISHED));
  assert.deepEqual([draft.messages[1].text, draft.messages[1].html], ["x", "<p>x</p>"]);
  assert.equal(run(draft, message(agent(2, "x"))).messages[1].key, draft.messages[1].key);
});

test("what was said of an answer that failed or was stopped stays, with why", () => {
  const begun = run(EMPTY, snapshot([]), { op: "turn", conversation: "a", turn: turn("half") });
  for (const ending of [{ how: "failed", message: "no memory" }, { how: "stopped" }]) {
    const room = run(begun, ended(ending));
    assert.deepEqual([room.messages[0].text, room.messages[0].ending], ["half", ending]);
  }
  assert.deepEqual(run(EMPTY, snapshot([], { turns: [turn()] }), ended({ how: "stopped" })).messages, []);
});

test("a failed answer without a message is not taken for the next one", () => {
  const failed = run(EMPTY, snapshot([], { turns: [turn("half")] }), ended({ how: "failed", message: "x" }));
  const next = run(failed, { op: "turn", conversation: "a", turn: { ...turn("new"), turn: "t2" } }, { ...ended(FINISHED), turn: "t2" }, message(agent(4, "new")));
  assert.deepEqual(next.messages.map((one) => one.text), ["half", "new"]);
});

test("an answer that is being made is in the room that one joins", () => {
  const room = run(EMPTY, snapshot([], { turns: [turn("a😀")] }), delta(2, "b"));
  assert.equal(room.turn.text, "a😀b");
});

test("who is there, one entry a connection", () => {
  const member = (connection, who) => ({ connection, user: who, since_ms: 1 });
  const presence = (joins, leaves) => ({ op: "presence", conversation: "a", joins, leaves });
  const room = run(EMPTY, snapshot([], { members: [member("1", "ann")] }), presence([member("2", "bob"), member("3", "ann")], []), presence([member("3", "ann")], ["1"]));
  assert.deepEqual(room.members.map((one) => one.connection), ["2", "3"]);
});

test("what was said and not acknowledged is said again with its nonce; what was, is not", () => {
  const frame = { op: "say", conversation: "a", text: "hi", nonce: "n" };
  const room = say(run(EMPTY, snapshot([])), frame);
  assert.deepEqual(again(room, "a"), [frame]);
  assert.deepEqual(again(run(room, { op: "said", conversation: "a", nonce: "n", turn: "t" }), "a"), []);
  assert.deepEqual(again(run(room, { op: "error", nonce: "n", message: "full" }), "a"), []);
});

test("what I said is shown once: on its way or as a message, in whichever order they come", () => {
  const said = { op: "said", conversation: "a", nonce: "n", turn: "t" };
  const sent = say(run(EMPTY, snapshot([])), { text: " hi ", nonce: "n" });
  const shown = (room) => room.pending.filter((one) => !one.number).length + room.messages.length;
  for (const frames of [[said, message(user(1, "hi"))], [message(user(1, "hi")), said], [snapshot([user(1, "hi")]), said], [said, snapshot([user(1, "hi")])]]) {
    let room = sent;
    for (const frame of frames) {
      room = reduce(room, frame, "ann");
      assert.equal(shown(room), 1);
    }
    assert.equal(room.pending.length, 0);
  }
  assert.equal(shown(run(sent, message(user(1, "hi", "bob")))), 2, "another's is not mine");
});

test("what was acknowledged is not on its way any more once the room was read anew, whatever became of its text", () => {
  const sent = say(run(EMPTY, snapshot([])), { text: "hi  there", nonce: "n" });
  const said = run(sent, { op: "said", conversation: "a", nonce: "n", turn: "t" });
  assert.equal(said.pending.length, 1);
  assert.deepEqual(run(said, snapshot([user(1, "hi there")])).pending, []);
  assert.equal(run(sent, snapshot([user(1, "another")])).pending.length, 1);
});

test("the same said twice is there twice", () => {
  const twice = say(say(run(EMPTY, snapshot([])), { text: "hi", nonce: "1" }), { text: "hi", nonce: "2" });
  const room = run(twice, message(user(1, "hi")), { op: "said", nonce: "1" }, { op: "typing", users: [] });
  assert.deepEqual([room.pending.map((one) => one.nonce), room.pending[0].number], [["2"], undefined]);
  assert.equal(run(room, message(user(2, "hi")), { op: "said", nonce: "2" }).pending.length, 0);
});

test("a stop that may have been lost is said again, while it still answers", () => {
  const room = { ...run(EMPTY, snapshot([], { turns: [turn()] })), stopping: true };
  assert.deepEqual(again(room, "a"), [{ op: "stop", conversation: "a" }]);
  assert.deepEqual(again(run(room, ended({ how: "stopped" })), "a"), []);
});

test("what nobody saw counts as unread: another's words and an answer's end", () => {
  const unseen = (room, frame) => reduce(room, frame, "ann", false);
  let room = [message(user(1, "x", "bob")), message(user(2, "y", "ann")), { op: "turn", turn: turn() }, message(agent(3, "z")), ended(FINISHED)].reduce(unseen, run(EMPTY, snapshot([])));
  assert.equal(room.unread, 2);
  assert.equal(last(room), 3);
  room = unseen(room, { op: "something_new" });
  assert.equal(room.unread, 2);
});
