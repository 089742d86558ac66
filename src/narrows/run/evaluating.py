"""Evaluating methods: a run over the data set for each of them, then the degradation test on its attributions.

OUT/maps/SLUG                     the run of a method, the same as ``narrows run`` makes
OUT/curves/REMOVAL/SLUG           for each of its parts, what removing tokens by its rankings did
OUT/manifest.json, methods.json   what the results are of
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from narrows.data import datasets
from narrows.data.example import Example
from narrows.data.output import read_json, write_json
from narrows.data.parquet import read_rows, schema_of
from narrows.data.source import Source
from narrows.errors import DataError, InputError, NarrowsWarning, TargetError
from narrows.evaluation.degradation import degrade
from narrows.methods.method import Method
from narrows.methods.registry import find_method, spec
from narrows.methods.settings import settings_of
from narrows.models.cut.blocks import own_config
from narrows.models.heads.targets import class_labels, resolve_target
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import Encoding, encode
from narrows.models.text.removal import Removal, check_removal
from narrows.run.dataset import FORMAT, Job, make_parts, prepare
from narrows.run.manifest import describe_method, digest
from narrows.run.meter import Meter, Report
from narrows.run.parts import Made, Receipt, check_part, part_file, save_part
from narrows.run.settings import ExplainSettings
from narrows.run.store import Json, check_claim, claim, locked
from narrows.run.worker import Worker

METHODS = "methods.json"
CURVES = {name: "[float64]" for name in ("morf", "lerf", "shares")}
COLUMNS = {"id": "int64", **CURVES, "morf_decisions": "[int64]", "lerf_decisions": "[int64]"}
READ = ("id", "text", "text_pair", "tokens", "ranks", "target", "labels", "error")  # what the test needs of a row


@dataclass(frozen=True)
class Plan:
    """What to evaluate.

    Attributes:
        source: The texts, with their gold labels if these are the targets.
        methods: The methods, as names with settings, or as objects: an own `Method` or a `FunctionMethod`, too.
        removals: Ways to remove tokens: ``delete``, ``mask``, ``attention``.
        target: ``gold``, ``predicted`` or a label.
        prior: File of a prior, ``instance`` or ``residual``; None = the one of the model.
        max_tokens: Cut longer texts; None = at the model's limit.
        labels: Names of the classes in the order of the logits, for a model that calls them LABEL_0, ...
        rows_per_part: Texts per file: the most that an interruption loses.
        batch_size: Most texts in a forward pass.
    """

    source: Source
    methods: tuple[str | Method, ...]
    removals: tuple[Removal, ...] = ("delete",)
    target: str = "gold"
    prior: str | None = None
    max_tokens: int | None = None
    labels: tuple[str, ...] | None = None
    rows_per_part: int = 128
    batch_size: int = 32


def evaluate(classifier: Classifier, plan: Plan, out: str | Path, report: Report | None = None) -> None:
    """Run the degradation test for several methods; an interrupted evaluation is resumed, new methods are added.

    `narrows.run.write_summary` sums the results up, and `narrows.run.write_report` draws them.

    Args:
        classifier: The model; left unchanged.
        plan: What to evaluate.
        out: Folder of the results.
        report: Called with the progress.

    Raises:
        InputError: If the folder is in use or has results of something else, or a text cannot be explained.
        DataError: If the data is missing or malformed.
        TargetError: If a label is not one of the model's.

    Example:
        >>> import tempfile
        >>> from narrows.methods import FunctionMethod
        >>> from narrows.models.hub.loading import load_classifier
        >>> from narrows.run import write_summary
        >>> texts = [{"text": "A gorgeous film.", "label": "positive"}, {"text": "A dull one.", "label": "negative"}]
        >>> length = FunctionMethod(lambda batch: [[len(t) for t in e.tokens] for e in batch.encodings], label="length")
        >>> folder = tempfile.mkdtemp()
        >>> evaluate(load_classifier("sentiment"), Plan(Source(items=texts), ("fast", length)), folder)
        >>> list(write_summary(folder)["methods"])
        ['fast', 'length']
    """
    out, methods = Path(out), _by_spec(plan.methods)
    for removal in plan.removals:
        check_removal(removal, classifier.tokenizer)
    examples = plan.source.read()
    texts = Source(items=examples) if plan.source.once else plan.source
    with locked(out), _renamed(classifier.model, plan.labels):
        _check_targets(plan.target, examples, class_labels(classifier.model))
        jobs = _prepare(classifier, plan, texts, methods, out)
        identity = _identity(plan, examples, next(iter(jobs.values())))
        check_claim(out, identity)
        entered = _enter_methods(out, plan, methods)
        for name, job in jobs.items():
            check_claim(job.out, job.identity)
            _rehearse(name, job, methods[name], examples)
        claim(out, identity)  # only now: a run that cannot start leaves the folder free
        write_json(out / METHODS, entered)
        meter = Meter(sum(job.total_work for job in jobs.values()) * (1 + len(plan.removals)), report)
        for name, job in jobs.items():
            meter.doing = name
            for made in make_parts(job, meter, strict=True):
                for removal in plan.removals:
                    _degrade_part(job, made, removal, curve_file(out, removal, name, made[0].part))
                    meter.add((name, removal, made[0].part), job.work_of(made[0].part))


def slug(name: str) -> str:
    """Make the name of a folder from the spec of a method.

    Example:
        >>> slug("paper:layer=3")
        'paper_layer=3'
    """
    return re.sub(r"[^\w=.+-]", "_", name)


def maps_folder(out: Path, name: str) -> Path:
    """Name the folder of the run of a method."""
    return out / "maps" / slug(name)


def curve_file(out: Path, removal: str, name: str, part: int) -> Path:
    """Name the file of the curves of one part."""
    return out / "curves" / removal / slug(name) / f"part-{part:07d}.parquet"


def _by_spec(methods: Sequence[str | Method]) -> dict[str, Method]:
    """Find the methods, each once, by their spec; refuse two that would share a folder."""
    if not methods:
        raise InputError("name at least one method")
    found: dict[str, Method] = {}
    for method in map(find_method, methods):
        name = spec(method)
        if found.setdefault(name, method) != method:
            raise InputError(f"two methods are called {name!r}: give them different labels")
    return found


def _prepare(
    classifier: Classifier, plan: Plan, texts: Source, methods: Mapping[str, Method], out: Path
) -> dict[str, Job]:
    """Prepare the run of each method; the texts are surveyed once."""
    prior = plan.prior or classifier.prior
    if prior is None:
        prior = "instance"
        _warn_of_instance(methods)
    jobs: dict[str, Job] = {}
    survey = None
    for name, method in methods.items():
        settings = ExplainSettings(
            model=classifier.name,
            method=method,
            target=plan.target,
            prior=str(prior),
            max_tokens=plan.max_tokens,
            rows_per_part=plan.rows_per_part,
            batch_size=plan.batch_size,
        )
        worker = Worker(settings, classifier=classifier)
        jobs[name] = prepare(texts, maps_folder(out, name), worker, survey=survey)
        survey = jobs[name].survey
    return jobs


def _warn_of_instance(methods: Mapping[str, Method]) -> None:
    """Warn once of what an `Explainer` would warn of for each method."""
    own = [n for n, m in methods.items() if "prior" in settings_of(type(m)) and getattr(m, "prior", None) is None]
    if own:
        warnings.warn(
            f"the model has no corpus prior: {', '.join(own)} will take mean and deviation from each text itself "
            "(prior 'instance'); make one with 'narrows prior' and give it with --prior",
            NarrowsWarning,
            stacklevel=4,
        )


def _rehearse(name: str, job: Job, method: Method, examples: Sequence[Example]) -> None:
    """Try a method on the shortest text, before hours of work on other methods."""
    check = getattr(method, "check", None)  # a file of scores looks up all texts
    if check is not None:
        check(examples)
    error = job.worker.rehearse(examples)
    if error is not None:
        raise type(error)(f"method {name}: {error}") from error


def _degrade_part(job: Job, made: Made, removal: Removal, path: Path) -> None:
    """Run the degradation test on the rankings of one part, unless its file is there and whole."""
    receipt, sha256 = made
    identity = digest({"map": sha256, "removal": removal, "format": FORMAT})
    if path.exists():
        try:
            if check_part(path)[0].run_sha256 == identity:
                return
        except DataError as error:
            warnings.warn(f"{error}; it is made again", NarrowsWarning, stacklevel=3)
    classifier = job.worker.classifier
    rows = list(read_rows(part_file(job.out, receipt.part), READ))
    curves = degrade(
        classifier.model,
        classifier.tokenizer,
        [_encode(job, row) for row in rows],
        [_ranking(row["ranks"]) for row in rows],
        [row["labels"].index(row["target"]) for row in rows],
        removal,
    )
    columns = {name: getattr(curves, name).tolist() for name in COLUMNS if name != "id"}
    content = [
        {"id": row["id"], **{name: own[place] for name, own in columns.items()}} for place, row in enumerate(rows)
    ]
    own = Receipt(receipt.part, receipt.rows, 0, receipt.tokens, receipt.texts_sha256, identity)
    save_part(path, content, schema_of(COLUMNS), own)


def _encode(job: Job, row: Json) -> Encoding:
    """Encode the text of a row as it was explained."""
    encoding = encode(job.worker.classifier.tokenizer, Example(row["text"], row["text_pair"]), job.worker.limit)
    if list(encoding.tokens) != row["tokens"]:
        raise DataError(f"{job.out}: text {row['id']} has other tokens than it was explained with")
    return encoding


def _ranking(ranks: Sequence[int | None]) -> list[int]:
    """Turn ranks, (tokens,), into positions, the first to be removed first."""
    ranked = [(rank, position) for position, rank in enumerate(ranks) if rank is not None]
    return [position for _, position in sorted(ranked)]


def _identity(plan: Plan, examples: Sequence[Example], job: Job) -> Json:
    """Describe what all methods share."""
    source, found = plan.source, hashlib.sha256()
    for example in examples:
        found.update(json.dumps([example.text, example.text_pair, example.label]).encode() + b"\n")
    return {
        "format": FORMAT,
        "dataset": source.name if source.name in datasets.DATASETS else Path(source.name).name,
        "split": source.named_split,
        "instances": len(examples),
        "texts_sha256": found.hexdigest(),
        "target": plan.target,
        "max_tokens": plan.max_tokens,
        "rows_per_part": plan.rows_per_part,
        "batch_size": plan.batch_size,
        **{name: job.worker.about[name] for name in ("model", "prior", "versions")},
    }


def _enter_methods(out: Path, plan: Plan, methods: Mapping[str, Method]) -> Json:
    """List the methods and removals of this and of earlier evaluations in the folder, in their order."""
    path = out / METHODS
    entered = read_json(path) if path.exists() else {"methods": [], "removals": []}
    folders = {slug(entry["spec"]): entry["spec"] for entry in entered["methods"]}
    for name, method in methods.items():
        if folders.setdefault(slug(name), name) != name:
            raise InputError(f"methods {folders[slug(name)]!r} and {name!r} would share a folder")
        if name not in [entry["spec"] for entry in entered["methods"]]:
            entered["methods"].append(describe_method(method))
    entered["removals"] += [removal for removal in plan.removals if removal not in entered["removals"]]
    return entered


def _check_targets(target: str, examples: Sequence[Example], names: Sequence[str]) -> None:
    """Raise a `TargetError` if a gold label is not one of the model's, or a number where classes have names."""
    if target == "predicted":
        return
    # A number does not say which class with a name is meant: two checkpoints need not count alike.
    counted = set() if all(name.startswith("LABEL_") for name in names) else {str(n) for n in range(len(names))}
    for number, example in enumerate(examples, 1):
        hint = "say which class is which, in the model's order, with --labels NAME,NAME,..."
        try:
            resolve_target(target, example, 0, names)
        except TargetError as error:
            raise TargetError(f"text {number}: {error}; {hint}") from error
        if target == "gold" and str(example.label) in counted - set(names):
            raise TargetError(
                f"text {number}: the label is a number, {example.label}, but the model's classes are called "
                f"{', '.join(names)}: if they count in the same order, say so with --labels "
                f"{','.join(sorted(counted, key=int))}"
            )


@contextmanager
def _renamed(model: PreTrainedModel, labels: Sequence[str] | None) -> Iterator[None]:
    """Give the classes of a model other names for a while."""
    config, own = own_config(model), class_labels(model)
    if labels is None:
        yield
        return
    if len(labels) != len(own):
        raise InputError(f"{len(labels)} names of labels for the {len(own)} classes of the model")
    before = config.id2label
    config.id2label = dict(enumerate(labels))
    try:
        yield
    finally:
        config.id2label = before
