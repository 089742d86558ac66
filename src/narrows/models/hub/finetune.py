"""Fine-tune a classifier into a folder for ``--model FOLDER``; a killed run resumes to the same weights."""

import hashlib
import importlib.util
import json
import math
import platform
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch.utils.data import DataLoader

from narrows.errors import DataError, DependencyError, InputError, ModelError, NarrowsError, NumericsError
from narrows.models.corpus import estimate_prior
from narrows.models.hub import bundled
from narrows.models.hub.card import CARD_FILE, Accuracy, ModelCard
from narrows.models.hub.finetune_settings import FinetuneSettings
from narrows.models.hub.loading import LoadedModel, load_model
from narrows.models.hub.quiet import quiet
from narrows.models.hub.training_set import Part, TrainingSet, read_training_set
from narrows.models.predict import predict
from narrows.models.text.encoding import encode, token_limit

CHECKPOINTS = "checkpoints"  # folder of the Trainer's checkpoints, until the run is finished
HEAD = ("pooler", "classifier")  # trained in full, beside the LoRA matrices

_LIBRARIES = ("torch", "transformers", "peft", "accelerate")
_PRIOR_TEXTS = 2000  # training texts that the prior is estimated on
_POOL = 50  # batches that are sorted by length together: little padding, and still a random order
_AVERAGED = 100  # steps over which the reported loss is averaged, about

TokenizedRow = dict[str, Any]
StepCallback = Callable[[int, int, float], None]  # steps done, steps in all, and the running mean of the loss


def finetune(settings: FinetuneSettings, report: StepCallback = lambda step, steps, loss: None) -> ModelCard:
    """Train a classifier and write its weights, its prior and last its card; its accuracies are those of the files."""
    if (settings.out / CARD_FILE).exists():
        raise InputError(f"{settings.out}: holds a finished model already; choose another folder")
    settings, base = _resolved(settings), bundled.base_folder(settings.base)
    data = read_training_set(settings)
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{settings.out}: cannot be made a folder: {error.strerror}") from error
    with torch.random.fork_rng(), quiet():
        model, tokenizer = build(base, data.labels, settings)
        if settings.init_from:
            start_from(model, settings, data.labels)
        rows = _rows(tokenizer, data, settings.max_length)
        trainer = _Trainer(model, tokenizer, rows, settings, report)
        seconds = _train(trainer, _fingerprint(settings, base, rows))
        save(model, tokenizer, settings.out)
    saved, name = _load(settings, base, data.labels), settings.name or settings.out.resolve().name
    saved.model.config.name_or_path = name
    texts = random.Random(settings.seed).sample(data.train, min(_PRIOR_TEXTS, len(data.train)))
    estimate_prior(saved.model, saved.tokenizer, texts).save(settings.out / bundled.PRIOR_FILE)
    threads = f"cpu, {torch.get_num_threads()} threads"
    card = ModelCard(
        name=name,
        base=bundled.base_name(base),
        base_sha256=bundled.weights_sha256(base),
        labels=data.labels,
        trained_on=data.sources,
        accuracy=tuple(_measure(saved, part, data.labels) for part in data.tests),
        seed=settings.seed,
        command=settings.command(),
        settings=settings.to_dict(),
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}},
        device=str(torch.cuda.get_device_name()) if settings.device == "cuda" else threads,
        seconds=round(seconds, 1),
        parameters=sum(value.numel() for value in model.parameters() if value.requires_grad),
    )
    card.save(settings.out)
    shutil.rmtree(settings.out / CHECKPOINTS)
    return card


def _resolved(settings: FinetuneSettings) -> FinetuneSettings:
    """Write out what the settings leave to the machine, or to each other."""
    device, precision = settings.device, settings.precision
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no GPU here; use --device cpu or auto")
    if precision == "auto":
        precision = "bfloat16" if device == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    rate = settings.learning_rate or (5e-5 if settings.full else 1e-3)
    return replace(settings, device=device, precision=precision, learning_rate=rate)


def build(base: Path, labels: Sequence[str], settings: FinetuneSettings) -> tuple[Any, Any]:
    """Put a new head and, unless all weights are trained, LoRA matrices on a base; give the model and its tokenizer."""
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(settings.seed)
        model, tokenizer = bundled.load_base(base, labels)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = settings.dropout
        if settings.full:
            return model, tokenizer
        peft = bundled.import_peft()
        strength = {"r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": settings.lora_dropout}
        places = {"target_modules": settings.modules, "modules_to_save": list(HEAD)}
        lora = peft.LoraConfig(task_type="SEQ_CLS", **strength, **places)
        try:
            return peft.get_peft_model(model, lora), tokenizer
        except ValueError as error:
            raise InputError(f"no LoRA on this base with modules {settings.modules!r}: {error}") from error


