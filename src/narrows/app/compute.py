"""From a request to saved forms: all that the page computes, without the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from narrows.app.request import Request
from narrows.app.shelf import Shelf
from narrows.attribution import Attribution
from narrows.config import choose_config
from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.evaluation.degradation import degrade, removal_counts
from narrows.evaluation.statistics import kendall_tau
from narrows.methods.method import Batch, Scores, check_scores
from narrows.methods.registry import METHODS, Spec, option_names
from narrows.models.predict import predict
from narrows.models.text.removal import remove
from narrows.run.instances import Instances
from narrows.run.settings import BETAS
from narrows.viz import caption
from narrows.viz.fragments import Removal
from narrows.viz.spans import content

OWN_METHOD = "narrows"
METHOD_NAMES = tuple(name for name in METHODS if name != "file")  # a visitor names no files of the server

Report = Callable[[int, int], None]
"""Told how many parts of how many are done."""


def explain(request: Request, shelf: Shelf) -> AttributionDict:
    """Explain a text by the bottleneck.

    Args:
        request: The text and the settings.
        shelf: The models.

    Returns:
        The saved form.
    """
    with shelf.explainer(request) as explainer:
        return explainer(request.example(), request.target).to_dict()


def explain_layers(request: Request, shelf: Shelf, report: Report) -> list[AttributionDict]:
    """Explain a text at every layer, from the embeddings to the last block.

    Args:
        request: The text and the settings; its own layer plays no part.
        shelf: The models.
        report: Told after each layer.

    Returns:
        One saved form per layer.
    """
    with shelf.explainer(request) as explainer:
        done: list[Attribution] = []
        for layer in range(explainer.blocks + 1):
            done += explainer.across_layers(request.example(), request.target, [layer])
            report(len(done), explainer.blocks + 1)
        return [attribution.to_dict() for attribution in done]


def explain_betas(request: Request, shelf: Shelf, report: Report) -> dict[str, AttributionDict]:
    """Explain a text with several weights of the information (the paper's figure 5).

    Args:
        request: The text and the settings; its own beta plays no part, and a readout without one is replaced by
            ``information``.
        shelf: The models.
        report: Told after each beta.

    Returns:
        From a beta, as it is written, to the saved form, from the weakest noise to the strongest.
    """
    betas = BETAS.split(",")
    # Only a readout that optimises a mask has a beta.
    reads_path = choose_config(request.preset, **request.settings()).readout == caption.EVIDENCE
    asked = replace(request, readout="information") if reads_path else request
    done: dict[str, AttributionDict] = {}
    for beta in betas:
        done[beta] = explain(replace(asked, beta=float(beta)), shelf)
        report(len(done), len(betas))
    return done


def explain_by(method: str, request: Request, shelf: Shelf) -> AttributionDict:
    """Explain a text by any method of the registry.

    Args:
        method: One of `METHOD_NAMES`; ``narrows`` takes its settings from the request, others their own defaults.
        request: The text, the target and, for methods that look at a layer, the layer.
        shelf: The models.

    Returns:
        The saved form; without bits where the scores are none.

    Raises:
        InputError: If the method is not on offer.
        DependencyError: If it needs a package that is not installed.
    """
    if method == OWN_METHOD:
        return explain(request, shelf)
    if method not in METHOD_NAMES:
        raise InputError(f"no method {method!r:.40} on this page; there are {', '.join(METHOD_NAMES)}")
    looks_at_layer = "layer" in option_names(method) and request.layer is not None
    spec = Spec(method, {"layer": request.layer} if looks_at_layer and request.layer is not None else {})
    with shelf.explainer(request) as explainer, shelf.lend(request.model) as classifier:
        instances = Instances.of(classifier, [request.example()], request.target, shelf.max_tokens)
        scores = spec.make(request.seed)(classifier, instances.batch, instances.targets)
        check_scores(method, instances.batch, scores)
        return _attribution(instances, scores[0], spec, explainer.layer).to_dict()


def _attribution(instances: Instances, scores: Scores, spec: Spec, layer: int) -> Attribution:
    (example,), (encoding,) = instances.batch.examples, instances.batch.encodings
    probabilities = dict(zip(instances.labels, instances.probabilities[0].tolist(), strict=True))
    return Attribution(
        text=example.text,
        text_pair=example.text_pair,
        tokens=encoding.tokens,
        offsets=encoding.offsets,
        segments=encoding.segments,
        bits=np.abs(scores) if caption.in_bits(spec.name) else np.zeros_like(scores),
        scores=scores,
        target=instances.labels[instances.targets[0]],
        predicted=max(probabilities, key=probabilities.__getitem__),
        probabilities=probabilities,
        layer=layer,
        trace=(),
        truncated=encoding.truncated,
        method=spec.name,
        config=dict(spec.options),
    )


def agreement(one: AttributionDict, other: AttributionDict) -> float:
    """Compare in which order two maps of one text put its tokens.

    Args:
        one: A saved result.
        other: Another of the same text.

    Returns:
        Kendall's tau over the content tokens, 1 = the same order, -1 = the reverse; NaN where a map has no order.
    """
    own, others = ([t["score"] for t in result["tokens"] if not t["special"]] for result in (one, other))
    return kendall_tau(own, others)


def take_away(
    clicks: Sequence[tuple[int, ...]], saved: AttributionDict, request: Request, shelf: Shelf, before: Removal | None
) -> Removal:
    """Take tokens out of a text and predict again: the degradation test by hand.

    Args:
        clicks: Positions of the tokens that are gone, in the order in which they went, those of one click together.
        saved: The map.
        request: What it was made of.
        shelf: The models.
        before: What was known before the last click, so that only what is new is computed; None = nothing.

    Returns:
        The prediction without them, and the curves.

    Raises:
        InputError: If a position is none of a content token.
    """
    removable = {place for place, token in enumerate(saved["tokens"]) if not token["special"]}
    flat = [position for click in clicks for position in click]
    if len(set(flat)) < len(flat) or not removable >= set(flat):
        raise InputError("only tokens of the text can be removed, each once")
    with shelf.lend(request.model) as classifier:
        encoding = Batch.of(classifier, [request.example()], shelf.max_tokens).encodings[0]
        known = {} if before is None else _known(before)
        prefixes = [tuple(position for click in clicks[:end] for position in click) for end in range(len(clicks) + 1)]
        wanted = [prefix for prefix in prefixes if prefix not in known or prefix == prefixes[-1]]
        variants = [remove(encoding, prefix, "delete", classifier.tokenizer) for prefix in wanted]
        p = predict(classifier.model, classifier.tokenizer, variants)
        labels = list(saved["probabilities"])
        target = labels.index(saved["target"])
        known |= {prefix: float(row[target]) for prefix, row in zip(wanted, p, strict=True)}
        morf, lerf = (before.morf, before.lerf) if before else _curves(saved, request, shelf, target)
    return Removal(
        removed=tuple(flat),
        probabilities=dict(zip(labels, p[-1].tolist(), strict=True)),
        by_hand=tuple((len(prefix), known[prefix]) for prefix in prefixes),
        morf=morf,
        lerf=lerf,
    )


def _known(before: Removal) -> dict[tuple[int, ...], float]:
    return {before.removed[:count]: p for count, p in before.by_hand}


def _curves(
    saved: AttributionDict, request: Request, shelf: Shelf, target: int
) -> tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]:
    """Run the degradation test in the order of the map: (tokens gone, p), most and least relevant first."""
    scores = [token["score"] for token in saved["tokens"]]
    counts = removal_counts(sum(not token["special"] for token in saved["tokens"]))
    with shelf.lend(request.model) as classifier:
        encodings = Batch.of(classifier, [request.example()], shelf.max_tokens).encodings
        curves = degrade(classifier.model, classifier.tokenizer, encodings, [scores], [target])
    morf, lerf = (tuple(zip(counts, curve[0].tolist(), strict=True)) for curve in (curves.morf, curves.lerf))
    return morf, lerf


def strongest_left(saved: AttributionDict, clicks: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Find the strongest stretch of the text that is still there.

    Args:
        saved: The map.
        clicks: What is gone.

    Returns:
        The positions of its tokens; none if nothing is left.
    """
    gone = {position for click in clicks for position in click}
    left = [span for span in content(saved) if not gone & set(span.tokens)]
    return max(left, key=lambda span: span.score).tokens if left else ()
