"""``narrows explain``: one text, or a file of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from narrows.config import Granularity, Preset, Readout, choose_config
from narrows.data.example import Example
from narrows.errors import DataError, InputError
from narrows.models.heads.target import Contrast, Target
from narrows.run.settings import parse_layers

if TYPE_CHECKING:
    from narrows.attribution import Attribution
    from narrows.explainer import Explainer

commands = typer.Typer()


@commands.command()
def explain(  # noqa: PLR0913 - every option of the command
    text: Annotated[str | None, typer.Argument(help="The text to explain.", show_default=False)] = None,
    pair: Annotated[str | None, typer.Option(help="The second text of a pair.")] = None,
    model: ModelOption = "sentiment",
    layer: Annotated[
        str | None, typer.Option(help="Bottleneck after this block, or several (1,3,5 or 1-5); 'all': one map each.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Label to explain; default: the predicted one.")] = None,
    against: Annotated[str | None, typer.Option(help="Explain why --target rather than this label.")] = None,
    prior: Annotated[str | None, typer.Option(help="File of a prior, 'instance' or 'residual'.")] = None,
    preset: Annotated[Preset, typer.Option(help="Settings to start from.")] = "fast",
    readout: Annotated[Readout | None, typer.Option(help="Evidence, or information with or without a sign.")] = None,
    granularity: Annotated[Granularity | None, typer.Option(help="One mask per token, or per feature.")] = None,
    points: Annotated[int | None, typer.Option(help="Points on the path of 'evidence', per layer.")] = None,
    rounds: Annotated[int | None, typer.Option(help="How often 'evidence' is read.")] = None,
    beta: Annotated[str | None, typer.Option(help="Weight of the information: 'auto' or a number.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the mask.")] = None,
    samples: Annotated[int | None, typer.Option(help="Noise copies per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the noise.")] = None,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page too.")] = None,
    file: Annotated[Path | None, typer.Option(help="Explain the texts of a .txt, .csv, .jsonl, ... file.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --file: .jsonl or .parquet to write.")] = None,
    batch_size: BatchOption = BATCH_SIZE,
) -> None:
    """Explain a text: the evidence that each token gives for the prediction, or what it had to transmit, in bits."""
    if (text is None) == (file is None):
        raise InputError("give one text to explain, or many with --file")
    if (file is None) != (out is None):
        raise InputError("--file and --out go together")
    if file is not None and (pair is not None or html is not None or as_json or layer == "all"):
        raise InputError("--file takes neither --pair, --html, --json nor --layer all; pairs stand in the file")
    asked = _parse_target(target, against)
    if html is not None:
        from narrows.data.output import check_writable

        check_writable(html)
    example = None if text is None else Example(text, pair)
    if file is not None and out is not None:
        _check_files(file, out)
    settings = {
        "readout": readout,
        "granularity": granularity,
        "points": points,
        "rounds": rounds,
        "beta": _parse_beta(beta),
        "steps": steps,
        "samples": samples,
        "seed": seed,
    }
    layers = None if layer is None or layer == "all" else parse_layers(layer)
    explainer = _load_explainer(model, layers, prior, preset, device, settings)
    if file is not None and out is not None:
        _explain_file(explainer, file, out, asked, batch_size)
    elif example is not None:
        attributions = explainer.across_layers(example, asked) if layer == "all" else [explainer(example, asked)]
        _show(attributions, layer == "all", as_json, html)


def _parse_target(target: str | None, against: str | None) -> str | Contrast | None:
    if against is None:
        return target
    if target is None:
        raise InputError("--against goes with --target: name the label to explain")
    return Contrast(target, against)


def _parse_beta(beta: str | None) -> float | str | None:
    if beta is None or beta == "auto":
        return beta
    try:
        return float(beta)
    except ValueError:
        raise InputError(f"--beta must be 'auto' or a number, not {beta!r}") from None


def _load_explainer(
    model: str,
    layers: list[int] | None,
    prior: str | None,
    preset: Preset,
    device: str | None,
    settings: dict[str, Any],
) -> Explainer:
    from narrows.explainer import Explainer

    given: Any = {name: value for name, value in settings.items() if value is not None}
    choose_config(preset, **given)  # a wrong setting is told before a model is loaded
    return Explainer.from_pretrained(model, layers, prior, preset=preset, device=device, **given)


def _show(attributions: list[Attribution], layers: bool, as_json: bool, html: Path | None) -> None:
    """Give out the explanation of one text: at one layer, or at all of them."""
    from narrows.data.output import written_whole
    from narrows.viz.html import render_layers_page, render_page
    from narrows.viz.terminal import render_layers, render_map

    saved = [attribution.to_dict() for attribution in attributions]
    if as_json:
        several = {"text": saved[0]["text"], "text_pair": saved[0]["text_pair"], "layers": saved}
        typer.echo(json.dumps(several if layers else saved[0], ensure_ascii=False))
    else:
        Console().print(render_layers(saved) if layers else render_map(saved[0]))
    if html is not None:
        with written_whole(html) as partial:
            page = render_layers_page(saved) if layers else render_page(saved)
            partial.write_text(page, encoding="utf-8")
        typer.echo(f"narrows: wrote {html}", err=True)


def _check_files(file: Path, out: Path) -> None:
    """Tell what is wrong with the files before a model is loaded."""
    from narrows.data.maps import check_format
    from narrows.data.output import check_writable
    from narrows.data.tables import check_file

    check_file(file)
    check_format(out)
    check_writable(out)


def _explain_file(explainer: Explainer, file: Path, out: Path, target: Target, batch_size: int) -> None:
    """Explain every text of a file; malformed rows are told at the end and do not stop the others."""
    from narrows.data.maps import map_writer
    from narrows.data.output import partial_path
    from narrows.data.tables import read_examples

    faults: list[DataError] = []
    cut = 0
    total = sum(isinstance(row, Example) for row in read_examples(file))
    if total == 0:
        report_faults([row for row in read_examples(file) if isinstance(row, DataError)])
        raise InputError(f"{file} holds no text to explain")
    try:
        with map_writer(out) as write, progress_bar() as progress:
            stream = explainer(texts(read_examples(file), faults), target, batch_size)
            for attribution in progress.track(stream, total=total, description="Explaining"):
                write(attribution.to_dict())
                cut += attribution.truncated > 0
    except BaseException:
        if partial_path(out).exists():
            say("warning", f"broken off; what was done is in {partial_path(out)}")
        raise
    if cut:
        say("warning", f"{cut} of {total} texts were longer than the model takes; 'truncated' tells the tokens cut off")
    report_faults(faults)
