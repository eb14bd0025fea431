// Why: the range of a close code says what to do, so that a code of tomorrow is treated rightly today.

/** `resume`: go on with the session; `anew`: come again without it; `stay`: until a person says so. */
export function policyOf(code) {
  if (code === 4000) return "resume";
  if (code > 4000 && code < 4500) return "anew";
  if ((code >= 4500 && code < 5000) || code === 1003 || code === 1007 || code === 1009) return "stay";
  return "resume";
}

const WORDS = {
  1003: "a frame was not text",
  1006: "the connection was cut",
  1007: "a text was not UTF-8",
  1009: "a frame was too large",
  4000: "the server restarts",
  4001: "this page read too slowly",
  4002: "nothing was heard of this page",
  4003: "its part of the server crashed",
  4004: "it did not say in time who it is",
  4005: "too many frames in a short time",
  4500: "an operator closed the connection",
  4501: "another connection took this session over",
  4502: "a token is needed",
  4503: "too many frames were wrong",
  4504: "there are too many connections",
};

/** What a close means, for people; the server's own words first. */
export function closeWords(code, reason) {
  return reason || WORDS[code] || `the connection was closed (${code})`;
}

export const UNAUTHORISED = 4502;
const BASE_MS = 500;
const CAP_MS = 10_000;

/** How long to rest before attempt `n` (from 1): full jitter, so that those who were cut together do not come together. */
export function restMs(n, random) {
  return Math.round(random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(n - 1, 10)));
}
