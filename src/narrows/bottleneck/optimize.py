"""The loop over masks: as much noise as the prediction survives.

For every text of a batch, alpha minimises

    L = mean over noise copies of -log p(target | T) + beta * mean over real tokens and features of KL

(paper, equation 5). The texts share the forward passes and nothing else: each has its own alpha, beta and noise.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Literal

import torch
from torch import Tensor

from narrows.bottleneck.channel import information, insert_noise, widened
from narrows.bottleneck.prior import Gaussian
from narrows.errors import InputError, count

AUTO_BETA_RATIO = 10.0  # the paper's rule: beta = 10 * cross-entropy / information at the first step
AUTO_BETA_FLOOR = 0.1  # the largest beta at which predictions were measured to survive

MOST = 1_000_000  # steps, samples, ...: beyond is a slip of the keyboard, which would fill the memory

NegativeLogLikelihood = Callable[[Tensor], Tensor]
"""Maps bottlenecked activations (batch, samples, tokens, hidden) to -log p(target) in nats, (batch, samples)."""


@dataclass(frozen=True)
class Optimization:
    """How the masks of a bottleneck are optimised. The defaults are the paper's; out of range is an `InputError`.

    Example:
        >>> Optimization(steps=0)
        Traceback (most recent call last):
        narrows.errors.InputError: steps must be a whole number of at least 1, not 0
    """

    granularity: Annotated[Literal["feature", "token"], "One mask per token and feature, or one per token."] = "feature"
    beta: Annotated[float | Literal["auto"], "Weight of the information; 'auto': by the paper's rule, per text."] = 1e-5
    steps: Annotated[int, "Updates of the masks."] = 10
    samples: Annotated[int, "Noise copies per step."] = 10
    learning_rate: Annotated[float, "Learning rate of Adam."] = 1.0
    initial_alpha: Annotated[float, "Logit of the first mask; 5 opens it to 0.9933."] = 5.0
    adam_eps: Annotated[float, "Epsilon of Adam; the default is torch's."] = 1e-8
    seed: Annotated[int, "Seed of the noise; each text has its own, made of this one and the text."] = 0

    def __post_init__(self) -> None:
        if self.granularity not in ("feature", "token"):
            raise InputError(f"granularity must be 'feature' or 'token', not {self.granularity!r}")
        check_counts(self, "steps", "samples")
        if self.beta != "auto":
            check_numbers(self, "beta", above_zero=False)
        check_numbers(self, "learning_rate", "adam_eps", above_zero=True)
        if not _is_number(self.initial_alpha):
            raise InputError(f"initial_alpha must be a finite number, not {self.initial_alpha!r}")
        check_seed(self.seed)


def check_seed(seed: object) -> None:
    """Raise an `InputError` unless a seed is a whole number from 0 to 2**63 - 1, which every generator takes."""
    count("seed", seed, 0, 2**63 - 1)


def check_counts(settings: object, *names: str) -> None:
    """Raise an `InputError` unless these settings are whole numbers from 1 to `MOST`."""
    for name in names:
        count(name, getattr(settings, name), most=MOST)


def check_numbers(settings: object, *names: str, above_zero: bool) -> None:
    """Raise an `InputError` unless these settings are finite numbers, above 0 or at least 0."""
    for name in names:
        value = getattr(settings, name)
        if not _is_number(value) or value < 0 or (above_zero and value == 0):
            raise InputError(f"{name} must be a number {'above' if above_zero else 'of at least'} 0, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class OptimizedBottleneck:
    """Where a batch arrived: alpha, (batch, tokens, hidden or 1), nats per element, 0 at padding, beta, (batch,)."""

    # Cross-entropy and total nats, (steps + 1, batch), are those before each update, and after the last.
    alpha: Tensor
    nats: Tensor
    beta: Tensor
    cross_entropy: Tensor
    total_nats: Tensor


def text_seed(seed: int, *texts: str | None) -> int:
    """Hash a seed and the texts to a seed of 63 bits for that instance, the same in whatever batch it is."""
    digest = hashlib.blake2b(repr((seed, texts)).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") >> 1


class NoiseSource:
    """Standard normal noise, one generator per text, so that padding and neighbours do not change what a text draws."""

    def __init__(self, seeds: Sequence[int], real: Tensor, hidden: int) -> None:
        """Set up a generator per text; real: True where a token is not padding, (batch, tokens)."""
        self._generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self._real = real.cpu()
        self._hidden = hidden

    def draw(self, samples: int) -> Tensor:
        """Draw one step's noise on the CPU, the same everywhere: (batch, samples, tokens, hidden), 0 at padding."""
        batch, tokens = self._real.shape
        noise = torch.zeros(batch, samples, tokens, self._hidden, dtype=torch.float32, device="cpu")
        for copy, generator, real in zip(noise, self._generators, self._real, strict=True):
            shape = (samples, int(real.sum()), self._hidden)
            copy[:, real] = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        return noise


