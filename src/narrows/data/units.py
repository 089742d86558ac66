"""Units: spans of characters whose tokens are scored, masked and removed together: words, sentences, messages, any."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, Literal, get_args

from narrows.data.example import Example
from narrows.data.schema import TokenDict, UnitDict
from narrows.data.words import group_tokens, trim_span, word_span
from narrows.errors import InputError, need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UnitKind = Literal["token", "word", "sentence", "message"]
UnitOf = UnitKind | Sequence[Sequence[int]]
"""What is scored as one: a kind, or spans, (start, end) of a text, (segment, start, end) of a pair."""

Place = tuple[int, int, int]  # of a unit: segment, offset of its first character, offset after its last
Texts = Sequence[str | None]  # text and text_pair
Offset = tuple[int, int] | None  # of a token in the text of its segment; None for a special token


@dataclass(frozen=True)
class Unit:
    """One unit: what its tokens scored together, and when it would be removed."""

    text: str  # as it stands in the original string
    start: int  # offset of its first character
    end: int  # offset after its last character
    segment: int  # 0 = text, 1 = text_pair
    tokens: tuple[int, ...]  # positions of its tokens; none where the model read nothing of it
    score: float  # sum of the scores of its tokens, in the unit of the method
    rank: int | None  # 1 = the first to be removed; None where it has no tokens


def check_kind(kind: str) -> None:
    """Raise an `InputError` if there is no such kind of unit, a `DependencyError` if it needs a package."""
    if kind not in get_args(UnitKind):
        raise InputError(f"unit_of must be one of {', '.join(get_args(UnitKind))}, or spans, not {kind!r}")
    if kind == "sentence":
        _splitter()


def find_places(
    unit_of: UnitOf, example: Example, offsets: Sequence[Offset], segments: Sequence[int | None]
) -> tuple[Place, ...] | None:
    """Find where the units of an encoded text are; None = each token is one."""
    if not isinstance(unit_of, str):
        places = read_places(unit_of, (example.text, example.text_pair))
    elif unit_of == "token":
        return None
    elif unit_of == "word":
        places = tuple(_words(example, offsets, segments))
    elif unit_of == "sentence":
        places = tuple(_sentences(example))
    elif unit_of == "message" and example.parts is not None:
        places = tuple((0, start, end) for start, end in example.parts)
    else:
        check_kind(unit_of)
        raise InputError(f"unit_of='message' needs the messages of a chat, not the text {example.text!r:.60}")
    if not any(group_by_places((example.text, example.text_pair), offsets, segments, places)):
        raise InputError(f"no token of {example.text!r:.60} is in any of the {len(places)} units")
    return places


def group_by_places(
    texts: Texts, offsets: Sequence[Offset], segments: Sequence[int | None], places: Sequence[Place]
) -> list[tuple[int, ...]]:
    """List the positions of the tokens of each unit: a token is in the one that holds its first visible character."""
    # A token of white space between units goes with the token that follows, or at the end with the one before, as in
    # words. Other tokens outside of all units, and special ones, are in none.
    groups: list[list[int]] = [[] for _ in places]
    for segment, text in enumerate(texts):
        numbers = [number for number, place in enumerate(places) if place[0] == segment]
        starts = [places[number][1] for number in numbers]
        waiting: list[int] = []  # white space between units
        owner: int | None = None
        for position, offset in enumerate(offsets):
            if segments[position] != segment or offset is None:
                continue
            first, last = trim_span(text or "", *offset)
            at = first if first < last else offset[0]
            near = bisect_right(starts, at) - 1
            held = numbers[near] if near >= 0 and at < places[numbers[near]][2] else None
            waiting.append(position)
            if held is not None or first < last:
                owner = held
                if owner is not None:
                    groups[owner] += waiting
                waiting = []
        if owner is not None:
            groups[owner] += waiting
    return [tuple(group) for group in groups]


def find_units(texts: Texts, tokens: Sequence[TokenDict], places: Sequence[Place]) -> tuple[Unit, ...]:
    """Sum the scores of the tokens of each unit; units are ranked as the best of their tokens are."""
    offsets = [None if t["start"] is None or t["end"] is None else (t["start"], t["end"]) for t in tokens]
    groups = group_by_places(texts, offsets, [token["segment"] for token in tokens], places)
    best = [min((rank for place in group if (rank := tokens[place]["rank"])), default=0) for group in groups]
    ranks = {of_token: rank for rank, of_token in enumerate(sorted(filter(None, best)), 1)}
    return tuple(
        Unit(
            text=(texts[segment] or "")[start:end],
            start=start,
            end=end,
            segment=segment,
            tokens=group,
            score=math.fsum(tokens[place]["score"] for place in group),
            rank=ranks.get(of_token),
        )
        for (segment, start, end), group, of_token in zip(places, groups, best, strict=True)
    )


def read_places(spans: Iterable[Iterable[int]], texts: Texts) -> tuple[Place, ...]:
    """Read spans, (start, end) of a text, (segment, start, end) of a pair; or an `InputError`."""
    # They must be in the order in which they stand in the text, and have no character in common.
    places: list[Place] = []
    single = texts[1] is None
    for number, span in enumerate(spans):
        try:
            numbers = tuple(index(value) for value in span)
            segment, start, end = (0, *numbers) if single and len(numbers) == 2 else numbers
        except (TypeError, ValueError) as error:
            wanted = "(start, end)" if single else "(segment, start, end)"
            raise InputError(f"span {number} must be {wanted}, offsets of characters, not {span!r:.60}") from error
        text = texts[segment] if segment in (0, 1) else None
        if text is None or not 0 <= start <= end <= len(text):
            sizes = ", ".join(f"{len(own)} characters in segment {n}" for n, own in enumerate(texts) if own is not None)
            raise InputError(f"span {number}, {span!r:.60}, is no part of the text: there are {sizes}")
        if places and (segment, start) < (places[-1][0], places[-1][2]):
            raise InputError(f"span {number}, {span!r:.60}, begins before the end of the one before it")
        places.append((segment, start, end))
    return tuple(places)


def by_score(
    scores: "NDArray[np.float64]", segments: Sequence[int | None], units: Sequence[Sequence[int]] = ()
) -> tuple[int, ...]:
    """Rank the tokens of a text by falling scores, (tokens,), ties by position: their positions."""
    # Units, the positions of their tokens, come first, whole, by falling sums of their scores.
    inside = {position for unit in units for position in unit}
    others = [place for place, segment in enumerate(segments) if segment is not None and place not in inside]
    ranked = sorted(units, key=lambda unit: (-math.fsum(scores[list(unit)]), unit[0]))
    ranked += sorted(([place] for place in others), key=lambda place: (-scores[place[0]], place))
    return tuple(place for unit in ranked for place in unit)


def by_unit(ranking: Sequence[int], units: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Rank whole units, the positions of their tokens, each as the first of its tokens that is in a ranking."""
    of_token = {position: unit for unit in units for position in unit}
    wholes = dict.fromkeys(tuple(of_token.get(position, (position,))) for position in ranking)
    return tuple(position for unit in sorted(wholes, key=lambda unit: unit[0] not in of_token) for position in unit)


