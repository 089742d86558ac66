"""The command line: thin commands over the library. Heavy imports stand inside the commands, so that help is instant.

Results go to stdout, everything else to stderr. Exit codes: 0; 2 for what the user can put right, said in one line; 1
for anything else.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from narrows import __version__
from narrows.config import Granularity, Preset, Readout, choose_config
from narrows.errors import DataError, InputError, NarrowsError, NarrowsWarning
from narrows.example import Example, sample
from narrows.finetune.options import takes_settings
from narrows.finetune.settings import FinetuneConfig

if TYPE_CHECKING:
    from narrows.attribution import Attribution
    from narrows.explainer import Explainer

app = typer.Typer(
    name="narrows",
    help="What each token of a text had to transmit for a transformer's prediction, in bits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BATCH_SIZE = 32
INTERRUPTED = 130  # what shells give a program that was stopped by Ctrl-C


ModelOption = Annotated[str, typer.Option(help="A demo model (see 'narrows models'), an id on the Hub, or a folder.")]
DeviceOption = Annotated[str | None, typer.Option(help="Where to run: cpu, cuda, ...; default: a GPU if there is one.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Most texts that share a forward pass.")]


@app.command()
def explain(  # noqa: PLR0913 - every option of the command
    text: Annotated[str | None, typer.Argument(help="The text to explain.", show_default=False)] = None,
    pair: Annotated[str | None, typer.Option(help="The second text of a pair.")] = None,
    model: ModelOption = "sentiment",
    layer: Annotated[str | None, typer.Option(help="Bottleneck after this block, or 'all'; default: at 3/4.")] = None,
    target: Annotated[str | None, typer.Option(help="Label to explain; default: the predicted one.")] = None,
    prior: Annotated[str | None, typer.Option(help="File of a prior, 'instance' or 'residual'.")] = None,
    preset: Annotated[Preset, typer.Option(help="Settings to start from.")] = "fast",
    readout: Annotated[Readout | None, typer.Option(help="Bits, or bits with a sign.")] = None,
    granularity: Annotated[Granularity | None, typer.Option(help="One mask per token, or per feature.")] = None,
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
    """Explain a text: the bits that each token had to transmit for the prediction."""
    if (text is None) == (file is None):
        raise InputError("give one text to explain, or many with --file")
    if (file is None) != (out is None):
        raise InputError("--file and --out go together")
    if file is not None and (pair is not None or html is not None or as_json or layer == "all"):
        raise InputError("--file takes neither --pair, --html, --json nor --layer all; pairs stand in the file")
    if html is not None:
        from narrows.output import check_writable

        check_writable(html)
    example = None if text is None else Example(text, pair)
    if file is not None and out is not None:
        _check_files(file, out)
    settings = {
        "readout": readout,
        "granularity": granularity,
        "beta": _parse_beta(beta),
        "steps": steps,
        "samples": samples,
        "seed": seed,
    }
    explainer = _load_explainer(model, _parse_layer(layer), prior, preset, device, settings)
    if file is not None and out is not None:
        _explain_file(explainer, file, out, target, batch_size)
    elif example is not None:
        attributions = explainer.across_layers(example, target) if layer == "all" else [explainer(example, target)]
        _show(attributions, layer == "all", as_json, html)


@app.command()
def prior(  # noqa: PLR0913 - every option of the command
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    data: Annotated[list[str], typer.Option(help="A .txt, .csv, .jsonl, ... file or a data set; again for more.")],
    model: ModelOption = "sentiment",
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the data set's published files.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Use a random sample of so many texts of each.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    device: DeviceOption = None,
    batch_size: BatchOption = BATCH_SIZE,
) -> None:
    """Estimate a prior: what an uninformative activation of a model looks like, at every layer."""
    from narrows.models.corpus import estimate_prior
    from narrows.models.loading import load_classifier
    from narrows.output import written_whole

    with written_whole(out) as partial:
        faults: list[DataError] = []
        corpora = [_read_corpus(name, data_dir, split, limit, seed, faults) for name in data]
        lengths = [len(corpus) if isinstance(corpus, list) else None for corpus in corpora]
        total = None if None in lengths else sum(length or 0 for length in lengths)
        classifier = load_classifier(model, device)
        with _progress() as progress:
            tracked = progress.track(chain(*corpora), total=total, description="Estimating the prior")
            estimate = estimate_prior(classifier.model, classifier.tokenizer, tracked, batch_size)
        estimate.save(partial)
    what = f"{estimate.model.blocks + 1} layers of {estimate.model.hidden} features"
    typer.echo(f"narrows: wrote {out}: {what} from {estimate.count:,} tokens", err=True)
    _report_faults(faults)


@app.command()
@takes_settings(FinetuneConfig)
def finetune(config: FinetuneConfig) -> None:
    """Fine-tune a small classifier with LoRA: adapter, model card and measured accuracies."""
    from narrows.finetune.bar import training_bar
    from narrows.finetune.train import finetune as train

    with training_bar() as report:
        card = train(config, report)
    for result in card.accuracy:
        typer.echo(f"{result.dataset} {result.split}: {result.accuracy:.4f} of {result.n}")


@app.command()
def models() -> None:
    """List the demo models, what they were trained on and how accurate they are."""
    from rich.table import Table

    from narrows.models import bundled

    table = Table("model", "labels", "trained on", "accuracy", title="Demo models", title_justify="left")
    for name in bundled.names():
        card = bundled.find(name).card()
        table.add_row(
            name,
            ", ".join(card.labels),
            ", ".join(f"{data.dataset} ({data.rows:,})" for data in card.trained_on),
            "\n".join(f"{result.dataset} {result.split}: {result.accuracy:.3f}" for result in card.accuracy),
        )
    Console().print(table)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        typer.echo(f"narrows {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; turn what the user can put right into one line and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with warnings.catch_warnings():
        # What libraries tell developers says nothing to a user of a command.
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", NarrowsWarning)
        warnings.showwarning = lambda message, *_, **__: _say("warning", message)
        try:
            sys.exit(app(standalone_mode=False) or 0)
        except NarrowsError as error:
            _say("error", error)
            sys.exit(2)
        except (KeyboardInterrupt, typer.Abort):
            sys.exit(INTERRUPTED)
        except Exception as error:
            # A wrong option, as the option parser tells it; it has printed the help already where there is no message.
            tell = getattr(error, "format_message", None)
            if tell is None:
                raise
            if message := tell():
                _say("error", message)
            sys.exit(2)


def _say(kind: str, message: object) -> None:
    typer.echo(f"narrows: {kind}: {' '.join(str(message).split())}", err=True)


def _progress() -> Progress:
    """Make a progress bar with the time left, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))


