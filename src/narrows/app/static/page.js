// The page: from the form to a state, from the state to questions, from their answers to what is seen.

import { ask, download } from "./ask.js";
import { linkAll, listFiles, onPress, strike, walk } from "./result.js";
import { compose, parse, read, write } from "./state.js";

const $ = (id) => document.getElementById(id);
const own = "the method's own";
const loaded = new Set();
let offer = null; // what the server has: models, methods, examples, runs
let state = {}; // what is looked at
let shown = null; // the answer that is on the page
let leaving = new AbortController();
let striking = new AbortController();

const say = (text) => { $("status").textContent = text; };
const fail = (error) => { if (error.name !== "AbortError") { $("alert").textContent = error.message; say(""); } };
const option = (value, text = value) => new Option(text, value);
const chosen = (name) => document.querySelector(`[name=${name}]:checked`).value;
const method = (name) => offer.methods.find((one) => one.name === name) ?? offer.methods[0];
const mode = () => chosen("mode");
const model = (name) => offer.models.find((one) => one.name === name);

const progress = (what) => (message) =>
  say(message.ahead ? `Waiting; before you: ${message.ahead}` : `${what}: ${message.done} of ${message.of}`);

// The form.

function fitMode() {
  const part = mode() === "language" ? chosen("part") : "";
  for (const node of document.querySelectorAll("[data-for]")) {
    node.hidden = !node.dataset.for.split(" ").some((name) => name === mode() || name === part);
  }
  $("ask").hidden = mode() === "data";
  $("data").hidden = mode() !== "data";
  $("text-name").textContent = mode() === "pair" ? "First text" : mode() === "language" ? (part === "chat" ? "Message" : "Prompt") : "Text";
  $("pair-name").textContent = part === "chat" ? "Message of the system" : "Second text";
  const fitting = offer.models.filter((one) => one.mode === mode());
  const before = $("model").value;
  $("model").replaceChildren(...fitting.map((one) => option(one.name, `${one.words} (${one.name})`)));
  if (fitting.some((one) => one.name === before)) $("model").value = before;
  if ($("samples").dataset.mode === mode()) return checkOffer(fitting);
  $("samples").dataset.mode = mode();
  const samples = Object.entries(offer.samples).filter(([, one]) => fitting.some((own) => own.name === one.model));
  $("samples").replaceChildren(...samples.map(([name, one]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.addEventListener("click", () => go({ ...one }));
    return button;
  }));
  return checkOffer(fitting);
}

function checkOffer(fitting) {
  document.querySelector("#ask .go").disabled = !fitting.length;
  if (!fitting.length && mode() !== "data") say("No model of this kind is served: start narrows serve with --model.");
  if (mode() === "data" && !offer.runs.length) say("No run is served: start narrows serve with --runs FOLDER.");
}

function fitMethod(settings = {}) {
  const about = method($("method").value);
  $("method").title = about.caption;
  $("layer-box").hidden = !about.layer;
  $("settings").hidden = !about.settings.length;
  if ($("boxes").dataset.method === about.name) {  // a box that is typed in keeps the cursor
    for (const box of $("boxes").querySelectorAll("input")) box.value = settings[box.name] ?? "";
    return;
  }
  $("boxes").dataset.method = about.name;
  $("boxes").replaceChildren(...about.settings.map((one) => {
    const label = Object.assign(document.createElement("label"), { textContent: one.name });
    const box = Object.assign(document.createElement("input"), { type: "text", name: one.name, placeholder: one.usual, value: settings[one.name] ?? "", autocomplete: "off", maxLength: 40 });
    const help = Object.assign(document.createElement("small"), { textContent: one.help, id: `help-${one.name}` });
    box.setAttribute("aria-label", one.name);
    box.setAttribute("aria-describedby", help.id);
    label.append(box, help);
    return label;
  }));
}

function fitLayers(blocks) {
  const before = $("layer").value;
  const names = Array.from({ length: blocks + 1 }, (_, layer) => option(String(layer), layer ? `layer ${layer}` : "layer 0, the embeddings"));
  $("layer").replaceChildren(option("", own), ...names);
  if ([...$("layer").options].some((one) => one.value === before)) $("layer").value = before;
}

