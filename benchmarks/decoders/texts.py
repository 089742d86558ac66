"""Real texts to hide facts in, to begin, and to ask about."""

from __future__ import annotations

import re
from pathlib import Path

from narrows.data import datasets

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[A-Z\"'(])")


def sentences(text: str) -> list[str]:
    """Split a text where a sentence ends and a capital letter follows."""
    starts = [0, *(match.end() for match in SENTENCE_END.finditer(text))]
    parts = [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return [part for part in parts if part]


def plain(text: str) -> str:
    """Undo what the collections did to their texts: line breaks, and characters written as codes."""
    text = re.sub(r"<br\s*/?>|\\|\s", " ", text).replace(" #39;", "'").replace("&amp;", "&").replace(" #36;", " $")
    return re.sub(r" +", " ", text).strip()


def real_texts(name: str, split: str, data_dir: Path, count: int, seed: int = 0) -> list[str]:
    """Draw texts of a data set, without those that hold rests of web pages."""
    drawn = datasets.load(name, split, data_dir, count, seed)
    return [text for text in (plain(example.text) for example in drawn) if not re.search(r"[<>&#]|www|http", text)]
