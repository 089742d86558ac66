"""``narrows explain``: one text, or a file of them."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from narrows.cli.terminal import (
    BATCH_SIZE,
    BatchOption,
    DeviceOption,
    ModelOption,
    progress_bar,
    report_faults,
    say,
    texts,
)
from narrows.data.example import Example, Item
from narrows.errors import DataError, InputError, NarrowsError, NarrowsWarning, NumericsError, TargetError
from narrows.models.heads.target import Contrast, Target

if TYPE_CHECKING:
    from narrows.attribution import Attribution
    from narrows.explainer import Explainer
    from narrows.methods import Method

ALL = "all"
PAGES = (".html", ".htm")
WINDOW = 2  # batches that are explained together: long enough to sort by length, short enough to show progress
OF_ONE_TEXT = (DataError, InputError, NumericsError, TargetError)  # errors that need not be those of the next text

commands = typer.Typer()


@commands.command()
def explain(  # noqa: PLR0913 - every option of the command
    text: Annotated[str | None, typer.Argument(help="The text to explain; - reads stdin.", show_default=False)] = None,
    pair: Annotated[str | None, typer.Option(help="The second text of a pair.")] = None,
    model: ModelOption = "sentiment",
    method: Annotated[str, typer.Option(help="How: NAME[:setting=value...]; see 'narrows methods'.")] = "fast",
    layer: Annotated[str | None, typer.Option(help="After which block: 3, or 1,3,5; 'all': one map for each.")] = None,
    target: Annotated[str | None, typer.Option(help="Label to explain; default: the predicted one.")] = None,
    against: Annotated[str | None, typer.Option(help="Explain why --target rather than this label.")] = None,
    prior: Annotated[
        str | None, typer.Option(help="File of a prior, 'instance' or 'residual'; default: the model's own.")
    ] = None,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write a page: one .html file.")] = None,
    file: Annotated[Path | None, typer.Option(help="Explain the texts of a .txt, .csv, .jsonl, ... file.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --file: the .jsonl or .parquet file to write.")] = None,
    batch_size: BatchOption = BATCH_SIZE,
) -> None:
    """Explain a prediction: how much each token of the text contributed to it."""
    if (text is None) == (file is None):
        raise InputError("give one text to explain, or many with --file")
    if (file is None) != (out is None):
        raise InputError("--file and --out go together")
    if file is not None and (pair is not None or html is not None or as_json or layer == ALL):
        raise InputError("--file takes neither --pair, --html, --json nor --layer all; the file holds the pairs")
    asked = _parse_target(target, against)
    if html is not None:
        _check_page(html)
    if file is not None and out is not None:
        _check_files(file, out)
        explainer = _load_explainer(model, method, layer, prior, device)
        _explain_file(explainer, file, out, asked, batch_size)
    elif text is not None:
        example = Example(_read_stdin() if text == "-" else text, pair)
        explainer = _load_explainer(model, method, layer, prior, device)
        found = explainer.across_layers(example, asked) if layer == ALL else [explainer(example, asked)]
        _show(found, layer == ALL, as_json, html)


def _parse_target(target: str | None, against: str | None) -> str | Contrast | None:
    if against is None:
        return target
    if target is None:
        raise InputError("--against goes with --target: name the label to explain")
    return Contrast(target, against)


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"stdin is not UTF-8: byte {error.start}") from None


def _check_page(html: Path) -> None:
    """Find out what is wrong with the name of a page before a model is loaded."""
    from narrows.data.output import check_writable

    if html.suffix.lower() not in PAGES:
        raise InputError(f"--html writes a page: the name must end in {' or '.join(PAGES)}, not {html.name!r}")
    check_writable(html)


def _check_files(file: Path, out: Path) -> None:
    """Find out what is wrong with the files before a model is loaded."""
    from narrows.data.maps import check_format
    from narrows.data.output import check_writable
    from narrows.data.tables import check_file

    check_file(file)
    check_format(out)
    check_writable(out)


def _load_explainer(model: str, method: str, layer: str | None, prior: str | None, device: str | None) -> Explainer:
    """Load what was asked for, the model last: a wrong method or prior is found before."""
    from narrows.bottleneck.prior import find_prior
    from narrows.explainer import Explainer

    chosen = find_with_layer(method, layer)
    return Explainer.from_pretrained(model, chosen, None if prior is None else find_prior(prior), device=device)


def find_with_layer(method: str, layer: str | None) -> Method:
    """Find a method, and set its layer; ``all`` only checks that it has one."""
    from narrows.methods.registry import find_method
    from narrows.methods.settings import settings_of

    found: Method = find_method(method)
    if layer is None:
        return found
    if "layer" not in settings_of(type(found)):
        raise InputError(f"--layer: the method {method} has no layer")
    return found if layer == ALL else find_method(f"{method}:layer={layer}")


def _show(attributions: list[Attribution], layers: bool, as_json: bool, html: Path | None) -> None:
    """Print the explanation of one text, as one map or as one per layer."""
    from narrows.data.output import written_whole
    from narrows.viz.html import render_layers_page, render_page
    from narrows.viz.terminal import render_layers, render_map

    saved = [attribution.to_dict() for attribution in attributions]
    if as_json:
        several = {"text": saved[0]["text"], "text_pair": saved[0]["text_pair"], "layers": saved}
        typer.echo(json.dumps(several if layers else saved[0], ensure_ascii=False).encode())
    else:
        Console().print(render_layers(saved) if layers else render_map(saved[0]))
    if html is not None:
        with written_whole(html) as partial:
            page = render_layers_page(saved) if layers else render_page(saved)
            partial.write_text(page, encoding="utf-8")
        typer.echo(f"narrows: wrote {html}", err=True)


def _explain_file(explainer: Explainer, file: Path, out: Path, target: Target, batch_size: int) -> None:
    """Explain every text of a file; a row that cannot be read or explained is an error at the end."""
    from narrows.data.maps import map_writer
    from narrows.data.output import partial_path
    from narrows.data.tables import read_examples

    faults: list[NarrowsError] = []
    written = cut = 0
    total = sum(isinstance(row, Example) for row in read_examples(file))
    if total == 0:
        report_faults([row for row in read_examples(file) if isinstance(row, DataError)])
        raise InputError(f"{file} holds no text to explain")
    try:
        with map_writer(out) as write, progress_bar("Explaining") as report, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*tokens that the model takes", NarrowsWarning)  # they are counted
            report(0, total)
            rows = _explain_rows(explainer, texts(read_examples(file), faults), target, batch_size)
            for done, (example, found) in enumerate(rows, start=1):
                report(done, total)
                if isinstance(found, NarrowsError):
                    faults.append(found)
                    continue
                write(found.to_dict(), gold=example.label)
                written += 1
                cut += found.truncated > 0
    except BaseException:
        if partial_path(out).exists():
            say("warning", f"stopped; what was done is in {partial_path(out)}")
        raise
    if cut:
        say("warning", f"{cut} of {total} texts are longer than the model takes; 'truncated' counts the tokens cut off")
    typer.echo(f"narrows: wrote {out}: {written:,} texts", err=True)
    report_faults(faults)


def _explain_rows(
    explainer: Explainer, examples: Iterable[Example], target: Target, batch_size: int
) -> Iterator[tuple[Example, Attribution | NarrowsError]]:
    """Explain texts in windows; where that fails, one by one, with the error in the place of a text that has one."""
    rows = iter(examples)
    sound = False  # nothing is wrong with the model and the options: a text could be explained
    while window := list(islice(rows, WINDOW * batch_size)):
        try:
            found: list[Attribution | NarrowsError] = [*explainer(list[Item](window), target, batch_size)]
        except OF_ONE_TEXT as error:
            found = [_explain_row(explainer, example, target) for example in window]
            if not sound and all(isinstance(one, NarrowsError) for one in found):
                raise error
        sound = True
        yield from zip(window, found, strict=True)


def _explain_row(explainer: Explainer, example: Example, target: Target) -> Attribution | NarrowsError:
    try:
        return explainer(example, target)
    except OF_ONE_TEXT as error:
        return InputError(f"{example.text!r:.60}: {error}")
