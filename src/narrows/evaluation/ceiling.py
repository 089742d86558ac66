"""The ceiling of the drop at 1/9: the removal that lowers p(target) most, found by beam search in the model itself.

The search makes the same removals as the degradation test, so it is not an attribution method but a bound for all of
them; to be exact, a lower bound of that bound, because a beam may miss the best set of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import InputError
from narrows.evaluation.degradation import removal_counts
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal, remove

_Gone = frozenset[int]


@dataclass(frozen=True)
class WorstRemoval:
    """The ninth of the content tokens whose removal lowers p(target) most, of those that were tried."""

    positions: tuple[int, ...]  # of the removed tokens, rising
    untouched: float  # p(target) of the whole text
    probability: float  # p(target) without them

    @property
    def drop(self) -> float:
        """The fall of p(target), to compare with the drop at 1/9 of a method."""
        return self.untouched - self.probability


def find_worst_removals(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encodings: Sequence[Encoding],
    targets: Sequence[int],
    width: int = 5,
    removal: Removal = "delete",
) -> list[WorstRemoval]:
    """Find the ninth of each text's content tokens without which its target is least likely.

    Sets of tokens grow by one token at a time; of all sets of one size only the best grow further. The search needs
    about width * tokens^2 / 9 predictions per text.

    Args:
        model: The classifier; left unchanged.
        tokenizer: Its tokenizer.
        encodings: The texts.
        targets: Index of the target of each text.
        width: Sets that are kept of each size; 1 = greedy.
        removal: ``delete``, ``mask`` or ``attention``.

    Returns:
        One per text; nothing is removed from a text without content tokens.

    Raises:
        InputError: If the width is below 1, or there is no such removal.

    Example:
        >>> from narrows.data.example import Example
        >>> from narrows.models.text.encoding import encode
        >>> from narrows.models.hub.loading import load_classifier
        >>> sentiment, text = load_classifier("sentiment"), Example("The plot is thin, but the acting is superb.")
        >>> encoding = encode(sentiment.tokenizer, text, None)
        >>> (worst,) = find_worst_removals(sentiment.model, sentiment.tokenizer, [encoding], [1])
        >>> [encoding.tokens[position] for position in worst.positions]
        ['superb']
    """
    if width < 1:
        raise InputError(f"the width of the beam must be at least 1, not {width}")
    check_removal(removal, tokenizer)

    def chances(removals: Sequence[tuple[int, _Gone]]) -> list[float]:
        without = [remove(encodings[text], gone, removal, tokenizer) for text, gone in removals]
        p = predict(model, tokenizer, without)
        return [float(row[targets[text]]) for (text, _), row in zip(removals, p, strict=True)]

    contents = [[i for i, segment in enumerate(encoding.segments) if segment is not None] for encoding in encodings]
    wanted = [min(removal_counts(len(content))[1], len(content)) for content in contents]
    nothing = [(text, _Gone()) for text in range(len(encodings))]
    untouched = chances(nothing)
    beams: list[dict[_Gone, float]] = [{_Gone(): p} for p in untouched]
    for size in range(1, max(wanted, default=0) + 1):
        grown = [
            (text, candidate)
            for text in range(len(encodings))
            if size <= wanted[text]
            # Once each, in an order that does not depend on how sets are stored: of two equals the first is kept.
            for candidate in dict.fromkeys(gone | {i} for gone in beams[text] for i in contents[text] if i not in gone)
        ]
        found: dict[int, dict[_Gone, float]] = {}
        for (text, gone), p in zip(grown, chances(grown), strict=True):
            found.setdefault(text, {})[gone] = p
        for text, sets in found.items():
            beams[text] = dict(sorted(sets.items(), key=lambda item: item[1])[:width])
    best = [next(iter(beam.items())) for beam in beams]
    return [WorstRemoval(tuple(sorted(gone)), p, left) for p, (gone, left) in zip(untouched, best, strict=True)]
