for (const root of document.querySelectorAll(".narrows-generation:not([data-ready])")) {
  root.dataset.ready = "";
  const { outputs, before, after } = JSON.parse(root.dataset.outputs);
  const spans = [...root.querySelectorAll("[data-span]")];
  const buttons = [...root.querySelectorAll("[data-output]")];
  const said = root.querySelector(".said");
  const [low, high] = ["low", "high"].map((end) => root.querySelector(`[data-${end}]`));
  const sum = { said: said.textContent, ends: [low.textContent, high.textContent], spans: spans.map((span) => [span.className, span.dataset.tip]) };
  let kept = null;
  let shown = null;

  const show = (number) => {
    if (number === shown) return;
    shown = number;
    const output = outputs[number];
    spans.forEach((span, place) => {
      const [name, tip] = sum.spans[place];
      if (!output) {
        span.className = name;
        span.dataset.tip = tip;
        return;
      }
      const level = output.levels[place] ?? 0;
      const own = span.dataset.output === String(number);
      const extra = (span.dataset.output === undefined ? "" : " ask") + (own ? " asked" : "");
      span.className = `t ${level < 0 ? "m" : "p"}${Math.abs(level)}${extra}`;
      const text = output.scores[place] ? `${before}${output.scores[place]}${after}` : "comes later";
      span.dataset.tip = own ? `${output.name} is what the shades are for` : `${span.dataset.name}: ${text}, for ${output.name}`;
    });
    root.toggleAttribute("data-shown", Boolean(output));
    said.textContent = (output ?? sum).said;
    [low.textContent, high.textContent] = (output ?? sum).ends;
  };

  const keep = (number) => {
    kept = number;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.output === String(kept)));
    show(kept);
    const box = root.querySelector(".prompt");
    const best = kept === null ? null : outputs[kept].levels.reduce(
      (found, level, place) => box.contains(spans[place]) && Math.abs(level) > found[0] ? [Math.abs(level), place] : found,
      [0, null],
    )[1];
    if (best === null) return;
    const [inner, outer] = [spans[best].getBoundingClientRect(), box.getBoundingClientRect()];
    if (inner.top < outer.top || inner.bottom > outer.bottom) box.scrollTop += inner.top - outer.top - outer.height / 2;
  };

  buttons.forEach((button, place) => {
    const number = Number(button.dataset.output);
    button.addEventListener("mouseenter", () => show(number));
    button.addEventListener("mouseleave", () => show(kept));
    button.addEventListener("focus", () => show(number));
    button.addEventListener("blur", () => show(kept));
    button.addEventListener("click", () => keep(kept === number ? null : number));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") keep(kept === number ? null : number);
      else if (event.key === "Escape") keep(null);
      else if (step && buttons[place + step]) buttons[place + step].focus();
      else return;
      event.preventDefault();
    });
  });
}
