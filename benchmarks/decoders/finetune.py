"""Make a classifier of a language model with LoRA: what the methods are measured on where a decoder classifies.

Trains matrices of low rank in the upper blocks, and the head. Leaves the adapter (under 3 MB) in OUT/NAME,
the whole model with the adapter merged in at --save, and the accuracy in OUT/NAME/accuracy.json. A killed run resumes
from its last checkpoint, in the same order of the texts.

    python benchmarks/decoders/finetune.py sst2 --base MODEL --data-dir DATA --save FOLDER --out DIR
    python benchmarks/decoders/finetune.py ag_news --base MODEL --data-dir DATA --save FOLDER --out DIR --test-texts 400
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    enable_full_determinism,
)
from transformers.trainer_utils import get_last_checkpoint

from narrows.data import datasets
from narrows.data.example import Example
from narrows.models.predict import predict
from narrows.models.text.encoding import encode, token_limit

SEED = 0
BATCH = 16
RANK, ALPHA = 8, 16


@dataclass(frozen=True)
class Recipe:
    """How much is trained on a data set."""

    texts: int  # drawn from its train part, once each
    max_tokens: int  # training texts are cut here
    from_block: float  # share of the blocks below the first one that gets matrices: deeper costs more time
    learning_rate: float
    min_words: int = 1  # SST-2 has many phrases of one to five words, which teach little


RECIPES = {
    "sst2": Recipe(10_400, 48, from_block=1 / 3, learning_rate=8e-4, min_words=6),
    "ag_news": Recipe(2_800, 64, from_block=0.47, learning_rate=1e-3),
}


class Progress(TrainerCallback):
    """Appends step, loss and seconds to a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.began = path, time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Note the step."""
        if logs and "loss" in logs:
            line = f"step {state.global_step} of {state.max_steps}, loss {logs['loss']:.3f}"
            with self.path.open("a") as file:
                file.write(f"{line}, {time.monotonic() - self.began:.0f} s\n")


def training_texts(dataset: str, recipe: Recipe, data_dir: Path) -> list[Example]:
    """Draw the texts to train on; none of them is a text of the test."""
    held = {example.text.split().__repr__() for example in datasets.load(dataset, None, data_dir)}
    kept = [
        example
        for example in datasets.load(dataset, "train", data_dir)
        if len(example.text.split()) >= recipe.min_words and example.text.split().__repr__() not in held
    ]
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(SEED)).tolist()
    return [kept[place] for place in order[: recipe.texts]]


def padding_token(tokenizer: Any) -> str:
    """Choose a special token that no text contains, and that does not end one: its own, the unknown, a reserved one."""
    ends = {tokenizer.eos_token, tokenizer.bos_token, None}
    return next(token for token in (tokenizer.pad_token, tokenizer.unk_token, *tokenizer.added_tokens_encoder)
                if token not in ends)  # fmt: skip


def build(base: Path, labels: tuple[str, ...], recipe: Recipe) -> tuple[Any, Any]:
    """Put a head and the matrices to train on a language model; give it and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token, tokenizer.padding_side = padding_token(tokenizer), "right"
    config = AutoConfig.from_pretrained(base, num_labels=len(labels), pad_token_id=tokenizer.pad_token_id)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    torch.manual_seed(SEED)
    model = AutoModelForSequenceClassification.from_pretrained(base, config=config, dtype=torch.float32)
    blocks = config.num_hidden_layers
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=["q_proj", "v_proj", "down_proj"],
        layers_to_transform=list(range(int(recipe.from_block * blocks), blocks)),
        modules_to_save=["score"],
    )
    return get_peft_model(model, lora), tokenizer


def train(model: PeftModel, tokenizer: Any, texts: list[Example], recipe: Recipe, out: Path) -> None:
    """Train the matrices, from the last checkpoint if there is one."""
    index = model.config.label2id
    rows = [
        {**tokenizer(example.text, truncation=True, max_length=recipe.max_tokens), "labels": index[example.label]}
        for example in texts
    ]
    arguments = TrainingArguments(
        output_dir=str(out / "checkpoints"),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=recipe.learning_rate,
        warmup_steps=10,
        weight_decay=0.0,
        seed=SEED,
        use_cpu=True,
        train_sampling_strategy="group_by_length",
        logging_steps=10,
        save_steps=50,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        label_names=["labels"],
    )
    collate = DataCollatorWithPadding(tokenizer)
    trainer = Trainer(model, arguments, collate, rows, callbacks=[Progress(out / "progress.txt")])
    trainer.train(resume_from_checkpoint=get_last_checkpoint(arguments.output_dir) if out.exists() else None)


def accuracy(model: Any, tokenizer: Any, examples: list[Example]) -> float:
    """Measure the share of texts whose most probable class is right; only the model's limit cuts a text."""
    limit = token_limit(model, tokenizer)
    encodings = [encode(tokenizer, example, limit) for example in examples]
    predicted = predict(model, tokenizer, encodings).argmax(axis=1)
    return sum(model.config.id2label[place] == row.label for place, row in zip(predicted, examples, strict=True)) / len(
        examples
    )


def main() -> None:
    """Train, save and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=RECIPES)
    parser.add_argument("--base", type=Path, required=True, help="folder of the language model")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="for adapter, checkpoints and progress")
    parser.add_argument("--save", type=Path, required=True, help="folder for the whole model")
    parser.add_argument("--train-texts", type=int, help="in place of as many as the recipe says")
    parser.add_argument("--test-texts", type=int, help="a sample of the test part; default: all of it")
    options = parser.parse_args()
    enable_full_determinism(SEED)
    torch.set_num_threads(1)
    recipe, labels = RECIPES[options.dataset], datasets.describe(options.dataset).labels
    out = options.out / options.dataset
    out.mkdir(parents=True, exist_ok=True)
    texts = training_texts(options.dataset, recipe, options.data_dir)[: options.train_texts]
    model, tokenizer = build(options.base, labels, recipe)
    began = time.monotonic()
    train(model, tokenizer, texts, recipe, out)
    seconds = time.monotonic() - began
    model.save_pretrained(str(out / "adapter"))
    merged = model.merge_and_unload().eval()
    merged.save_pretrained(options.save)
    tokenizer.save_pretrained(options.save)
    tested = datasets.load(options.dataset, None, options.data_dir, options.test_texts, SEED)
    report = {
        "dataset": options.dataset,
        "accuracy": accuracy(merged, tokenizer, tested),
        "tested": len(tested),
        "trained": len(texts),
        "seconds": round(seconds),
        "adapter_bytes": (out / "adapter" / "adapter_model.safetensors").stat().st_size,
    }
    (out / "accuracy.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