function fill(next) {
  const kind = next.run !== undefined || next.mode === "data" ? "data" : next.text_pair && !next.chat ? "pair" : model(next.model)?.mode ?? next.mode ?? "text";
  document.querySelector(`[name=mode][value=${kind}]`).checked = true;
  const part = next.chat ? "chat" : next.tokens || next.response ? "response" : "next";
  if (kind === "language") document.querySelector(`[name=part][value=${part}]`).checked = true;
  fitMode();
  if (model(next.model)) $("model").value = next.model;
  const values = { text: "text", pair: "text_pair", response: "response" };
  for (const [id, name] of Object.entries(values)) $(id).value = next[name] ?? "";
  if (kind === "language") $("target").value = next.target ?? "";
  if (next.tokens) $("tokens").value = next.tokens;
  const [name, settings] = parse(next.method ?? "fast");
  $("method").value = method(name).name;
  fitMethod(settings);
  if (settings.layer && ![...$("layer").options].some((one) => one.value === settings.layer)) $("layer").append(option(settings.layer, `layer ${settings.layer}`));
  $("layer").value = settings.layer ?? "";
  if (next.run) $("run").value = next.run;
  if (next.other) $("other_run").value = next.other;
  $("other_method").value = next.other_method ?? "ig";
  for (const id of ["compare", "betas", "made"]) $(id).open = (next.open ?? "").split(",").includes(id);
  for (const id of ["text", "pair"]) grow($(id));
}

function fromForm() {
  if (mode() === "data") return { mode: "data", run: $("run").value, other: $("other_run").value };
  const boxes = Object.fromEntries([...$("boxes").querySelectorAll("input")].map((box) => [box.name, box.value]));
  const layer = method($("method").value).layer ? $("layer").value : "";
  const part = mode() === "language" ? chosen("part") : "";
  const next = { text: $("text").value, model: $("model").value, method: compose($("method").value, { layer, ...boxes }) };
  if (mode() === "pair" || part === "chat") next.text_pair = $("pair").value;
  if (part === "response" || part === "chat") Object.assign(next, { tokens: Number($("tokens").value) || 1, response: $("response").value, chat: part === "chat" });
  if (part === "next") next.target = $("target").value;
  const same = ["text", "model"].every((name) => next[name] === state[name]) && (next.text_pair ?? "") === (state.text_pair ?? "");
  const kept = same ? { target: state.target, against: state.against, removed: state.removed } : {};
  return { ...kept, ...next, open: state.open, other_method: state.other_method, other_target: same ? state.other_target : "" };
}

const grow = (box) => { box.rows = Math.min(9, Math.max(box.id === "text" ? 2 : 1, Math.ceil(box.value.length / Math.max(20, box.clientWidth / 9)), box.value.split("\n").length)); };

// Questions and answers.

const remember = (push) => history[push ? "pushState" : "replaceState"](null, "", write(state));

function leave() {  // what is still asked for belongs to what was seen before
  leaving.abort();
  striking.abort();
  leaving = new AbortController();
  $("alert").textContent = "";
  $("result").removeAttribute("aria-busy");
  return leaving.signal;
}

async function go(next, push = true) {
  const signal = leave();
  state = next;
  fill(state);
  remember(push);
  $("result").setAttribute("aria-busy", "true");
  try {
    if (mode() === "data") await sumUp(signal);
    else {
      say(loaded.has(state.model) ? "Explaining" : "Loading the model");
      const answer = await ask("explain", state, signal, progress("Explaining"));
      show(answer);
      if (!answer.generation) await follow(signal);
      else say("");
      if (!answer.generation) return;
      $("python").textContent = (await ask("python", state, signal, () => {})).python;
    }
  } catch (error) {
    fail(error);
  } finally {
    if (!signal.aborted) $("result").removeAttribute("aria-busy");
  }
}

function show(answer) {
  shown = answer;
  loaded.add(state.model);
  $("example").hidden = true;
  for (const id of ["single", "generation", "summary"]) $(id).hidden = true;
  for (const id of ["layers", "removal", "beside", "series"]) $(id).replaceChildren();
  $("python").textContent = "";
  const part = answer.generation ? "generation" : answer.summary ? "summary" : "single";
  $(part).hidden = false;
  $("export").hidden = false;
  if (part === "single") showMap(answer);
  else $(part).innerHTML = answer.html;
  if (part === "generation") showGeneration();
  files();
}

