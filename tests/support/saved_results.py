"""Results to draw: built by hand in the saved form, no model needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from narrows.data.schema import AttributionDict, MethodDict, TokenDict, WordDict

HOSTILE = (
    "<script>alert('x')</script> \"quoted\" & [red]not red[/red] \x1b[31mANSI\x1b[0m NUL\x00 \u202eoverride\u202c "
    "{{ 7*7 }} </style> $x^2$ 😀👩‍👩‍👧 日本語の文章 שלום עולם line\nfeed\ttab\rreturn"
)


CAPTION = "One bit is the answer to one yes-or-no question."
HOW = "A mask per token was optimised in 10 steps."


def method_of(**changes: Any) -> MethodDict:
    """The record of a method: by default one of information, without a sign."""
    made: MethodDict = {
        "name": "information",
        "settings": {"layer": 4, "beta": 0.1, "steps": 10},
        "label": "Information",
        "quantity": "information",
        "unit": "bits",
        "signed": False,
        "additive": False,
        "caption": CAPTION,
        "how": HOW,
    }
    made.update(changes)  # type: ignore[typeddict-item]
    return made


EVIDENCE = method_of(
    name="complete",
    settings={"steps": 20},
    label="Evidence (complete)",
    quantity="evidence",
    signed=True,
    additive=True,
    caption="One bit doubles the odds of the target.",
    how="Integrated over the whole path.",
)
# Methods that know nothing of bits: how their scores are written, and the label of their scale.
LIME = method_of(name="lime", settings={}, label="LIME", quantity="score", unit="weight", caption="Weights.", how="")
IG = method_of(name="ig", settings={}, label="IG", quantity="score", unit="nats of log p", caption="Nats.", how="")
OWN = method_of(name="mine", settings={}, label="<b>mine", quantity="score", unit="score", caption="Mine.", how="")


def tokens_of(text: str, scores: Sequence[float], segment: int = 0) -> list[TokenDict]:
    """One token for each run of word characters or punctuation, with the given scores, repeated as needed."""
    return [
        TokenDict(
            token=match.group(),
            start=match.start(),
            end=match.end(),
            segment=segment,
            special=False,
            score=scores[number % len(scores)],
            rank=None,
        )
        for number, match in enumerate(re.finditer(r"\w+|[^\w\s]", text))
    ]


def special(token: str, score: float) -> TokenDict:
    return TokenDict(token=token, start=None, end=None, segment=None, special=True, score=score, rank=None)


def words_of(tokens: Sequence[TokenDict], texts: Sequence[str]) -> list[WordDict]:
    return [
        WordDict(
            word=texts[token["segment"]][token["start"] : token["end"]],
            start=token["start"],
            end=token["end"],
            segment=token["segment"],
            score=token["score"],
            rank=token["rank"],
        )
        for token in tokens
        if not token["special"]
    ]


def ranked(tokens: Sequence[TokenDict]) -> list[TokenDict]:
    """The same tokens with ranks by score."""
    order = sorted(
        (place for place, token in enumerate(tokens) if not token["special"]),
        key=lambda place: (-tokens[place]["score"], place),
    )
    ranks = {place: rank for rank, place in enumerate(order, start=1)}
    return [{**token, "rank": ranks.get(place)} for place, token in enumerate(tokens)]


def build(text: str, tokens: Sequence[TokenDict], text_pair: str | None = None, **changes: Any) -> AttributionDict:
    texts = [text] if text_pair is None else [text, text_pair]
    tokens = ranked(tokens)
    method = changes.get("method", method_of())
    result: AttributionDict = {
        "id": None,
        "gold": None,
        "units": None,
        "check": None,
        "text": text,
        "text_pair": text_pair,
        "tokens": tokens,
        "words": words_of(tokens, texts),
        "unit": method["unit"],
        "signed": method["signed"],
        "additive": method["additive"],
        "target": "positive",
        "predicted": "positive",
        "probabilities": {"negative": 0.0137, "positive": 0.9863},
        "layers": [4],
        "method": method,
        "typical": None,
        "rise": None,
        "truncated": 0,
        "trace": [
            {"step": step, "cross_entropy": 0.01 + 0.02 * step, "information": 1804.2 / (1 + step) ** 1.9, "error": 0.0}
            for step in range(11)
        ],
        "model": "sentiment",
        "prior": "corpus",
        "record": {"dtype": "float32"},
        "narrows_version": "0.1.0",
    }
    result.update(changes)  # type: ignore[typeddict-item]
    return result


def by(attribution: AttributionDict, method: MethodDict, **changes: Any) -> AttributionDict:
    """The same scores, said to be made by another method."""
    own = {name: method[name] for name in ("unit", "signed", "additive")}  # type: ignore[literal-required]
    return {**attribution, **own, "method": method, **changes}  # type: ignore[typeddict-item, typeddict-unknown-key]


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
    """Evidence: signed scores that add up, of a text that says something."""
    text = "The plot is thin, but the acting is superb."
    scores = [0.02, -0.6, 0.1, -4.1, 0.0, 2.2, 0.05, 1.4, 0.3, 6.8, -0.4]
    tokens = [special("[CLS]", 1.0), *tokens_of(text, scores), special("[SEP]", 0.1)]
    more = {"method": EVIDENCE, "layers": [1, 3, 5], "typical": 0.41, "rise": 7.0}
    return build(text, tokens, target="negative", **more)


def little() -> AttributionDict:
    """Evidence of a text none of whose tokens does anything."""
    tokens = [{**token, "score": token["score"] / 100} for token in signed()["tokens"]]
    return {**signed(), "tokens": tokens, "rise": 0.07}  # type: ignore[typeddict-item]


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
        method=method_of(settings={"</pre>": "\x1b"}, caption="<b>caption\x1b", how="<i>how\x1b", label="<u>label\x1b"),
        model="<script>\x1b",
    )


def all_special() -> AttributionDict:
    return build("...", [special("[CLS]", 1.5), special("[SEP]", 0.2)])


def silent() -> AttributionDict:
    text = "Nothing is here."
    return build(text, [special("[CLS]", 0.0), *tokens_of(text, [0.0])], trace=[])


def wordless() -> AttributionDict:
    return {**review(), "words": []}


CASES: dict[str, Callable[[], AttributionDict]] = {
    case.__name__: case for case in (review, pair, signed, little, long, hostile, all_special, silent, wordless)
}


def layers(count: int = 6) -> list[AttributionDict]:
    """The review at layers 0 to count - 1, each layer with its own scores."""
    text = "The plot is thin, but the acting is superb."
    results = []
    for layer in range(count):
        scores = [(3 * layer + 5 * number) % 11 * 0.9 * (1 + layer) / count for number in range(11)]
        tokens = [special("[CLS]", 4.0 * layer), *tokens_of(text, scores), special("[SEP]", 0.7)]
        method = method_of(settings={"layer": layer})
        results.append(build(text, tokens, layers=[layer], method=method))
    return results
