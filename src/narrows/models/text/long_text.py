"""Texts that are longer than a model takes: refused, cut with a warning, or read in overlapping windows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from narrows.attribution import Attribution
from narrows.data.example import Example
from narrows.data.units import by_score, group_by_places
from narrows.errors import InputError
from narrows.models.text.encoding import Encoding, encode, take

LongTexts = Literal["truncate", "windows", "error"]  # cut a text that is too long, with a warning; divide it; refuse it
OVERLAP = 0.25  # share of a window that the next one repeats


@dataclass(frozen=True)
class Pieces:
    """A text, all its tokens, and for every piece that the model gets, the positions of its tokens in the whole."""

    example: Example
    whole: Encoding
    places: tuple[tuple[int, ...], ...]

    def encodings(self) -> list[Encoding]:
        """Return the encoding of each piece."""
        return [take(self.whole, places) for places in self.places]


def divide(
    tokenizer: PreTrainedTokenizerBase, example: Example, limit: int | None, policy: LongTexts = "truncate"
) -> Pieces:
    """Encode a text; one beyond the limit is cut, refused, or divided into windows (of a pair, the longer text)."""
    whole = encode(tokenizer, example, limit if policy == "truncate" else None)
    if limit is None or len(whole) <= limit:
        return Pieces(example, whole, (tuple(range(len(whole))),))
    if policy == "error":
        advice = f"shorten {example.text!r:.60}, or choose long_texts='truncate' or 'windows'"
        raise InputError(f"{len(whole)} tokens, but the model takes {limit}: {advice}")
    counts = [whole.segments.count(segment) for segment in (0, 1)]
    divided = counts.index(max(counts))
    room = limit - (len(whole) - counts[divided])
    if room < 1:
        raise InputError(f"{limit} tokens leave no room for a window beside the other text of {example.text!r:.60}")
    return Pieces(example, whole, tuple(_windows(whole, divided, room)))


def _windows(whole: Encoding, divided: int, room: int) -> list[tuple[int, ...]]:
    """Slide a window over one of the texts; everything else, special tokens included, is in every window."""
    positions = [position for position, segment in enumerate(whole.segments) if segment == divided]
    step = max(room - int(room * OVERLAP), 1)
    starts = range(0, max(len(positions) - room, 0) + step, step)
    firsts = [min(start, len(positions) - room) for start in starts]  # the last window is as long as the others
    inside = [set(positions[first : first + room]) for first in firsts]
    return [tuple(p for p, s in enumerate(whole.segments) if s != divided or p in own) for own in inside]


def merge(pieces: Pieces, attributions: Sequence[Attribution]) -> Attribution:
    """Put the maps of the pieces of a text together: the mean of what a token has in each, and of the probabilities."""
    first, whole = attributions[0], pieces.whole
    if len(attributions) == 1:
        return first

    def averaged(values: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        total = np.zeros((len(whole), *values[0].shape[1:]))
        for places, own in zip(pieces.places, values, strict=True):
            total[list(places)] += own
        return np.asarray((total.T / count).T, dtype=np.float64)

    count = np.bincount([place for places in pieces.places for place in places], minlength=len(whole))
    texts = (first.text, first.text_pair)
    units = group_by_places(texts, whole.offsets, whole.segments, first.places or ())
    scores = averaged([own.scores for own in attributions])
    features = [own.features for own in attributions if own.features is not None]
    p = {label: float(np.mean([own.probabilities[label] for own in attributions])) for label in first.probabilities}
    betas = [own.record["beta"] for own in attributions if "beta" in own.record]
    record = {**first.record, "windows": len(attributions), **({"unknown": whole.unknown} if whole.unknown else {})}
    record |= {"beta": float(np.mean(betas))} if betas else {}
    typical = [own.typical for own in attributions if own.typical is not None]
    return replace(
        first,
        tokens=whole.tokens,
        offsets=whole.offsets,
        segments=whole.segments,
        scores=scores,
        ranking=by_score(scores, whole.segments, [unit for unit in units if unit]),
        predicted=max(p, key=lambda label: p[label]),
        probabilities=p,
        trace=(),  # the windows were optimised one by one
        typical=float(np.mean(typical)) if typical else None,
        rise=None,
        method={**first.method, "additive": False},  # each adds up to the rise of its own window
        record=record,
        features=averaged(features).astype(np.float16) if features else None,
    )
