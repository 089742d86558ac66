"""``narrows explain``: one text, or a file of them; ``narrows serve``: the same in the browser."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from narrows.cli import terminal
from narrows.cli.calibrating import calibrated, read_corpus
from narrows.cli.explain_file import FileJob, explain_file, write_page
from narrows.cli.options import BY_OPTION
from narrows.data.columns import Columns
from narrows.data.example import Example
from narrows.data.units import check_kind
from narrows.errors import InputError
from narrows.methods.catalogue import check_name
from narrows.models.heads.names import TaskName
from narrows.models.heads.target import Choice, Contrast, Tag
from narrows.run.settings import ID_COLUMN, LABEL_COLUMN, PAIR_COLUMN, TEXT_COLUMN
from narrows.viz.spans import Shaded, at_level

if TYPE_CHECKING:
    from narrows.attribution import Attribution
    from narrows.data.source import Source
    from narrows.explainer import Explainer
    from narrows.generation import GenerationAttribution
    from narrows.methods import Method

ALL = "all"
CHECK = "Remove what ranks first, and ask the model again; default: of a single text."
OFFERED = "Model to offer; repeat for more; default: the demo models."
METHOD = "How: NAME[:setting=value...]; see 'narrows methods'."
AGAINST = "Explain why --target rather than this."
TARGET = "What to explain: a label, a continuation, a filling or an answer; default: what is predicted."
FILE = "Explain the texts of a .txt, .csv, .jsonl, ... file; - reads stdin, a text a line."
LEVEL = "What is shaded and listed as one."
ONLY_ERRORS = "With --file: only texts whose prediction is not their label."
PAGES = (".html", ".htm")

commands = typer.Typer()


@commands.command()
def explain(  # noqa: PLR0913 - every option of the command
    text: Annotated[str | None, typer.Argument(help="The text to explain; - reads stdin.", show_default=False)] = None,
    pair: Annotated[str | None, typer.Option(help="The second text of a pair; the context of a question.")] = None,
    model: terminal.ModelOption = "sentiment",
    task: terminal.TaskOption = None,
    method: Annotated[str, typer.Option(help=METHOD, autocompletion=BY_OPTION["method"])] = "fast",
    layer: Annotated[str | None, typer.Option(help="After which block: 3, or 1,3,5; 'all': one map for each.")] = None,
    target: Annotated[str | None, typer.Option(help=TARGET, autocompletion=BY_OPTION["target"])] = None,
    against: Annotated[str | None, typer.Option(help=AGAINST, autocompletion=BY_OPTION["against"])] = None,
    word: Annotated[str | None, typer.Option(help="Tagger: the word whose tag is explained, or its number.")] = None,
    unit_of: terminal.UnitOption = "token",
    check: Annotated[bool | None, typer.Option("--check/--no-check", help=CHECK)] = None,
    generate: Annotated[int | None, typer.Option(help="Let the model write so many tokens; explain each.")] = None,
    response: Annotated[str | None, typer.Option(help="Explain each token of this response to the text.")] = None,
    prior: Annotated[str | None, typer.Option(help="File, 'instance' or 'residual'; default: the model's.")] = None,
    calibrate_with: Annotated[Path | None, typer.Option(help="First calibrate on a file of 32 texts or more.")] = None,
    device: terminal.DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page: one .html file; of a file, all its maps.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write one page for an auditor: a .pdf file.")] = None,
    file: Annotated[Path | None, typer.Option(help=FILE)] = None,
    out: Annotated[Path | None, typer.Option(help="With --file: the .jsonl or .parquet file to write.")] = None,
    level: Annotated[Shaded, typer.Option(help=LEVEL)] = "word",
    only_errors: Annotated[bool, typer.Option("--only-errors", help=ONLY_ERRORS)] = False,
    text_column: Annotated[str | None, typer.Option(help=TEXT_COLUMN)] = None,
    pair_column: Annotated[str | None, typer.Option(help=PAIR_COLUMN)] = None,
    label_column: Annotated[str | None, typer.Option(help=LABEL_COLUMN)] = None,
    id_column: Annotated[str | None, typer.Option(help=ID_COLUMN)] = None,
    batch_size: terminal.BatchOption = terminal.BATCH_SIZE,
) -> None:
    """Explain a prediction: how much each token of the text contributed to it."""
    if (text is None) == (file is None):
        raise InputError("give one text to explain, or many with --file")
    if file is None and (out is not None or only_errors):
        raise InputError(f"{'--out' if out is not None else '--only-errors'} goes with --file")
    if file is not None and out is None and html is None:
        raise InputError("--file needs --out, for a file of maps, or --html, for a page of them")
    if file is not None and (pair is not None or as_json or layer == ALL or word is not None):
        raise InputError("--file takes neither --pair, --word, --json nor --layer all; the file holds the pairs")
    per_token = generate is not None or response is not None
    if (layer == ALL or per_token) and (unit_of != "token" or check):
        raise InputError("--layer all, --generate and --response show tokens: leave out --unit-of and --check")
    if against is not None and target is None:
        raise InputError("--against goes with --target: name the label to explain")
    if per_token and ((None not in (generate, response)) or file or pair or target or against or word or layer == ALL):
        raise InputError("--generate or --response goes with one text, without --file, --pair, --target or --layer all")
    if report is not None and (file is not None or per_token or layer == ALL):
        raise InputError("--report is of one map: it goes with one text, without --generate, --response or --layer all")
    text, pair, target, against, word = map(terminal.decoded, (text, pair, target, against, word))
    columns = Columns(*map(terminal.decoded, (text_column, pair_column, label_column, id_column)))
    texts = None if file is None else terminal.find_source(str(file), columns)
    if texts is None and calibrate_with is None and columns.named:
        raise InputError("names of columns go with --file or --calibrate-with")
    _check(html, report, texts, out)
    check_kind(unit_of)
    example = None if text is None else Example(_read_stdin() if text == "-" else text, pair)
    choice = Contrast(target, against) if target is not None and against is not None else target
    asked = choice if word is None or example is None else _tag(word, choice, example.text)
    if calibrate_with is not None and prior is not None:
        raise InputError("--calibrate-with makes the prior: leave out --prior")
    check_name(method)
    with terminal.starting():
        found = _find_method(method, layer)
        if calibrate_with is None:
            explainer = _load_explainer(model, found, prior, task, device)
    if calibrate_with is not None:
        explainer = _calibrate_explainer(model, found, (str(calibrate_with), columns), task, device)
    if example is not None and per_token:
        given = terminal.decoded(response)
        _show_generation(explainer.generate(example, 1 if generate is None else generate, given), as_json, html)
    elif texts is not None:
        explain_file(
            explainer, FileJob(texts, out, html, only_errors, (asked, unit_of, bool(check)), batch_size, level)
        )
    elif example is not None and layer == ALL:
        _show(explainer.across_layers(example, asked), "layers", as_json, html)
    elif example is not None:
        found_map = explainer(example, asked, unit_of=unit_of, check=check is not False)
        _show([found_map], level, as_json, html)
        _write_report(found_map, explainer, report)


@commands.command()
def serve(
    port: Annotated[int, typer.Option(help="Where to serve, for this machine only; 0 = any free port.")] = 7860,
    model: Annotated[list[str] | None, typer.Option(help=OFFERED, autocompletion=BY_OPTION["model"])] = None,
    task: terminal.TaskOption = None,
    max_tokens: Annotated[int, typer.Option(help="Longer texts are cut.")] = 256,
    device: terminal.DeviceOption = None,
    runs: Annotated[list[Path] | None, typer.Option(help="Folder of a run to sum up; again for more.")] = None,
) -> None:
    """Serve a page that explains predictions in the browser."""
    from narrows.app.desk import Desk
    from narrows.app.server import stoppable
    from narrows.app.shelf import Shelf
    from narrows.models.hub import bundled

    offered = model or sorted(bundled.names(), key=lambda name: name != "sentiment")
    desk = Desk(Shelf(offered, device, max_tokens, task), runs or ())
    tell = "narrows: the page is at {}; Ctrl-C stops it"
    run, _ = stoppable(desk, port, lambda address: typer.echo(tell.format(address), err=True))
    run()


def _read_stdin() -> str:
    try:
        return terminal.stdin().read().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"stdin is not UTF-8: byte {error.start}") from None


def _check(html: Path | None, report: Path | None, texts: "Source | None", out: Path | None) -> None:
    """Find out what is wrong with files, and which packages they lack, before a model is loaded."""
    from narrows.data import maps, output

    if html is not None:
        if html.suffix.lower() not in PAGES:
            raise InputError(f"--html writes a page: the name must end in {' or '.join(PAGES)}, not {html.name!r}")
        output.check_writable(html)
    if report is not None:
        if report.suffix.lower() != ".pdf":
            raise InputError(f"--report writes a page: the name must end in .pdf, not {report.name!r}")
        output.check_writable(report)
    if texts is not None:
        next(iter(texts), None)
    if out is not None:
        maps.check_format(out)
        output.check_writable(out)
        if texts is not None and out.exists() and Path(texts.name).exists() and out.samefile(texts.name):
            raise InputError(f"--out {out} is the file of the texts: give another name")


def _tag(word: str, choice: Choice, text: str) -> Tag:
    """Ask for the tag of a word; a number counts words, unless it stands in the text."""
    return Tag(int(word) if word.isdecimal() and word not in text else word, choice)


def _find_method(method: str, layer: str | None) -> "Method":
    """Find the method, at the layer that --layer names."""
    from narrows.methods.registry import find_method
    from narrows.methods.settings import settings_of

    found: Method = find_method(method)
    if layer is None:
        return found
    if "layer" not in settings_of(type(found)):
        raise InputError(f"--layer: the method {method} has no layer")
    return found if layer == ALL else find_method(f"{method}:layer={layer}")


def _load_explainer(
    model: str, method: "Method", prior: str | None, task: TaskName | None, device: str | None
) -> "Explainer":
    """Load the model, after the prior: a wrong one is found before."""
    from narrows.bottleneck.prior import find_prior
    from narrows.explainer import Explainer

    own = None if prior is None else find_prior(prior)
    return Explainer.from_pretrained(model, method, own, task=task, device=device)


def _calibrate_explainer(
    model: str, method: "Method", data: tuple[str, Columns], task: TaskName | None, device: str | None
) -> "Explainer":
    """Load the model and calibrate it on texts."""
    from narrows.explainer import Explainer
    from narrows.models.hub.loading import load_model

    name, columns = data
    corpus, loaded = read_corpus([name], columns=columns), load_model(model, device, task)
    for fault in corpus.faults:
        terminal.say("warning", f"not calibrated on: {fault}")
    return Explainer(loaded.model, loaded.tokenizer, method, calibrated(loaded, corpus, method))


def _show(
    attributions: "list[Attribution]", shown: Shaded | Literal["layers"], as_json: bool, html: Path | None
) -> None:
    """Print the explanation of one text: as one map, of words or tokens, or as one per layer."""
    from narrows.viz.html import render_layers_page, render_page
    from narrows.viz.terminal import render_layers, render_map

    saved, layers = [attribution.to_dict() for attribution in attributions], shown == "layers"
    seen = saved if shown == "layers" else [at_level(own, shown) for own in saved]
    if as_json:
        several = {"text": saved[0]["text"], "text_pair": saved[0]["text_pair"], "layers": saved}
        typer.echo(json.dumps(several if layers else saved[0], ensure_ascii=False).encode())
    else:
        Console().print(render_layers(seen) if layers else render_map(seen[0]))
    if html is not None:
        write_page(html, render_layers_page(seen) if layers else render_page(seen))


def _show_generation(found: "GenerationAttribution", as_json: bool, html: Path | None) -> None:
    """Print the explanation of a response, token by token."""
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False).encode())
    else:
        found.show()
    if html is not None:
        write_page(html, found.to_html())


def _write_report(found: "Attribution", explainer: "Explainer", report: Path | None) -> None:
    """Write the page for an auditor, if it was asked for."""
    from narrows.data.output import write_whole
    from narrows.models.hub.audit import audit_pdf

    if report is not None:
        write_whole(report, audit_pdf(found.to_dict(), explainer.model))
        typer.echo(f"narrows: wrote {report}", err=True)
