"""The paper's figures 3 and 5 on texts of our own: bits before and after, layer by layer, beta by beta."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from narrows import Explainer
from narrows.run.settings import BETAS
from narrows.viz.canvas import save_figure
from narrows.viz.series import plot_before_after, plot_series

REVIEW = "The script is a mess and the pacing drags, but her performance is so warm that I left the cinema smiling."
PREMISE = "A tired nurse sleeps on a bench outside the hospital."
HYPOTHESIS = "The nurse is wide awake."
BETA_LAYER = 5


def draw_all(out: Path) -> dict[str, Any]:
    """Draw all pictures.

    Args:
        out: Folder for them.

    Returns:
        What they show, for the write-up.
    """
    review: Any = REVIEW
    pair: Any = {"text": PREMISE, "text_pair": HYPOTHESIS}
    facts: dict[str, Any] = {}
    for name, model, item in (("imdb", "sentiment", review), ("mnli", "nli", pair)):
        explainer = Explainer.from_pretrained(model, readout="information")
        layers = [attribution.to_dict() for attribution in explainer.across_layers(item)]
        rows = [f"layer {attribution['layer']}" for attribution in layers]
        save_figure(plot_series(layers, rows, "layer"), out / f"figure_3_layers_{name}")
        # A step too small to move the mask leaves the bits of the open one.
        still = Explainer.from_pretrained(model, steps=1, learning_rate=1e-9)
        before, after = still(item), explainer(item)
        save_figure(plot_before_after(before.to_dict(), after.to_dict()), out / f"figure_3_before_after_{name}")
        facts[name] = {
            "predicted": after.predicted,
            "p": after.probabilities[after.predicted],
            "before": before.total_bits,
            "after": after.total_bits,
        }
    series = []
    betas = BETAS.split(",")
    for beta in betas:
        explainer = Explainer.from_pretrained("sentiment", BETA_LAYER, preset="paper", beta=float(beta))
        series.append(explainer(review).to_dict())
    save_figure(plot_series(series, betas, "beta"), out / "figure_5_beta")
    facts["beta"] = {beta: saved["total_bits"] for beta, saved in zip(betas, series, strict=True)}
    return facts
