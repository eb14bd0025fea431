// Why: a conversation is shown as it was, whatever the order, the cut or the repetition in which its frames came.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, again, join, older, reduce, say, scalars } from "../page/room.js";

const user = (number, text, more = {}) => ({ number, role: "user", user: "ann", text, at_ms: 1, ...more });
const agent = (number, text, more = {}) => ({ number, role: "assistant", text, html: `<p>${text}</p>`, at_ms: 2, ...more });
const snapshot = (messages, more = {}) => ({ op: "room", conversation: "a", messages, after: 0, last: messages.at(-1)?.number ?? 0, members: [], typing: [], turns: [], ...more });
const live = (text = "", name = "t1", nonce = "n") => ({ turn: name, asked_by: "ann", asked: `why ${name}?`, nonce, at_ms: 1, model: "m", text, activity: { doing: "typing" } });
const turn = (...of) => ({ op: "turn", conversation: "a", turn: live(...of) });
const delta = (at, text, of = "t1") => ({ op: "delta", conversation: "a", turn: of, at, text });
const ended = (ending, of = "t1") => ({ op: "ended", conversation: "a", turn: of, ending });
const kept = (messages, of = "t1", before = (messages[0]?.number ?? 1) - 1) => ({
  op: "kept", conversation: "a", turn: of, nonce: "n", before, last: messages.at(-1)?.number ?? 0, messages: messages.map((one) => ({ ...one, turn: of })),
});
const FINISHED = { how: "finished", reason: "stop", prompt_tokens: 1, answer_tokens: 1 };
const FAILED = { how: "failed", message: "no memory" };
const run = (room, ...frames) => frames.reduce((now, frame) => reduce(now, frame, "ann"), room);
const numbers = (room) => room.messages.map((one) => one.number);
const texts = (room) => room.messages.map((one) => one.text);

test("at counts Unicode scalar values", () => {
  for (const text of ["", "abc", "ä€", "a😀b", "😀😀", "👩‍👩‍👧", "\ud800x", "x\ude00"]) {
    assert.equal(scalars(text), [...text].length, text);
  }
});

test("a text grows only where at fits, behind characters of every width", () => {
  const room = run(EMPTY, snapshot([]), turn("a😀"), delta(2, "é"), delta(3, "!"));
  assert.deepEqual([room.turns[0].text, room.lost], ["a😀é!", false]);
  for (const at of [0, 2, 3, 5]) {
    const lost = run(room, delta(at, "x"));
    assert.deepEqual([lost.lost, lost.turns[0].text], [true, "a😀é!"], at);
  }
  assert.equal(run(room, delta(0, "x", "t2")).lost, true);
});

test("of a long answer the end is told; what was seen of it stays, and what was not is said to be missing", () => {
  const tail = (left_out, text) => snapshot([], { turns: [{ ...live(text), left_out }] });
  const shown = ({ turns: [one] }) => [one.text, one.left_out, one.chars];
  const came = run(EMPTY, tail(5, "f😀"), delta(7, "!"));
  assert.deepEqual([shown(came), came.lost], [["f😀!", 5, 8], false]);
  assert.equal(run(came, delta(3, "!")).lost, true);
  const saw = run(EMPTY, snapshot([]), turn("a😀bcd"));
  for (const [left_out, text, expected] of [
    [0, "a😀bcdef", ["a😀bcdef", 0, 7]],
    [2, "bcdef", ["a😀bcdef", 0, 7]],
    [5, "ef", ["a😀bcdef", 0, 7]],
    [6, "f", ["f", 6, 7]],
  ]) {
    assert.deepEqual(shown(run(saw, tail(left_out, text))), expected, left_out);
  }
  // Less than all was known: nothing is put together of what does not meet.
  assert.deepEqual(shown(run(came, tail(7, "!?"))), ["f😀!?", 5, 9]);
  assert.deepEqual(shown(run(came, tail(2, "cdef😀!"))), ["cdef😀!", 2, 8]);
  const [, answer] = run(came, ended(FINISHED)).messages;
  assert.deepEqual([answer.text, answer.left_out], ["f😀!", 5]);
});

test("a room replaces what was known; behind what is known it is appended", () => {
  const room = run(EMPTY, snapshot([user(1, "one"), user(2, "two")]));
  assert.deepEqual(numbers(run(room, snapshot([user(7, "x")], { after: 6 }))), [7]);
  const [asked, frame] = join(room, "a");
  assert.deepEqual(frame, { op: "join", conversation: "a", after: 2 });
  const after = run(asked, snapshot([user(3, "three")], { after: 2 }));
  assert.deepEqual([numbers(after), after.asked, after.last, after.after], [[1, 2, 3], false, 3, 0]);
  assert.deepEqual(numbers(run(asked, snapshot([], { after: 2, last: 2 }))), [1, 2]);
  // A server that found me behind shows the room anew, unasked.
  assert.deepEqual(numbers(run(room, snapshot([user(2, "two"), user(3, "three")], { after: 1 }))), [1, 2, 3]);
});