def _parse_layer(layer: str | None) -> int | None:
    if layer is None or layer == "all":
        return None
    try:
        return int(layer)
    except ValueError:
        raise InputError(f"--layer must be a number or 'all', not {layer!r}") from None


def _parse_beta(beta: str | None) -> float | str | None:
    if beta is None or beta == "auto":
        return beta
    try:
        return float(beta)
    except ValueError:
        raise InputError(f"--beta must be 'auto' or a number, not {beta!r}") from None


def _load_explainer(
    model: str, layer: int | None, prior: str | None, preset: Preset, device: str | None, settings: dict[str, Any]
) -> Explainer:
    from narrows.explainer import Explainer

    given: Any = {name: value for name, value in settings.items() if value is not None}
    choose_config(preset, **given)  # a wrong setting is told before a model is loaded
    return Explainer.from_pretrained(model, layer, prior, preset=preset, device=device, **given)


def _show(attributions: list[Attribution], layers: bool, as_json: bool, html: Path | None) -> None:
    """Give out the explanation of one text: at one layer, or at all of them."""
    from narrows.output import written_whole
    from narrows.viz.html import render_layers_page, render_page
    from narrows.viz.terminal import render_layers, render_map

    saved = [attribution.to_dict() for attribution in attributions]
    if saved[0]["truncated"]:
        _say("warning", f"the text is longer than the model takes: {saved[0]['truncated']} tokens were cut off")
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
    from narrows.maps import check_format
    from narrows.output import check_writable
    from narrows.tables import check_file

    check_file(file)
    check_format(out)
    check_writable(out)


def _explain_file(explainer: Explainer, file: Path, out: Path, target: str | None, batch_size: int) -> None:
    """Explain every text of a file; malformed rows are told at the end and do not stop the others."""
    from narrows.maps import map_writer
    from narrows.output import partial_path
    from narrows.tables import read_examples

    faults: list[DataError] = []
    cut = 0
    total = sum(isinstance(row, Example) for row in read_examples(file))
    if total == 0:
        _report_faults([row for row in read_examples(file) if isinstance(row, DataError)])
        raise InputError(f"{file} holds no text to explain")
    try:
        with map_writer(out) as write, _progress() as progress:
            stream = explainer(_texts(read_examples(file), faults), target, batch_size)
            for attribution in progress.track(stream, total=total, description="Explaining"):
                write(attribution.to_dict())
                cut += attribution.truncated > 0
    except BaseException:
        if partial_path(out).exists():
            _say("warning", f"broken off; what was done is in {partial_path(out)}")
        raise
    if cut:
        _say(
            "warning", f"{cut} of {total} texts were longer than the model takes; 'truncated' tells the tokens cut off"
        )
    _report_faults(faults)


def _texts(rows: Iterable[Example | DataError], faults: list[DataError]) -> Iterator[Example]:
    """Pass the texts on and put the malformed rows aside."""
    for row in rows:
        if isinstance(row, DataError):
            faults.append(row)
        else:
            yield row


def _report_faults(faults: list[DataError]) -> None:
    """Tell every malformed row in a line of its own, and end with exit code 2 if there was one."""
    for fault in faults:
        _say("error", fault)
    if faults:
        raise typer.Exit(2)


def _read_corpus(
    data: str, data_dir: Path | None, split: str, limit: int | None, seed: int, faults: list[DataError]
) -> Iterable[Example]:
    """Read the texts of a data set, or of a file: as a stream, or a random sample of it."""
    from narrows import datasets
    from narrows.tables import read_examples

    if data in datasets.DATASETS:
        return datasets.load(data, split, data_dir, limit, seed)
    texts = _texts(read_examples(Path(data)), faults)
    return texts if limit is None else sample(texts, limit, seed)
