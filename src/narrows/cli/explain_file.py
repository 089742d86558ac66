"""``narrows explain --file``: many texts into a file of maps, a page of them, or both; a bad row costs no other."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from narrows.cli import terminal
from narrows.cli.terminal import say
from narrows.data.example import Example, known_of
from narrows.data.labels import find_label, is_right
from narrows.data.source import Source, Text
from narrows.data.units import UnitKind
from narrows.errors import InputError, NarrowsError, NarrowsWarning, TargetError
from narrows.models.heads.target import Target
from narrows.viz.spans import Shaded, at_level

if TYPE_CHECKING:
    from narrows.attribution import Attribution
    from narrows.explainer import Explainer

Asked = tuple[Target, UnitKind, bool]  # of every text of a file
WINDOW = 2  # batches that are explained together: long enough to sort by length, short enough to show progress
MOST_MAPS = 500  # of a page: a browser shows them all at once


@dataclass(frozen=True)
class FileJob:
    """What is asked of a file of texts."""

    texts: Source
    out: Path | None  # a file of maps
    html: Path | None  # a page of them
    only_errors: bool  # only texts whose prediction is not their label
    asked: Asked
    batch_size: int
    level: Shaded  # of the page


def explain_file(explainer: "Explainer", job: FileJob) -> None:
    """Explain the texts of a file; a row that cannot be read or explained is an error at the end, with exit code 2."""
    rows = list(map(_known, job.texts))
    _check_rows(rows, job)
    done = _Done()
    try:
        _explain(explainer, job, len(rows), done)
    except BaseException:
        from narrows.data import output

        if job.out is not None and (partial := output.partial_path(job.out)).exists():
            say("warning", f"stopped; what was done is in {partial}")
        raise
    if done.cut:
        some = f"{done.cut} of {done.written} texts"
        say("warning", f"{some} are longer than the model takes; 'truncated' counts the tokens cut off")
    if job.out is not None:
        typer.echo(f"narrows: wrote {job.out}: {terminal.counted(done.written, 'text')}", err=True)
    if job.html is not None:
        _write_maps(job.html, job, done, sum(own is True if job.only_errors else own is not None for own in rows))
    terminal.report_faults(done.faults)


def write_page(html: Path, page: str, said: str = "") -> None:
    """Write a page whole, and say so."""
    from narrows.data.output import write_whole

    write_whole(html, page)
    typer.echo(f"narrows: wrote {html}{said}", err=True)


@dataclass
class _Done:
    """What was made of a file so far."""

    written: int = 0
    cut: int = 0  # of them, longer than the model takes
    faults: list[NarrowsError] = field(default_factory=list)
    maps: list[Any] = field(default_factory=list)  # the first of them, in their saved form, for the page


def _known(row: Text) -> bool | None:
    """Tell of a row whether it has a label; None if it cannot be read."""
    return row.label is not None if isinstance(row, Example) else None


def _check_rows(rows: list[bool | None], job: FileJob) -> None:
    """Raise an `InputError` if there is nothing to explain, or nothing to compare predictions with."""
    if all(own is None for own in rows):
        terminal.report_faults([row for row in job.texts if isinstance(row, NarrowsError)])
        raise InputError(f"{job.texts.name} holds no text to explain")
    if job.only_errors and not any(rows):
        where = f"{job.texts.name} has none: name their column with --label-column"
        raise InputError(f"--only-errors compares predictions with labels, and {where}")
    if job.only_errors and (without := rows.count(False)):
        say("warning", f"left out, for they have no label: {without:,} of {len(rows):,} texts")


def _explain(explainer: "Explainer", job: FileJob, total: int, done: _Done) -> None:
    """Explain the rows, and write them as they come."""
    from narrows.data import maps

    with ExitStack() as stack:
        write = None if job.out is None else stack.enter_context(maps.map_writer(job.out))
        report = stack.enter_context(terminal.progress_bar("Explaining"))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", ".*tokens that the model takes", NarrowsWarning)  # they are counted
        report(0, total)
        rows: Iterable[tuple[int, Text]] = enumerate(job.texts)
        if job.only_errors:
            rows = _mistaken(explainer, rows, job)
        for number, found in _explain_rows(explainer, rows, job):
            report(number + 1, total)
            saved: Any = maps.failed_row(found) if isinstance(found, NarrowsError) else found.to_dict()
            if isinstance(found, NarrowsError):
                done.faults.append(found)
            else:
                done.written += 1
                done.cut += saved["truncated"] > 0
                if job.html is not None and len(done.maps) < MOST_MAPS:
                    done.maps.append(at_level(saved, job.level))
            if write is not None:
                write(saved, number)
        report(total, total)


def _explain_rows(
    explainer: "Explainer", rows: Iterable[tuple[int, Text]], job: FileJob
) -> "Iterator[tuple[int, Attribution | NarrowsError]]":
    """Explain texts, with the error in the place of a text that has one; raise it if all of the first have one."""
    from narrows.models.text.reader import Request

    read, waiting = tee(rows)
    requests = (Request(row, *job.asked) for _, row in read)
    results = zip(explainer.each(requests, job.batch_size, WINDOW), waiting, strict=True)
    first = list(islice(results, WINDOW * job.batch_size))
    explained = [found for found, (_, row) in first if isinstance(row, Example)]
    errors = [found for found in explained if isinstance(found, NarrowsError)]
    if errors and len(errors) == len(explained):  # something is wrong with the options, not with the texts
        raise errors[0]
    for found, (number, row) in chain(first, results):
        if isinstance(row, Example) and isinstance(found, NarrowsError):
            found.place = found.place or _place(number, row)
        yield number, found


def _mistaken(explainer: "Explainer", rows: Iterable[tuple[int, Text]], job: FileJob) -> "Iterator[tuple[int, Text]]":
    """Keep the texts whose prediction is not their label, and the errors; a text costs one pass of the model."""
    from narrows.explainer import Explainer

    labelled = ((number, row) for number, row in rows if isinstance(row, NarrowsError) or row.label is not None)
    given, waiting = tee(labelled)
    judge = Explainer(explainer.model, explainer.tokenizer, "random", "instance")
    found = judge.each(((row, None) for _, row in given), job.batch_size, WINDOW)
    for own, (number, row) in zip(found, waiting, strict=True):
        fault = own if isinstance(own, NarrowsError) else None
        try:
            if isinstance(row, Example) and not isinstance(own, NarrowsError) and _is_right(own, row.label):
                continue
        except TargetError as error:
            fault, error.row = error, known_of(row)
        if fault is not None and isinstance(row, Example):
            fault.place = _place(number, row)
        yield number, fault or row


def _place(number: int, row: Example) -> str:
    return f"row {number + 1}, {row.text!r:.60}"


def _is_right(found: "Attribution", label: Any) -> bool:
    """Tell whether a prediction is the label of its text, by name or by number."""
    names = list(found.probabilities)
    if found.predicted in names:
        return found.predicted == names[find_label(label, names)]  # a label that the model lacks is an error
    return bool(is_right(found.predicted, label, names))


def _write_maps(html: Path, job: FileJob, done: _Done, texts: int) -> None:
    """Write the page of maps, on one scale, or say why there is none."""
    from narrows.viz.html import render_page

    if not done.maps:
        why = "no prediction differs from its label" if job.only_errors else "no text could be explained"
        typer.echo(f"narrows: {html} was not written: {why}", err=True)
        return
    count = f"{done.written:,} of {texts:,} texts"
    title = f"Narrows: the prediction is not the label in {count}" if job.only_errors else f"Narrows: {count}"
    notes = []
    if done.written > len(done.maps):
        notes.append(f"The first {len(done.maps):,} are shown.")
        say("warning", f"{html} shows the first {len(done.maps):,} texts; --out writes all")
    if done.faults:
        rows = terminal.counted(len(done.faults), "row")
        notes.append(f"{rows} of {Path(job.texts.name).name} could not be read or explained.")
    write_page(html, render_page(done.maps, title, notes), f": {terminal.counted(len(done.maps), 'map')}")