test("a gap is not shown as if nothing were missing", () => {
  const [asked] = join(run(EMPTY, snapshot([user(1, "one")])), "a");
  const room = run(asked, snapshot([user(9, "nine")], { after: 8 }));
  assert.deepEqual([numbers(room), room.after], [[9], 8]);
});

test("what another store had is forgotten", () => {
  const [asked] = join(run(EMPTY, snapshot([user(8, "eight"), user(9, "nine")])), "a");
  const room = run(asked, snapshot([user(1, "one"), user(2, "two")]));
  assert.deepEqual([numbers(room), room.last], [[1, 2], 2]);
});

test("older messages come before the first, page by page, and a page that is late changes nothing", () => {
  const page = (before, messages, after) => ({ op: "messages", conversation: "a", before, messages, after });
  const [asked, [frame]] = older(run(EMPTY, snapshot([user(9, "nine")], { after: 7 })), "a");
  assert.deepEqual(frame, { op: "messages", conversation: "a", before: 8 });
  const room = run(asked, page(8, [user(5, "five")], 4));
  assert.deepEqual([numbers(room), room.after, room.older], [[5, 9], 4, false]);
  assert.deepEqual(numbers(run(room, page(8, [user(5, "five")], 4))), [5, 9]);
  const whole = run(room, page(5, [], 0));
  assert.deepEqual(older(whole, "a")[1], []);
  // What was read back stays over a reconnect.
  assert.deepEqual(numbers(run(whole, snapshot([user(10, "ten")], { after: 9 }))), [5, 9, 10]);
});

test("the first join asks for all that fits", () => {
  assert.deepEqual(join(EMPTY, "a")[1], { op: "join", conversation: "a" });
});

test("what was written down takes the place of what was seen, once, and keeps its element", () => {
  const begun = run(EMPTY, snapshot([user(1, "q")]), turn(), delta(0, "x"));
  const draft = run(begun, ended(FINISHED));
  assert.deepEqual(texts(draft), ["q", "why t1?", "x"]);
  const frame = kept([user(2, "why t1?"), agent(3, "x")]);
  const room = run(draft, frame);
  assert.deepEqual([numbers(room), room.turns, room.last], [[1, 2, 3], [], 3]);
  assert.deepEqual([room.messages[2].ending.how, room.messages[2].html], ["finished", "<p>x</p>"]);
  assert.deepEqual(room.messages.slice(1).map((one) => one.key), draft.messages.slice(1).map((one) => one.key));
  assert.deepEqual(numbers(run(room, frame)), [1, 2, 3]);
  assert.deepEqual(numbers(run(draft, snapshot(frame.messages, { after: 1 }), frame)), [1, 2, 3]);
});

test("several are asked at once, and each answer takes its own place", () => {
  const both = run(EMPTY, snapshot([]), turn(), turn("", "t2", "m"), delta(0, "one"));
  assert.deepEqual(both.turns.map((one) => one.asked), ["why t1?", "why t2?"]);
  const first = run(both, ended(FINISHED), delta(0, "two", "t2"), ended(FINISHED, "t2"));
  assert.deepEqual(texts(first), ["why t1?", "one", "why t2?", "two"]);
  const room = run(first, kept([user(1, "why t1?"), agent(2, "one")]), kept([user(3, "why t2?"), agent(4, "two")], "t2"));
  assert.deepEqual([numbers(room), texts(room)], [[1, 2, 3, 4], texts(first)]);
});

test("what is missing before what was written down is asked for", () => {
  const room = run(EMPTY, snapshot([user(1, "q")]), turn(), ended(FINISHED), kept([user(4, "why t1?"), agent(5, "x")]));
  assert.deepEqual([room.lost, room.last], [true, 1]);
  const [asked, frame] = join(room, "a");
  assert.equal(frame.after, 1);
  const messages = [user(2, "a"), agent(3, "b"), user(4, "why t1?", { turn: "t1" }), agent(5, "x", { turn: "t1" })];
  assert.deepEqual(numbers(run(asked, snapshot(messages, { after: 1 }))), [1, 2, 3, 4, 5]);
});

test("numbers that are not to be shown are known all the same", () => {
  const room = run(EMPTY, snapshot([user(1, "q")], { last: 3 }), turn(), ended(FINISHED), kept([user(4, "why t1?")]), { ...kept([]), last: 9 });
  assert.deepEqual([room.lost, room.last, numbers(room)], [false, 9, [1, 4]]);
});

