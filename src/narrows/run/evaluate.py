"""The degradation test over a data set and several methods, in parts that are kept when the run is stopped."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from narrows.bottleneck.trace import Trace
from narrows.errors import InputError, NarrowsError, NarrowsWarning
from narrows.evaluation.cost import measured
from narrows.evaluation.degradation import degrade
from narrows.methods.iba import BottleneckMethod
from narrows.methods.method import Method, Scores, check_scores
from narrows.methods.registry import Spec
from narrows.models.heads.targets import Label
from narrows.models.hub.loading import Classifier
from narrows.models.text.removal import Removal, check_removal
from narrows.run.instances import COLUMNS, Instances, Source, fingerprint
from narrows.run.manifest import describe_model, hash_files, versions
from narrows.run.store import Json, check_claim, claim, locked, read_json, read_part, write_json, write_part

INSTANCES = "instances.parquet"
METHODS = "methods.json"
MAP_COLUMNS = {"id": "int", "scores": "[float]", "cross_entropy": "[float]", "information": "[float]"}
CURVE_COLUMNS = {
    "id": "int",
    "morf": "[float]",
    "lerf": "[float]",
    "morf_decisions": "[int]",
    "lerf_decisions": "[int]",
}

Report = Callable[[str, int, int], None]
"""Told of progress: what is being done, units of work done, units in all."""


@dataclass(frozen=True)
class Plan:
    """What to evaluate.

    Attributes:
        source: The texts.
        methods: The methods.
        removals: Ways to remove tokens.
        target: ``gold``, a label, or None for the predicted class.
        max_tokens: Cut longer texts; None = where the model's own limit is.
        labels: Names of the classes, for a checkpoint that has none.
        batch_size: Texts per part; what is lost at most when a run is stopped.
        seed: Of the methods that draw.
    """

    source: Source
    methods: tuple[Spec, ...]
    removals: tuple[Removal, ...] = ("delete",)
    target: Label = "gold"
    max_tokens: int | None = None
    labels: tuple[str, ...] | None = None
    batch_size: int = 32
    seed: int = 0


def evaluate(classifier: Classifier, plan: Plan, out: Path, report: Report | None = None) -> None:
    """Run the degradation test; go on where an earlier run in the same folder stopped, add methods that it lacks.

    Args:
        classifier: The model.
        plan: What to evaluate.
        out: Folder of the results.
        report: Told of progress.

    Raises:
        InputError: If the folder holds results of something else, or is in use.
        DataError: If the data is missing or malformed.
    """
    if not plan.methods:
        raise InputError("name at least one method")
    made = {str(spec): spec.make(plan.seed) for spec in plan.methods}
    for removal in plan.removals:
        check_removal(removal, classifier.tokenizer)
    examples = plan.source.read()
    with locked(out):
        instances = Instances.of(classifier, examples, plan.target, plan.max_tokens, plan.labels)
        identity = _identity(classifier, plan, instances)
        check_claim(out, identity)
        entered = _enter_methods(out, plan)
        _rehearse(classifier, made, instances)
        _warn_of_priors(classifier, made)
        claim(out, identity)  # only now: what cannot be run at all shall not keep the folder from what can
        if not (out / INSTANCES).exists():
            write_part(out / INSTANCES, list(instances.rows()), COLUMNS)
        write_json(out / METHODS, entered)
        parts = split_parts([len(encoding) for encoding in instances.batch.encodings], plan.batch_size)
        _run(classifier, plan, made, instances, parts, out, report or _silent)


def split_parts(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Divide texts into parts of like length; longest first, so that a lack of memory shows at once.

    Args:
        lengths: Tokens of each text.
        batch_size: Texts per part.

    Returns:
        Positions of the texts of each part.

    Example:
        >>> split_parts([3, 9, 4], 2)
        [[1, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def slug(name: str) -> str:
    """Make a folder's name of a method's.

    Args:
        name: For instance ``narrows:layer=3``.

    Returns:
        A name that every file system takes.

    Example:
        >>> slug("narrows:layer=3")
        'narrows_layer=3'
    """
    return re.sub(r"[^\w=.+-]", "_", name)


def part_path(out: Path, kind: str, name: str, part: int) -> Path:
    """Name the file of one part.

    Args:
        out: Folder of the run.
        kind: ``maps``, or ``curves`` and the removal.
        name: The method.
        part: Its number.

    Returns:
        The file.
    """
    return out / kind / slug(name) / f"part-{part:05d}.parquet"


def _warn_of_priors(classifier: Classifier, methods: Mapping[str, Method]) -> None:
    """Say once what the explainer would say for each part."""
    blind = [name for name, own in methods.items() if isinstance(own, BottleneckMethod) and own.prior is None]
    if blind and classifier.prior is None:
        warnings.warn(
            f"the model brings no corpus prior: {', '.join(blind)} will take mean and deviation from each text itself; "
            "make one with 'narrows prior' and give it with --prior",
            NarrowsWarning,
            stacklevel=3,
        )


def _rehearse(classifier: Classifier, methods: Mapping[str, Method], instances: Instances) -> None:
    """Try every method on the shortest text: what is wrong with the last one is told before hours of work on others."""
    lengths = [len(encoding) for encoding in instances.batch.encodings]
    row = lengths.index(min(lengths))
    batch = instances.batch.take([row])
    for name, method in methods.items():
        try:
            check_scores(name, batch, method(classifier, batch, [instances.targets[row]]))
        except NarrowsError as error:
            raise type(error)(f"method {name}: {error}") from error


def _run(
    classifier: Classifier,
    plan: Plan,
    methods: dict[str, Method],
    instances: Instances,
    parts: list[list[int]],
    out: Path,
    report: Report,
) -> None:
    # Work is counted in tokens to be mapped or degraded, so that the time left is told well on texts of all lengths.
    sizes = [sum(len(instances.batch.encodings[row]) for row in rows) for rows in parts]
    per_part = 1 + len(plan.removals)
    total, done = sum(sizes) * per_part * len(methods), 0
    for name, method in methods.items():
        for number, (rows, size) in enumerate(zip(parts, sizes, strict=True)):
            report(name, done, total)
            scores = _map_part(classifier, name, method, instances, rows, part_path(out, "maps", name, number))
            done += size
            for removal in plan.removals:
                report(name, done, total)
                path = part_path(out, f"curves/{removal}", name, number)
                _degrade_part(classifier, instances, rows, scores, removal, path)
                done += size
    report("done", done, total)


def _map_part(
    classifier: Classifier, name: str, method: Method, instances: Instances, rows: list[int], path: Path
) -> list[Scores]:
    """Make the maps of one part, or read them where an earlier run made them."""
    if path.exists():
        saved = {row["id"]: np.array(row["scores"]) for row in read_part(path)}
        return [saved[row] for row in rows]
    batch = instances.batch.take(rows)
    targets = [instances.targets[row] for row in rows]
    traces: list[Trace] = [()] * len(rows)
    with measured(classifier.model) as cost:
        if isinstance(method, BottleneckMethod):
            attributions = method.attributions(classifier, batch, targets)
            scores = [attribution.scores for attribution in attributions]
            traces = [attribution.trace for attribution in attributions]
        else:
            scores = method(classifier, batch, targets)
    check_scores(name, batch, scores)
    # The cost goes first and into a file of its own: a part that is there has one, and parts are the same in every run.
    spent = {"instances": len(rows), "seconds": cost.seconds, "forward_equivalents": cost.forward_equivalents}
    write_json(path.with_suffix(".cost.json"), spent)
    content = [
        {
            "id": row,
            "scores": own.tolist(),
            "cross_entropy": [point.cross_entropy for point in trace],
            "information": [point.information for point in trace],
        }
        for row, own, trace in zip(rows, scores, traces, strict=True)
    ]
    write_part(path, content, MAP_COLUMNS)
    return scores


def _degrade_part(
    classifier: Classifier,
    instances: Instances,
    rows: list[int],
    scores: list[Scores],
    removal: Removal,
    path: Path,
) -> None:
    if path.exists():
        return
    encodings = [instances.batch.encodings[row] for row in rows]
    targets = [instances.targets[row] for row in rows]
    curves = degrade(classifier.model, classifier.tokenizer, encodings, scores, targets, removal)
    columns = {name: getattr(curves, name) for name in CURVE_COLUMNS if name != "id"}
    content = [
        {"id": row, **{name: values[place].tolist() for name, values in columns.items()}}
        for place, row in enumerate(rows)
    ]
    write_part(path, content, CURVE_COLUMNS)


def _identity(classifier: Classifier, plan: Plan, instances: Instances) -> dict[str, object]:
    source = plan.source
    return {
        "format": 1,
        "dataset": source.name,
        "split": source.named_split,
        "instances": len(instances.batch),
        "texts_sha256": fingerprint(instances.batch.examples),
        "target": "predicted" if plan.target is None else plan.target,
        "max_tokens": plan.max_tokens,
        "batch_size": plan.batch_size,
        "seed": plan.seed,
        "model": describe_model(classifier, instances.labels),
        "versions": versions(),
    }


def _enter_methods(out: Path, plan: Plan) -> Json:
    """List the methods and removals that this and earlier runs were asked for, in their order."""
    path = out / METHODS
    known = read_json(path) if path.exists() else {"methods": [], "removals": []}
    earlier = {entry["name"]: entry for entry in known["methods"]}
    folders = {slug(entry["name"]): entry["name"] for entry in known["methods"]}
    for spec in plan.methods:
        name = str(spec)
        if folders.setdefault(slug(name), name) != name:
            raise InputError(f"methods {folders[slug(name)]!r} and {name!r} would share a folder")
        files = hash_files(spec.options)
        if name not in earlier:
            entry = {"name": name, "method": spec.name, "options": dict(spec.options)}
            known["methods"].append({**entry, "files": files} if files else entry)
        for option, before in earlier.get(name, {}).get("files", {}).items():
            if files.get(option) != before:
                raise InputError(
                    f"{out} holds results of {name} from before {spec.options[option]} was changed: give another folder"
                )
    known["removals"] += [removal for removal in plan.removals if removal not in known["removals"]]
    return known


def _silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""
