// What is looked at: the address holds it, after the #, with the names that the questions to the server have.

const NUMBERS = ["tokens"];
const JSONS = ["removed"];
const FLAGS = ["chat"];
const NAMES = ["text", "text_pair", "model", "target", "against", "method", "chat", "tokens", "response", "removed",
  "other_method", "other_target", "open", "output", "run", "other", "mode"];

export function read(hash) {
  const state = {};
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!NAMES.includes(name)) continue;
    try {
      state[name] = NUMBERS.includes(name) ? Number(value) : JSONS.includes(name) ? JSON.parse(value) : FLAGS.includes(name) ? value === "1" : value;
    } catch { /* a link that was cut: what can be read of it counts */ }
  }
  return state;
}

export function write(state) {
  const words = new URLSearchParams();
  for (const name of NAMES) {
    const value = state[name];
    if (value === undefined || value === null || value === "" || value === false || value === 0) continue;
    if (Array.isArray(value) && !value.length) continue;
    words.set(name, JSONS.includes(name) ? JSON.stringify(value) : FLAGS.includes(name) ? "1" : value);
  }
  return `#${words}`;
}

export const compose = (name, settings) =>
  [name, ...Object.entries(settings).filter(([, value]) => value.trim()).map(([key, value]) => `${key}=${value.trim()}`)].join(":");

export function parse(method) {
  const [name, ...settings] = method.split(":");
  return [name, Object.fromEntries(settings.map((one) => [one.split("=")[0], one.slice(one.indexOf("=") + 1)]))];
}
