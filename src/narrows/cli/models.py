"""``narrows models`` and ``narrows finetune``: the demo models, and how they are made."""

from __future__ import annotations

import typer
from rich.console import Console

from narrows.cli.options import takes_settings
from narrows.finetune.settings import FinetuneConfig

commands = typer.Typer()


@commands.command()
@takes_settings(FinetuneConfig)
def finetune(config: FinetuneConfig) -> None:
    """Fine-tune a small classifier with LoRA: adapter, model card and measured accuracies."""
    from narrows.finetune.bar import training_bar
    from narrows.finetune.train import finetune as train

    with training_bar() as report:
        card = train(config, report)
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
