"""Texts that are longer than a model takes: refused, cut with a warning, or read in overlapping windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from transformers import PreTrainedTokenizerBase

from narrows.attribution import Attribution, by_score
from narrows.data.example import Example
from narrows.errors import InputError
from narrows.models.text.encoding import Encoding, encode, take

LongTexts = Literal["truncate", "windows", "error"]
"""How to treat a text that is too long: cut it, with a warning; read it in windows; or refuse it."""

OVERLAP = 0.25  # share of a window that the next one repeats


@dataclass(frozen=True)
class Pieces:
    """A text, all its tokens, and for every piece that the model gets, the positions of its tokens in the whole."""

    example: Example
    whole: Encoding
    places: tuple[tuple[int, ...], ...]

    def encodings(self) -> list[Encoding]:
        """Return the encoding of each piece."""
        if len(self.places) == 1:
            return [self.whole]
        return [take(self.whole, places) for places in self.places]


def check_policy(policy: str) -> None:
    """Raise an InputError if there is no such way to treat long texts."""
    if policy not in get_args(LongTexts):
        raise InputError(f"long_texts must be one of {', '.join(get_args(LongTexts))}, not {policy!r}")


def divide(
    tokenizer: PreTrainedTokenizerBase, example: Example, limit: int | None, policy: LongTexts = "truncate"
) -> Pieces:
    """Encode a text; one beyond the limit is cut, refused, or divided into windows (of a pair, the longer text)."""
    whole = encode(tokenizer, example, limit if policy == "truncate" else None)
    if limit is None or len(whole) <= limit:
        return Pieces(example, whole, (tuple(range(len(whole))),))
    if policy == "error":
        raise InputError(
            f"{len(whole)} tokens, but the model takes {limit}: shorten {example.text!r:.60}, or choose "
            "long_texts='truncate' or 'windows'"
        )
    counts = [whole.segments.count(segment) for segment in (0, 1)]
    divided = counts.index(max(counts))
    room = limit - (len(whole) - counts[divided])
    if room < 1:
        raise InputError(
            f"{limit} tokens leave no room for a window beside the other text of the pair {example.text!r:.60}"
        )
    return Pieces(example, whole, tuple(_windows(whole, divided, room)))


def _windows(whole: Encoding, divided: int, room: int) -> list[tuple[int, ...]]:
    """Slide a window over one of the texts; everything else, special tokens included, is in every window."""
    positions = [position for position, segment in enumerate(whole.segments) if segment == divided]
    step = max(room - int(room * OVERLAP), 1)
    starts = range(0, max(len(positions) - room, 0) + step, step)
    windows = []
    for start in starts:
        first = min(start, len(positions) - room)  # the last window is as long as the others
        inside = set(positions[first : first + room])
        windows.append(tuple(p for p, s in enumerate(whole.segments) if s != divided or p in inside))
    return windows


def merge(pieces: Pieces, attributions: Sequence[Attribution]) -> Attribution:
    """Put the maps of the pieces of a text together.

    A token that stands in several windows gets the mean of what it has there, so do the probabilities. There is no
    trace: the windows were optimised one by one.

    Args:
        pieces: The text and its pieces.
        attributions: One per piece, all with the same target.

    Returns:
        The map of the whole text.
    """
    first = attributions[0]
    if len(attributions) == 1:
        return first
    size = len(pieces.whole)
    count, scores = np.zeros(size), np.zeros(size)
    features = None if first.features is None else np.zeros((size, first.features.shape[1]))
    for places, own in zip(pieces.places, attributions, strict=True):
        chosen = list(places)
        count[chosen] += 1
        scores[chosen] += own.scores
        if features is not None and own.features is not None:
            features[chosen] += own.features
    probabilities = {
        label: float(np.mean([own.probabilities[label] for own in attributions])) for label in first.probabilities
    }
    betas = [own.record["beta"] for own in attributions if "beta" in own.record]
    typical = [own.typical for own in attributions if own.typical is not None]
    return replace(
        first,
        tokens=pieces.whole.tokens,
        offsets=pieces.whole.offsets,
        segments=pieces.whole.segments,
        scores=scores / count,
        ranking=by_score(scores / count, pieces.whole.segments),
        predicted=max(probabilities, key=lambda label: probabilities[label]),
        probabilities=probabilities,
        trace=(),
        typical=float(np.mean(typical)) if typical else None,
        rise=None,
        record={**first.record, **({"beta": float(np.mean(betas))} if betas else {}), "windows": len(attributions)},
        features=None if features is None else (features / count[:, None]).astype(np.float16),
    )
