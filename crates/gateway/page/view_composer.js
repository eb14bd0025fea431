// Why: the field in which a person writes, with what goes along: who types, which model, how freely.

import { el, id, setText } from "./dom.js";
import { keep, kept } from "./prefs.js";
import { Typing } from "./typing.js";

export class Composer {
  #text = id("text");
  #typing = new Typing();
  #timer = null;
  #drafts = new Map();
  #room = null;
  #act;

  /** `act` has `say(text)`, which tells whether it was taken, and `typing(truth, conversation)`. */
  constructor(act) {
    this.#act = act;
    id("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#text.addEventListener("input", () => {
      this.#say(this.#typing.key(!this.#text.value.trim(), Date.now()));
      this.#grow();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#send();
    });
    this.#tuning();
  }

  focus() {
    this.#text.focus();
  }

  /** Another conversation: what is written here stays here. */
  show(room) {
    if (room === this.#room) return;
    if (this.#room !== null) this.#drafts.set(this.#room, this.#text.value);
    this.#say(this.#typing.end());
    this.#room = room;
    this.put(this.#drafts.get(room) ?? "");
  }

  put(text) {
    this.#text.value = text;
    this.#grow();
  }

  /** `{model, temperature}` as chosen; null where nothing was. */
  choice() {
    const temperature = id("temperature").value;
    const t = Number(temperature);
    return { model: id("model").value.trim() || null, temperature: temperature === "" || !(t >= 0 && t <= 2) ? null : t };
  }

  models(names) {
    id("models").replaceChildren(...names.map((value) => el("option", { value })));
  }

  #send() {
    const text = this.#text.value;
    if (!text.trim() || !this.#act.say(text)) return;
    this.#say(this.#typing.end());
    this.put("");
    this.#text.focus();
  }

  #say(truth) {
    if (truth !== null && this.#room !== null) this.#act.typing(truth, this.#room);
    clearTimeout(this.#timer);
    const at = this.#typing.deadline();
    if (at !== null) this.#timer = setTimeout(() => this.#say(this.#typing.due(Date.now())), Math.max(0, at - Date.now()));
  }

  #grow() {
    this.#text.style.setProperty("height", "auto");
    this.#text.style.setProperty("height", `${Math.min(this.#text.scrollHeight + 2, innerHeight * 0.4)}px`);
  }

  #tuning() {
    const [model, number, range] = ["model", "temperature", "temperature-range"].map(id);
    model.value = kept("model") ?? "";
    number.value = kept("temperature") ?? "";
    const changed = () => {
      const choice = this.choice();
      keep("model", choice.model);
      keep("temperature", choice.temperature === null ? null : String(choice.temperature));
      range.value = choice.temperature ?? 0.7;
      range.dataset.unset = choice.temperature === null ? "yes" : "no";
      range.setAttribute("aria-valuetext", choice.temperature === null ? "default" : String(choice.temperature));
      number.setAttribute("aria-invalid", String(number.value !== "" && choice.temperature === null));
      setText(id("tuning-words"), `${choice.model ?? "Default model"} · ${choice.temperature === null ? "default temperature" : `temperature ${choice.temperature}`}`);
    };
    range.addEventListener("input", () => {
      number.value = range.value;
      changed();
    });
    model.addEventListener("input", changed);
    number.addEventListener("input", changed);
    id("tuning-reset").addEventListener("click", () => {
      model.value = number.value = "";
      changed();
    });
    changed();
  }
}