def start_from(model: Any, settings: FinetuneSettings, labels: Sequence[str]) -> None:
    """Copy the weights of ``init_from`` into a new model."""
    # A class that the other model lacks starts as the mean of the other's classes that are left over: so
    # not_entailment starts between neutral and contradiction.
    source = settings.init_from
    if settings.full:
        other = load_model(source, "cpu").model
        known, state, own = list((other.config.id2label or {}).values()), dict(other.state_dict()), model.state_dict()
    else:
        folder, own = bundled.find(source).folder, _adapter_state(model)
        known = list(ModelCard.load(folder).labels)
        try:
            halves = safetensors.load_file(folder / bundled.ADAPTER_WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{folder / bundled.ADAPTER_WEIGHTS}: cannot be read: {error}") from error
        state = {name: value.float() for name, value in halves.items()}
    left = [index for index, label in enumerate(known) if label not in labels] or list(range(len(known)))
    for name, old in state.items():
        if "classifier." in name:
            rows = [old[known.index(label)] if label in known else old[left].mean(dim=0) for label in labels]
            state[name] = torch.stack(rows)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in state.items()}:
        raise InputError(f"{source}: has another rank, other layers or another size; give the same ones here")
    model.load_state_dict(state) if settings.full else bundled.import_peft().set_peft_model_state_dict(model, state)


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write an adapter and its head as float16, or a whole model and its tokenizer."""
    if not hasattr(model, "peft_config"):
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
        return
    halves = {name: value.detach().cpu().half().contiguous() for name, value in _adapter_state(model).items()}
    # Not save_file, which makes a file that only its owner can read.
    (out / bundled.ADAPTER_WEIGHTS).write_bytes(safetensors.save(halves, {"format": "pt"}))
    lora = model.peft_config["default"]
    lora.base_model_name_or_path, lora.inference_mode = bundled.BASE_ID, True
    lora.save_pretrained(str(out))
    # What is not set is left out: an older peft warns of every setting that it does not know.
    path = out / bundled.ADAPTER_CONFIG
    given = {name: value for name, value in json.loads(path.read_text("utf-8")).items() if value is not None}
    path.write_text(json.dumps(given, indent=2, sort_keys=True) + "\n", "utf-8")


def _adapter_state(model: Any) -> dict[str, torch.Tensor]:
    # Without the flag peft asks the Hub whether the vocabulary was changed.
    return dict(bundled.import_peft().get_peft_model_state_dict(model, save_embedding_layers=False))


def _load(settings: FinetuneSettings, base: Path, labels: Sequence[str]) -> LoadedModel:
    """Load what `save` wrote."""
    if settings.full:
        return load_model(str(settings.out), settings.device)
    model, tokenizer = bundled.merge(settings.out, base, labels)
    return LoadedModel(model.to(settings.device), tokenizer, str(settings.out), None)


def _measure(loaded: LoadedModel, part: Part, labels: Sequence[str]) -> Accuracy:
    """Measure the share of the rows whose label is the most probable one; texts are cut at the model's limit only."""
    limit = token_limit(loaded.model, loaded.tokenizer)
    encodings = [encode(loaded.tokenizer, example, limit) for example in part.examples]
    predicted = predict(loaded.model, loaded.tokenizer, encodings).argmax(axis=1)
    right = sum(labels[index] == example.label for index, example in zip(predicted, part.examples, strict=True))
    return Accuracy(part.dataset, part.split, len(encodings), round(right / len(encodings), 4))


def _rows(tokenizer: Any, data: TrainingSet, max_length: int) -> list[TokenizedRow]:
    """Turn the training examples into token ids, with the index of the class under ``labels``."""
    paired = any(example.text_pair is not None for example in data.train)
    second = [example.text_pair or "" for example in data.train] if paired else None
    limit = min(max_length, tokenizer.model_max_length)
    batch = tokenizer([example.text for example in data.train], second, truncation=True, max_length=limit)
    batch["labels"] = [data.labels.index(str(example.label)) for example in data.train]
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def _plan(lengths: Sequence[int], settings: FinetuneSettings) -> list[list[int]]:
    """Put the texts of all epochs into batches of similar length, in a random order that the seed alone decides."""
    planned: list[list[int]] = []
    size, pool = settings.batch_size, settings.batch_size * _POOL
    for epoch in range(math.ceil(settings.epochs)):
        draw = random.Random(f"{settings.seed} {epoch}")
        order = draw.sample(range(len(lengths)), len(lengths))
        pools = [sorted(order[at : at + pool], key=lengths.__getitem__) for at in range(0, len(order), pool)]
        batches = [rows[at : at + size] for rows in pools for at in range(0, len(rows), size)]
        draw.shuffle(batches)
        planned += batches[: max(1, round(min(1.0, settings.epochs - epoch) * len(batches)))]
    return planned


