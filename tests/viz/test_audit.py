"""The page for an auditor: all of it is there, and it fits, whatever the map."""

from __future__ import annotations

import re

import pytest

from narrows.data.schema import AttributionDict
from narrows.viz.audit import fill, render_audit
from saved_results import build, review, tokens_of

FACTS = {"model": "tiny", "weights": "SHA-256 " + "a" * 64, "text": "SHA-256 " + "b" * 64, "versions": "torch 2"}

pytest.importorskip("matplotlib")


def test_everything_that_makes_it_again_is_on_the_page() -> None:
    sheet = fill(review(), FACTS, "Without this word the decision flips.", 20)
    said = " ".join(text for _, _, text, *_ in sheet.texts)
    for part in ("Decision", "positive", "Check", "Not calibrated", "a" * 64, "b" * 64, "torch 2", "steps = 10"):
        assert part in said, part
    assert "Struck out by hand: Without this word" in said
    assert "superb" in said


def test_it_is_one_page_whatever_the_map(attribution: AttributionDict) -> None:
    content = render_audit(attribution, FACTS)
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == 1


def test_a_long_text_is_shown_as_far_as_it_fits_and_the_page_says_so() -> None:
    text = " ".join(["word"] * 3000)
    sheet = fill(build(text, tokens_of(text, [0.1] * 3000)), FACTS, None, 12)
    said = " ".join(text for _, _, text, *_ in sheet.texts)
    assert "Only the first 12 lines of 14,999 characters are shown." in said
    assert sheet.top < 742
