"""Narrows: what each token contributed to a transformer's prediction.

Evidence: integrated gradients at inner layers, from the mean of a corpus, in bits of log-odds. Information: the bits of
each token that must pass an information bottleneck for the prediction to survive. Other methods stand beside them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from narrows.attribution import Attribution as Attribution
    from narrows.attributions import Attributions as Attributions
    from narrows.bottleneck.module import LayerInformationBottleneck as LayerInformationBottleneck
    from narrows.bottleneck.optimize import Optimization as Optimization
    from narrows.bottleneck.prior import Prior as Prior
    from narrows.data.example import Example as Example
    from narrows.data.words import Word as Word
    from narrows.errors import NarrowsError as NarrowsError
    from narrows.evaluation.calibrate import calibrate as calibrate
    from narrows.explainer import Explainer as Explainer
    from narrows.generation import GenerationAttribution as GenerationAttribution
    from narrows.methods.evidence import Evidence as Evidence
    from narrows.methods.information import InformationBottleneck as InformationBottleneck
    from narrows.models.corpus import estimate_prior as estimate_prior
    from narrows.models.heads.target import Answer as Answer
    from narrows.models.heads.target import Blank as Blank
    from narrows.models.heads.target import Contrast as Contrast
    from narrows.models.heads.target import Distribution as Distribution
    from narrows.models.heads.target import Tag as Tag

# In the order in which a reader meets them.
_HOME = {
    "Explainer": "narrows.explainer",
    "Evidence": "narrows.methods.evidence",
    "InformationBottleneck": "narrows.methods.information",
    "Attribution": "narrows.attribution",
    "Attributions": "narrows.attributions",
    "GenerationAttribution": "narrows.generation",
    "Word": "narrows.data.words",
    "Example": "narrows.data.example",
    **dict.fromkeys(("Contrast", "Distribution", "Tag", "Answer", "Blank"), "narrows.models.heads.target"),
    "Prior": "narrows.bottleneck.prior",
    "calibrate": "narrows.evaluation.calibrate",
    "estimate_prior": "narrows.models.corpus",
    "LayerInformationBottleneck": "narrows.bottleneck.module",
    "Optimization": "narrows.bottleneck.optimize",
    "NarrowsError": "narrows.errors",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``import narrows`` alone loads no model code."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