function showMap({ map, parts, order }) {
  for (const id of ["decision", "labels", "map", "check", "words"]) $(id).innerHTML = parts[id];
  $("how").innerHTML = parts.made;
  $("restore").hidden = $("flip").hidden = true;
  const target = state.target || map.target;
  for (const button of document.querySelectorAll("#labels .pick")) button.setAttribute("aria-pressed", String(button.dataset.target === target));
  for (const button of document.querySelectorAll("#labels .against")) {
    button.hidden = button.dataset.against === target;
    button.setAttribute("aria-pressed", String(button.dataset.against === state.against));
  }
  $("other_target").replaceChildren(option("", "the same"), ...Object.keys(map.probabilities).map((name) => option(name)));
  $("other_target").value = state.other_target ?? "";
  fitLayers(map.record.blocks ?? 0);
  $("layer").value = parse(state.method ?? "fast")[1].layer ?? "";
  $("flip").hidden = !map.check?.flip;
  $("flip").textContent = map.check?.flip > 1 ? `Strike out the ${map.check.flip} that flip it` : "Strike out what flips it";
  $("strongest").hidden = !order.length;
  restart();
  struck();
}

async function follow(signal) {
  const layered = method(parse(state.method ?? "fast")[0]).layer;
  $("numbers").hidden = !layered;
  const later = [];
  const step = async (question, act, text) => {
    if (signal.aborted) return;
    say(text);
    try {
      act(await ask(question, state, signal, progress(text)));
    } catch (error) {
      if (error.name === "AbortError") throw error;
      later.push([question, error.message]);
    }
  };
  if (layered) await step("layers", ({ html }) => { $("layers").innerHTML = html; }, "Layer by layer");
  else $("layers").innerHTML = '<p class="quiet">This method looks at no layer.</p>';
  await step("remove", ({ html }) => { $("removal").innerHTML = html; }, "Removing words");
  await step("python", ({ python }) => { $("python").textContent = python; }, "");
  if ($("compare").open) await step("compare", ({ html }) => { $("beside").innerHTML = html; }, "Comparing");
  if ($("betas").open) await step("betas", ({ html, note }) => { $("series").innerHTML = html; $("beta-note").textContent = note ?? ""; }, "Weighing the information");
  for (const [question, message] of later) {
    const place = { layers: "layers", remove: "removal", compare: "beside", betas: "series" }[question];
    if (place) $(place).replaceChildren(Object.assign(document.createElement("p"), { className: "quiet", textContent: message }));
  }
  files();
  say("");
}

async function sumUp(signal) {
  if (!state.run) return;
  say("Reading the run");
  show(await ask("summary", state, signal, progress("Rows read")));
  say("");
}

function showGeneration() {
  document.body.append(Object.assign(document.createElement("script"), { src: "generation.js" }));
  const wanted = state.output;
  document.body.lastElementChild.addEventListener("load", () => {
    if (wanted !== undefined) document.querySelector(`#generation [data-output="${CSS.escape(wanted)}"]`)?.click();
  });
}

function files() {
  const seen = shown.generation ? ["generation"] : shown.summary ? ["summary"] : ["report", "map"];
  for (const [id, names] of [["layers", ["layers"]], ["beside", ["comparison"]], ["series", ["beta", "rate"]]]) {
    if (shown.map && $(id).querySelector(".narrows")) seen.push(...names);
  }
  listFiles($("files"), seen);
}

// Words that are struck out.

function struck() {
  strike($("map"), state.removed ?? []);
  $("restore").hidden = !(state.removed ?? []).length;
}

async function remove(words) {
  state.removed = words;
  remember(false);
  struck();
  striking.abort();
  striking = new AbortController();
  try {
    $("removal").innerHTML = (await ask("remove", state, striking.signal, () => {})).html;
  } catch (error) {
    fail(error);
  }
}

const toggle = (word) => {
  if (!state.text) return; // an example of a model that is not served
  const removed = (state.removed ?? []).filter((one) => String(one) !== String(word));
  remove(removed.length === (state.removed ?? []).length ? [...removed, word] : removed);
};
const left = () => shown.order.filter((word) => !(state.removed ?? []).some((one) => String(one) === String(word)));

