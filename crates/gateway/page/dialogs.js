// Why: what is asked of a person is asked by the browser's own dialogs, which hold the focus and close by Escape.

import { id } from "./dom.js";

/** Opens a dialog with one field. Gives its value, or null if it was closed without one. */
export function ask(name, { value = "", wrong = "", words } = {}) {
  const dialog = id(`${name}-dialog`);
  if (dialog.open) return Promise.resolve(undefined);
  const form = dialog.querySelector("form");
  const field = form.elements.namedItem("value");
  const cancel = form.querySelector("[value=cancel]");
  if (field) field.value = value;
  if (cancel && words) cancel.textContent = words;
  const alert = form.querySelector(".wrong");
  if (alert) alert.textContent = wrong;
  let answer = null;
  form.onsubmit = (event) => {
    event.preventDefault();
    answer = field ? field.value.trim() : "";
    dialog.close();
  };
  if (cancel) cancel.onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(answer), { once: true }));
}
