"""Narrows: what each token contributed to a transformer's prediction, in bits.

An information bottleneck in the model, opened step by step, shows the evidence that every token gives for the
prediction; narrowed by as much noise as the prediction survives, it shows what every token must still transmit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from narrows.attribution import Attribution, Attributions
    from narrows.config import BottleneckConfig
    from narrows.errors import NarrowsError
    from narrows.example import Example
    from narrows.explainer import Explainer
    from narrows.layer_bottleneck import LayerInformationBottleneck
    from narrows.models.corpus import estimate_prior
    from narrows.prior import Prior
    from narrows.target import Answer, Blank, Contrast, Distribution, Tag
    from narrows.words import Word

_HOME = {
    "Answer": "narrows.target",
    "Attribution": "narrows.attribution",
    "Attributions": "narrows.attribution",
    "Blank": "narrows.target",
    "BottleneckConfig": "narrows.config",
    "Contrast": "narrows.target",
    "Distribution": "narrows.target",
    "Example": "narrows.example",
    "Explainer": "narrows.explainer",
    "LayerInformationBottleneck": "narrows.layer_bottleneck",
    "NarrowsError": "narrows.errors",
    "Prior": "narrows.prior",
    "Tag": "narrows.target",
    "Word": "narrows.words",
    "estimate_prior": "narrows.models.corpus",
}

__all__ = [  # noqa: RUF022 - in the order in which a reader meets them
    "Explainer",
    "Attribution",
    "Attributions",
    "Word",
    "Example",
    "Contrast",
    "Distribution",
    "Tag",
    "Answer",
    "Blank",
    "Prior",
    "estimate_prior",
    "BottleneckConfig",
    "LayerInformationBottleneck",
    "NarrowsError",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``import narrows`` alone loads no model code."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
