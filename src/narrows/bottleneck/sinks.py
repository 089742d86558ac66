"""Sinks: tokens whose activation is an outlier in norm. Attention rests on them; what they say of the text is little.

In most decoders the first position is one (Xiao et al. 2024, "Efficient Streaming Language Models with Attention
Sinks"; Sun et al. 2024, "Massive Activations in Large Language Models"), in some also words such as "the" or a comma, at
some layers. A mean over all tokens would be the sink's, and a sink that is narrowed takes the whole text with it. So
sinks are left out of the prior, and held open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

OUTLIER = 4.0  # times the median norm of a layer
FEWEST = 4  # texts that must have a position before it can be a sink


@dataclass(frozen=True, eq=False)
class Sinks:
    """What tells sinks from other tokens of a model.

    Attributes:
        norms: Median norm of the tokens at each layer, (layers,).
        positions: Positions from the start of a text that are sinks in most texts: held open at every layer, since a
            sink at a deep layer is made at the layers before.
    """

    norms: Tensor
    positions: tuple[int, ...] = ()

    def of(self, layer: int, activation: Tensor, real: Tensor) -> Tensor | None:
        """Find the sinks among the real tokens, (batch, tokens), of X, (batch, tokens, hidden); None if there are none.

        One is at each of the `positions`, and wherever the norm is `OUTLIER` times the median. A text keeps at least
        one token that is none.
        """
        found = outliers(activation, real, self.norms[layer].to(activation.device))
        places = torch.tensor([place for place in self.positions if place < real.shape[1]], device=real.device)
        found[:, places.long()] = True
        found &= real
        found &= (real & ~found).any(dim=1, keepdim=True)
        return found if found.any() else None


def outliers(activation: Tensor, real: Tensor, norm: Tensor) -> Tensor:
    """Tell which real tokens, (batch, tokens), have a norm far above the usual one, (), or of each text, (batch, 1)."""
    return (_norms(activation) > OUTLIER * norm) & real


def outliers_of_each(activation: Tensor, real: Tensor) -> Tensor | None:
    """Find the sinks, (batch, tokens), by the median norm of each text's own real tokens; None if there are none."""
    norms = _norms(activation).masked_fill(~real, torch.nan)
    found = outliers(activation, real, norms.nanmedian(dim=1, keepdim=True).values)
    return found if found.any() else None


def find_sinks(batches: Sequence[tuple[Sequence[Tensor], Tensor]]) -> Sinks:
    """Find the sinks of a model from some texts: activations of each layer, (batch, tokens, hidden), and real tokens.

    The first tokens of the texts do not count in the median, or in short texts a sink there would be what is usual.
    """
    longest = max(real.shape[1] for _, real in batches)
    texts = sum(_padded(real.sum(dim=0), longest) for _, real in batches)  # that have a position, (tokens,)
    norms, found = [], set[int]()
    for layer in zip(*(activations for activations, _ in batches), strict=True):
        later = [_norms(own)[:, 1:][real[:, 1:]] for own, (_, real) in zip(layer, batches, strict=True)]
        every = [_norms(own)[real] for own, (_, real) in zip(layer, batches, strict=True)]
        norm = torch.cat(later if any(map(len, later)) else every).median()
        often = sum(
            _padded(outliers(own, real, norm).sum(dim=0), longest) for own, (_, real) in zip(layer, batches, strict=True)
        )
        found |= set(((texts >= FEWEST) & (2 * often > texts)).nonzero().flatten().tolist())
        norms.append(norm.cpu())
    return Sinks(torch.stack(norms), tuple(sorted(found)))


def _norms(activation: Tensor) -> Tensor:
    """Give the norm of each token, (batch, tokens)."""
    return activation.detach().float().norm(dim=-1)


def _padded(counts: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(counts, (0, length - len(counts)))
