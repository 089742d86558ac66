"""Sinks: tokens whose activation is an outlier in norm. Attention rests on them; what they say of the text is little.

In most decoders the first position is one (Xiao et al. 2024, "Efficient Streaming Language Models with Attention
Sinks"; Sun et al. 2024, "Massive Activations in Large Language Models"). A mean over all tokens would be the sink's,
and narrowing a sink changes the attention of the whole text. So sinks are left out of the prior, and held open.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

OUTLIER = 4.0  # times the median norm of a layer
PART = 1 / 3  # of the layers; at fewer, an outlier may be what the head reads, or a word like any other
FEWEST = 4  # texts with a position, or occurrences of a token, before it can be a sink

Run = tuple[Sequence[Tensor], Tensor, Tensor]
"""Activations of every layer, (batch, tokens, hidden) each, the token ids and which are real, (batch, tokens)."""


@dataclass(frozen=True)
class Sinks:
    """Which tokens of a text are sinks in one model."""

    positions: tuple[int, ...] = ()  # from the start of a text
    tokens: tuple[int, ...] = ()  # ids of tokens that are sinks wherever they stand

    def of(self, ids: Tensor, real: Tensor) -> Tensor | None:
        """Find the sinks of some texts, (batch, tokens); None without any. A text keeps a token that is none."""
        if not self.positions and not self.tokens:
            return None
        found = torch.isin(ids, torch.tensor(self.tokens, dtype=ids.dtype, device=ids.device))
        found[:, [place for place in self.positions if place < ids.shape[1]]] = True
        found &= real
        found &= (real & ~found).any(dim=1, keepdim=True)
        return found if found.any() else None


def find_sinks(runs: Sequence[Run]) -> Sinks:
    """Find the positions and the tokens that are outliers in norm in most texts, at `PART` of the layers or more."""
    share = torch.cat([own.flatten() for own in _share_of_layers(runs)])
    where = torch.cat([torch.arange(ids.shape[1], device=ids.device).expand_as(ids).flatten() for _, ids, _ in runs])
    token = torch.cat([ids.flatten() for _, ids, _ in runs])
    real = torch.cat([own.flatten() for *_, own in runs])
    positions = _mostly(where[real], share[real] >= PART)
    other = real & ~torch.isin(where, torch.tensor(positions, dtype=where.dtype, device=where.device))
    return Sinks(positions, _mostly(token[other], share[other] >= PART))


def _share_of_layers(runs: Sequence[Run]) -> list[Tensor]:
    """Count at what share of the layers each token is an outlier: (batch, tokens) for each run."""
    # First tokens do not count in the median: in short texts, a sink there would be what is usual.
    counts = [torch.zeros(real.shape, device=real.device) for *_, real in runs]
    for layer in zip(*(activations for activations, *_ in runs), strict=True):
        norms = [activation.detach().float().norm(dim=-1) for activation in layer]
        pairs = [(norm, real) for norm, (*_, real) in zip(norms, runs, strict=True)]
        later = torch.cat([norm[:, 1:][real[:, 1:]] for norm, real in pairs])
        usual = (later if len(later) else torch.cat([norm[real] for norm, real in pairs])).median()
        counts = [count + (norm > OUTLIER * usual) for count, norm in zip(counts, norms, strict=True)]
    return [count / len(runs[0][0]) for count in counts]


def _mostly(kinds: Tensor, outlier: Tensor) -> tuple[int, ...]:
    """List the kinds of tokens, (tokens,), most of which are outliers, (tokens,)."""
    every, found = Counter(kinds.tolist()), Counter(kinds[outlier].tolist())
    return tuple(sorted(kind for kind, count in found.items() if every[kind] >= FEWEST and 2 * count > every[kind]))
