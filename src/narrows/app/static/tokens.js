// Tokens are buttons: a click, Enter or Space tells the server which. After it has drawn anew, focus returns to the same one.
let chosen = null;

const draw = () => {
  element.innerHTML = props.value || "";
  if (chosen !== null) {
    const token = [...element.querySelectorAll("[data-tokens]")].find((one) => one.dataset.tokens === chosen);
    if (token) token.focus();
  }
};

const choose = (event) => {
  const token = event.target.closest ? event.target.closest("[data-tokens]") : null;
  if (!token) return;
  event.preventDefault();
  chosen = token.dataset.tokens;
  trigger("select", { tokens: chosen });
};

element.addEventListener("click", choose);
element.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") choose(event);
});
watch("value", draw);
draw();
