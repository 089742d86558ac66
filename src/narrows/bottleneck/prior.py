"""The prior: what an uninformative activation looks like, a Gaussian per feature.

`Prior` holds the Gaussians of every layer of one model, estimated from a corpus. `instance_prior` and `residual_prior`
make one from the text that is explained.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from narrows.data.output import written_whole
from narrows.errors import LayerError, PriorError

RELATIVE_STD_FLOOR = 0.01  # a feature that hardly varies must not count as infinitely surprising
ABSOLUTE_STD_FLOOR = 1e-6  # for a text of one token, where nothing varies at all
RESIDUAL_STD = math.sqrt(1e-5)  # what the authors' released code divides by (a variance of 0 plus its epsilon)
FORMAT = "narrows-prior-1"


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and standard deviation per feature.

    Attributes:
        mean: Broadcastable to (batch, tokens, hidden).
        std: Broadcastable to (batch, tokens, hidden), above zero.
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True, eq=False)
class ModelIdentity:
    """What a prior remembers of its model, so that it is not used with another.

    Attributes:
        name: Where the model came from, for messages only.
        hidden: Size of the activations.
        blocks: Number of blocks.
        probe: A few weights of every parameter, (weights,), float32.
    """

    name: str
    hidden: int
    blocks: int
    probe: Tensor

    def is_same_model(self, other: ModelIdentity) -> bool:
        """Compare two identities.

        Weights may differ as much as a change of dtype makes them differ: bfloat16 keeps 8 bits.

        Args:
            other: The identity to compare with.

        Returns:
            True if both are the same model, whatever its dtype and device.
        """
        if (self.hidden, self.blocks, self.probe.shape) != (other.hidden, other.blocks, other.probe.shape):
            return False
        return torch.allclose(self.probe, other.probe, rtol=0.02, atol=1e-5)


class Moments:
    """Streaming mean and variance of vectors, merged batch by batch in float64 (Chan, Golub and LeVeque 1983).

    Example:
        >>> moments = Moments(1)
        >>> moments.update(torch.tensor([[1.0], [2.0]]))
        >>> moments.update(torch.tensor([[6.0]]))
        >>> moments.mean.item(), round(moments.variance.item(), 4)
        (3.0, 4.6667)
    """

    def __init__(self, hidden: int) -> None:
        self.count = 0
        self.mean = torch.zeros(hidden, dtype=torch.float64)
        self._squares = torch.zeros(hidden, dtype=torch.float64)

    def update(self, vectors: Tensor) -> None:
        """Take in a batch.

        Args:
            vectors: (count, hidden).
        """
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
    """Keep a deviation away from zero: at least 1 % of the root mean square over the features.

    Args:
        std: Standard deviation per feature, (..., hidden).

    Returns:
        The deviation, floored, of the same shape.
    """
    typical = std.square().mean(dim=-1, keepdim=True).sqrt()
    return torch.maximum(std, (typical * RELATIVE_STD_FLOOR).clamp(min=ABSOLUTE_STD_FLOOR))


@dataclass(frozen=True, eq=False)
class Prior:
    """The corpus prior of every layer of one model.

    Attributes:
        mean: (blocks + 1, hidden), float32; row 0 belongs to the output of the embeddings.
        std: (blocks + 1, hidden), float32, above zero.
        count: Number of real tokens it was estimated from.
        model: The model that it belongs to.

    Raises:
        PriorError: If the shapes do not fit, a number is not finite or a deviation is not above zero.
    """

    mean: Tensor
    std: Tensor
    count: int
    model: ModelIdentity

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
    def estimate(cls, batches: Iterable[tuple[Sequence[Tensor], Tensor]], model: ModelIdentity) -> Prior:
        """Estimate from activations, one pass over all layers together.

        Args:
            batches: Pairs of the activations of every layer, each (batch, tokens, hidden), and the mask of real tokens,
                (batch, tokens).
            model: The model that made them.

        Returns:
            The prior.

        Raises:
            PriorError: If there is not one real token.
        """
        moments = [Moments(model.hidden) for _ in range(model.blocks + 1)]
        for activations, real in batches:
            for layer_moments, activation in zip(moments, activations, strict=True):
                layer_moments.update(activation[real])
        if moments[0].count == 0:
            raise PriorError("no text to estimate a prior from: the corpus is empty")
        mean = torch.stack([layer_moments.mean for layer_moments in moments])
        std = torch.stack([floor_std(layer_moments.variance.sqrt()) for layer_moments in moments])
        return cls(mean.float(), std.float(), moments[0].count, model)

    def at(self, layer: int) -> Gaussian:
        """Pick the Gaussian of one layer.

        Args:
            layer: From 0, the embeddings, to the number of blocks.

        Returns:
            Mean and deviation, (hidden,) each.

        Raises:
            LayerError: If the layer is out of range.
        """
        if not 0 <= layer <= self.model.blocks:
            raise LayerError(f"layer {layer} is out of range: the prior has layers 0 to {self.model.blocks}")
        return Gaussian(self.mean[layer], self.std[layer])

    def check_model(self, model: ModelIdentity) -> None:
        """Make sure that the prior belongs to a model.

        Args:
            model: The model that is to be explained.

        Raises:
            PriorError: If the prior was estimated on another model.
        """
        if not self.model.is_same_model(model):
            raise PriorError(
                f"the prior belongs to another model ({self.model.name!r}: hidden size {self.model.hidden}, "
                f"{self.model.blocks} blocks) than {model.name!r} (hidden size {model.hidden}, {model.blocks} blocks); "
                "estimate one with 'narrows prior'"
            )

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that identify the numbers of this prior."""
        digest = hashlib.blake2b(digest_size=6)
        for value in (self.mean, self.std):
            digest.update(value.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write a safetensors file.

        Args:
            path: Where to; an existing file is replaced.

        Raises:
            InputError: If it cannot be written.
        """
        header = {"name": self.model.name, "count": self.count}
        tensors = {"mean": self.mean, "std": self.std, "probe": self.model.probe}
        metadata = {"format": FORMAT, "prior": json.dumps(header)}
        content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
        with written_whole(Path(path)) as partial:
            partial.write_bytes(content)  # not save_file: it makes files that only their owner can read

    @classmethod
    def load(cls, path: str | Path) -> Prior:
        """Read a file written by `save`.

        Args:
            path: The safetensors file.

        Returns:
            The prior.

        Raises:
            PriorError: If the file is missing or is no saved prior.
        """
        if not Path(path).is_file():
            raise PriorError(f"no such prior: {path} (a file, 'instance' or 'residual' is expected)")
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise PriorError(f"{path} is no prior saved by narrows")
                # Copied: a tensor of safetensors is a view of the file, and changes with it.
                mean, std, probe = (file.get_tensor(name).clone() for name in ("mean", "std", "probe"))
            header = json.loads(metadata["prior"])
            blocks, hidden = mean.shape[0] - 1, mean.shape[1]
            return cls(mean, std, int(header["count"]), ModelIdentity(str(header["name"]), hidden, blocks, probe))
        except SafetensorError as error:
            raise PriorError(f"{path} is no readable prior: {error}") from error
        except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
            raise PriorError(f"{path} is no complete prior: {error!r}") from error


def instance_prior(activation: Tensor, real: Tensor) -> Gaussian:
    """Take mean and deviation over the tokens of each text itself: for use where there is no corpus.

    Args:
        activation: X, (batch, tokens, hidden).
        real: True where a token is not padding, (batch, tokens).

    Returns:
        A Gaussian per text, (batch, 1, hidden).
    """
    activation = torch.where(real.unsqueeze(-1), activation, 0.0)  # some models leave NaN at padding
    weight = (real / real.sum(dim=1, keepdim=True)).unsqueeze(-1).to(activation.dtype)
    mean = (activation * weight).sum(dim=1, keepdim=True)
    variance = ((activation - mean).square() * weight).sum(dim=1, keepdim=True)
    return Gaussian(mean, floor_std(variance.sqrt()))


def residual_prior(previous: Tensor) -> Gaussian:
    """Take the previous layer's activation as mean and sqrt(1e-5) as deviation, as the authors' released code does.

    The bottleneck becomes a gate on what the block adds. Kept for comparison with their results.

    Args:
        previous: Activation of the layer before, (batch, tokens, hidden).

    Returns:
        A Gaussian per token, (batch, tokens, hidden).
    """
    return Gaussian(previous, torch.full_like(previous[:1, :1, :1], RESIDUAL_STD))
