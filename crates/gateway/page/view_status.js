// Why: whoever waits for a reconnect sees that it happens, when, and what it came to.

import { el, id, setText } from "./dom.js";
import { clock, recoveredWords, statusWords } from "./words.js";

/** How long “resumed” stands before it is plain “connected”. */
const RECOVERED_MS = 6_000;
const EVENTS = 20;

export class StatusView {
  #wire;
  #recovered = null;
  #over = null;
  #wasCut = false;
  #ticking = null;
  #said = "";

  constructor(wire) {
    this.#wire = wire;
  }

  told(effect) {
    if (effect.do === "cut") {
      this.#wasCut = true;
      this.#event(`Cut: ${effect.why.words}`);
    }
    if (effect.do === "stayed") this.#event(`Closed: ${effect.why.words}`);
    if (effect.do === "ready" || effect.do === "resumed") {
      const words = this.#wasCut ? recoveredWords(effect) : null;
      this.#event(words ?? "Connected");
      this.#wasCut = false;
      this.#recovered = words;
      clearTimeout(this.#over);
      this.#over = setTimeout(() => {
        this.#recovered = null;
        this.draw();
      }, RECOVERED_MS);
    }
  }

  /** Says something once to whoever listens. */
  speak(words) {
    id("status-spoken").textContent = words;
  }

  draw() {
    const { tone, words, spoken } = statusWords(this.#wire, this.#recovered, Date.now());
    const node = id("status");
    node.dataset.tone = tone;
    node.dataset.news = this.#recovered || tone !== "good" ? "yes" : "no";
    node.title = words;
    setText(id("status-words"), words);
    const fresh = spoken && spoken !== this.#said && !(this.#said && spoken === "Connected" && this.#said.startsWith("Resumed"));
    if (fresh) {
      this.#said = spoken;
      this.speak(spoken);
    }
    id("connect").hidden = this.#wire.phase !== "off" || !this.#wire.why;
    clearTimeout(this.#ticking);
    if (this.#wire.phase === "resting") this.#ticking = setTimeout(() => this.draw(), 250);
  }

  #event(words) {
    const list = id("events");
    list.prepend(el("li", {}, el("time", {}, clock(Date.now())), ` ${words}`));
    while (list.children.length > EVENTS) list.lastChild.remove();
  }
}
