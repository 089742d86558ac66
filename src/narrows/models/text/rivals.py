"""Two continuations of one text, held against each other: the map of one minus that of the other."""

from dataclasses import replace

import numpy as np

from narrows.attribution import Attribution
from narrows.data.units import by_score
from narrows.errors import InputError

CAPTION = (
    "A token's score is the number of bits by which it raises the log-odds of {} against {}; one bit doubles them."
)
BETWEEN = " / "
TOKENS = "target_tokens"  # of a record: what a target is of a vocabulary


def subtract(first: Attribution, second: Attribution) -> Attribution | InputError:
    """Subtract what was found for a continuation from what was found for another; an error where that means nothing."""
    # Both begin with the tokens of the text. Then come the tokens of the first continuation that the model read, and
    # those of the second, whose scores change their sign; ``text_pair`` holds both.
    method = first.method
    if not method["signed"] or method["quantity"] == "information":
        said = f"two continuations are compared by subtracting their maps, and those of {method['label']} have no sign"
        return InputError(f"{said}: choose a method whose scores have one, such as fast or ig")
    start = first.segments.index(1) if 1 in first.segments else len(first.tokens)
    own, other = first.scores[:start], second.scores[:start]
    scores = np.concatenate([own - other, first.scores[start:], -second.scores[start:]])
    texts = [each.target for each in (first, second)]
    shift = len(texts[0]) + len(BETWEEN)
    moved = [offset and (offset[0] + shift, offset[1] + shift) for offset in second.offsets[start:]]
    segments = (*first.segments, *second.segments[start:])
    read = len(segments) > start
    caption = CAPTION.format(*map(repr, texts)) if method["quantity"] == "evidence" else method["caption"]
    rises = None if first.rise is None or second.rise is None else first.rise - second.rise
    return replace(
        first,
        text_pair=BETWEEN.join(texts) if read else None,
        tokens=(*first.tokens, *second.tokens[start:]),
        offsets=(*first.offsets, *moved),
        segments=segments,
        scores=scores,
        ranking=by_score(scores, segments, [unit.tokens for unit in first.units if unit.tokens]),
        target=f"{texts[0]} rather than {texts[1]}",
        probabilities={**first.probabilities, **second.probabilities},
        method={**method, "caption": caption},
        rise=rises,
        record={**first.record, TOKENS: [*first.record.get(TOKENS, []), *second.record.get(TOKENS, [])]},
        trace=(),
        features=None,
    )
