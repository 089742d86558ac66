"""Evaluating methods: their runs in OUT/maps/METHOD, then degradation tests in OUT/curves/REMOVAL/METHOD."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from narrows.data import datasets
from narrows.data.example import Example
from narrows.data.output import read_json, write_json
from narrows.data.parquet import UNIT, places_of, read_rows, schema_of
from narrows.data.source import Source
from narrows.data.units import Kind, group_by_places
from narrows.errors import DataError, InputError, TargetError, warn
from narrows.evaluation.degradation import degrade
from narrows.methods.method import Method
from narrows.methods.registry import describe, find_method, spec
from narrows.methods.settings import settings_of
from narrows.models.cut.blocks import own_config
from narrows.models.cut.view import borrowed
from narrows.models.heads.targets import class_labels, resolve_target
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import Encoding, encode
from narrows.models.text.removal import Removal, check_removal
from narrows.run.dataset import FORMAT, Job, make_parts, prepare
from narrows.run.meter import Meter, Report
from narrows.run.parts import Made, Receipt, check_part, part_file, save_part
from narrows.run.settings import ExplainSettings
from narrows.run.store import Json, check_claim, claim, digest, locked
from narrows.run.worker import Worker

METHODS = "methods.json"
CURVES = {name: "[float64]" for name in ("morf", "lerf", "shares")}
COLUMNS = {"row": "int64", **CURVES, "morf_decisions": "[int64]", "lerf_decisions": "[int64]"}
READ = (
    "row",
    "text",
    "text_pair",
    "tokens",
    "ranks",
    *UNIT.values(),
    "target",
    "labels",
    "error",
)  # what the test needs
SAME = ("target", "unit_of", "max_tokens", "rows_per_part", "batch_size")  # of the plan and of the run of each method


@dataclass(frozen=True)
class Plan:
    """What to evaluate."""

    source: Source  # the texts, with their gold labels if these are the targets
    methods: tuple[str | Method, ...]  # names with settings, or objects: an own `Method` or a `FunctionMethod`, too
    removals: tuple[Removal, ...] = ("delete",)  # ways to remove tokens: ``delete``, ``mask``, ``attention``
    target: str = "gold"  # or ``predicted``, or a label
    unit_of: Kind = "token"  # what is explained, ranked and removed as one
    prior: str | None = None  # file of a prior, ``instance`` or ``residual``; None = the one of the model
    max_tokens: int | None = None  # cut longer texts; None = at the model's limit
    labels: tuple[str, ...] | None = None  # names of the classes, in the model's order, if it calls them LABEL_0, ...
    rows_per_part: int = 128  # texts per file: the most that an interruption loses
    batch_size: int = 32  # most texts in a forward pass


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
        >>> from narrows.models.hub.loading import load_classifier
        >>> from narrows.run import write_summary
        >>> folder = tempfile.mkdtemp()
        >>> plan = Plan(Source(items=["A gorgeous film.", "A dull one."]), ("fast", "random"), target="predicted")
        >>> evaluate(load_classifier("sentiment"), plan, folder)
        >>> list(write_summary(folder)["methods"])
        ['fast', 'random']
    """
    out, methods = Path(out), _by_spec(plan.methods)
    for removal in plan.removals:
        check_removal(removal, classifier.tokenizer)
    examples = plan.source.read()
    texts = Source(items=examples) if plan.source.once else plan.source
    classifier = _renamed(classifier, plan.labels)
    with locked(out):
        _check_targets(plan.target, examples, class_labels(classifier.model))
        jobs = _prepare(classifier, plan, texts, methods, out)
        identity = _identity(plan, examples, next(iter(jobs.values())))
        check_claim(out, identity)
        entered = _enter_methods(out, plan, methods)
        for name, job in jobs.items():
            check_claim(job.out, job.identity)
            if error := job.worker.rehearse(examples):
                raise type(error)(f"method {name}: {error}") from error
        claim(out, identity)  # only now: a run that cannot start leaves the folder free
        write_json(out / METHODS, entered)
        meter = Meter(sum(sum(job.work.values()) for job in jobs.values()) * (1 + len(plan.removals)), report)
        for name, job in jobs.items():
            meter.doing = name
            for made in make_parts(job, meter, strict=True):
                part = made[0].part
                for removal in plan.removals:
                    _degrade_part(job, made, removal, curve_file(out, removal, name, part))
                    meter.add((name, removal, part), job.work.get(part, 0))


def slug(name: str) -> str:
    """Make the name of a folder from the spec of a method: ``paper:layer=3`` becomes ``paper_layer=3``."""
    return re.sub(r"[^\w=.+-]", "_", name)


def maps_folder(out: Path, name: str) -> Path:
    """Name the folder of the run of a method."""
    return out / "maps" / slug(name)


def curve_file(out: Path, removal: str, name: str, part: int) -> Path:
    """Name the file of the curves of one part."""
    return out / "curves" / removal / slug(name) / f"part-{part:07d}.parquet"


def _by_spec(methods: Sequence[str | Method]) -> dict[str, Method]:
    """Find the methods, each once, by their spec; refuse two that would share a folder."""
    found: dict[str, Method] = {}
    for method in map(find_method, methods):
        name = spec(method)
        if found.setdefault(name, method) != method:
            raise InputError(f"two methods are called {name!r}: give them different labels")
    if not found:
        raise InputError("name at least one method")
    return found


