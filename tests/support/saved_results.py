"""Results to draw: built by hand in the saved form, no model needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from narrows.data.schema import AttributionDict, TokenDict, WordDict

HOSTILE = (
    "<script>alert('x')</script> \"quoted\" & [red]not red[/red] \x1b[31mANSI\x1b[0m NUL\x00 \u202eoverride\u202c "
    "{{ 7*7 }} </style> $x^2$ 😀👩‍👩‍👧 日本語の文章 שלום עולם line\nfeed\ttab\rreturn"
)


def tokens_of(text: str, scores: Sequence[float], segment: int = 0) -> list[TokenDict]:
    """One token for each run of word characters or punctuation, with the given scores, repeated as needed."""
    return [
        TokenDict(
            token=match.group(),
            start=match.start(),
            end=match.end(),
            segment=segment,
            special=False,
            bits=abs(scores[number % len(scores)]),
            score=scores[number % len(scores)],
        )
        for number, match in enumerate(re.finditer(r"\w+|[^\w\s]", text))
    ]


def special(token: str, bits: float) -> TokenDict:
    return TokenDict(token=token, start=None, end=None, segment=None, special=True, bits=bits, score=bits)


def words_of(tokens: Sequence[TokenDict], texts: Sequence[str]) -> list[WordDict]:
    return [
        WordDict(
            word=texts[token["segment"]][token["start"] : token["end"]],
            start=token["start"],
            end=token["end"],
            segment=token["segment"],
            bits=token["bits"],
            score=token["score"],
        )
        for token in tokens
        if not token["special"]
    ]


def build(text: str, tokens: Sequence[TokenDict], text_pair: str | None = None, **changes: Any) -> AttributionDict:
    texts = [text] if text_pair is None else [text, text_pair]
    result: AttributionDict = {
        "text": text,
        "text_pair": text_pair,
        "tokens": list(tokens),
        "words": words_of(tokens, texts),
        "target": "positive",
        "predicted": "positive",
        "probabilities": {"negative": 0.0137, "positive": 0.9863},
        "layer": 4,
        "layers": [changes.get("layer", 4)],
        "total_bits": sum(token["bits"] for token in tokens),
        "carried_bits": 1804.2,
        "truncated": 0,
        "method": "narrows",
        "config": {"layer": 4, "readout": "information", "granularity": "token", "beta": 0.1, "steps": 10, "seed": 0},
        "trace": [
            {"step": step, "cross_entropy": 0.01 + 0.02 * step, "information": 1804.2 / (1 + step) ** 1.9}
            for step in range(11)
        ],
        "narrows_version": "0.1.0",
    }
    result.update(changes)  # type: ignore[typeddict-item]
    return result


def review() -> AttributionDict:
    text = "The plot is thin, but the acting is superb."
    scores = [0.02, 0.6, 0.1, 3.1, 0.0, 2.2, 0.05, 1.4, 0.3, 9.8, 0.4]
    return build(text, [special("[CLS]", 31.0), *tokens_of(text, scores), special("[SEP]", 0.7)])


def pair() -> AttributionDict:
    premise = "A man in a blue shirt is playing the guitar on stage in front of a small crowd."
    hypothesis = "Nobody is making music."
    tokens = [
        special("[CLS]", 2.0),
        *tokens_of(premise, [0.1, 2.4, 0.0, 0.0, 0.3, 0.2, 0.1, 5.1, 0.1, 6.4, 0.0, 0.8]),
        special("[SEP]", 0.4),
        *tokens_of(hypothesis, [11.2, 0.6, 3.3, 7.9, 0.1], segment=1),
        special("[SEP]", 0.1),
    ]
    probabilities = {"entailment": 0.012, "neutral": 0.041, "contradiction": 0.947}
    return build(
        premise,
        tokens,
        text_pair=hypothesis,
        target="contradiction",
        predicted="contradiction",
        probabilities=probabilities,
    )


def signed() -> AttributionDict:
    text = "The plot is thin, but the acting is superb."
    scores = [0.02, -0.6, 0.1, -4.1, 0.0, 2.2, 0.05, 1.4, 0.3, 6.8, -0.4]
    config = {"layer": 4, "readout": "signed"}
    tokens = [special("[CLS]", 1.0), *tokens_of(text, scores), special("[SEP]", 0.1)]
    return build(text, tokens, config=config, target="negative")


def long() -> AttributionDict:
    sentence = "I have seen this film three times, and it never fails to move me; the score alone is worth the price. "
    text = (sentence * 13).strip()
    scores = [((7 * number) % 101 / 20) ** 3 / 10 for number in range(311)]
    return build(text, [special("[CLS]", 3.0), *tokens_of(text, scores), special("[SEP]", 0.2)], truncated=412)


def hostile() -> AttributionDict:
    tokens = [special("<s>[b]\x1b[2J", 1.0), *tokens_of(HOSTILE, [3.0, 0.2, 1.1, 0.0, 6.0])]
    label = "<img src=x onerror=alert(1)>[/]\x07"
    return build(
        HOSTILE,
        tokens,
        target=label,
        predicted=label,
        probabilities={label: 0.9, "$a$": 0.1},
        config={"</pre>": "\x1b"},
    )


def all_special() -> AttributionDict:
    return build("...", [special("[CLS]", 1.5), special("[SEP]", 0.2)])


def silent() -> AttributionDict:
    text = "Nothing is told."
    return build(text, [special("[CLS]", 0.0), *tokens_of(text, [0.0])], carried_bits=0.0, trace=[])


def wordless() -> AttributionDict:
    return {**review(), "words": []}


CASES: dict[str, Callable[[], AttributionDict]] = {
    case.__name__: case for case in (review, pair, signed, long, hostile, all_special, silent, wordless)
}


def layers(count: int = 6) -> list[AttributionDict]:
    """The review at layers 0 to count - 1, each layer with its own bits."""
    text = "The plot is thin, but the acting is superb."
    results = []
    for layer in range(count):
        scores = [(3 * layer + 5 * number) % 11 * 0.9 * (1 + layer) / count for number in range(11)]
        tokens = [special("[CLS]", 4.0 * layer), *tokens_of(text, scores), special("[SEP]", 0.7)]
        results.append(build(text, tokens, layer=layer))
    return results
