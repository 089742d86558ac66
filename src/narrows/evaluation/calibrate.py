"""Calibrating a model on the user's own texts: the prior, the settings that serve it, and what its maps are worth.

The texts are shuffled and divided. One part is measured last, and takes no part in anything before: not in the prior,
which is estimated from all other texts, and not in the choice of settings, for which a second part is explained.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.bottleneck.prior import Prior
from narrows.data.calibration import Calibration, Figure
from narrows.data.example import Example
from narrows.data.source import read_items, rows_of
from narrows.errors import DependencyError, InputError, NarrowsError, count, shown, warn
from narrows.evaluation.degradation import Curves, degrade
from narrows.evaluation.metrics import comprehensiveness, drop, sufficiency
from narrows.evaluation.statistics import bootstrap_interval, paired_bootstrap
from narrows.explainer import Explainer
from narrows.methods.evidence import USUAL, Evidence, usual_layers
from narrows.methods.method import Batch, FunctionMethod, Method, Scores
from narrows.methods.registry import changed, find_method, spec
from narrows.models.corpus import estimate_prior
from narrows.models.cut.blocks import find_blocks
from narrows.models.heads.classifying import Classifying
from narrows.models.text.reader import Reader
from narrows.models.variants import resolve

LEAST = 32  # texts
BESIDE = ("ig", "random")  # what the maps are measured beside
DEPTHS = ((0, 1 / 3, 2 / 3), (1 / 2,), (1 / 2, 5 / 6))  # of the blocks, beside the usual ones
INTERVALS = ((0.0, 0.6), (0.4, 1.0))  # as long as the usual one: where a model turns early on the path, and late
DOUBT, RESAMPLES = 0.05, 10_000  # over all candidates, so that the bounds lie far out in the resampled differences


def calibrate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[Any],
    method: str | Method = "fast",
    limit: int = 128,
    seed: int = 0,
    report: Callable[[float, float], None] = lambda done, total: None,
) -> Prior:
    """Estimate a prior, choose layers and interval, and measure the maps, each on texts of its own.

    At most five candidates, with other layers or another part of the path, stand against the usual setting. One is
    taken only where it is better beyond doubt: where the interval of the difference of the drops, on the same texts,
    begins above 0. As the best of several looks better than it is, the 5 % of doubt are shared out among them
    (Bonferroni): with five, each has an interval of 99 %.

    Args:
        model: A Hugging Face model; left unchanged.
        tokenizer: Its tokenizer.
        texts: As `Explainer` takes them; at least 32.
        method: Whose maps are measured; a choice there is for methods that measure evidence, such as ``fast``.
        limit: How many texts are explained, half to choose settings, half to measure; all others serve the prior.
        seed: Of the order of the texts.
        report: Called as the work goes on.

    Returns:
        The prior, whose `Prior.calibration` says what was found, of ``ig`` too where captum is installed; saved, it is
        a file for ``prior=`` and ``--prior``.

    Raises:
        InputError: If there are fewer than 32 texts, or most of them cannot be explained.

    Example:
        >>> calibrate(model, tokenizer, texts).save("calibration.safetensors")  # doctest: +SKIP
    """
    own, limit = find_method(method), count("limit", limit, LEAST)
    if (rows := rows_of(texts)) is None:
        raise InputError(f"a calibration needs a list, a stream or a table of texts, not {shown(texts)}")
    read = list(read_items(rows))
    examples = [row for row in read if isinstance(row, Example)]
    if faults := [row for row in read if isinstance(row, NarrowsError)]:
        warn(f"not calibrated on {len(faults):,} of {len(read):,} texts; the first: {faults[0]}")
    if len(examples) < LEAST:
        raise InputError(f"a calibration needs at least {LEAST} texts, not {len(examples)}")
    order = np.random.default_rng(seed).permutation(len(examples)).tolist()
    half = min(limit, len(examples)) // 2
    measured, chosen, others = (
        [examples[place] for place in part] for part in (order[:half], order[half : 2 * half], order[2 * half :])
    )
    prior = estimate_prior(model, tokenizer, [*chosen, *others])
    settings = _choices(own, len(find_blocks(model)))
    candidates = [own, *(changed(own, each) for each in settings)]
    beside = _beside(own)
    total, done = (len(candidates) if settings else 0) + 1 + len(beside), 0
    report(done, total)

    def curves_of(some: Sequence[Example], methods: Sequence[Method]) -> dict[str, Curves]:
        nonlocal done
        found = {}
        for each in methods:
            found[spec(each)] = _degrade(model, tokenizer, some, Explainer(model, tokenizer, each, prior))
            done += 1
            report(done, total)
        return _known(found)

    place = _choose(list(curves_of(chosen, candidates).values())) if settings else 0
    best, taken = candidates[place], [{}, *settings][place]
    curves = curves_of(measured, [best, *beside])
    found = dict(zip((spec(own), *map(spec, beside)), curves.values(), strict=True))
    typical = _typical(model, tokenizer, best, prior, measured)
    return replace(prior, calibration=_sum_up(spec(own), taken, found, typical))


def _beside(method: Method) -> list[Method]:
    """List what a method is measured beside; chance alone where captum, an extra, is not installed."""
    found = []
    for name in BESIDE:
        with suppress(DependencyError):
            found.append(find_method(name))
    return [each for each in found if spec(each) != spec(method)]


def _choices(method: Method, blocks: int) -> list[dict[str, Any]]:
    """List what else a method could be set to where it leaves layers or interval open; each set of layers once."""
    settings: list[dict[str, Any]] = []
    if isinstance(method, Evidence) and method.layer is None:
        sets = [tuple(sorted({max(round(depth * blocks), 1) for depth in depths})) for depths in DEPTHS]
        usual = tuple(sorted(set(usual_layers(blocks))))
        settings += [{"layer": own} for own in dict.fromkeys(sets) if own != usual]
    if isinstance(method, Evidence) and tuple(method.interval) == USUAL:
        settings += [{"interval": own} for own in INTERVALS]
    return settings


def _choose(curves: Sequence[Curves]) -> int:
    """Choose the candidate with the largest drop if it is better than the first beyond doubt, else the first."""
    drops = [drop(own.morf) for own in curves]
    best = max(range(1, len(drops)), key=lambda place: float(drops[place].mean()))
    level = 1 - DOUBT / (len(drops) - 1)
    gain = paired_bootstrap(drops[best], drops[0], resamples=RESAMPLES, level=level)
    return best if gain.interval[0] > 0 else 0


def _degrade(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], explainer: Explainer
) -> Curves:
    """Explain what is predicted of texts, and remove tokens in that order; NaN where a text has no map."""
    reader = Reader(model, tokenizer, None, "truncate")
    maps = explainer(list(examples))
    known = [place for place, found in enumerate(maps) if not isinstance(found, NarrowsError)]
    if 2 * len(known) <= len(examples):
        raise InputError(f"{maps.failures()}: there are too few texts to calibrate on")
    questions = [reader.ask(examples[place], None).questions[0] for place in known]
    goals = [own.goal for own in resolve(model, tokenizer, reader.task, questions)]
    found = degrade(model, tokenizer, questions, [maps[place].ranking for place in known], goals)
    filled = {}
    for name in Curves.__annotations__:
        values = getattr(found, name)
        fill = np.nan if np.issubdtype(values.dtype, np.floating) else -1
        filled[name] = np.full((len(examples), *values.shape[1:]), fill, dtype=values.dtype)
        filled[name][known] = values
    return Curves(**filled)


def _known(found: Mapping[str, Curves]) -> dict[str, Curves]:
    """Keep the texts of which all methods have a map."""
    known = np.all([own.known for own in found.values()], axis=0)
    return {name: own.take(known) for name, own in found.items()}


def _typical(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    method: Method,
    prior: Prior,
    examples: Sequence[Example],
) -> dict[str, float] | None:
    """Average what a classifier predicts with all tokens at the prior's mean; None for numbers and other heads."""
    own = method if isinstance(method, Evidence) else Evidence()
    found: list[Mapping[str, float]] = []

    def look(batch: Batch) -> list[Scores]:
        for site in batch.sites(own.layers_in(batch.cut, prior), prior):
            logits = batch.typical_logits(site, prior)
            answers = map(batch.cut.task.resolve, batch.questions, logits)
            found.extend(answer.probabilities for answer in answers if isinstance(batch.cut.task, Classifying))
        return [np.zeros(len(encoding)) for encoding in batch.encodings]

    list(Explainer(model, tokenizer, FunctionMethod(look), prior).each((example, None) for example in examples))
    labels = found[0] if found else {}
    return {label: float(np.mean([each[label] for each in found])) for label in labels} or None


def _sum_up(
    method: str, taken: Mapping[str, Any], found: Mapping[str, Curves], typical: Mapping[str, float] | None
) -> Calibration:
    """Bound the means over the measured texts, of a method with the settings that were taken."""

    def figures(measure: Callable[[Any], Any], field: str) -> dict[str, Figure]:
        return {name: _figure(measure(getattr(own, field))) for name, own in found.items()}

    above = paired_bootstrap(drop(found[method].morf), drop(found["random"].morf))
    return Calibration(
        method=method,
        layers=taken.get("layer"),
        texts=len(found[method].morf),
        drops=figures(drop, "morf"),
        comprehensiveness=figures(comprehensiveness, "morf"),
        sufficiency=figures(sufficiency, "lerf"),
        above_chance=(above.difference, *above.interval),
        interval=taken.get("interval"),
        typical=typical,
    )


def _figure(values: Any) -> Figure:
    return float(values.mean()), *bootstrap_interval(values)