def weigh_information(settings: Optimization, cross_entropy: Tensor, mean_nats: Tensor) -> Tensor:
    """Fix beta, (batch,): the number, or the paper's rule with a floor: a sure model would ask for no compression."""
    if settings.beta != "auto":
        return torch.full_like(cross_entropy, float(settings.beta))
    return (AUTO_BETA_RATIO * cross_entropy / mean_nats).clamp(min=AUTO_BETA_FLOOR)


def optimize(
    nll: NegativeLogLikelihood,
    activation: Tensor,
    prior: Gaussian,
    real: Tensor,
    settings: Optimization,
    seeds: Sequence[int],
    shared: Tensor | None = None,
) -> OptimizedBottleneck:
    """Optimise the masks of a batch; X, (batch, tokens, hidden), of any floating dtype, the masks in float32 at least.

    The prior is broadcastable to X; real is True where a token is not padding, (batch, tokens); seeds are one per text.
    Shared names the token whose masks each token has, (batch, tokens), for units of several tokens; None = its own.
    """
    x = widened(activation, real)
    mean, std = prior.mean.to(x).expand_as(x), prior.std.to(x).expand_as(x)
    source = NoiseSource(seeds, real, x.shape[-1])
    weight = real.to(x).unsqueeze(-1)  # (batch, tokens, 1)
    elements = weight.sum(dim=(1, 2)) * x.shape[-1]  # (batch,)
    width = x.shape[-1] if settings.granularity == "feature" else 1
    alpha = torch.full(
        (*x.shape[:2], width), settings.initial_alpha, dtype=x.dtype, device=x.device, requires_grad=True
    )
    adam = torch.optim.Adam([alpha], lr=settings.learning_rate, eps=settings.adam_eps)

    def masks() -> Tensor:
        return alpha if shared is None else alpha.take_along_dim(shared.unsqueeze(-1), dim=1)

    def cross_entropy() -> Tensor:
        noise = mean.unsqueeze(1) + std.unsqueeze(1) * source.draw(settings.samples).to(x)
        bottlenecked = insert_noise(x.unsqueeze(1), masks().unsqueeze(1), noise)  # (batch, samples, tokens, hidden)
        return nll(bottlenecked.to(activation.dtype)).to(x.dtype).mean(dim=1)

    cross_entropies, totals = [], []
    beta = torch.zeros_like(elements)
    for step in range(settings.steps):
        ce = cross_entropy()
        total = (information(x, masks(), mean, std) * weight).sum(dim=(1, 2))
        if step == 0:
            beta = weigh_information(settings, ce.detach(), total.detach() / elements)
        # The loss of each text as written. The model's part and the prior's part are added in float32 or better: beta
        # times a mean over many elements may not fit in the model's half precision.
        (of_prediction,) = torch.autograd.grad(ce.sum(), [alpha])
        (of_information,) = torch.autograd.grad((beta * total / elements).sum(), [alpha])
        alpha.grad = of_prediction + of_information
        adam.step()
        cross_entropies.append(ce.detach())
        totals.append(total.detach())

    with torch.no_grad():
        nats = information(x, masks(), mean, std) * weight
        cross_entropies.append(cross_entropy())
        totals.append(nats.sum(dim=(1, 2)))
    return OptimizedBottleneck(masks().detach(), nats, beta, torch.stack(cross_entropies), torch.stack(totals))
