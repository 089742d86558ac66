"""The paper's figures 3 and 5 on texts of our own: bits before and after, layer by layer, beta by beta."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from narrows import Explainer
from narrows.run.settings import BETAS
from narrows.viz.canvas import save_figure
from narrows.viz.series import plot_series

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
        explainer = Explainer.from_pretrained(model, method="information")
        layers = [attribution.to_dict() for attribution in explainer.across_layers(item)]
        rows = [f"layer {attribution['layers'][0]}" for attribution in layers]
        save_figure(plot_series(layers, rows, "layer"), out / f"figure_3_layers_{name}")
        # A step too small to move the mask leaves the bits of the open one.
        still = Explainer.from_pretrained(model, method="information:steps=1:learning_rate=1e-9")
        before, after = still(item), explainer(item)
        both, names = [before.to_dict(), after.to_dict()], ["mask open", "after optimisation"]
        save_figure(plot_series(both, names, "information"), out / f"figure_3_before_after_{name}")
        facts[name] = {
            "predicted": after.predicted,
            "p": after.probabilities[after.predicted],
            "before": float(before.scores.sum()),
            "after": float(after.scores.sum()),
        }
    series = []
    betas = BETAS.split(",")
    for beta in betas:
        explainer = Explainer.from_pretrained("sentiment", method=f"paper:layer={BETA_LAYER}:beta={beta}")
        series.append(explainer(review).to_dict())
    save_figure(plot_series(series, betas, "beta"), out / "figure_5_beta")
    totals = [sum(token["score"] for token in saved["tokens"]) for saved in series]
    facts["beta"] = dict(zip(betas, totals, strict=True))
    return facts
