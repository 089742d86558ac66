"""The original text, cut into the spans that tokens cover and the text between them."""

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from narrows.data.schema import AttributionDict
from narrows.data.words import find_words, trim_span
from narrows.errors import InputError, one_of

Shaded = Literal["word", "token"]  # what is shaded and listed as one
Part = tuple[int, int, list[int]]  # start, end, token positions

# These change the order of what follows them, so a text could make a map say something else than its scores do.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Span:
    """Part of the original text, or a special token."""

    text: str  # not escaped
    tokens: tuple[int, ...] = ()  # positions of the tokens that cover it; empty for the text between tokens
    score: float = 0.0  # of its tokens, summed
    rank: int | None = None  # the best of its tokens


def segments(attribution: AttributionDict) -> list[str]:
    """Return the texts of a result: one, or two for a pair."""
    pair = attribution["text_pair"]
    return [attribution["text"]] if pair is None else [attribution["text"], pair]


def at_level(attribution: AttributionDict, level: Shaded) -> AttributionDict:
    """Give a result as pictures show it: by words, as it is saved, or by tokens, without its words."""
    one_of("level", level, get_args(Shaded))
    return attribution if level == "word" else {**attribution, "words": []}


def cut(attribution: AttributionDict, segment: int) -> list[Span]:
    """Cut one text of a result into spans that, joined, are that text again: its units, else its tokens."""
    return _cut(attribution, segment, _unit_parts(attribution, segment))


def shaded(attribution: AttributionDict, segment: int) -> list[Span]:
    """Cut one text of a result as pictures shade it: its units, else its words, else its tokens."""
    return _cut(attribution, segment, _unit_parts(attribution, segment) or _word_parts(attribution, segment))


def _cut(attribution: AttributionDict, segment: int, parts: list[Part]) -> list[Span]:
    # Tokens that share characters, as readers see them (byte-level tokenizers cut one emoji into several), make one
    # span. White space at the ends of a token belongs to the text between tokens, so that neighbours do not run into
    # each other.
    text, done = segments(attribution)[segment], 0
    spans: list[Span] = []
    for start, end, members in _clusters(attribution, segment, parts):
        if start > done:
            spans.append(Span(text[done:start]))
        spans.append(_span(attribution, text[start:end], members))
        done = end
    if done < len(text):
        spans.append(Span(text[done:]))
    return spans


def unplaced(attribution: AttributionDict) -> list[Span]:
    """Return what has a score but no place in the text: special tokens, and tokens without characters of their own."""
    placed = {position for span in content(attribution) for position in span.tokens}
    tokens = enumerate(attribution["tokens"])
    return [_span(attribution, token["token"], [place]) for place, token in tokens if place not in placed]


def content(attribution: AttributionDict) -> list[Span]:
    """Return the spans of all texts that tokens cover: what sets the scale of a picture."""
    return [span for segment in range(len(segments(attribution))) for span in cut(attribution, segment) if span.tokens]


def tokens_of_words(attribution: AttributionDict) -> list[tuple[int, ...]]:
    """Return the positions of the tokens of each word."""
    words = attribution["words"]
    order = sorted(range(len(words)), key=lambda place: (words[place]["segment"], words[place]["start"]))
    starts = [(words[place]["segment"], words[place]["start"]) for place in order]
    found: list[list[int]] = [[] for _ in words]
    for position, token in enumerate(attribution["tokens"]):
        if token["special"] or token["start"] is None or token["segment"] is None:
            continue
        if at := bisect_right(starts, (token["segment"], token["start"])):
            word = words[order[at - 1]]
            if word["segment"] == token["segment"] and token["start"] < word["end"]:
                found[order[at - 1]].append(position)
    return list(map(tuple, found))


def read_at(attribution: AttributionDict) -> int | None:
    """Return the position of the token at which a decoder's answer is read, if it was measured by itself."""
    place = attribution["record"].get("read_at")
    return place if isinstance(place, int) and 0 <= place < len(attribution["tokens"]) else None


def compared(attribution: AttributionDict) -> list[Span]:
    """Return the spans that are compared by their shades: what is read at would outshine all others."""
    texts, place = range(len(segments(attribution))), read_at(attribution)
    spans = [span for segment in texts for span in shaded(attribution, segment) if span.tokens]
    return [span for span in spans if place not in span.tokens] or spans


def named(text: str) -> str:
    """Write a text on one line; of one that is blank, say what it is made of."""
    return one_line(text) or repr(text)[1:-1].replace(" ", "\u2423")


