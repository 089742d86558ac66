"""The information bottleneck as one method among others: with the default settings, as in the paper, as released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from narrows.config import Preset, Settings
from narrows.explainer import Explainer
from narrows.methods.method import Batch, Method, Scores
from narrows.models.loading import Classifier

if TYPE_CHECKING:
    from typing_extensions import Unpack


def narrows(
    layer: int | None = None, prior: str | None = None, preset: Preset = "fast", **settings: Unpack[Settings]
) -> Method:
    """Explain with the bottleneck of `narrows.Explainer`.

    Args:
        layer: It stands after this block; None = after three quarters of the blocks.
        prior: File of a corpus prior, ``"instance"`` or ``"residual"``; None = the model's own, else ``"instance"``.
        preset: The settings to start from.
        **settings: Fields of `narrows.BottleneckConfig` that differ from the preset.

    Returns:
        The method. Its scores are bits, with a sign where the readout gives one.
    """

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        explainer = Explainer(
            classifier.model,
            classifier.tokenizer,
            layer,
            prior or classifier.prior or "instance",
            preset=preset,
            max_tokens=batch.limit,
            **settings,
        )
        return [attribution.scores for attribution in explainer(list(batch.examples), list(targets))]

    return explain


def iba(layer: int | None = None, prior: str | None = None, **settings: Unpack[Settings]) -> Method:
    """Explain with the bottleneck as the paper describes it: a mask per feature, beta 1e-5, 10 copies, 10 steps.

    Args:
        layer: As for `narrows`.
        prior: As for `narrows`.
        **settings: Fields of `narrows.BottleneckConfig` that differ from the paper's.

    Returns:
        The method.
    """
    return narrows(layer, prior, "paper", **settings)


def iba_released(layer: int | None = None, **settings: Unpack[Settings]) -> Method:
    """Explain with the paper's settings and the prior of the released code: the layer before, hardly any noise.

    Args:
        layer: As for `narrows`, at least 1.
        **settings: Fields of `narrows.BottleneckConfig` that differ from the paper's.

    Returns:
        The method.
    """
    return narrows(layer, "residual", "paper", **settings)
