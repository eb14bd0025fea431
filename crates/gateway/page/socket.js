// Why: the one place that has a socket and a clock; it decides nothing, and carries out what `Wire` orders.

/** `tell(effect)` hears what concerns the page: ready, resumed, frame, cut, stayed. */
export class Socket {
  #wire;
  #url;
  #tell;
  #socket = null;
  #timer = null;

  constructor(wire, url, tell) {
    this.#wire = wire;
    this.#url = url;
    this.#tell = tell;
  }

  step(event) {
    for (const effect of this.#wire.step(event, Date.now())) this.#carry(effect);
    clearTimeout(this.#timer);
    const at = this.#wire.deadline();
    if (at !== null) this.#timer = setTimeout(() => this.step({ is: "due" }), Math.max(0, at - Date.now()));
  }

  send(frame) {
    this.step({ is: "send", frame });
  }

  #carry(effect) {
    switch (effect.do) {
      case "open":
        return this.#open();
      case "send":
        return this.#socket?.readyState === WebSocket.OPEN && this.#socket.send(JSON.stringify(effect.frame));
      case "close":
        return this.#drop(effect.code, effect.reason);
      default:
        return this.#tell(effect);
    }
  }

  #open() {
    this.#drop(1000, "");
    const socket = new WebSocket(this.#url);
    const mine = (step) => (event) => socket === this.#socket && this.step(step(event));
    socket.onopen = mine(() => ({ is: "opened" }));
    socket.onmessage = mine((event) => ({ is: "text", text: String(event.data) }));
    socket.onclose = mine((event) => ({ is: "closed", code: event.code, reason: event.reason }));
    this.#socket = socket;
  }

  /** From here on the socket is nobody's, however long its closing takes. */
  #drop(code, reason) {
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close(code, reason);
  }
}
