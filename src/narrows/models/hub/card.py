"""The model card of a fine-tuned adapter: one record, as JSON for programs and as Markdown for people."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from narrows.data.output import write_whole
from narrows.errors import ModelError

CARD_FILE = "card.json"


@dataclass(frozen=True)
class TrainingData:
    """A data set that the model was trained on; ``dropped`` rows are also in a test file and were left out."""

    dataset: str
    split: str
    rows: int
    dropped: int


@dataclass(frozen=True)
class Accuracy:
    """The share of correct predictions on a split not used for training, measured on the saved files."""

    dataset: str
    split: str
    n: int
    accuracy: float


@dataclass(frozen=True)
class ModelCard:
    """What is known about a fine-tuned adapter."""

    name: str
    base: str  # the base model, by its name on the Hub
    base_sha256: str  # of the base's weights (model.safetensors)
    labels: tuple[str, ...]  # names of the classes, in the order of the logits
    trained_on: "tuple[TrainingData, ...]"
    accuracy: "tuple[Accuracy, ...]"
    seed: int  # of the order of the data, the dropout and the new weights
    command: str  # that made it
    settings: dict[str, Any]  # all of that command
    versions: dict[str, str]  # of Python and the libraries
    device: str  # of the training
    seconds: float  # of the training, without the evaluation
    parameters: int  # that were trained

    def save(self, folder: Path) -> None:
        """Write ``README.md`` and then ``card.json`` into a folder, each whole or not at all."""
        record = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        for name, text in (("README.md", self.to_markdown()), (CARD_FILE, record)):
            write_whole(folder / name, text)

    @classmethod
    def load(cls, folder: Path) -> "ModelCard":
        """Read ``card.json`` from a folder; raise a ModelError if it is missing or not a card."""
        path = folder / CARD_FILE
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["labels"] = tuple(fields["labels"])
            fields["trained_on"] = tuple(TrainingData(**data) for data in fields["trained_on"])
            fields["accuracy"] = tuple(Accuracy(**result) for result in fields["accuracy"])
            return cls(**fields)
        except FileNotFoundError as error:
            raise ModelError(f"{folder}: no {CARD_FILE}, so this is no adapter made by narrows finetune") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path}: not a model card: {error}") from error

    def to_markdown(self) -> str:
        """Return the text of README.md."""
        trained = "\n".join(f"| {d.dataset} | {d.split} | {d.rows:,} | {d.dropped:,} |" for d in self.trained_on)
        results = "\n".join(f"| {a.dataset} | {a.split} | {a.n:,} | {a.accuracy:.4f} |" for a in self.accuracy)
        settings = "\n".join(f"| {name} | {_cell(value)} |" for name, value in self.settings.items())
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        kind = f"A LoRA adapter and classification head for {self.base}"
        stored = "stored as float16; the adapter is merged into the base when it is loaded"
        if self.settings.get("full"):
            kind, stored = f"A classifier made from {self.base}", "stored as float32"
        return f"""# {self.name}

{kind}. Classes: {", ".join(self.labels)}.
{self.parameters:,} parameters were trained, {stored}.

## Accuracy

Measured with the files in this folder, loaded again after training, in float32, on texts cut at the base's limit.

| data set | split | texts | accuracy |
|---|---|---|---|
{results}

## Training data

Rows whose text is also in one of the files above were left out of the training.

| data set | split | rows | left out |
|---|---|---|---|
{trained}

## How it was made

    {self.command}

Seed {self.seed}; {self.seconds:.0f} seconds on {self.device}; {versions}.
Weights of the base: SHA-256 {self.base_sha256}.

| setting | value |
|---|---|
{settings}

## Limits

A small model for showing and testing explanations, not for decisions about people. On texts like its training data it
is right about as often as the table says; how it does on others is not known.
"""


def _cell(value: Any) -> str:
    """Write a setting into a cell of a table, in which a bar would end it."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return text.replace("|", "\\|")
