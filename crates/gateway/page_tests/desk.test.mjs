// Why: what is asked of the server follows from what is shown, and nothing is forgotten over a cut.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Desk } from "../page/desk.js";

const snapshot = (conversation, more = {}) => ({ op: "room", conversation, messages: [], after: 0, last: 0, members: [], typing: [], turns: [], ...more });
const turn = { turn: "t", asked_by: "ann", asked: "why?", nonce: "x", model: "m", text: "", activity: { doing: "typing" } };
const ops = (frames) => frames.map(({ op, conversation }) => (conversation ? `${op} ${conversation}` : op));

function shown(...rooms) {
  const desk = new Desk();
  desk.ready("ann");
  for (const id of rooms) {
    desk.show(id);
    desk.frame(snapshot(id), true);
  }
  return desk;
}

test("what is shown is joined; what was shown is left", () => {
  const desk = shown("a");
  assert.deepEqual(ops(desk.show("b")), ["leave a", "join b", "conversations"]);
  assert.deepEqual(Object.keys(desk.rooms), ["b"]);
  assert.deepEqual(desk.show("b"), []);
});

test("a conversation may be called as things in programs are", () => {
  for (const id of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
    const desk = new Desk();
    desk.ready("ann");
    assert.deepEqual(ops(desk.show(id)), [`join ${id}`]);
    desk.frame(snapshot(id), true);
    desk.say("hi", "n", { model: null, temperature: null });
    assert.deepEqual([Object.keys(desk.rooms), desk.room.pending?.length], [[id], 1], id);
  }
});

test("a conversation that answers is kept until its end has been seen", () => {
  const desk = shown("a");
  desk.frame({ op: "turn", conversation: "a", turn }, true);
  assert.deepEqual(ops(desk.show("b")), ["join b"]);
  desk.frame({ op: "ended", conversation: "a", turn: "t", ending: { how: "finished" } }, true);
  assert.deepEqual([desk.unread, desk.rooms.a.unread], [1, 1]);
  assert.deepEqual(ops(desk.show("a")), ["leave b", "conversations"]);
  assert.deepEqual(ops(desk.stop()), []);
  assert.equal(desk.unread, 0);
});

test("a new session joins again behind what is known; words on their way wait for what was written down", () => {
  const desk = shown("a");
  desk.frame({ op: "kept", conversation: "a", turn: "t", before: 0, last: 4, messages: [{ number: 4, role: "user", user: "bob", text: "x" }] }, true);
  desk.say("hi", "n", { model: null, temperature: 0.5 });
  desk.watch(true);
  const frames = desk.ready("ann");
  assert.deepEqual(ops(frames), ["join a", "conversations", "tree"]);
  assert.deepEqual([frames[0].after, frames[1].watch], [4, true]);
  const says = desk.frame(snapshot("a", { after: 4, last: 4 }), true);
  assert.equal(says.length, 1);
  assert.deepEqual(desk.frame(snapshot("a", { after: 4, last: 4 }), true), [], "once");
  assert.deepEqual(says[0], { op: "say", conversation: "a", text: "hi", nonce: "n", temperature: 0.5 });
});

test("a resumed session asks again only for what was not answered", () => {
  const desk = shown("a");
  assert.deepEqual(ops(desk.resumed()), ["conversations"]);
  assert.deepEqual(ops(desk.show("b")), ["leave a", "join b", "conversations"]);
  assert.deepEqual(ops(desk.resumed()), ["leave a", "join b", "conversations"]);
  desk.frame(snapshot("b"), true);
  desk.frame({ op: "conversations", conversations: [] }, true);
  assert.deepEqual(ops(desk.resumed()), ["conversations"]);
});

test("a piece that does not fit joins again, once", () => {
  const desk = shown("a");
  desk.frame({ op: "turn", conversation: "a", turn }, true);
  const misfit = { op: "delta", conversation: "a", turn: "t", at: 5, text: "x" };
  assert.deepEqual(ops(desk.frame(misfit, true)), ["join a"]);
  assert.deepEqual(ops(desk.frame(misfit, true)), ["join a"].slice(1));
  desk.frame(snapshot("a", { turns: [{ ...turn, text: "whole" }] }), true);
  assert.equal(desk.room.turns[0].text, "whole");
});

test("an error finds its words by their nonce", () => {
  const desk = shown("a");
  desk.say("hi", "n", { model: null, temperature: null });
  desk.frame({ op: "error", nonce: "n", message: "full" }, true);
  assert.equal(desk.room.pending[0].error, "full");
  assert.equal(desk.discard("n"), "hi");
  assert.equal(desk.room.pending.length, 0);
});

test("frames of a conversation that was left change nothing", () => {
  const desk = shown("a", "b");
  assert.deepEqual(desk.frame({ op: "typing", conversation: "a", users: ["x"] }, true), []);
  assert.deepEqual(Object.keys(desk.rooms), ["b"]);
});

test("words that were written down while nobody knew are not said again by another session", () => {
  const desk = shown("a");
  desk.say("hi", "n", { model: null, temperature: null });
  desk.ready("ann");
  const messages = [{ number: 1, role: "user", user: "ann", nonce: "n", text: "hi" }];
  assert.deepEqual(desk.frame(snapshot("a", { messages, last: 1 }), true), []);
  assert.deepEqual(desk.room.pending, []);
});

test("older messages are asked for once, where there are any", () => {
  const desk = shown("a");
  assert.deepEqual(desk.older(), []);
  desk.frame(snapshot("a", { messages: [{ number: 9, role: "user", text: "x" }], after: 8, last: 9 }), true);
  assert.deepEqual(desk.older(), [{ op: "messages", conversation: "a", before: 9 }]);
  assert.deepEqual(desk.older(), []);
  desk.frame({ op: "error", conversation: "a", about: "messages", code: "failed", message: "no" }, true);
  assert.equal(desk.older().length, 1);
});
