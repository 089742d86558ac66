"""The settings of a run and the command's options that are made of them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from narrows.cli.options import takes_settings
from narrows.errors import InputError
from narrows.models.hub.finetune_settings import FinetuneSettings

REQUIRED = ["--dataset", "sst2", "--out", "here"]


def parse(arguments: list[str]) -> FinetuneSettings:
    """What the command's function is given for some arguments."""
    taken: list[FinetuneSettings] = []
    app = typer.Typer()

    @app.command()
    @takes_settings(FinetuneSettings)
    def finetune(settings: FinetuneSettings) -> None:
        """Train something."""
        taken.append(settings)

    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return taken[0]


def test_the_defaults_of_the_options_are_those_of_the_settings() -> None:
    assert parse(REQUIRED) == FinetuneSettings(("sst2",), Path("here"))


def test_every_setting_is_an_option() -> None:
    config = FinetuneSettings(
        dataset=("mnli", "snli"),
        out=Path("a folder/nli"),
        data_dir=Path("data"),
        evaluate=("mnli_matched", "mnli_mismatched"),
        text_column="review",
        pair_column="reply",
        label_column="stars",
        name="it's mine",
        base=Path("base"),
        init_from="nli",
        limit=7,
        seed=3,
        epochs=0.5,
        batch_size=4,
        max_length=32,
        learning_rate=0.25,
        head_learning_rate=0.125,
        weight_decay=0.0,
        warmup=0.5,
        clip=2.0,
        dropout=0.0,
        rank=2,
        alpha=4.0,
        lora_dropout=0.0,
        modules=r".*\.(query|key)",
        precision="float32",
        device="cpu",
        full=True,
        checkpoint_minutes=1.0,
    )
    default = FinetuneSettings(("sst2",), Path("here"))
    assert not [name for name, value in config.to_dict().items() if value == default.to_dict()[name]]
    words = shlex.split(config.command())
    assert words[:2] == ["narrows", "finetune"]
    assert parse(words[2:]) == config


def test_the_command_of_the_defaults_is_short() -> None:
    assert FinetuneSettings(("rte",), Path("rte")).command() == "narrows finetune --dataset rte --out rte"


def test_the_help_says_what_each_option_is() -> None:
    app = typer.Typer()
    app.command()(takes_settings(FinetuneSettings)(lambda config: None))
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for name in FinetuneSettings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text
    assert "Most texts in a batch." in text
    assert "bfloat16|float32" in text


@pytest.mark.parametrize("missing", ["--dataset", "--out"])
def test_what_has_no_default_must_be_given(missing: str) -> None:
    app = typer.Typer()
    app.command()(takes_settings(FinetuneSettings)(lambda config: None))
    place = REQUIRED.index(missing)
    result = CliRunner().invoke(app, REQUIRED[:place] + REQUIRED[place + 2 :])
    assert result.exit_code == 2
    assert missing in result.output


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"dataset": ()}, "at least one data set"),
        ({"epochs": 0.0}, "epochs must be above 0, not 0.0"),
        ({"epochs": float("nan")}, "epochs must be above 0"),
        ({"epochs": float("inf")}, "epochs must be above 0"),
        ({"rank": -1}, "rank must be above 0, not -1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1"),
        ({"warmup": 2.0}, "warmup must be"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"max_length": 7}, "max_length must be at least 8, not 7"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"device": "abacus"}, "device must be one of auto, cpu, cuda, not 'abacus'"),
        ({"precision": "float16"}, "precision must be one of auto, bfloat16, float32, not 'float16'"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FinetuneSettings(**({"dataset": ("sst2",), "out": Path("here")} | setting))


def test_the_options_are_there_without_any_model_code() -> None:
    code = (
        "import sys, narrows.cli.options, narrows.models.hub.finetune_settings;"
        "print(*{'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
