"""The information bottleneck as one method among others: with the default settings, as in the paper, as released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from narrows.attribution import Attribution
from narrows.config import Preset, Settings
from narrows.explainer import Explainer
from narrows.methods.method import Batch, Scores
from narrows.models.hub.loading import Classifier

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class BottleneckMethod:
    """A bottleneck as a `Method` that can give more than scores: whole attributions, each with its trace.

    Attributes:
        layer: It stands after this block; None = by the readout.
        prior: File of a corpus prior, ``"instance"`` or ``"residual"``; None = the model's own, else ``"instance"``.
        preset: The settings to start from.
        settings: Fields of `narrows.BottleneckConfig` that differ from the preset.
    """

    layer: int | None
    prior: str | None
    preset: Preset
    settings: Settings = field(default_factory=Settings)

    def attributions(self, classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Attribution]:
        """Explain a batch.

        Args:
            classifier: The model.
            batch: The texts.
            targets: Index of the target of each.

        Returns:
            One attribution per text.
        """
        explainer = Explainer(
            classifier.model,
            classifier.tokenizer,
            self.layer,
            self.prior or classifier.prior or "instance",
            preset=self.preset,
            max_tokens=batch.limit,
            **self.settings,
        )
        return explainer(list(batch.examples), list(targets))

    def __call__(self, classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        """Explain a batch and keep the scores alone, as every `Method` does."""
        return [attribution.scores for attribution in self.attributions(classifier, batch, targets)]


def narrows(
    layer: int | None = None, prior: str | None = None, preset: Preset = "fast", **settings: Unpack[Settings]
) -> BottleneckMethod:
    """Explain with the bottleneck of `narrows.Explainer`.

    Args:
        layer: It stands after this block; None = after three quarters of the blocks.
        prior: File of a corpus prior, ``"instance"`` or ``"residual"``; None = the model's own, else ``"instance"``.
        preset: The settings to start from.
        **settings: Fields of `narrows.BottleneckConfig` that differ from the preset.

    Returns:
        The method. Its scores are bits, with a sign where the readout gives one.
    """
    return BottleneckMethod(layer, prior, preset, settings)


def iba(layer: int | None = None, prior: str | None = None, **settings: Unpack[Settings]) -> BottleneckMethod:
    """Explain with the bottleneck as the paper describes it: a mask per feature, beta 1e-5, 10 copies, 10 steps.

    Args:
        layer: As for `narrows`.
        prior: As for `narrows`.
        **settings: Fields of `narrows.BottleneckConfig` that differ from the paper's.

    Returns:
        The method.
    """
    return narrows(layer, prior, "paper", **settings)


def iba_released(layer: int | None = None, **settings: Unpack[Settings]) -> BottleneckMethod:
    """Explain with the paper's settings and the prior of the released code: the layer before, hardly any noise.

    Args:
        layer: As for `narrows`, at least 1.
        **settings: Fields of `narrows.BottleneckConfig` that differ from the paper's.

    Returns:
        The method.
    """
    return narrows(layer, "residual", "paper", **settings)
