"""Narrows: what each token contributed to a transformer's prediction.

Evidence: integrated gradients at inner layers, from the mean of a corpus, in bits of log-odds. Information: the bits of
each token that must pass an information bottleneck for the prediction to survive. And eleven methods to compare with.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from narrows.attribution import Attribution, Attributions
    from narrows.bottleneck.module import LayerInformationBottleneck
    from narrows.bottleneck.optimize import Optimization
    from narrows.bottleneck.prior import Prior
    from narrows.data.example import Example
    from narrows.data.words import Word
    from narrows.errors import NarrowsError
    from narrows.evaluation.calibrate import calibrate
    from narrows.explainer import Explainer
    from narrows.generation import GenerationAttribution
    from narrows.methods.evidence import Evidence
    from narrows.methods.information import InformationBottleneck
    from narrows.models.corpus import estimate_prior
    from narrows.models.heads.target import Answer, Blank, Contrast, Distribution, Tag

_HOME = {
    "Answer": "narrows.models.heads.target",
    "Attribution": "narrows.attribution",
    "Attributions": "narrows.attribution",
    "Blank": "narrows.models.heads.target",
    "Evidence": "narrows.methods.evidence",
    "InformationBottleneck": "narrows.methods.information",
    "Contrast": "narrows.models.heads.target",
    "Distribution": "narrows.models.heads.target",
    "Example": "narrows.data.example",
    "Explainer": "narrows.explainer",
    "GenerationAttribution": "narrows.generation",
    "LayerInformationBottleneck": "narrows.bottleneck.module",
    "NarrowsError": "narrows.errors",
    "Optimization": "narrows.bottleneck.optimize",
    "Prior": "narrows.bottleneck.prior",
    "Tag": "narrows.models.heads.target",
    "Word": "narrows.data.words",
    "calibrate": "narrows.evaluation.calibrate",
    "estimate_prior": "narrows.models.corpus",
}

__all__ = [  # noqa: RUF022 - in the order in which a reader meets them
    "Explainer",
    "Evidence",
    "InformationBottleneck",
    "Attribution",
    "Attributions",
    "GenerationAttribution",
    "Word",
    "Example",
    "Contrast",
    "Distribution",
    "Tag",
    "Answer",
    "Blank",
    "Prior",
    "calibrate",
    "estimate_prior",
    "LayerInformationBottleneck",
    "Optimization",
    "NarrowsError",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``import narrows`` alone loads no model code."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
