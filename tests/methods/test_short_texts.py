"""Eighty texts of two to six words in which one word decides: the default puts it first, and on the right side.

The texts were chosen by whether a person has a doubt about the deciding word and whether the demo model predicts the
label, never by how a method does on them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from narrows import Attribution, Explainer

TEXTS = [json.loads(line) for line in Path(__file__).with_name("short_texts.jsonl").read_text().splitlines()]
FIRST, SIGN = 0.95, 0.98


def deciding(attribution: Attribution, word: str) -> tuple[int, float]:
    """Place among the words by rank, from 1, and score of the deciding word."""
    words = sorted(attribution.words(), key=lambda found: found.rank)
    return next((place, own.score) for place, own in enumerate(words, 1) if own.text == word)


@pytest.mark.slow
def test_the_word_that_decides_comes_first_with_the_right_sign() -> None:
    assert len(TEXTS) == 80
    explainers = {model: Explainer.from_pretrained(model) for model in {row["model"] for row in TEXTS}}
    found = []
    for row in TEXTS:
        item = row["text"] if row["text_pair"] is None else (row["text"], row["text_pair"])
        attribution = explainers[row["model"]](item)
        assert attribution.predicted == row["label"], row
        found.append((row, *deciding(attribution, row["word"])))
    second = [(row["text"], row["word"], rank) for row, rank, _ in found if rank > 1]
    against = [(row["text"], row["word"], score) for row, _, score in found if score <= 0]
    assert len(second) <= (1 - FIRST) * len(TEXTS), second
    assert len(against) <= (1 - SIGN) * len(TEXTS), against