def saved_places(saved: Mapping[str, Any]) -> tuple[Place, ...] | None:
    """Read where the units of a saved result are; None where each token is one."""
    if (units := saved["units"]) is None:
        return None
    spans = [(unit["segment"], unit["start"], unit["end"]) for unit in units]
    return read_places(spans, (saved["text"], saved["text_pair"]))


def saved_ranking(saved: Mapping[str, Any]) -> tuple[int, ...]:
    """Read the ranking of a saved result: positions of the content tokens, the first to be removed first."""
    ranked = [(token["rank"], place) for place, token in enumerate(saved["tokens"]) if token["rank"] is not None]
    return tuple(place for _, place in sorted(ranked))


def unit_dicts(units: Sequence[Unit]) -> list[UnitDict]:
    """Give units in the form of the record."""
    return [{**vars(unit), "tokens": list(unit.tokens)} for unit in units]  # type: ignore[typeddict-item]


def sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Find the sentences of a text, or of a part of it, without the white space between them: (start, end) each.

    Example:
        >>> sentences("Dr. Ito waved. We left!")
        [(0, 14), (15, 23)]
    """
    found = []
    for piece in _splitter().segment("en", text[start:end]):  # its rules for other languages differ in abbreviations
        first, last = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        start += len(piece)
        visible = trim_span(text, first, last)
        if visible[0] < visible[1]:
            found.append((first, last))
    return found


def _splitter() -> Any:
    return need("sentencex", 'sentences need sentencex: pip install "narrows[units]"')


def _sentences(example: Example) -> Iterator[Place]:
    for segment, text in enumerate((example.text, example.text_pair or "")):
        parts = example.parts if segment == 0 and example.parts is not None else ((0, len(text)),)
        for part in parts:
            yield from ((segment, start, end) for start, end in sentences(text, *part))


def _words(example: Example, offsets: Sequence[Offset], segments: Sequence[int | None]) -> Iterator[Place]:
    """Find the words of `narrows.data.words`."""
    for segment, text in enumerate((example.text, example.text_pair or "")):
        pairs = zip(offsets, segments, strict=True)
        spans = [offset for offset, own in pairs if own == segment and offset is not None]
        for group in group_tokens(text, spans):
            start, end = word_span(text, [spans[token] for token in group])
            yield segment, start, end
