"""The paper's figures 3 and 5 on texts of our own: bits before and after, layer by layer, beta by beta."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from narrows import Explainer
from narrows.run.settings import BETAS
from narrows.viz.canvas import figure_bytes
from narrows.viz.series import plot_series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REVIEW: Any = (
    "The script is a mess and the pacing drags, but her performance is so warm that I left the cinema smiling."
)
PAIR: Any = {
    "text": "A tired nurse sleeps on a bench outside the hospital.",
    "text_pair": "The nurse is wide awake.",
}
SHOWN = {"imdb": REVIEW, "mnli": PAIR}
COLOURS = 96  # of a picture: enough for its shades, and a fraction of the bytes


def draw_all(models: Path, out: Path) -> dict[str, Any]:
    """Draw the pictures with the models of two data sets, and return the bits that they show."""
    facts: dict[str, Any] = {}
    for name, item in SHOWN.items():
        explainer = Explainer.from_pretrained(str(models / name), method="information")
        layers = explainer.across_layers(item)
        rows = [f"layer {one.layers[0]}" for one in layers if one.layers]
        save_png(plot_series(layers.to_dicts(), rows, "layer"), out / f"figure_3_layers_{name}.png")
        found = explainer(item)
        facts[name] = {"before": found.trace[0].information, "after": float(found.scores.sum())}
    reviewer = str(models / "imdb")
    series = {beta: Explainer.from_pretrained(reviewer, f"paper:beta={beta}")(REVIEW) for beta in BETAS.split(",")}
    drawn = [one.to_dict() for one in series.values()]
    save_png(plot_series(drawn, list(series), "beta"), out / "figure_5_beta.png")
    facts["beta"] = {beta: float(one.scores.sum()) for beta, one in series.items()}
    return facts


def save_png(figure: Figure, path: Path) -> None:
    """Write a picture with few colours, which makes a small file."""
    image = Image.open(io.BytesIO(figure_bytes(figure, "png"))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