// What starts what.

const explain = () => go(fromForm());
const again = (change) => go({ ...state, ...change });
const restart = walk($("map"));
linkAll($("single"));
onPress($("map"), "[data-word]", (word) => toggle(word.dataset.word.split(" ").map(Number)));
onPress($("labels"), ".pick", (button) => again({ target: button.dataset.target, against: "" }));
onPress($("labels"), ".against", (button) => again({ target: state.target || shown.map.target, against: button.dataset.against }));
onPress($("files"), "button", (button) => { say(`Drawing ${button.name}`); download(button.name, { other_method: $("other_method").value, ...state }).then(() => say(""), fail); });
onPress($("generation"), "[data-output]", () => setTimeout(() => {
  state.output = $("generation").querySelector("[data-output][aria-pressed=true]")?.dataset.output;
  remember(false);
}));
$("strongest").addEventListener("click", () => left().length && toggle(left()[0]));
$("flip").addEventListener("click", () => remove(shown.order.slice(0, shown.map.check.flip)));
$("restore").addEventListener("click", () => { remove([]); $("strongest").focus(); });
$("numbers").addEventListener("click", ({ target }) => {
  const on = $("layers").classList.toggle("numbers");
  target.setAttribute("aria-pressed", String(on));
});
$("link").addEventListener("click", () => navigator.clipboard.writeText(location.origin + location.pathname + write(state)).then(() => say("The link is copied: it holds the text and all that is chosen."), fail));
for (const id of ["ask", "data"]) $(id).addEventListener("submit", (event) => { event.preventDefault(); explain(); });
for (const id of ["text", "pair"]) {
  $(id).addEventListener("input", () => grow($(id)));
  $(id).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    explain();
  });
}
$("model").addEventListener("change", explain);
$("layer").addEventListener("change", explain);
$("method").addEventListener("change", () => { fitMethod(); $("layer").value = ""; explain(); });
for (const input of document.querySelectorAll("[name=mode], [name=part]")) input.addEventListener("change", () => { say(""); $("alert").textContent = ""; fitMode(); });
for (const [id, name] of [["other_method", "other_method"], ["other_target", "other_target"]]) $(id).addEventListener("change", () => again({ [name]: $(id).value, other_method: $("other_method").value }));
for (const id of ["compare", "betas", "made"]) {
  $(id).addEventListener("toggle", () => {
    const open = ["compare", "betas", "made"].filter((one) => $(one).open).join(",");
    if (!shown?.map || open === (state.open ?? "")) return;
    const opened = $(id).open && id !== "made";
    state = { ...state, open, other_method: $("other_method").value };
    remember(false);
    if (opened) follow(leaving.signal).catch(fail);
  });
}
addEventListener("popstate", () => begin(false).catch(fail));

async function begin(first) {
  const asked = read(location.hash);
  if (asked.text || asked.run) return go(asked, false);
  if (!first && location.hash) return undefined; // a place on the page, as "#result"
  const signal = leave();
  const { request, ...start } = offer.start;
  const ours = offer.models.some((one) => one.name === request.model);
  state = ours ? request : { model: offer.models[0].name };
  fill(state);
  show({ ...start });
  loaded.clear();
  $("example").hidden = false;
  if (!ours) $("example").textContent = `An example of the demo model ${request.model}. Type a text of your own and press Enter.`;
  $("export").hidden = !ours;
  say("Loading the model");
  const { blocks } = await ask("model", state, signal, () => {});
  loaded.add(state.model);
  fitLayers(blocks);
  say("");
  return ours ? follow(signal) : undefined;
}

offer = await (await fetch("/offer.json")).json();
for (const id of ["text", "pair"]) $(id).maxLength = offer.limits.characters;
$("tokens").max = offer.limits.tokens;
$("method").replaceChildren(...offer.methods.map((one) => option(one.name, one.name === one.label ? one.name : `${one.name}: ${one.label}`)));
$("other_method").replaceChildren(...offer.methods.map((one) => option(one.name)));
$("run").replaceChildren(...offer.runs.map((one) => option(one)));
$("other_run").replaceChildren(option("", "no other"), ...offer.runs.map((one) => option(one)));
fitLayers(0);
begin(true).catch(fail);
