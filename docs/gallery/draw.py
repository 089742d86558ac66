"""Draws the pictures of docs/gallery.md: ``figures``, ``language``, and those of the ``page``, in a Chromium here.

``both`` puts the map and the response beside each other, for the README: it draws nothing, and runs no model.

python docs/gallery/draw.py figures language page both
"""

from __future__ import annotations

import io
import runpy
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from narrows import Explainer
from narrows.app.desk import Desk
from narrows.app.shelf import Shelf
from narrows.run.settings import BETAS
from narrows.viz.canvas import figure_bytes
from narrows.viz.figure import plot_text
from narrows.viz.series import plot_series
from narrows.viz.trace import plot_rate, plot_trace

HERE = Path(__file__).parent
REVIEW = "The plot is thin, but the acting is superb."
PAIR: Any = {
    "text": "A tired nurse sleeps on a bench outside the hospital.",
    "text_pair": "The nurse is wide awake.",
}
CAPITALS = "The capital of France is Paris. The capital of Italy is"
PAGES = (("page_light", "light", 1180), ("page_dark", "dark", 1180), ("page_narrow", "light", 360))
COLOURS = 128  # of a picture: enough for its shades, and a fraction of the bytes


def save_png(name: str, content: bytes) -> None:
    """Write a picture with few colours, which makes a small file."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(HERE / f"{name}.png", optimize=True)


def draw_figures() -> None:
    """Draw one map, labels and methods beside each other, layers, betas, the rate and the trace."""
    fast = Explainer.from_pretrained("sentiment")
    labels = [fast(REVIEW, label).to_dict() for label in ("positive", "negative")]
    methods = [Explainer.from_pretrained("sentiment", name)(REVIEW).to_dict() for name in ("fast", "ig", "occlusion")]
    pair = Explainer.from_pretrained("nli")(PAIR).to_dict()
    layers = Explainer.from_pretrained("nli", "information").across_layers(PAIR).to_dicts()
    by_beta = {
        beta: Explainer.from_pretrained("sentiment", f"information:beta={beta}")(REVIEW).to_dict()
        for beta in BETAS.split(",")
    }
    series = list(by_beta.values())
    figures: dict[str, Any] = {
        "map": plot_text([pair]),
        "labels": plot_text(labels),
        "methods": plot_text(methods),
        "layers": plot_series(layers, [str(layer) for layer in range(len(layers))], "layer", "all"),
        "betas": plot_series(series, list(by_beta), "beta"),
        "rate": plot_rate({"beta": series}),
        "trace": plot_trace({f"beta {beta}": by_beta[beta] for beta in ("1e-3", "1e-1", "1")}),
    }
    for name, figure in figures.items():
        save_png(name, figure_bytes(figure, "png"))


def draw_language() -> None:
    """Draw a response token by token, and the sentences of a context, with the demo language model."""
    example = runpy.run_path(str(HERE.parents[1] / "examples" / "context_sentences.py"))
    explainer = Explainer.from_pretrained("lm")
    response = explainer.generate(CAPITALS, max_new_tokens=10)
    save_png("generation", figure_bytes(response.plot().get_figure(), "png"))
    best = Explainer(explainer.model, explainer.tokenizer, "best", explainer.prior)
    context = example["explain_sentences"](best)
    example["print_units"](context)
    save_png("context", figure_bytes(plot_text([context.to_dict()]), "png"))


def join() -> None:
    """Put a map and a response beside each other."""
    one, other = (Image.open(HERE / f"{name}.png").convert("RGB") for name in ("map", "generation"))
    joined = Image.new("RGB", (one.width + 40 + other.width, max(one.height, other.height)), "white")
    joined.paste(one, (0, (joined.height - one.height) // 2))
    joined.paste(other, (one.width + 40, 0))
    content = io.BytesIO()
    joined.save(content, "png")
    save_png("both", content.getvalue())


def draw_page(desk: Desk) -> None:
    """Take pictures of the page: light, dark with words struck out, in a narrow window."""
    from playwright.sync_api import sync_playwright

    from narrows.app.server import stoppable

    ready, told = threading.Event(), []
    run, stop = stoppable(desk, 0, lambda address: (told.append(address), ready.set()))  # type: ignore[func-returns-value]
    threading.Thread(target=run, daemon=True).start()
    ready.wait()
    with sync_playwright() as started:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, scheme, width in PAGES:
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.set_default_timeout(600_000)
            page.goto(told[0])
            page.locator("#removal .chart").wait_for()
            page.locator("#status:empty").wait_for(state="attached")
            if name == "page_dark":
                page.get_by_role("button", name="Strike out what flips it").click()
                page.locator("#removal .now").wait_for()
            page.mouse.move(0, 0)
            if name == "page_narrow":
                page.locator("#map").evaluate("node => node.scrollIntoView()")
            page.wait_for_timeout(500)
            save_png(name, page.screenshot(full_page=name != "page_narrow"))
        browser.close()
    stop()


if __name__ == "__main__":
    if "figures" in sys.argv[1:]:
        draw_figures()
    if "language" in sys.argv[1:]:
        draw_language()
    if "both" in sys.argv[1:]:
        join()
    if "page" in sys.argv[1:]:
        draw_page(Desk(Shelf(["sentiment", "topic", "nli", "rte"], device="cpu")))
