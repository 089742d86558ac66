"""The prior: what an uninformative activation looks like, a Gaussian per feature.

`Prior` holds the Gaussians of every layer of one model, estimated from a corpus. `InstancePrior` and `ResidualPrior`
take them from the text that is explained. All are an `AnyPrior`; a new one is a class here and a line in `PRIORS`.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from narrows.bottleneck.sinks import Run, Sinks, find_sinks
from narrows.data.calibration import Calibration
from narrows.data.output import write_whole
from narrows.errors import LayerError, PriorError, shown

RELATIVE_STD_FLOOR = 0.01  # a feature that hardly varies must not count as infinitely surprising
ABSOLUTE_STD_FLOOR = 1e-6  # for a text of one token, where nothing varies at all
RESIDUAL_STD = math.sqrt(1e-5)  # what the authors' released code divides by (a variance of 0 plus its epsilon)
FORMAT, OLDER = "narrows-prior-2", "narrows-prior-1"
LOOKED_AT = 16  # texts in which sinks are found, at least
PROBED_WEIGHTS = 4  # per parameter: enough to distinguish two checkpoints of one architecture


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and standard deviation per feature, above zero, broadcastable to (batch, tokens, hidden)."""

    mean: Tensor
    std: Tensor


class AnyPrior(Protocol):
    """Gives the Gaussian of a layer, for a batch of texts."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def per_text(self) -> bool:
        """Whether it differs from text to text."""

    @property
    def sinks(self) -> Sinks | None:
        """Which tokens are held open; None = those that a few texts of our own show."""

    def needs(self, layer: int) -> tuple[int, ...]:
        """Layers whose activations it looks at, for the Gaussian of a layer; a `LayerError` if it has none there."""

    def at(self, layer: int, activations: Mapping[int, Tensor], narrowed: Tensor) -> "Gaussian":
        """Give the Gaussian of a layer, from 0, the embeddings; narrowed: neither padding nor held, (batch, tokens)."""


@dataclass(frozen=True, eq=False)
class ModelIdentity:
    """What a prior knows of its model, so as to fit no other; probe: four weights of every parameter, (weights,)."""

    name: str
    hidden: int
    blocks: int
    probe: Tensor

    def differences(self, other: "ModelIdentity") -> list[str]:
        """Say what differs; nothing if both are one model, whatever its dtype and device: bfloat16 keeps 8 bits."""
        sizes = {"hidden size": (self.hidden, other.hidden), "blocks": (self.blocks, other.blocks)}
        found = [f"{what} {one}, not {another}" for what, (one, another) in sizes.items() if one != another]
        one, another = (len(identity.probe) // PROBED_WEIGHTS for identity in (self, other))
        if self.probe.shape != other.probe.shape:
            why = "" if found else " (is one of them quantised?)"
            return [*found, f"{one} parameters, not {another}{why}"]
        changed = ~torch.isclose(self.probe, other.probe, rtol=0.02, atol=1e-5)
        count = int(changed.view(-1, PROBED_WEIGHTS).any(dim=1).sum())
        return [*found, f"weights of {count} of {one} parameters"] if count else found


class Moments:
    """Streaming mean and variance of vectors, merged batch by batch in float64 (Chan, Golub and LeVeque 1983)."""

    def __init__(self, hidden: int) -> None:
        self.count = 0
        self.mean = torch.zeros(hidden, dtype=torch.float64)
        self._squares = torch.zeros(hidden, dtype=torch.float64)

    def update(self, vectors: Tensor) -> None:
        """Add a batch of vectors, (count, hidden)."""
        if len(vectors) == 0:
            return
        batch = vectors.detach().to(torch.float32).cpu().to(torch.float64)
        batch_mean = batch.mean(dim=0)
        total = self.count + len(batch)
        shift = batch_mean - self.mean
        self._squares += (batch - batch_mean).square().sum(dim=0) + shift.square() * (self.count * len(batch) / total)
        self.mean += shift * (len(batch) / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """Population variance per feature, (hidden,), float64."""
        return self._squares / max(self.count, 1)


def floor_std(std: Tensor) -> Tensor:
    """Keep a deviation, (..., hidden), away from zero: at least 1 % of the root mean square over the features."""
    typical = std.square().mean(dim=-1, keepdim=True).sqrt()
    return torch.maximum(std, (typical * RELATIVE_STD_FLOOR).clamp(min=ABSOLUTE_STD_FLOOR))


@dataclass(frozen=True, eq=False, repr=False)
class Prior:
    """The corpus prior of every layer of one model; a `PriorError` if shapes or numbers cannot be those of one.

    Attributes:
        mean: (blocks + 1, hidden), float32; row 0 belongs to the output of the embeddings. Sinks are left out.
        std: (blocks + 1, hidden), float32, above zero; likewise.
        count: Number of real tokens it was estimated from.
        model: The model that it belongs to.
        sinks: Which tokens were left out of it, and are held open.
        calibration: What maps that are made with it are worth; None where it was only estimated.
    """

    per_text: ClassVar[bool] = False
    mean: Tensor
    std: Tensor
    count: int
    model: "ModelIdentity"
    sinks: Sinks = field(default_factory=Sinks)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        expected = (self.model.blocks + 1, self.model.hidden)
        for name, value in (("mean", self.mean), ("std", self.std)):
            if tuple(value.shape) != expected:
                raise PriorError(f"{name} of the prior has shape {tuple(value.shape)}; its model needs {expected}")
            if not torch.isfinite(value).all():
                raise PriorError(f"{name} of the prior holds NaN or infinity")
        if not (self.std > 0).all():
            raise PriorError("a standard deviation of the prior is not above zero")

    @classmethod
    def estimate(cls, runs: Iterable[Run], model: "ModelIdentity") -> "Prior":
        """Estimate all layers at once, from runs of the model: activations of each layer, token ids, real tokens.

        Sinks are found in the first texts, and left out of all. Without a real token: a `PriorError`.
        """
        moments = [Moments(model.hidden) for _ in range(model.blocks + 1)]
        stream, first = iter(runs), list[Run]()
        while sum(len(real) for *_, real in first) < LOOKED_AT and (run := next(stream, None)) is not None:
            first.append(run)
        if not any(real.any() for *_, real in first):
            raise PriorError("no text to estimate a prior from: the corpus is empty")
        sinks, count = find_sinks(first), 0
        for activations, ids, real in chain(first, stream):
            count += int(real.sum())
            held = sinks.of(ids, real)
            taken = real if held is None else real & ~held
            for layer_moments, activation in zip(moments, activations, strict=True):
                layer_moments.update(activation[taken])
        mean = torch.stack([layer_moments.mean for layer_moments in moments])
        std = torch.stack([floor_std(layer_moments.variance.sqrt()) for layer_moments in moments])
        return cls(mean.float(), std.float(), count, model, sinks)

    def __repr__(self) -> str:
        sizes = f"{self.model.blocks} blocks of {self.model.hidden} features"
        typical = self.calibration.typical_text if self.calibration is not None else ""
        return f"Prior({self.name!r}, {self.count:,} tokens, {sizes}{typical and f'; {typical}'})"

    @property
    def name(self) -> str:
        """``corpus`` and the digest."""
        return f"corpus {self.digest}"

    def needs(self, layer: int) -> tuple[int, ...]:
        """No activations; a `LayerError` if the layer is out of range."""
        if not 0 <= layer <= self.model.blocks:
            raise LayerError(f"layer {layer} is out of range: the prior has layers 0 to {self.model.blocks}")
        return ()

    def at(
        self, layer: int, activations: Mapping[int, Tensor] | None = None, narrowed: Tensor | None = None
    ) -> "Gaussian":
        """Give mean and deviation of a layer, (hidden,) each, from 0, the embeddings; it needs nothing else."""
        self.needs(layer)
        return Gaussian(self.mean[layer], self.std[layer])

    def check_model(self, model: "ModelIdentity") -> None:
        """Raise a `PriorError` if the prior was estimated on another model."""
        if differing := self.model.differences(model):
            both = f"the prior belongs to another model ({self.model.name!r}) than {model.name!r}"
            raise PriorError(f"{both}: {'; '.join(differing)}; make one with 'narrows calibrate'")

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that identify the numbers of this prior."""
        digest = hashlib.blake2b(digest_size=6)
        for value in (self.mean, self.std):
            digest.update(value.contiguous().numpy().tobytes())
        digest.update(repr(self.sinks).encode())
        if self.calibration is not None:
            digest.update(json.dumps(self.calibration.to_dict()).encode())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, which replaces an existing one; an `InputError` if it cannot be written."""
        header: dict[str, Any] = {"name": self.model.name, "count": self.count, "sinks": asdict(self.sinks)}
        header["calibration"] = None if self.calibration is None else self.calibration.to_dict()
        tensors = {"mean": self.mean, "std": self.std, "probe": self.model.probe}
        metadata = {"format": FORMAT, "prior": json.dumps(header)}
        content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
        write_whole(Path(path), content)  # not save_file: it makes files that only their owner can read

    @classmethod
    def load(cls, path: str | Path) -> "Prior":
        """Read a file written by `save`; a `PriorError` if it is missing or is no saved prior."""
        if not Path(path).is_file():
            raise PriorError(f"no such prior: {path} is no file, and the priors without one are {', '.join(PRIORS)}")
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") == OLDER:
                    raise PriorError(
                        "was made before sinks were left out of priors: make it again, 'narrows calibrate'"
                    )
                if metadata.get("format") != FORMAT:
                    raise PriorError("is no prior saved by narrows")
                # Copied: a tensor of safetensors is a view of the file, and changes with it.
                mean, std, probe = (file.get_tensor(name).clone() for name in ("mean", "std", "probe"))
            header = json.loads(metadata["prior"])
            sinks = Sinks(**{name: tuple(map(int, found)) for name, found in header["sinks"].items()})
            identity = ModelIdentity(str(header["name"]), mean.shape[1], mean.shape[0] - 1, probe)
            known = header.get("calibration")
            calibration = None if known is None else Calibration.from_dict(known)
            return cls(mean, std, int(header["count"]), identity, sinks, calibration)
        except SafetensorError as error:
            raise PriorError(f"{path} is no readable prior: {error}") from error
        except OSError as error:
            raise PriorError(f"{path} cannot be read: {error.strerror or error}") from error
        except PriorError as error:
            raise PriorError(f"{path}: {error}") from error
        except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
            raise PriorError(f"{path} is no complete prior: {error!r}") from error


@dataclass(frozen=True)
class InstancePrior:
    """Mean and deviation over the tokens of each text itself, without sinks: for use where there is no corpus."""

    name: ClassVar[str] = "instance"
    per_text: ClassVar[bool] = True
    sinks: ClassVar[Sinks | None] = None

    def needs(self, layer: int) -> tuple[int, ...]:
        """The layer itself."""
        return (layer,)

    def at(self, layer: int, activations: Mapping[int, Tensor], narrowed: Tensor) -> "Gaussian":
        """Give a Gaussian per text, (batch, 1, hidden)."""
        return gaussian_of_each(activations[layer], narrowed)


def gaussian_of_each(activation: Tensor, taken: Tensor) -> Gaussian:
    """Give mean and deviation over some tokens of each text, (batch, tokens): (batch, 1, hidden) each."""
    wide = activation.to(torch.promote_types(activation.dtype, torch.float32))
    wide = torch.where(taken.unsqueeze(-1), wide, 0.0)  # some models leave NaN at padding
    weight = (taken / taken.sum(dim=1, keepdim=True)).unsqueeze(-1).to(wide.dtype)
    mean = (wide * weight).sum(dim=1, keepdim=True)
    variance = ((wide - mean).square() * weight).sum(dim=1, keepdim=True)
    return Gaussian(mean, floor_std(variance.sqrt()))


@dataclass(frozen=True)
class ResidualPrior:
    """The previous layer's activation as mean and sqrt(1e-5) as deviation, as the paper's released code has it.

    The bottleneck becomes a gate on what the block adds. Kept for comparison with the paper's results.
    """

    name: ClassVar[str] = "residual"
    per_text: ClassVar[bool] = True
    sinks: ClassVar[Sinks | None] = Sinks()

    def needs(self, layer: int) -> tuple[int, ...]:
        """The layer before; there is none before layer 0."""
        if layer < 1:
            raise LayerError("the residual prior needs a layer before: choose layer 1 or above")
        return (layer - 1,)

    def at(self, layer: int, activations: Mapping[int, Tensor], narrowed: Tensor) -> "Gaussian":
        """Give a Gaussian per token, (batch, tokens, hidden)."""
        previous = activations[layer - 1]
        mean = previous.to(torch.promote_types(previous.dtype, torch.float32))
        return Gaussian(mean, torch.full_like(mean, RESIDUAL_STD))


PRIORS: "Mapping[str, AnyPrior]" = {"instance": InstancePrior(), "residual": ResidualPrior()}
"""Priors that need no file, by name."""


def find_prior(prior: "AnyPrior | str | Path") -> "AnyPrior":
    """Find a prior by its name in `PRIORS` or its file; a prior is returned as it is. Else a `PriorError`."""
    if not isinstance(prior, str | Path):
        if isinstance(prior, type) or not hasattr(prior, "needs"):
            raise PriorError(f"a prior is a Prior, a file, 'instance' or 'residual', not {shown(prior)}")
        return prior
    return PRIORS.get(str(prior)) or Prior.load(prior)
