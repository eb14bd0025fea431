// Why: a conversation is what its frames say, one after the other: `(room, frame, me) → room`, and nothing else.
//
// Invariants: a message of a number is there once; all between `after` and `last` are known; the text of an answer grows only
// where `at` fits, and what is written down is taken only where nothing is missing before it, else `lost` is set and somebody
// joins again; what was said and is not seen yet is in `pending` until it is.

/** How many Unicode scalar values: what `at` counts. */
export function scalars(text) {
  let n = text.length;
  for (let i = 1; i < text.length; i += 1) {
    const low = text.charCodeAt(i) & 0xfc00;
    if (low === 0xdc00 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) n -= 1;
  }
  return n;
}

/** The first `n` of them. */
function first(text, n) {
  let end = 0;
  for (let left = n; left > 0 && end < text.length; left -= 1) end += text.codePointAt(end) > 0xffff ? 2 : 1;
  return text.slice(0, end);
}

/** A conversation nothing is known of. */
export const EMPTY = Object.freeze({
  known: false,
  messages: [],
  after: 0,
  last: 0,
  members: [],
  typing: [],
  turns: [],
  ended: null,
  stopping: false,
  pending: [],
  unread: 0,
  lost: false,
  asked: false,
  older: false,
});

const UNSEEN = { how: "failed", message: "it ended while this page was away, and nothing of it was written down" };

/** The frame that joins, and the room that waits for its answer. */
export function join(room, conversation) {
  const after = room.known ? room.last : 0;
  return [{ ...room, asked: true, lost: false }, { op: "join", conversation, ...(after && { after }) }];
}

/** The frame that asks for older messages, if there are any, and the room that waits for them. */
export function older(room, conversation) {
  if (!room.after || room.older) return [room, []];
  return [{ ...room, older: true }, [{ op: "messages", conversation, before: room.after + 1 }]];
}

/** A `say` goes out; it is shown at once. */
export function say(room, frame) {
  const { nonce, text } = frame;
  return { ...room, pending: [...room.pending, { nonce, text, frame, said: false, error: null }] };
}

/** Takes back what was refused. */
export function discard(room, nonce) {
  return { ...room, pending: room.pending.filter((one) => one.nonce !== nonce) };
}

/** What to say again after a reconnect: nobody knows whether it was heard, and the nonce keeps it from being said twice. */
export function again(room, conversation) {
  const says = room.pending.filter((one) => !one.said && !one.error).map((one) => one.frame);
  return room.stopping && room.turns.length ? [...says, { op: "stop", conversation }] : says;
}

/** What a frame makes of a room. `me` is my own name as others see it; `looking` whether somebody sees the room. */
export function reduce(room, frame, me, looking = true) {
  const how = FRAMES[frame.op];
  return how ? settle(how(room, frame, me, looking)) : room;
}

/** Of a long answer only the end is told; whoever has what stands before it keeps that. */
function grown(turn, known) {
  const { text, left_out = 0 } = turn;
  const chars = left_out + scalars(text);
  if (!(known?.left_out < left_out && known.chars >= left_out)) return { ...turn, left_out, chars };
  const before = first(known.text, left_out - known.left_out);
  return { ...turn, text: before + text, left_out: known.left_out, chars };
}

