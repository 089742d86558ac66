"""The ceiling of the drop at 1/9 for all methods: the removal that lowers p(target) most, found by beam search."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import count
from narrows.evaluation.degradation import removal_counts
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal, remove


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
    """Find the ninth of each text's content tokens without which its target is least likely; `width` 1 = greedy.

    Example:
        >>> from narrows import Example, Explainer
        >>> from narrows.models.text.encoding import encode
        >>> sentiment = Explainer.from_pretrained("sentiment")
        >>> encoding = encode(sentiment.tokenizer, Example("The plot is thin, but the acting is superb."), None)
        >>> (worst,) = find_worst_removals(sentiment.model, sentiment.tokenizer, [encoding], [1])
        >>> [encoding.tokens[position] for position in worst.positions]
        ['superb']
    """
    count("width", width)
    check_removal(removal, tokenizer)

    def best(encoding: Encoding, target: int, sets: Sequence[frozenset[int]]) -> list[tuple[float, frozenset[int]]]:
        p = predict(model, tokenizer, [remove(encoding, gone, removal, tokenizer) for gone in sets])[:, target]
        return sorted(zip(p.tolist(), sets, strict=True), key=lambda item: item[0])[:width]

    found = []
    for encoding, target in zip(encodings, targets, strict=True):
        content = [i for i, segment in enumerate(encoding.segments) if segment is not None]
        beam = best(encoding, target, [frozenset()])
        untouched = beam[0][0]
        for _ in range(min(removal_counts(len(content))[1], len(content))):
            # Once each, in an order that does not depend on how sets are stored: of two equals the first is kept.
            grown = dict.fromkeys(gone | {i} for _, gone in beam for i in content if i not in gone)
            beam = best(encoding, target, list(grown))
        found.append(WorstRemoval(tuple(sorted(beam[0][1])), untouched, beam[0][0]))
    return found