def _prepare(model: Classifier, plan: Plan, texts: Source, methods: Mapping[str, Method], out: Path) -> dict[str, Job]:
    """Prepare the run of each method; the texts are surveyed once."""
    same = {name: getattr(plan, name) for name in SAME}
    prior = plan.prior or model.prior
    own = [n for n, m in methods.items() if "prior" in settings_of(type(m)) and getattr(m, "prior", None) is None]
    if prior is None and own:
        what = f"the model has no corpus prior: {', '.join(own)} will take mean and deviation from each text itself "
        what += "(prior 'instance'); make one with 'narrows prior' and give it with --prior"
        warn(what)  # once, and not for each method as an `Explainer` would
    jobs: dict[str, Job] = {}
    survey = None
    for name, method in methods.items():
        settings = ExplainSettings(model=model.name, method=method, prior=str(prior or "instance"), **same)
        jobs[name] = prepare(texts, maps_folder(out, name), Worker(settings, classifier=model), survey=survey)
        survey = jobs[name].survey
    return jobs


def _degrade_part(job: Job, made: Made, removal: Removal, path: Path) -> None:
    """Run the degradation test on the rankings of one part, unless its file is there and whole."""
    receipt, sha256 = made
    identity = digest({"map": sha256, "removal": removal, "format": FORMAT})
    if path.exists():
        try:
            if check_part(path)[0].run_sha256 == identity:
                return
        except DataError as error:
            warn(f"{error}; it is made again")
    model, tokenizer = job.worker.classifier.model, job.worker.classifier.tokenizer
    rows = list(read_rows(part_file(job.out, receipt.part), READ))
    encodings = [encode(tokenizer, Example(row["text"], row["text_pair"]), job.worker.limit) for row in rows]
    for row, encoding in zip(rows, encodings, strict=True):
        if list(encoding.tokens) != row["tokens"]:
            raise DataError(f"{job.out}: text {row['row']} has other tokens than it was explained with")
    rankings = [_ranked(row, encoding) for row, encoding in zip(rows, encodings, strict=True)]
    targets = [row["labels"].index(row["target"]) for row in rows]
    curves = degrade(model, tokenizer, encodings, rankings, targets, removal)
    columns = [[row["row"] for row in rows], *(getattr(curves, name).tolist() for name in COLUMNS if name != "row")]
    content = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)]
    own = Receipt(receipt.part, receipt.rows, 0, receipt.tokens, receipt.texts_sha256, identity)
    save_part(path, content, schema_of(COLUMNS), own)


def _ranked(row: Json, encoding: Encoding) -> list[tuple[int, ...]]:
    """List what is removed together of a text, the positions of tokens, first removed first: its units, or tokens."""
    units: list[tuple[int, ...]]
    texts, ranks, places = (row["text"], row["text_pair"]), row["ranks"], places_of(row)
    units = [(position,) for position, rank in enumerate(ranks) if rank]
    if places is not None:
        units = group_by_places(texts, encoding.offsets, encoding.segments, places)
    return sorted(filter(None, units), key=lambda unit: min(ranks[position] for position in unit))


def _identity(plan: Plan, examples: Sequence[Example], job: Job) -> Json:
    """Identify what all methods share."""
    source, about = plan.source, job.worker.about
    lines = [json.dumps([example.text, example.text_pair, example.label]) + "\n" for example in examples]
    return {
        "format": FORMAT,
        "dataset": source.name if source.name in datasets.DATASETS else Path(source.name).name,
        "split": source.named_split,
        "instances": len(examples),
        "texts_sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
        **{name: getattr(plan, name) for name in SAME},
        **{name: about[name] for name in ("model", "prior", "versions")},
    }


def _enter_methods(out: Path, plan: Plan, methods: Mapping[str, Method]) -> Json:
    """List the methods and removals of this and of earlier evaluations in the folder, in their order."""
    path = out / METHODS
    entered = read_json(path) if path.exists() else {"methods": [], "removals": []}
    folders = {slug(entry["spec"]): entry["spec"] for entry in entered["methods"]}
    for name, method in methods.items():
        if slug(name) not in folders:
            entered["methods"].append({"spec": name, **describe(method)})
        if folders.setdefault(slug(name), name) != name:
            raise InputError(f"methods {folders[slug(name)]!r} and {name!r} would share a folder")
    entered["removals"] += [removal for removal in plan.removals if removal not in entered["removals"]]
    return entered


def _check_targets(target: str, examples: Sequence[Example], names: Sequence[str]) -> None:
    """Raise a `TargetError` if a gold label is not one of the model's, or a number where classes have names."""
    if target == "predicted":
        return
    # A number does not say which class with a name is meant: two checkpoints need not count alike.
    numbers = [] if all(name.startswith("LABEL_") for name in names) else list(map(str, range(len(names))))
    for number, example in enumerate(examples, 1):
        try:
            resolve_target(target, example, 0, names)
        except TargetError as error:
            hint = "name the classes, in the model's order, with --labels"
            raise TargetError(f"text {number}: {error}; {hint}") from error
        if target == "gold" and (label := str(example.label)) in numbers and label not in names:
            what = f"the label is a number, {label}, but the model's classes are called {', '.join(names)}"
            hint = f"if they count in the same order, say so with --labels {','.join(numbers)}"
            raise TargetError(f"text {number}: {what}: {hint}")


def _renamed(classifier: Classifier, labels: Sequence[str] | None) -> Classifier:
    """Give the classes other names, on a view: the model keeps its own."""
    if labels is None:
        return classifier
    if len(labels) != (count := len(class_labels(classifier.model))):
        raise InputError(f"{len(labels)} names of labels for the {count} classes of the model")
    view = borrowed(classifier.model)
    own_config(view).id2label = dict(enumerate(labels))
    return replace(classifier, model=view)
