// What can be done with what is shown: pointing links token, layers and table; arrows walk through the text.

const places = (node) => (node.dataset.at ?? "").split(" ");

function link(node, on) {
  for (const old of document.querySelectorAll(".linked")) old.classList.remove("linked");
  if (!on || !node) return;
  const own = new Set(places(node));
  for (const other of document.querySelectorAll("[data-at]")) {
    if (places(other).some((place) => own.has(place))) other.classList.add("linked");
  }
}

export function linkAll(root) {
  const at = (event) => event.target.closest?.("[data-at]");
  for (const name of ["mouseover", "focusin"]) root.addEventListener(name, (event) => link(at(event), true));
  for (const name of ["mouseleave", "focusout"]) root.addEventListener(name, (event) => link(at(event), false));
}

export function walk(root) {
  const words = () => [...root.querySelectorAll("[role=button]")];
  root.addEventListener("keydown", (event) => {
    const all = words();
    const here = all.indexOf(event.target);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = event.key === "Home" ? all[0] : event.key === "End" ? all.at(-1) : all[here + step];
    if (here < 0 || !next) return;
    event.preventDefault();
    all[here].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  return () => words().forEach((word, place) => { word.tabIndex = place ? -1 : 0; });
}

export const onPress = (root, selector, act) => {
  const found = (event) => event.target.closest?.(selector);
  root.addEventListener("click", (event) => found(event) && act(found(event)));
  root.addEventListener("keydown", (event) => {
    if (!["Enter", " "].includes(event.key) || event.target.tagName === "BUTTON" || !found(event)) return;
    event.preventDefault();
    act(found(event));
  });
};

export function strike(root, removed) {
  const gone = new Set(removed.flat().map(String));
  for (const word of root.querySelectorAll("[data-word]")) {
    const struck = word.dataset.word.split(" ").every((place) => gone.has(place));
    word.classList.toggle("gone", struck);
    word.setAttribute("aria-pressed", String(struck));
  }
}

const FIGURES = ["pdf", "png", "svg"];
const MAPS = [...FIGURES, "tex", "html", "json"];
const KINDS = { map: MAPS, layers: MAPS, comparison: MAPS, beta: FIGURES, rate: FIGURES, generation: [...FIGURES, "html", "json"], summary: ["html", "csv", "json"] };
const TITLES = { map: "Map", layers: "Layers", comparison: "Comparison", beta: "Weights", rate: "Rate curve", generation: "Response", summary: "Words" };

export function listFiles(list, seen) {
  const button = (name, text) => Object.assign(document.createElement("button"), { type: "button", textContent: text, name });
  list.replaceChildren(...seen.map((what) => {
    const item = document.createElement("li");
    const title = Object.assign(document.createElement("span"), { textContent: what === "report" ? "Report" : TITLES[what] });
    const buttons = what === "report" ? [button("report.pdf", "one page for an auditor, PDF")] : KINDS[what].map((kind) => button(`${what}.${kind}`, kind.toUpperCase()));
    for (const one of buttons) one.setAttribute("aria-label", `Download ${one.name}`);
    item.append(title, ...buttons);
    return item;
  }));
}
