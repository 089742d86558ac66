"""Evaluating methods: their runs in OUT/maps/METHOD, then degradation tests in OUT/curves/WAY/METHOD."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import nan
from pathlib import Path

from narrows.data import datasets
from narrows.data.example import Example
from narrows.data.output import read_json, write_json
from narrows.data.parquet import ParquetRow, read_rows, schema_of
from narrows.data.source import Source
from narrows.data.units import UnitKind
from narrows.errors import DataError, InputError, TargetError, warn
from narrows.evaluation.degradation import POINTS, SHARES, Curves, degrade
from narrows.explainer import Explainer
from narrows.methods.evidence import Evidence
from narrows.methods.method import Method
from narrows.methods.registry import describe, find_method, spec
from narrows.methods.settings import settings_of
from narrows.models.cut.blocks import own_config
from narrows.models.cut.view import borrowed
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.goals import Goal, all_of
from narrows.models.heads.targets import GOLD, class_labels, resolve_target
from narrows.models.heads.task import Question, Task
from narrows.models.heads.tasks import find_task
from narrows.models.hub.loading import LoadedModel
from narrows.models.text.removal import Removal, check_removal
from narrows.models.variants import resolve
from narrows.run.dataset import FORMAT, Job, make_parts, prepare
from narrows.run.meter import Meter, MeterCallback
from narrows.run.parts import Made, Receipt, check_part, part_file, save_part
from narrows.run.settings import ExplainSettings
from narrows.run.store import Json, check_claim, claim, digest, locked
from narrows.run.worker import Worker

METHODS = "methods.json"
CURVES = {name: "[float64]" for name in ("morf", "lerf", "shares")}
COLUMNS = {"row": "int64", **CURVES, "morf_decisions": "[int64]", "lerf_decisions": "[int64]"}
READ = ("row", "tokens", "ranks", "target", "labels", "record", "error")  # what the test needs of a row
SAME = ("target", "unit_of", "max_tokens", "rows_per_part", "batch_size")  # of the plan and of the run of each method
KEPT = "-keep-read"  # behind a removal by which the token at which the answer is read is never removed
# The row of a text that could not be explained.
NO_CURVES = {"morf": [nan] * POINTS, "lerf": [nan] * POINTS, "shares": [nan] * len(SHARES)}
NO_CURVES |= {"morf_decisions": [-1] * POINTS, "lerf_decisions": [-1] * POINTS}


@dataclass(frozen=True)
class Plan:
    """What to evaluate."""

    source: Source  # the texts, with their gold labels if these are the targets
    methods: tuple[str | Method, ...]  # names with settings, or objects: an own `Method` or a `FunctionMethod`, too
    removals: tuple[Removal, ...] = (
        "delete",
    )  # ways to remove tokens: ``delete``, ``mask``, ``attention``, ``replace``
    target: str | None = None  # ``gold``, ``predicted``, a label or a continuation; None = see `choose_target`
    unit_of: UnitKind = "token"  # what is explained, ranked and removed as one
    prior: str | None = None  # file of a prior, ``instance`` or ``residual``; None = the one of the model
    max_tokens: int | None = None  # cut longer texts; None = at the model's limit
    labels: tuple[str, ...] | None = None  # names of the classes, in the model's order, if it calls them LABEL_0, ...
    rows_per_part: int = 128  # texts per file: the most that an interruption loses
    batch_size: int = 32  # most texts in a forward pass
    keep_read: bool = False  # never remove the token at which the answer is read: the last one, in a decoder

    @property
    def ways(self) -> dict[str, Removal]:
        """The ways to remove tokens by name, as folders and summaries call them: ``delete``, ``delete-keep-read``."""
        return {f"{removal}{KEPT if self.keep_read else ''}": removal for removal in self.removals}


def evaluate(loaded: LoadedModel, plan: Plan, out: str | Path, report: MeterCallback | None = None) -> None:
    """Run the degradation test for several methods; an interrupted evaluation is resumed, new methods are added.

    `narrows.run.write_summary` sums the results up, and `narrows.run.write_report` draws them.

    Args:
        loaded: The model; left unchanged.
        plan: What to evaluate.
        out: Folder of the results.
        report: Called with the progress.

    Raises:
        InputError: If the folder is in use or has results of something else, or a text cannot be explained.
        DataError: If the data is missing or malformed.
        TargetError: If a label is not one of the model's.

    Example:
        >>> import tempfile
        >>> from narrows.models.hub.loading import load_model
        >>> from narrows.run import write_summary
        >>> folder = tempfile.mkdtemp()
        >>> plan = Plan(Source(items=["A gorgeous film.", "A dull one."]), ("fast", "random"), target="predicted")
        >>> evaluate(load_model("sentiment"), plan, folder)
        >>> list(write_summary(folder)["methods"])
        ['fast', 'random']
    """
    out, methods = Path(out), _by_spec(plan.methods)
    for removal in plan.removals:
        check_removal(removal, loaded.tokenizer)
    examples = plan.source.read()
    texts = Source(items=examples) if plan.source.once else plan.source
    task = find_task(loaded.model, loaded.tokenizer)
    plan = replace(plan, target=choose_target(plan.target, task, examples))
    loaded = _renamed(loaded, task, plan.labels)
    with locked(out):
        if isinstance(task, Classifying):
            _check_targets(str(plan.target), examples, class_labels(loaded.model))
        jobs = _prepare(loaded, plan, texts, methods, out)
        identity = _identity(plan, examples, next(iter(jobs.values())))
        check_claim(out, identity)
        entered = _enter_methods(out, plan, jobs)
        for name, job in jobs.items():
            check_claim(job.out, job.identity)
            if error := job.worker.rehearse(examples):
                raise type(error)(f"method {name}: {error}") from error
        claim(out, identity)  # only now: a run that cannot start leaves the folder free
        write_json(out / METHODS, entered)
        meter = Meter(sum(sum(job.work.values()) for job in jobs.values()) * (1 + len(plan.removals)), report)
        failures: dict[str, list[str]] = {}  # what is left out, and by which methods
        for name, job in jobs.items():
            meter.doing = name
            made = make_parts(job, meter)
            if failed := _failed(name, [receipt for receipt, _ in made]):
                failures.setdefault(failed, []).append(name)
            for part in (_Part(job, examples, each) for each in made):
                number = part.made[0].part
                for way, removal in plan.ways.items():
                    _degrade_part(part, removal, plan.keep_read, curve_file(out, way, name, number))
                    meter.add((name, way, number), job.work.get(number, 0))
        for failed, names in failures.items():
            warn(f"left out of all methods, as {', '.join(names)} could not explain them: {failed}")


def choose_target(target: str | None, task: Task, examples: Sequence[Example]) -> str:
    """Return what is explained; by default ``predicted`` of a language model whose texts have no labels, else gold."""
    if target is not None:
        return target
    labelled = isinstance(task, Classifying) or any(example.label is not None for example in examples)
    return GOLD if labelled else "predicted"


def slug(name: str) -> str:
    """Make the name of a folder from the spec of a method: ``paper:layer=3`` becomes ``paper_layer=3``."""
    return re.sub(r"[^\w=.+-]", "_", name)


def maps_folder(out: Path, name: str) -> Path:
    """Name the folder of the run of a method."""
    return out / "maps" / slug(name)


def curve_file(out: Path, way: str, name: str, part: int) -> Path:
    """Name the file of the curves of one part, by the way in which tokens were removed."""
    return out / "curves" / way / slug(name) / f"part-{part:07d}.parquet"


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


def _prepare(model: LoadedModel, plan: Plan, texts: Source, methods: Mapping[str, Method], out: Path) -> dict[str, Job]:
    """Prepare the run of each method; the texts are surveyed once."""
    same = {name: getattr(plan, name) for name in SAME}
    prior = plan.prior or model.prior
    own = [n for n, m in methods.items() if "prior" in settings_of(type(m)) and getattr(m, "prior", None) is None]
    if prior is None and own:
        what = f"the model has no corpus prior: {', '.join(own)} will take mean and deviation from each text itself "
        what += "(prior 'instance'); make one with 'narrows calibrate' and give it with --prior"
        warn(what)  # once, and not for each method as an `Explainer` would
    jobs: dict[str, Job] = {}
    survey = None
    for name, method in methods.items():
        settings = ExplainSettings(model=model.name, method=method, prior=str(prior or "instance"), **same)
        jobs[name] = prepare(texts, maps_folder(out, name), Worker(settings, loaded=model), survey=survey)
        survey = jobs[name].survey
    return jobs


def _failed(name: str, receipts: Sequence[Receipt]) -> str:
    """Say which texts a method could not explain, nothing if it could all; an `InputError` if it could none."""
    failed, texts = sum(receipt.errors for receipt in receipts), sum(receipt.rows for receipt in receipts)
    first = next((receipt.first_error for receipt in receipts if receipt.errors), "")
    if failed == texts:
        raise InputError(f"method {name} could explain none of {texts:,} texts; the first: {first}")
    return f"{failed:,} of {texts:,} texts; the first: {first}" if failed else ""


@dataclass(frozen=True)
class _Part:
    """The texts of one part, as one method explained them."""

    job: Job  # the run that made the maps
    examples: Sequence[Example]  # all texts
    made: Made

    @cached_property
    def rows(self) -> list[ParquetRow]:
        """What the test needs of each text."""
        return list(read_rows(part_file(self.job.out, self.made[0].part), READ))

    @cached_property
    def explained(self) -> list[ParquetRow]:
        """The rows without an error."""
        return [row for row in self.rows if row["error"] is None]

    @cached_property
    def questions(self) -> list[Question]:
        """What was explained of each text, asked again."""
        return list(map(self._ask, self.explained))

    @cached_property
    def goals(self) -> list[Goal]:
        """The goal of each text."""
        worker, ids = self.job.worker, list(map(_ids_of, self.explained))
        unknown = [question for question, own in zip(self.questions, ids, strict=True) if not own]
        reader = (worker.loaded.model, worker.loaded.tokenizer)
        found = iter(resolve(*reader, worker.task, unknown) if unknown else [])
        return [all_of(own) if own else next(found).goal for own in ids]

    def curves(self, removal: Removal, keep_read: bool) -> Curves:
        """Run the degradation test on the rankings."""
        worker, ranks = self.job.worker, [row["ranks"] for row in self.explained]
        reader = (worker.loaded.model, worker.loaded.tokenizer)
        rankings = [sorted((n for n, rank in enumerate(own) if rank), key=own.__getitem__) for own in ranks]
        return degrade(*reader, self.questions, rankings, self.goals, removal, keep_read)

    def _ask(self, row: ParquetRow) -> Question:
        ids = _ids_of(row)
        named = row["target"] if row["target"] in row["labels"] else None
        target = named if not ids else ids[0] if len(ids) == 1 else ids
        question = self.job.worker.ask(replace(self.examples[row["row"]], label=None), target)
        if list(question.encoding.tokens) != row["tokens"]:
            raise DataError(f"{self.job.out}: text {row['row']} has other tokens than it was explained with")
        return question


def _ids_of(row: ParquetRow) -> list[int]:
    """Read the very tokens that were explained: in another batch another one may be the likeliest by a hair."""
    named: list[Json] = json.loads(row["record"]).get("target_tokens") or []
    return list(named[0]["ids"]) if len(named) == 1 else []


def _degrade_part(part: _Part, removal: Removal, keep_read: bool, path: Path) -> None:
    """Run the degradation test on the rankings of one part, unless its file is there and whole."""
    receipt, sha256 = part.made
    kept = {"keep_read": True} if keep_read else {}
    identity = digest({"map": sha256, "removal": removal, "format": FORMAT, **kept})
    if path.exists():
        try:
            if check_part(path)[0].run_sha256 == identity:
                return
        except DataError as error:
            warn(f"{error}; it is made again")
    curves = part.curves(removal, keep_read)
    columns = [[row["row"] for row in part.explained], *(getattr(curves, n).tolist() for n in COLUMNS if n != "row")]
    found = {values[0]: dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)}
    content = [found.get(row["row"]) or {"row": row["row"], **NO_CURVES} for row in part.rows]
    own = Receipt(receipt.part, receipt.rows, receipt.errors, receipt.tokens, receipt.texts_sha256, identity)
    save_part(path, content, schema_of(COLUMNS), own)


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


def _enter_methods(out: Path, plan: Plan, jobs: Mapping[str, Job]) -> Json:
    """List the methods and removals of this and of earlier evaluations in the folder, in their order."""
    path = out / METHODS
    entered = read_json(path) if path.exists() else {"methods": [], "removals": []}
    folders = {slug(entry["spec"]): entry["spec"] for entry in entered["methods"]}
    for name, job in jobs.items():
        if slug(name) not in folders:
            entered["methods"].append({"spec": name, **describe(_as_run(job.worker.explainer))})
        if folders.setdefault(slug(name), name) != name:
            raise InputError(f"methods {folders[slug(name)]!r} and {name!r} would share a folder")
    entered["removals"] += [way for way in plan.ways if way not in entered["removals"]]
    return entered


def _as_run(explainer: Explainer) -> Method:
    """Give the method with the settings that the calibration of its prior chose."""
    method = explainer.method
    return method.fitted(explainer._cut.find_prior(method.prior)) if isinstance(method, Evidence) else method


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
            if target == "gold" and example.label is None:
                hint = "without labels, --target predicted explains what the model says"
            raise TargetError(f"text {number}: {error}; {hint}") from error
        if target == "gold" and (label := str(example.label)) in numbers and label not in names:
            what = f"the label is a number, {label}, but the model's classes are called {', '.join(names)}"
            hint = f"if they count in the same order, say so with --labels {','.join(numbers)}"
            raise TargetError(f"text {number}: {what}: {hint}")


def _renamed(loaded: LoadedModel, task: Task, labels: Sequence[str] | None) -> LoadedModel:
    """Give the classes other names, on a view: the model keeps its own."""
    if labels is None:
        return loaded
    if not isinstance(task, Classifying):
        raise InputError(f"{type(loaded.model).__name__} has no classes: leave out the names of labels")
    if len(labels) != (count := len(class_labels(loaded.model))):
        raise InputError(f"{len(labels)} names of labels for the {count} classes of the model")
    view = borrowed(loaded.model)
    own_config(view).id2label = dict(enumerate(labels))
    return replace(loaded, model=view)
