"""Texts to start with, one or more for each demo model."""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """A text that shows something; `name` is what the page calls it."""

    name: str
    model: str
    text: str
    text_pair: str = ""


THIN = "The plot is thin, but the acting is superb."
MISTAKE = "You would have to be dead inside not to laugh at this."
LONG = "The script is a mess and the pacing drags, but her performance is so warm that I left the cinema smiling."
NEWS = "The chip maker said its quarterly profit doubled as demand for memory in phones recovered."
NURSE = ("A tired nurse sleeps on a bench outside the hospital.", "The nurse is wide awake.")
BRIDGE = "The bridge, which was opened in 1932, carries eight lanes of traffic and two railway tracks."

SAMPLES = (
    Sample("Review: thin plot, superb acting", "sentiment", THIN),
    Sample("Review: a mistake of the model", "sentiment", MISTAKE),
    Sample("Review: a long one", "sentiment", LONG),
    Sample("News: which section?", "topic", NEWS),
    Sample("Pair: a contradiction", "nli", *NURSE),
    Sample("Pair: does it follow?", "rte", BRIDGE, "Trains cross the bridge."),
)
