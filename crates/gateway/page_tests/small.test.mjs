// Why: what people read, see and are told of: who types, the tree, words and colours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { nest, restarted, summary } from "../page/tree.js";
import { Typing } from "../page/typing.js";
import { activityWords, ago, bytes, endingWords, hue, initials, recoveredWords, statusWords, typingWords } from "../page/words.js";

test("typing is said at the first key, again every four seconds, and its end once", () => {
  const typing = new Typing();
  const said = [0, 100, 3_999, 4_000, 7_000].map((now) => typing.key(false, now));
  assert.deepEqual(said, [true, null, null, true, null]);
  assert.equal(typing.deadline(), 12_000);
  assert.deepEqual([typing.due(11_999), typing.due(12_000), typing.due(13_000), typing.deadline()], [null, false, null, null]);
});

test("an empty text and a sent one end typing; where nothing was said nothing is taken back", () => {
  const typing = new Typing();
  assert.equal(typing.end(), null);
  assert.equal(typing.key(true, 0), null);
  typing.key(false, 0);
  assert.equal(typing.key(true, 1), false);
  typing.key(false, 2);
  assert.deepEqual([typing.end(), typing.key(false, 3)], [false, true]);
});

const node = (path, more = {}) => ({ path, state: "up", queued: 0, capacity: 0, restarts: 0, leased_bytes: 0, ...more });

test("each node is below the nearest path that is there", () => {
  const shape = (items) => items.map(({ name, children }) => (children.length ? [name, shape(children)] : name));
  const nodes = ["root", "root/a", "root/a/m/q4", "root/b", "other"].map((path) => node(path));
  assert.deepEqual(shape(nest(nodes)), [["root", [["a", ["m/q4"]], "b"]], "other"]);
});

test("many children are counted, not drawn", () => {
  const [root] = nest([node("root"), ...Array.from({ length: 100 }, (_, n) => node(`root/${n}`))]);
  assert.deepEqual([root.children.length, root.more], [60, 40]);
});

test("what was started again flashes; what is new does not", () => {
  const before = [node("a"), node("b", { restarts: 3 }), node("c")];
  const after = [node("a", { restarts: 1 }), node("b", { restarts: 3 }), node("d", { restarts: 9 })];
  assert.deepEqual(restarted(before, after), ["a"]);
});

test("the tree in a line", () => {
  assert.equal(summary([node("a"), node("b")]), "2 parts, all up");
  assert.equal(summary([node("a", { state: "backing_off" }), node("b", { state: "down" }), node("c", { state: "down" })]), "3 parts, 1 backing off, 2 down");
});

test("words", () => {
  const cases = [
    [initials("ann"), "A"], [initials("Ann van Beek"), "AB"], [initials("😀x"), "😀"], [initials(""), "?"],
    [bytes(0), "0 B"], [bytes(1023), "1023 B"], [bytes(1536), "1.5 KiB"], [bytes(281_018_368), "268 MiB"],
    [ago(0, 59_000), "now"], [ago(0, 3_600_000), "1 h"], [ago(0, 864e5), "1 d"],
    [typingWords([]), ""], [typingWords(["ann"]), "ann is typing…"], [typingWords(["ann", "bob"]), "ann and bob are typing…"],
    [typingWords(["a", "b", "c"]), "a, b and c are typing…"], [typingWords(["a", "b", "c", "d"]), "4 people are typing…"],
    [recoveredWords({ do: "resumed", replayed: 0 }), "Resumed, nothing was missed"],
  ];
  for (const [found, wanted] of cases) assert.equal(found, wanted);
  assert.deepEqual(activityWords({ doing: "prefill", percent: 60 }), ["reading the conversation, 60 %", 60]);
  assert.deepEqual(activityWords({ doing: "dreaming" }), ["dreaming", null]);
  assert.equal(endingWords({ how: "finished", reason: "stop" }), null);
  assert.deepEqual(endingWords({ how: "failed", message: "m" }), ["m", true]);
});

test("the status line counts down, and what is spoken does not", () => {
  const wire = { phase: "resting", retryAt: 5_000, attempt: 1, why: { words: "cut" } };
  const [one, two] = [2_100, 3_100].map((now) => statusWords(wire, null, now));
  assert.deepEqual([one.words, two.words], ["Reconnecting in 3 s (attempt 2): cut", "Reconnecting in 2 s (attempt 2): cut"]);
  assert.equal(one.spoken, two.spoken);
  const opening = (why) => statusWords({ phase: "opening", attempt: 1, why }, null, 0).words;
  assert.deepEqual([opening(null), opening({ words: "cut" })], ["Connecting…", "Reconnecting (attempt 1)…"]);
  assert.equal(statusWords({ phase: "off", why: { words: "kicked" } }, null, 0).tone, "bad");
});

test("white letters can be read on the avatar of every hue", () => {
  for (let h = 0; h < 360; h += 1) assert.ok(contrastWithWhite(h, 0.45, 0.32) >= 4.5, h);
  for (const name of ["", "ann", "😀"]) assert.ok(hue(name) >= 0 && hue(name) < 360);
});

function contrastWithWhite(h, s, l) {
  const part = (n) => {
    const k = (n + h / 30) % 12;
    const c = l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 1.05 / (0.2126 * part(0) + 0.7152 * part(8) + 0.0722 * part(4) + 0.05);
}
