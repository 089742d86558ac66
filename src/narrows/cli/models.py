"""``narrows models`` and ``narrows finetune``: the demo models, and how they are made."""

from __future__ import annotations

from contextlib import ExitStack

import typer
from rich.console import Console

from narrows.cli.options import takes_settings
from narrows.cli.terminal import progress_bar
from narrows.models.hub.finetune_settings import FinetuneSettings

commands = typer.Typer()


@commands.command()
@takes_settings(FinetuneSettings)
def finetune(settings: FinetuneSettings) -> None:
    """Fine-tune a small classifier on data sets or files with labels: weights, prior and a card with accuracies."""
    from narrows.models.hub.finetune import finetune as train

    bar = progress_bar()
    with ExitStack() as shown:
        reading = shown.enter_context(Console(stderr=True).status(f"Reading {', '.join(settings.dataset)}"))

        def report(step: int, steps: int, loss: float) -> None:
            if not bar.tasks:
                reading.stop()
                shown.enter_context(bar)
                bar.add_task("", total=steps, completed=step)  # a resumed run starts in the middle
            doing = "Training" if step < steps else "Measuring the accuracy"
            bar.update(bar.task_ids[0], completed=step, description=f"{doing}, loss {loss:.3f}")

        card = train(settings, report)
    for result in card.accuracy:
        typer.echo(f"{result.dataset} {result.split}: {result.accuracy:.4f} of {result.n}")


@commands.command()
def models() -> None:
    """List the demo models, what they were trained on and how accurate they are."""
    from rich.table import Table

    from narrows.models.hub import bundled

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