def labels(attribution: AttributionDict) -> list[str]:
    """Return a short name for each token: its characters in the text, or its own name where it has none."""
    texts = segments(attribution)
    names = []
    for token in attribution["tokens"]:
        start, end, segment = token["start"], token["end"], token["segment"]
        placed = not token["special"] and start is not None and segment is not None and segment < len(texts)
        inner = texts[segment or 0][start:end] if placed else ""
        names.append(visible(inner.strip()) or named(inner) or visible(token["token"]))
    return names


def same_tokens(one: AttributionDict, other: AttributionDict) -> bool:
    """Tell whether two results are of one text, cut into the same tokens."""
    names = [[token["token"] for token in result["tokens"]] for result in (one, other)]
    return segments(one) == segments(other) and names[0] == names[1]


def check_same_tokens(attributions: Sequence[AttributionDict]) -> None:
    """Raise `InputError` unless results can stand side by side: at least one, all of one text and the same tokens."""
    if not attributions:
        raise InputError("a picture of layers or settings needs at least one attribution, got none")
    for place, other in enumerate(attributions[1:], start=2):
        if not same_tokens(attributions[0], other):
            raise InputError(f"the picture needs one text; number {place} is of a different text or other tokens")


def one_line(text: str, encoding: str = "utf-8") -> str:
    """Return a text on one line, safe to print."""
    return " ".join(visible(text, encoding).split())


def visible(text: str, encoding: str = "utf-8") -> str:
    """Replace by escapes what could act on a screen and what the encoding cannot express; line feeds and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _hidden(c, encoding) else c for c in text)


def _span(attribution: AttributionDict, text: str, members: Sequence[int]) -> Span:
    tokens = [attribution["tokens"][position] for position in members]
    score = sum(token["score"] for token in tokens)
    if units := attribution["units"]:  # tokens outside of them are never removed
        ranks = [unit["rank"] for unit in units if set(members) & set(unit["tokens"])]
    else:
        ranks = [token["rank"] for token in tokens]
    return Span(text, tuple(members), score, min((rank for rank in ranks if rank is not None), default=None))


def _hidden(character: str, encoding: str) -> bool:
    if character in _BIDI_CONTROLS or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return character not in "\n\t"
    return not character.encode(encoding, "ignore")


def _unit_parts(attribution: AttributionDict, segment: int) -> list[Part]:
    units = [unit for unit in attribution["units"] or () if unit["segment"] == segment and unit["tokens"]]
    return [(unit["start"], unit["end"], unit["tokens"]) for unit in units]


def _word_parts(attribution: AttributionDict, segment: int) -> list[Part]:
    """Return the words, but for one of several tokens of which the answer is read at one: that outshines the others."""
    if attribution["units"] or not attribution["words"]:
        return []
    words = find_words(attribution["text"], attribution["text_pair"], attribution["tokens"])
    place = read_at(attribution)
    kept = [word for word in words if word.segment == segment and (place not in word.tokens or len(word.tokens) == 1)]
    placed = [(word, [position for position in word.tokens if _has_place(attribution, position)]) for word in kept]
    return [(word.start, word.end, tokens) for word, tokens in placed if tokens]


def _has_place(attribution: AttributionDict, position: int) -> bool:
    start, end = attribution["tokens"][position]["start"], attribution["tokens"][position]["end"]
    return start is not None and end is not None and start < end


def _clusters(attribution: AttributionDict, segment: int, whole: list[Part]) -> list[Part]:
    """Return the parts of one text that tokens cover, some of them put together to a whole; overlaps are joined."""
    text = segments(attribution)[segment]
    inside = {position for _, _, tokens in whole for position in tokens}
    parts = [(*_covered(text, start, end), tokens) for start, end, tokens in whole]
    parts += [
        (*_covered(text, max(0, token["start"]), min(len(text), token["end"])), [position])
        for position, token in enumerate(attribution["tokens"])
        if token["segment"] == segment and not token["special"] and position not in inside
        if token["start"] is not None and token["end"] is not None
    ]
    clusters: list[Part] = []
    for start, end, positions in sorted(parts):
        if end > start and clusters and start < clusters[-1][1]:
            first, last, members = clusters[-1]
            clusters[-1] = (first, max(last, end), [*members, *positions])
        elif end > start:
            clusters.append((start, end, positions))
    return clusters


def _covered(text: str, start: int, end: int) -> tuple[int, int]:
    """Return what is visible of a span, or all of it where nothing is."""
    first, last = trim_span(text, start, end)
    return (first, last) if first < last else (start, end)
