// Why: others see who types as long as it is true, and are not told at each key. Pure: times come in, deadlines go out.

const AGAIN_MS = 4_000;
const IDLE_MS = 5_000;

export class Typing {
  #saidAt = null;
  #keyAt = null;

  /** A key changed the text. Gives `true` or `false` to say, or null. */
  key(empty, now) {
    if (empty) return this.end();
    this.#keyAt = now;
    if (this.#saidAt !== null && now - this.#saidAt < AGAIN_MS) return null;
    this.#saidAt = now;
    return true;
  }

  /** The text was sent, or another conversation is shown. */
  end() {
    const said = this.#saidAt !== null;
    this.#saidAt = this.#keyAt = null;
    return said ? false : null;
  }

  due(now) {
    return this.#keyAt !== null && now - this.#keyAt >= IDLE_MS ? this.end() : null;
  }

  deadline() {
    return this.#keyAt === null ? null : this.#keyAt + IDLE_MS;
  }
}
