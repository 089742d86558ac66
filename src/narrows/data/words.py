"""Words: runs of tokens, found by the tokens' offsets into the original string."""

import math
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from narrows.data.schema import TokenDict, WordDict

APOSTROPHES = "'\u2019"
UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_CHARACTER = regex.compile(r"\X")  # an extended grapheme cluster of Unicode
_BLANK = regex.compile(r"[\s\p{Cc}\p{Default_Ignorable_Code_Point}]*")  # zero-width characters are as good as blank
_PAUSE = regex.compile(r"[^\p{Default_Ignorable_Code_Point}]|\u200b")  # of zero-width ones the space alone ends a word


@dataclass(frozen=True)
class Word:
    """One word: what its tokens scored together, and the best of their ranks."""

    text: str  # as it stands in the original string
    start: int  # offset of its first character
    end: int  # offset after its last character
    segment: int  # 0 = text, 1 = text_pair
    tokens: tuple[int, ...]  # positions of its tokens
    score: float  # sum of the scores of its tokens, in the unit of the method
    rank: int  # 1 = one of its tokens is the first to be removed


def find_words(text: str, text_pair: str | None, tokens: Sequence[TokenDict]) -> list[Word]:
    """Sum the tokens (all, special ones included) of each word; the words are in reading order."""
    words = []
    for segment, whole in enumerate((text, text_pair or "")):
        positions = [place for place, token in enumerate(tokens) if token["segment"] == segment]
        spans = [trim_span(whole, tokens[place]["start"] or 0, tokens[place]["end"] or 0) for place in positions]
        for group in _group(whole, spans):
            own = tuple([positions[member] for member in group])
            start, end = _join([spans[member] for member in group])
            score = math.fsum([tokens[place]["score"] for place in own])
            rank = min([tokens[place]["rank"] or len(tokens) for place in own])
            words.append(Word(whole[start:end], start, end, segment, own, score, rank))
    return words


def make_words(text: str, text_pair: str | None, tokens: Sequence[TokenDict]) -> list[WordDict]:
    """Give the words of `find_words` in the form of the record."""
    return [
        {"word": w.text, "start": w.start, "end": w.end, "segment": w.segment, "score": w.score, "rank": w.rank}
        for w in find_words(text, text_pair, tokens)
    ]


def group_tokens(text: str, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Group the tokens of one text, by their spans in it, into words: positions, every one in exactly one word."""
    return _group(text, [trim_span(text, *span) for span in spans])


def _group(text: str, trimmed: Sequence[tuple[int, int]]) -> list[list[int]]:
    # A token that covers no visible character goes with the word around it, else with the one that follows, or at the
    # end with the one before.
    groups: list[list[int]] = []
    pending: list[int] = []
    end = 0  # of the last visible token
    for position, (start, stop) in enumerate(trimmed):
        if start >= stop:
            pending.append(position)
        elif groups and _touch(text, end, start):
            groups[-1].extend([*pending, position])
            pending, end = [], max(end, stop)
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
    return _join([trim_span(text, *span) for span in spans])


def _join(trimmed: Sequence[tuple[int, int]]) -> tuple[int, int]:
    visible = [span for span in trimmed if span[0] < span[1]] or [max(trimmed)]
    return min(visible)[0], max([end for _, end in visible])


def trim_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span to whole characters as readers see them, accents included, and take off its ends what is blank."""
    starts, ends = _characters(text)
    first, after = bisect_right(ends, start), bisect_left(starts, end)
    return (starts[first], ends[after - 1]) if start < end and first < after else (end, end)


@lru_cache(maxsize=16)
def _characters(text: str) -> tuple[list[int], list[int]]:
    """Find where the characters start and where they end, as readers see them: an emoji of several signs is one."""
    if text.isascii():  # every sign is a character, and control codes are blank: far faster, for most of the texts
        starts = [place for place, sign in enumerate(text) if " " < sign < "\x7f"]
        return starts, [place + 1 for place in starts]
    spans = [(found.end() - len(found[0].lstrip()), found.end()) for found in _CHARACTER.finditer(text)]
    visible = [(start, end) for start, end in spans if not _BLANK.fullmatch(text, start, end)]
    return [start for start, _ in visible], [end for _, end in visible]


def _touch(text: str, end: int, start: int) -> bool:
    """Tell whether a token that begins at start continues the word that ends at end, in letters or by an apostrophe."""
    if start < end:
        return True  # they share a character: the bytes of an emoji
    if text[end] == " " or _PAUSE.search(text, end, start):
        return False
    last = bisect_left(_characters(text)[1], end)
    between = _is_inner_apostrophe(text, last) or _is_inner_apostrophe(text, last + 1)
    return between or all(map(_of_spaced_word, (text[_characters(text)[0][last]], text[start])))


def _is_inner_apostrophe(text: str, number: int) -> bool:
    """Tell whether a character is an apostrophe between two letters."""
    starts, ends = _characters(text)
    if not 0 < number < len(starts) - 1 or text[starts[number]] not in APOSTROPHES:
        return False
    close = ends[number - 1] == starts[number] and ends[number] == starts[number + 1]
    return close and text[starts[number - 1]].isalpha() and text[starts[number + 1]].isalpha()


def _of_spaced_word(character: str) -> bool:
    """Tell whether a character is of a word, in a script that has spaces between words."""
    of_word = character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")
    return of_word and not unicodedata.name(character, "").startswith(UNSPACED_SCRIPTS)
