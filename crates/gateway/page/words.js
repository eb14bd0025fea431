// Why: what is said to people is decided apart from where it is put.

export function initials(name) {
  const parts = name.trim().split(/[\s._@-]+/u).filter(Boolean);
  const first = (word) => [...word][0] ?? "";
  return ((first(parts[0] ?? "?")) + (parts.length > 1 ? first(parts.at(-1)) : "")).toUpperCase();
}

/** The same name has the same hue everywhere, 0 to 359. */
export function hue(name) {
  let h = 2166136261;
  for (const c of name) h = Math.imul(h ^ c.codePointAt(0), 16777619) >>> 0;
  return h % 360;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const at = n < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(n) / 10));
  const value = n / 1024 ** at;
  return `${at && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** Long ago, in few words. */
export function ago(at, now) {
  const minutes = Math.floor((now - at) / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / 1440)} d`;
}

export function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function typingWords(users) {
  if (users.length === 0) return "";
  if (users.length === 1) return `${users[0]} is typing…`;
  if (users.length <= 3) return `${users.slice(0, -1).join(", ")} and ${users.at(-1)} are typing…`;
  return `${users.length} people are typing…`;
}

/** What the agent does, and how far it is: `[words, percent or null]`. */
export function activityWords(activity) {
  switch (activity.doing) {
    case "queued":
      return [activity.position ? `waiting, ${activity.position} before it` : "waiting, next in turn", null];
    case "loading":
      return [`loading the model, ${activity.percent} %`, activity.percent];
    case "prefill":
      return [`reading the conversation, ${activity.percent} %`, activity.percent];
    case "tool":
      return [`using ${activity.name}`, null];
    case "typing":
      return ["writing", null];
    default:
      return [activity.doing, null];
  }
}

/** How an answer ended, where that must be said: `[words, whether it failed]`, or null. */
export function endingWords(ending) {
  if (!ending) return null;
  if (ending.how === "stopped") return ["stopped", false];
  if (ending.how === "failed") return [ending.message, true];
  return ending.reason === "length" ? ["cut off: it is as long as it may be", false] : null;
}

/** The status line: `{tone, words, spoken}`; what is spoken has no countdown in it. */
export function statusWords(wire, recovered, now) {
  switch (wire.phase) {
    case "live":
      return { tone: "good", words: recovered ?? "Connected", spoken: recovered ?? "Connected" };
    case "resting": {
      const s = Math.max(0, Math.ceil((wire.retryAt - now) / 1000));
      return {
        tone: "wait",
        words: `Reconnecting in ${s} s (attempt ${wire.attempt + 1}): ${wire.why.words}`,
        spoken: `Connection lost: ${wire.why.words}. Reconnecting.`,
      };
    }
    case "off":
      return wire.why
        ? { tone: "bad", words: `Signed out: ${wire.why.words}`, spoken: `Signed out: ${wire.why.words}` }
        : { tone: "wait", words: "Not connected", spoken: "" };
    default: {
      const words = wire.why ? `Reconnecting (attempt ${wire.attempt})…` : "Connecting…";
      return { tone: "wait", words, spoken: "" };
    }
  }
}

/** What a reconnect came to. */
export function recoveredWords(effect) {
  if (effect.do === "ready") return "Connected again, conversations read anew";
  const n = effect.replayed;
  return n ? `Resumed, nothing was missed (${n} frames came late)` : "Resumed, nothing was missed";
}
