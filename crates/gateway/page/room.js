// Why: a conversation is what its frames say, one after the other: `(room, frame, me) → room`, and nothing else.
//
// Invariants: a message of a number is there once; the text of an answer grows only where `at` fits, else `lost` is set
// and somebody joins again; what was said and not acknowledged is in `pending` until it is.

/** How many Unicode scalar values: what `at` counts. */
export function scalars(text) {
  let n = text.length;
  for (let i = 1; i < text.length; i += 1) {
    const low = text.charCodeAt(i) & 0xfc00;
    if (low === 0xdc00 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) n -= 1;
  }
  return n;
}

/** A conversation nothing is known of. */
export const EMPTY = Object.freeze({
  known: false,
  messages: [],
  truncated: false,
  members: [],
  typing: [],
  turn: null,
  ended: null,
  stopping: false,
  pending: [],
  unread: 0,
  lost: false,
  asked: null,
});

/** The number of the last message that is known; 0 for none. */
export function last(room) {
  return room.messages.reduce((most, { number }) => Math.max(most, number ?? 0), 0);
}

/** The frame that joins, and the room that waits for its answer. */
export function join(room, conversation) {
  const after = room.known ? last(room) : 0;
  const asked = { after };
  return [{ ...room, asked, lost: false }, { op: "join", conversation, ...(after && { after }) }];
}

/** A `say` goes out; it is shown at once. */
export function say(room, frame) {
  const { nonce, text } = frame;
  return { ...room, pending: [...room.pending, { nonce, text, frame, behind: last(room), said: false, error: null }] };
}

/** Takes back what was refused. */
export function discard(room, nonce) {
  return { ...room, pending: room.pending.filter((one) => one.nonce !== nonce) };
}

/** What to say again after a reconnect: nobody knows whether it was heard, and the nonce keeps it from being said twice. */
export function again(room, conversation) {
  const says = room.pending.filter((one) => !one.said && !one.error).map((one) => one.frame);
  return room.stopping && room.turn ? [...says, { op: "stop", conversation }] : says;
}

/** What a frame makes of a room. `me` is my own name as others see it; `looking` whether somebody sees the room. */
export function reduce(room, frame, me, looking = true) {
  const how = FRAMES[frame.op];
  return how ? settle(how(room, frame, me, looking), me) : room;
}

const FRAMES = {
  room(room, { messages, truncated = false, members, typing, turns }) {
    // The first runs, the others wait for it.
    const turn = turns[0];
    const after = room.asked?.after ?? 0;
    // A gap cannot be shown as if nothing were missing.
    const kept = after && !truncated ? room.messages.filter(({ number, ending }) => (number ?? 0) <= after && (number || ending?.how === "failed")) : [];
    return {
      ...room,
      known: true,
      messages: [...kept, ...messages],
      truncated: truncated || (kept.length > 0 && room.truncated),
      members,
      typing,
      turn: turn ? { ...turn, chars: scalars(turn.text) } : null,
      stopping: room.stopping && turn?.turn === room.turn?.turn,
      pending: room.pending.filter((one) => !one.said),
      lost: false,
      asked: null,
    };
  },

  presence(room, { joins, leaves }) {
    const gone = new Set([...leaves, ...joins.map((member) => member.connection)]);
    return { ...room, members: [...room.members.filter((member) => !gone.has(member.connection)), ...joins] };
  },

  typing: (room, { users }) => ({ ...room, typing: users }),

  message(room, { message }, me, looking) {
    const answer = message.role === "assistant";
    const at = room.messages.findIndex((one) => one.number === message.number || (answer && one.draft));
    const known = room.messages[at];
    const put = { ...message, ...(known?.key && { key: known.key }), ...(known?.ending && { ending: known.ending }) };
    const messages = known ? room.messages.with(at, put) : [...room.messages, put];
    const fresh = !known && !answer && !looking && message.user !== me;
    return {
      ...room,
      messages,
      unread: room.unread + (fresh ? 1 : 0),
      turn: answer && room.turn ? { ...room.turn, settled: true } : room.turn,
    };
  },

  said(room, { nonce }) {
    return { ...room, pending: room.pending.map((one) => (one.nonce === nonce ? { ...one, said: true, error: null } : one)) };
  },

  error(room, { nonce, message }) {
    return { ...room, pending: room.pending.map((one) => (one.nonce === nonce ? { ...one, error: message } : one)) };
  },

  turn(room, { turn }) {
    return { ...room, turn: { ...turn, chars: scalars(turn.text) }, stopping: false };
  },

  activity(room, { turn, activity }) {
    return room.turn?.turn === turn ? { ...room, turn: { ...room.turn, activity } } : room;
  },

  delta(room, { turn, at, text }) {
    const fits = room.turn?.turn === turn && room.turn.chars === at;
    if (!fits) return room.ended === turn || room.asked ? room : { ...room, lost: true };
    return { ...room, turn: { ...room.turn, text: room.turn.text + text, chars: at + scalars(text) } };
  },

  ended(room, { turn, ending }, _me, looking) {
    const live = room.turn?.turn === turn ? room.turn : null;
    return {
      ...room,
      messages: live ? closed(room.messages, live, ending) : room.messages,
      turn: live ? null : room.turn,
      ended: turn,
      stopping: false,
      unread: room.unread + (live && !looking && ending.how !== "stopped" ? 1 : 0),
    };
  },
};

/** The answer takes its place among the messages: as the one that came, or as a draft until it comes. */
function closed(messages, live, ending) {
  if (live.settled) {
    const at = messages.findLastIndex((one) => one.role === "assistant");
    return messages.with(at, { ...messages[at], ending });
  }
  if (!live.text && ending.how === "stopped") return messages;
  const draft = { draft: true, key: `turn ${live.turn}`, role: "assistant", text: live.text, html: ending.html, ending };
  return [...messages.map((one) => (one.draft ? { ...one, draft: false } : one)), draft];
}

/** Finds what is pending among the messages: by its nonce, or else by its text. */
function settle(room, me) {
  if (!room.pending.length) return room;
  const taken = new Set(room.pending.map((one) => one.number));
  const pending = room.pending.map((one) => {
    if (one.number) return one;
    const found = room.messages.find(
      ({ number, role, user, text, nonce }) =>
        role === "user" && number > one.behind && !taken.has(number) && (nonce ? nonce === one.nonce : (user ?? me) === me && text.trim() === one.text.trim()),
    );
    if (!found) return one;
    taken.add(found.number);
    return { ...one, number: found.number };
  });
  // Those after it in the queue must not take the same message for theirs.
  const most = Math.max(0, ...pending.map((one) => (one.said && one.number) || 0));
  const open = pending.filter((one) => !(one.said && one.number));
  return { ...room, pending: open.map((one) => (one.behind < most && !one.number ? { ...one, behind: most } : one)) };
}
