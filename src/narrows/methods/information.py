"""The paper's method: as much noise as the prediction survives, and the bits of each token that still had to pass."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from narrows.attribution import Attribution
from narrows.bottleneck.channel import NATS_PER_BIT, as_half, direction, token_bits
from narrows.bottleneck.optimize import Optimization, optimize
from narrows.bottleneck.trace import make_trace
from narrows.methods.cut_model import DEPTH, Layer
from narrows.methods.method import Batch, Names, Site, average


@dataclass(frozen=True)
class InformationBottleneck(Optimization):
    """The information bottleneck of Jiang, Tang, Xin and Lin (Findings of EMNLP 2020).

    Noise is added after one layer, T = lambda X + (1 - lambda) eps, and masks are optimised for each text:

        L = mean over noise copies of -log p(target | T) + beta * mean over tokens and features of KL

    A token's score is the KL that is left, summed over its features, in bits. The defaults are the paper's: one mask
    per feature, beta 1e-5, ten copies, ten steps of torch's Adam with learning rate 1, after three quarters of the
    blocks, rounded up. ``information`` has one mask per token and sets beta by the paper's rule for each text;
    ``information_signed`` adds the direction in which a token speaks; ``released`` takes the released code's prior.

    Raises:
        InputError: If a setting is out of its range.

    Example:
        >>> from narrows import Explainer
        >>> explainer = Explainer.from_pretrained("sentiment", method=InformationBottleneck(steps=5, samples=2))
        >>> bool((explainer("A gorgeous, witty film.").scores >= 0).all())
        True
    """

    layer: Annotated[Layer, "The bottleneck stands after this block; several: the mean; none: 3/4 of them."] = None
    sign: Annotated[bool, "Give each token's bits the direction in which it speaks."] = False
    prior: Annotated[str | None, "File of a prior, 'instance' or 'residual'; none: that of the model."] = None
    features: Annotated[bool, "Keep the map of every feature of a token too."] = False

    names: ClassVar[Names] = {
        "paper": {},
        "information": {"granularity": "token", "beta": "auto"},
        "information_signed": {"granularity": "token", "beta": "auto", "sign": True},
        "released": {"prior": "residual"},
    }
    label, quantity, unit, additive = "IBA", "information", "bits", False

    @property
    def signed(self) -> bool:
        """Whether bits carry a direction."""
        return self.sign

    @property
    def copies(self) -> int:
        """As many as noise copies."""
        return self.samples

    @property
    def caption(self) -> str:
        """What bits are."""
        plain = "A token's score is the number of bits of it that the prediction still needs when noise hides the rest"
        return f"{plain}; a minus marks a token that speaks against the target." if self.sign else f"{plain}."

    @property
    def how(self) -> str:
        """How the masks were found."""
        masks = "feature of a token" if self.granularity == "feature" else "token"
        weight = "a weight set for each text" if self.beta == "auto" else f"weight {self.beta:g}"
        steps = f"{self.steps} steps of Adam with {self.samples} noise copies"
        return f"One mask per {masks}, {steps}, and {weight} on the information."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Optimise the masks at each layer, and average the bits over the layers."""
        prior = batch.cut.find_prior(self.prior)
        layers = batch.cut.layers(self.layer, [math.ceil(DEPTH * batch.cut.blocks)], prior)
        sites, seeds = batch.sites(layers, prior), batch.seeds(self.seed)
        shared = None if all(question.places is None for question in batch.questions) else batch.leaders
        found = [optimize(site.nll, site.activation, site.prior, site.narrowed, self, seeds, shared) for site in sites]
        towards = [evidence_direction(site, batch) if self.sign else 1.0 for site in sites]
        parts = zip(found, sites, towards, strict=True)
        bits = average([token_bits(own.nats, site.narrowed) * way for own, site, way in parts])
        beta, nats, total = map(average, zip(*((o.beta, o.cross_entropy, o.total_nats) for o in found), strict=True))
        if self.features:
            wide = [way.unsqueeze(-1) if isinstance(way, Tensor) else way for way in towards]
            per_feature = average([own.nats / NATS_PER_BIT * way for own, way in zip(found, wide, strict=True)])
        extras: list[dict[str, Any]] = []
        for row in range(len(batch)):
            trace = make_trace(nats[:, row].tolist(), (total[:, row] / NATS_PER_BIT).tolist())
            extras.append({"trace": trace, "record": {"beta": float(f"{float(beta[row]):.6g}")}})
            if self.features:
                extras[-1]["features"] = as_half(per_feature[row, : len(batch.encodings[row])])
        return batch.attributions(self, bits, layers=layers, prior=prior, extras=extras)


def evidence_direction(site: Site, batch: Batch) -> Tensor:
    """Tell if a unit is for or against the target, +-1 or 0, (batch, tokens), halfway to the mean: X is flat."""
    wide = torch.promote_types(site.activation.dtype, torch.float32)
    x = site.activation.detach().to(wide)
    mean = site.prior.mean.to(x).expand_as(x)
    halfway = torch.lerp(mean, x, 0.5).to(site.activation.dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(-site.nll(halfway.unsqueeze(1)).sum(), [halfway])
    along = batch.pooled(direction(gradient.to(wide), x, mean))
    return along.gather(1, batch.leaders).sign()
