"""Words: runs of tokens, found by the tokens' offsets into the original string."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

APOSTROPHES = "'\u2019"
UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True)
class Word:
    """One word and what its tokens have together.

    Attributes:
        text: The word as it stands in the original string.
        start: Offset of its first character.
        end: Offset after its last character.
        segment: 0 = text, 1 = text_pair.
        tokens: Positions of its tokens.
        score: Sum of the scores of its tokens, in the unit of the method.
        rank: The best rank of its tokens, 1 = the first to be removed.
    """

    text: str
    start: int
    end: int
    segment: int
    tokens: tuple[int, ...]
    score: float
    rank: int


def group_tokens(text: str, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Group the tokens of one text into words.

    Two neighbours belong together if they touch between two letters or digits, if they share a character (the bytes of
    an emoji), or if an apostrophe within a word joins them. Scripts without spaces between words stay token by token. A
    token that covers no visible character goes with the word that follows, or at the end with the one before.

    Args:
        text: The original string.
        spans: Start and end of every token, in reading order.

    Returns:
        Positions of the tokens of each word; every token stands in exactly one.

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
    """Find where a word stands that some tokens make up together.

    Args:
        text: The original string.
        spans: Start and end of each of its tokens.

    Returns:
        The span of what is visible of them; tokens of white space that go with the word do not stretch it.
    """
    trimmed = [trim_span(text, *span) for span in spans]
    visible = [span for span in trimmed if span[0] < span[1]] or trimmed
    return min(start for start, _ in visible), max(end for _, end in visible)


def trim_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Take the white space off both ends of a span, and take in the accents that follow it.

    Tokenizers that strip accents leave a combining mark outside of every token.

    Args:
        text: The original string.
        start: Offset of the first character.
        end: Offset after the last character.

    Returns:
        The span of what is visible; start = end if that is nothing.
    """
    covered = text[start:end]
    start += len(covered) - len(covered.lstrip())
    end = start + len(covered.strip())
    while start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return start, end


def _touch(text: str, end: int, start: int) -> bool:
    """Tell whether a token from start on continues the word that reaches to end."""
    if start < end:  # they share a character
        return True
    if start > end:
        return False
    left, right = text[end - 1], text[start]
    if _joins(text, end - 1) or _joins(text, start):
        return True
    return _of_word(left) and _of_word(right) and not (_unspaced(left) or _unspaced(right))


def _joins(text: str, position: int) -> bool:
    """Tell whether an apostrophe stands there between two letters."""
    inside = 0 < position < len(text) - 1
    return text[position] in APOSTROPHES and inside and text[position - 1].isalpha() and text[position + 1].isalpha()


def _of_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def _unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(UNSPACED_SCRIPTS)