const FRAMES = {
  room(room, { messages, after, last, members, typing, turns }) {
    // A gap cannot be shown as if nothing were missing, nor what another store had beside what this one has.
    const reaches = room.known && room.last >= after && room.last <= last;
    const here = new Set([...messages, ...turns].map((one) => one.turn));
    const kept = room.messages.filter(({ number, turn }) => (number ? number <= after : !here.has(turn)));
    const gone = room.turns.filter(({ turn }) => !here.has(turn)).flatMap((turn) => drafts(turn, UNSEEN));
    return {
      ...room,
      known: true,
      messages: reaches ? [...kept, ...gone, ...messages] : messages,
      after: reaches ? Math.min(room.after, after) : after,
      last,
      members,
      typing,
      turns: turns.map((one) => grown(one, room.turns.find(({ turn }) => turn === one.turn))),
      stopping: room.stopping && turns[0]?.turn === room.turns[0]?.turn,
      pending: room.pending.filter((one) => !one.said),
      lost: false,
      asked: false,
      older: false,
    };
  },

  messages(room, { before, messages, after }) {
    if (before !== room.after + 1) return room;
    return { ...room, messages: [...messages, ...room.messages], after, older: false };
  },

  presence(room, { joins, leaves }) {
    const gone = new Set([...leaves, ...joins.map((member) => member.connection)]);
    return { ...room, members: [...room.members.filter((member) => !gone.has(member.connection)), ...joins] };
  },

  typing: (room, { users }) => ({ ...room, typing: users }),

  said(room, { nonce, turn }) {
    return { ...room, pending: room.pending.map((one) => (one.nonce === nonce ? { ...one, said: true, error: null, turn } : one)) };
  },

  error(room, { nonce, message, about }) {
    const pending = room.pending.map((one) => (one.nonce === nonce ? { ...one, error: message } : one));
    return { ...room, pending, older: room.older && about !== "messages" };
  },

  turn(room, { turn }, me, looking) {
    const turns = [...room.turns.filter((one) => one.turn !== turn.turn), grown(turn)];
    return { ...room, turns, unread: room.unread + (!looking && turn.asked_by !== me ? 1 : 0) };
  },

  activity(room, { turn, activity }) {
    return { ...room, turns: room.turns.map((one) => (one.turn === turn ? { ...one, activity } : one)) };
  },

  delta(room, { turn, at, text }) {
    const live = room.turns.find((one) => one.turn === turn);
    if (live?.chars !== at) return room.ended === turn || room.asked ? room : { ...room, lost: true };
    const more = { ...live, text: live.text + text, chars: at + scalars(text) };
    return { ...room, turns: room.turns.map((one) => (one === live ? more : one)) };
  },

  ended(room, { turn, ending }, _me, looking) {
    const live = room.turns.find((one) => one.turn === turn);
    return {
      ...room,
      messages: live ? [...room.messages, ...drafts(live, ending)] : room.messages,
      turns: room.turns.filter((one) => one !== live),
      ended: turn,
      stopping: room.stopping && live !== room.turns[0],
      unread: room.unread + (live && !looking && ending.how !== "stopped" ? 1 : 0),
    };
  },

  kept(room, { turn, before, last, messages }) {
    if (before > room.last) return room.asked ? room : { ...room, lost: true };
    const seen = { ...room, last: Math.max(room.last, last) };
    if (!messages.length) return seen;
    const [question, answer] = ["user", "assistant"].map((role) => room.messages.find((one) => one.draft && one.turn === turn && one.role === role));
    const end = messages.findLastIndex((one) => one.role === "assistant");
    const put = messages.map((one, at) => {
      if (at === end) return { ...one, ...(answer && { key: answer.key, ending: answer.ending }) };
      return one.role === "user" && question ? { ...one, key: question.key } : one;
    });
    // What failed before a word of it was written down still says why.
    if (end < 0 && answer) put.push(answer);
    const numbers = new Set(messages.map((one) => one.number));
    const mine = (one) => (one.draft ? one.turn === turn : numbers.has(one.number));
    const at = room.messages.findIndex((one) => mine(one) || one.number > messages[0].number);
    const rest = (all) => all.filter((one) => !mine(one));
    const split = at < 0 ? room.messages.length : at;
    return { ...seen, messages: [...rest(room.messages.slice(0, split)), ...put, ...rest(room.messages.slice(split))] };
  },
};

/** What was seen of a turn takes its place among the messages, until what was written down of it comes, if that does. */
function drafts({ turn, asked_by, asked, at_ms, nonce, text, left_out }, ending) {
  const question = { draft: true, key: `${turn} asked`, turn, role: "user", user: asked_by, text: asked, at_ms, nonce };
  if (!text && ending.how !== "failed") return [question];
  return [question, { draft: true, key: `${turn} answer`, turn, role: "assistant", text, left_out, ending }];
}

/** What is seen in the room was heard: it is not on its way any more. */
function settle(room) {
  if (!room.pending.length) return room;
  const all = [...room.messages, ...room.turns];
  const [nonces, turns] = [new Set(all.map((one) => one.nonce)), new Set(all.map((one) => one.turn))];
  const pending = room.pending.filter((one) => !nonces.has(one.nonce) && !(one.turn && turns.has(one.turn)));
  return pending.length === room.pending.length ? room : { ...room, pending };
}
