"""Words: runs of tokens, found by the tokens' offsets into the original string."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from narrows.data.schema import TokenDict, WordDict

APOSTROPHES = "'\u2019"
UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True)
class Word:
    """One word: what its tokens scored together, and the best of their ranks.

    Attributes:
        text: The word as it stands in the original string.
        start: Offset of its first character.
        end: Offset after its last character.
        segment: 0 = text, 1 = text_pair.
        tokens: Positions of its tokens.
        score: Sum of the scores of its tokens, in the unit of the method.
        rank: 1 = one of its tokens is the first to be removed.
    """

    text: str
    start: int
    end: int
    segment: int
    tokens: tuple[int, ...]
    score: float
    rank: int


def find_words(text: str, text_pair: str | None, tokens: Sequence[TokenDict]) -> list[Word]:
    """Sum the tokens of each word.

    Args:
        text: The text.
        text_pair: The second text of a pair.
        tokens: All tokens, special ones included.

    Returns:
        The words in reading order, those of text before those of text_pair.
    """
    words = []
    for segment, whole in enumerate((text, text_pair or "")):
        positions = [place for place, token in enumerate(tokens) if token["segment"] == segment]
        spans = {place: (tokens[place]["start"] or 0, tokens[place]["end"] or 0) for place in positions}
        for group in group_tokens(whole, list(spans.values())):
            own = tuple(positions[member] for member in group)
            start, end = word_span(whole, [spans[place] for place in own])
            score = math.fsum(tokens[place]["score"] for place in own)
            rank = min(tokens[place]["rank"] or len(tokens) for place in own)
            words.append(Word(whole[start:end], start, end, segment, own, score, rank))
    return words


def make_words(text: str, text_pair: str | None, tokens: Sequence[TokenDict]) -> list[WordDict]:
    """Give the words of `find_words` in the form of the record."""
    return [
        {"word": w.text, "start": w.start, "end": w.end, "segment": w.segment, "score": w.score, "rank": w.rank}
        for w in find_words(text, text_pair, tokens)
    ]


def group_tokens(text: str, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Group the tokens of one text into words.

    Two neighbours belong together if they touch between two letters or digits, if they share a character (the bytes of
    an emoji), or if an apostrophe within a word joins them. Scripts without spaces between words stay token by token. A
    token that covers no visible character goes with the word that follows, or at the end with the one before.

    Args:
        text: The original string.
        spans: Start and end of every token, in reading order.

    Returns:
        Positions of the tokens of each word; every token is in exactly one.

    Example:
        >>> group_tokens("I don't", [(0, 1), (2, 5), (5, 6), (6, 7)])
        [[0], [1, 2, 3]]
    """
    groups: list[list[int]] = []
    pending: list[int] = []
    end = 0  # of the last visible token
    for position, (start, stop) in enumerate(trim_span(text, *span) for span in spans):
        if start >= stop:
            pending.append(position)
        elif groups and not pending and _touch(text, end, start):
            groups[-1].append(position)
            end = max(end, stop)
        else:
            groups.append([*pending, position])
            pending, end = [], stop
    if pending and groups:
        groups[-1].extend(pending)
    elif pending:
        groups.append(pending)
    return groups


def word_span(text: str, spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Give the span of what is visible of the tokens of one word: tokens of white space do not widen it."""
    trimmed = [trim_span(text, *span) for span in spans]
    visible = [span for span in trimmed if span[0] < span[1]] or trimmed
    return min(start for start, _ in visible), max(end for _, end in visible)


def trim_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Take the white space off both ends of a span, and add the accents after it, which no token covers if stripped."""
    covered = text[start:end]
    start += len(covered) - len(covered.lstrip())
    end = start + len(covered.strip())
    while start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return start, end


def _touch(text: str, end: int, start: int) -> bool:
    """Tell whether a token that begins at start continues the word that ends at end."""
    if start < end:  # they share a character
        return True
    if start > end:
        return False
    left, right = text[end - 1], text[start]
    if _joins(text, end - 1) or _joins(text, start):
        return True
    return _of_word(left) and _of_word(right) and not (_unspaced(left) or _unspaced(right))


def _joins(text: str, position: int) -> bool:
    """Tell whether there is an apostrophe between two letters at a position."""
    inside = 0 < position < len(text) - 1
    return text[position] in APOSTROPHES and inside and text[position - 1].isalpha() and text[position + 1].isalpha()


def _of_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def _unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(UNSPACED_SCRIPTS)