if importlib.util.find_spec("accelerate") is None:  # without it, there is no Trainer to be a subclass of
    raise DependencyError('fine-tuning needs accelerate: pip install "narrows[finetune]"')


class _Trainer(transformers.Trainer):
    """The Trainer on planned batches, which make all epochs one to it, with checkpoints by the clock."""

    def __init__(
        self, model: Any, tokenizer: Any, rows: list[TokenizedRow], settings: FinetuneSettings, report: StepCallback
    ) -> None:
        self.batches = _plan([len(row["input_ids"]) for row in rows], settings)
        self.minutes, self.report = settings.checkpoint_minutes, report
        self.began = self.saved = time.monotonic()
        self.earlier, self.steps = 0.0, 0  # seconds of earlier sessions, steps of this one
        arguments = transformers.TrainingArguments(
            output_dir=str(settings.out / CHECKPOINTS),
            num_train_epochs=1,
            warmup_steps=settings.warmup,  # below 1: a share of the steps
            max_grad_norm=settings.clip,
            seed=settings.seed,
            bf16=settings.precision == "bfloat16",
            use_cpu=settings.device == "cpu",
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",  # `log` asks for checkpoints
            save_total_limit=1,
            report_to="none",
            disable_tqdm=True,
            label_names=["labels"],
        )
        model.to(arguments.device)
        arguments._n_gpu = min(arguments.n_gpu, 1)  # a batch is not split among several GPUs
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        head = {name for name in trained if any(f"{part}." in name for part in HEAD)}
        groups: list[dict[str, Any]] = [
            {"params": [trained[name] for name in trained if name not in head], "lr": settings.learning_rate},
            {"params": [trained[name] for name in trained if name in head], "lr": settings.head_learning_rate},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        collator = transformers.DataCollatorWithPadding(tokenizer)
        super().__init__(model, arguments, collator, rows, optimizers=(optimizer, None))
        self.remove_callback(transformers.PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator)  # type: ignore[arg-type]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Take a step's loss: stop if it is not finite, ask for a checkpoint if it is time for one, and report it."""
        if "loss" not in logs:
            return  # the summary at the end
        step, loss, now = self.state.global_step, logs["loss"], time.monotonic()
        if not math.isfinite(loss):
            raise NumericsError(f"the loss is {loss} at step {step}: lower the learning rate")
        last = self.state.log_history[-1] if self.state.log_history else {"loss": loss, "seconds": 0.0}
        if not self.steps:
            self.earlier = last["seconds"]
        self.steps += 1
        mean = last["loss"] + (loss - last["loss"]) / min(step, _AVERAGED)
        # The one entry, which the checkpoints hold, is carried over to a resumed run.
        self.state.log_history = [{"loss": mean, "seconds": self.earlier + now - self.began}]
        if now - self.saved >= 60 * self.minutes or step == self.state.max_steps:
            self.control.should_save, self.saved = True, now
        self.report(step, self.state.max_steps, mean)


def _train(trainer: _Trainer, fingerprint: str) -> float:
    """Train to the end, from the last checkpoint where there is one; give the seconds that it took in all."""
    folder = Path(str(trainer.args.output_dir))
    owner = folder / "fingerprint"  # says which run the checkpoints belong to
    if owner.is_file() and owner.read_text("utf-8") != fingerprint:
        raise InputError(f"{folder}: holds checkpoints of a run with other settings or data; delete it first")
    folder.mkdir(exist_ok=True)
    owner.write_text(fingerprint, "utf-8")
    # The Trainer writes its state last: a checkpoint without it was broken off.
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    last = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
    try:
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    except Exception as error:  # at a damaged file, torch and safetensors raise errors of many kinds
        if last is None or trainer.steps or isinstance(error, NarrowsError):
            raise
        raise DataError(f"{last}: cannot be resumed ({error}); delete {folder} to start again") from error
    return float(trainer.state.log_history[-1]["seconds"])


def _fingerprint(settings: FinetuneSettings, base: Path, rows: Sequence[TokenizedRow]) -> str:
    """Hash what decides the weights at the end."""
    # Where it runs, where its files are and how it is tested make no difference to the weights.
    outside = {"out", "data_dir", "base", "name", "evaluate", "device", "checkpoint_minutes"}
    given = {name: value for name, value in settings.to_dict().items() if name not in outside}
    digest = hashlib.sha256(json.dumps([given, bundled.weights_sha256(base)], sort_keys=True).encode())
    for row in rows:
        digest.update(f"{row['input_ids']} {row['labels']}".encode())
    return digest.hexdigest()
