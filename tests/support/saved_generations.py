"""Responses as they are saved, made by hand: what pictures of them are tested with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from narrows.generation import GenerationAttribution, Output
from saved_results import CASES


def generation(prompt: Sequence[str], response: Sequence[str], seed: int = 0) -> GenerationAttribution:
    """A response whose tokens are given, with scores drawn; the first token is special."""
    draw = np.random.default_rng(seed)
    tokens, start = ["<s>", *prompt, *response], 1 + len(prompt)
    offsets: list[tuple[int, int] | None] = [None]
    for part in (prompt, response):
        ends = np.cumsum([len(token) for token in part]).tolist()
        offsets += [(end - len(token), end) for token, end in zip(part, ends, strict=True)]
    scores = np.tril(draw.normal(size=(len(response), len(tokens))).round(2), start - 1)
    method = CASES["review"]()["method"]
    outputs = [
        Output(start + place, 7 + place, token, token if place else " other", {token: 0.5, " other": 0.4})
        for place, token in enumerate(response)
    ]
    return GenerationAttribution(
        text="".join(prompt),
        response="".join(response),
        tokens=tuple(tokens),
        offsets=tuple(offsets),
        segments=(None, *[0] * len(prompt), *[1] * len(response)),
        outputs=tuple(outputs),
        scores=scores,
        method=method,
        layers=(2,),
        model="tiny",
    )


CAPITAL = generation(["The", " capital", " of", " France", " is"], [" Paris", ",", " which", "\n", "un", "happy"])
