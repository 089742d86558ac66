"""Texts to start with, one or two for each demo model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """A text that shows something.

    Attributes:
        name: What the page calls it.
        model: The demo model that it is for.
        text: The text.
        text_pair: The second text of a pair.
    """

    name: str
    model: str
    text: str
    text_pair: str = ""


SAMPLES = (
    Sample("Review: thin plot, superb acting", "sentiment", "The plot is thin, but the acting is superb."),
    Sample(
        "Review: a mistake of the model",
        "sentiment",
        "You would have to be dead inside not to laugh at this.",
    ),
    Sample(
        "Review: a long one",
        "sentiment",
        "The script is a mess and the pacing drags, but her performance is so warm that I left the cinema smiling.",
    ),
    Sample(
        "News: which section?",
        "topic",
        "The chip maker said its quarterly profit doubled as demand for memory in phones recovered.",
    ),
    Sample(
        "Pair: a contradiction",
        "nli",
        "A tired nurse sleeps on a bench outside the hospital.",
        "The nurse is wide awake.",
    ),
    Sample(
        "Pair: does it follow?",
        "rte",
        "The bridge, which was opened in 1932, carries eight lanes of traffic and two railway tracks.",
        "Trains cross the bridge.",
    ),
)
