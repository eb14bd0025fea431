// Why: what a person chose is kept in the browser: a name for good, a token until the tab is closed, never in an address.

// Where storage is switched off, it holds until the page is closed.
const memory = new Map();

function get(store, key) {
  if (memory.has(key)) return memory.get(key);
  try {
    return store().getItem(`paraphym.${key}`);
  } catch {
    return null;
  }
}

function set(store, key, value) {
  memory.set(key, value);
  try {
    if (value === null) store().removeItem(`paraphym.${key}`);
    else store().setItem(`paraphym.${key}`, value);
  } catch {
    // see `memory`
  }
}

const lasting = () => localStorage;
const ofTab = () => sessionStorage;

export const keep = (key, value) => set(lasting, key, value);
export const kept = (key) => get(lasting, key);
export const keepToken = (value) => set(ofTab, "token", value);
export const keptToken = () => get(ofTab, "token");