test("where nothing was written down, what was seen stays, with why", () => {
  const begun = run(EMPTY, snapshot([]), turn("half"));
  for (const ending of [FAILED, { how: "stopped" }, FINISHED]) {
    const room = run(begun, ended(ending), kept([]));
    assert.deepEqual([texts(room), room.messages[1].ending], [["why t1?", "half"], ending]);
    assert.deepEqual(texts(run(room, snapshot([], { after: 0 }))), ["why t1?", "half"]);
  }
  assert.deepEqual(texts(run(EMPTY, snapshot([], { turns: [live()] }), ended({ how: "stopped" }))), ["why t1?"]);
});

test("what failed before a word of it was written down says why beside what was", () => {
  const room = run(EMPTY, snapshot([]), turn(), ended(FAILED), kept([user(1, "why t1?")]));
  assert.deepEqual([numbers(room), room.messages[1].ending], [[1, undefined], FAILED]);
  const next = run(room, turn("new", "t2", "m"), ended(FINISHED, "t2"), kept([user(2, "why t2?"), agent(3, "new")], "t2"));
  assert.deepEqual(texts(next), ["why t1?", "", "why t2?", "new"]);
});

test("an answer that ended unseen is what was written down of it, or says that nothing was", () => {
  const begun = run(EMPTY, snapshot([]), turn("half"));
  const written = [user(1, "why t1?", { turn: "t1" }), agent(2, "half and half", { turn: "t1" })];
  assert.deepEqual(numbers(run(begun, snapshot(written))), [1, 2]);
  const gone = run(begun, snapshot([]));
  assert.deepEqual([texts(gone), gone.messages[1].ending.how, gone.turns], [["why t1?", "half"], "failed", []]);
});

test("an answer that is being made is in the room that one joins", () => {
  const room = run(EMPTY, snapshot([], { turns: [live("a😀"), live("", "t2", "m")] }), delta(2, "b"));
  assert.deepEqual(room.turns.map((one) => one.text), ["a😀b", ""]);
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

test("what I said is shown once: on its way, as a question under way, or as a message, in whichever order they come", () => {
  const said = { op: "said", conversation: "a", nonce: "n", turn: "t1" };
  const sent = say(run(EMPTY, snapshot([])), { text: "why t1?", nonce: "n" });
  const shown = (room) => room.pending.length + room.turns.length + room.messages.filter((one) => one.role === "user").length;
  const message = user(1, "why t1?", { turn: "t1", nonce: "n" });
  const frames = [turn(), ended(FINISHED), kept([message])];
  for (const story of [[said, ...frames], [frames[0], said, ...frames.slice(1)], [...frames, said], [snapshot([message]), said]]) {
    let room = sent;
    for (const frame of story) {
      room = reduce(room, frame, "ann");
      assert.equal(shown(room), 1, frame.op);
    }
    assert.equal(room.pending.length, 0);
  }
  assert.equal(shown(run(sent, turn("", "t9", "another"))), 2, "another's is not mine");
  // Whose it is may not have been written down; the turn that answers says it, too.
  assert.deepEqual(run(sent, snapshot([{ ...message, nonce: undefined }]), said).pending, []);
});

test("what was acknowledged is not on its way any more once the room was read anew", () => {
  const sent = say(run(EMPTY, snapshot([])), { text: "hi  there", nonce: "n" });
  const said = run(sent, { op: "said", conversation: "a", nonce: "n", turn: "t" });
  assert.equal(said.pending.length, 1);
  assert.deepEqual(run(said, snapshot([user(1, "hi there")])).pending, []);
  assert.equal(run(sent, snapshot([user(1, "another")])).pending.length, 1);
});

test("a stop that may have been lost is said again, while it still answers", () => {
  const room = { ...run(EMPTY, snapshot([], { turns: [live()] })), stopping: true };
  assert.deepEqual(again(room, "a"), [{ op: "stop", conversation: "a" }]);
  assert.deepEqual(again(run(room, ended({ how: "stopped" })), "a"), []);
});

test("what nobody saw counts as unread: another's words and an answer's end", () => {
  const unseen = (room, frame) => reduce(room, frame, "ann", false);
  const other = { ...turn(), turn: { ...live(), asked_by: "bob" } };
  let room = [other, turn("", "t2", "m"), ended(FINISHED), kept([user(1, "x"), agent(2, "z")])].reduce(unseen, run(EMPTY, snapshot([])));
  assert.equal(room.unread, 2);
  assert.equal(room.last, 2);
  room = unseen(room, { op: "something_new" });
  assert.equal(room.unread, 2);
});
