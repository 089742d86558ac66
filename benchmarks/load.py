"""Load: many reviews through a run, with memory, speed and the displayed time left against the truth.

    python benchmarks/load.py measure --data DATA --out out/load/cut --texts 1200 --max-tokens 128
    python benchmarks/load.py measure --data DATA --out out/load/whole --texts 400
    python benchmarks/load.py measure --data DATA --out out/load/tiny --texts 25000 --max-tokens 128 --model tiny
    python benchmarks/load.py plot out/load/* --out out/load/plots

The 6,000 reviews of IMDB's test split are drawn in a random order and repeated as often as is needed; a repeated text
is explained anew. Each measurement is a run like any other: stopped, it goes on, and what it wrote are its parts. The
model ``tiny`` has random weights; it shows what the run itself costs.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from transformers import BertConfig, BertForSequenceClassification

from narrows import Example
from narrows.data import datasets
from narrows.models.hub.loading import LoadedModel, load_model
from narrows.run import ExplainSettings, explain_dataset
from narrows.run.meter import Progress
from narrows.run.parts import part_file, present_parts

SAMPLES, FIGURES = "samples.jsonl", "figures.json"
FULL = 25_000  # the reviews of the paper
MINUTE = 60


@dataclass(frozen=True)
class Repeated(Sequence[Example]):
    """Some texts, repeated up to a length without being copied.

    Attributes:
        texts: The texts.
        length: How many there are to be.
    """

    texts: list[Example]
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> Example:  # type: ignore[override]
        if place >= self.length:
            raise IndexError(place)
        return self.texts[place % len(self.texts)]


class Recorder:
    """Writes down about once a second where a run stands and how much memory the process holds."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def __call__(self, progress: Progress) -> None:
        """Write a line, if a second has passed."""
        if progress.seconds < self._next and progress.done != 1:
            return
        self._next = progress.seconds + 1
        with self._path.open("a", encoding="utf-8") as file:
            own = {"bytes": resident(), "processor_seconds": time.process_time()}
            file.write(json.dumps({**asdict(progress), **own}) + "\n")


def resident() -> int:
    """Bytes of memory that this process holds now (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def tiny() -> LoadedModel:
    """A classifier of random weights with the tokenizer of the demo model."""
    torch.manual_seed(0)
    tokenizer = load_model("sentiment", "cpu").tokenizer
    sizes: Any = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes))
    return LoadedModel(model.eval(), tokenizer, "tiny", None)


def measure(data: Path, out: Path, texts: int, model: str, max_tokens: int | None) -> None:
    """Explain so many reviews and write down how it went."""
    torch.set_num_threads(1)
    reviews = datasets.load("imdb", "test", data)
    random.Random(0).shuffle(reviews)
    settings = ExplainSettings(max_tokens=max_tokens, prior="instance" if model == "tiny" else None)
    classifier = tiny() if model == "tiny" else load_model(model, "cpu")
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "texts": texts}
    (out / FIGURES).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    start, processor = time.monotonic(), time.process_time()
    manifest = explain_dataset(
        Repeated(reviews, texts), out, settings, loaded=classifier, report=Recorder(out / SAMPLES)
    )
    size = sum(part_file(out, part).stat().st_size for part in present_parts(out))
    figures |= {
        "tokens": manifest["result"]["tokens"],
        "seconds": round(time.monotonic() - start, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "bytes": size,
    }
    (out / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


def read_samples(folder: Path) -> list[dict[str, float]]:
    """What the recorder wrote, once there is something done."""
    rows = [json.loads(line) for line in (folder / SAMPLES).read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["seconds_left"] is not None]


def speeds(samples: list[dict[str, float]], texts: int, window: float = 15) -> Iterator[tuple[float, float]]:
    """Texts per second over windows of time, by the share of the work that was done in them."""
    start = samples[0]
    for sample in samples[1:]:
        if (passed := sample["seconds"] - start["seconds"]) >= window:
            yield sample["seconds"], texts * (sample["done"] - start["done"]) / passed
            start = sample


def time_left_error(samples: list[dict[str, float]]) -> float:
    """Largest error of the expected end after the first minute, as a share of the whole time: 0.1 = within 10 %."""
    end = samples[-1]["seconds"]
    if samples[-1]["done"] < 1:
        return float("nan")
    errors = [abs(s["seconds"] + s["seconds_left"] - end) / end for s in samples if s["seconds"] >= MINUTE]
    return max(errors, default=float("nan"))


def work_error(samples: list[dict[str, float]]) -> float:
    """The same error in processor time, from the first minute of it on: what is left when others slow the machine."""
    if samples[-1]["done"] < 1 or "processor_seconds" not in samples[0]:
        return float("nan")
    start, end = samples[0]["processor_seconds"], samples[-1]["processor_seconds"]
    used = [(s["processor_seconds"] - start, s["done"] - samples[0]["done"]) for s in samples[1:]]
    whole = 1 - samples[0]["done"]
    errors = [abs(spent * whole / done / (end - start) - 1) for spent, done in used if spent >= MINUTE and done > 0]
    return max(errors, default=float("nan"))


def plot(folders: list[Path], out: Path) -> None:
    """Draw memory, speed and time left of each measurement, and print the figures."""
    figure, axes = plt.subplots(3, len(folders), figsize=(4 * len(folders), 7), squeeze=False, layout="constrained")
    for column, folder in enumerate(folders):
        samples, figures = read_samples(folder), json.loads((folder / FIGURES).read_text(encoding="utf-8"))
        seconds = [sample["seconds"] for sample in samples]
        memory, speed, left = axes[:, column]
        length = f"cut to {figures['max_tokens']} tokens" if figures["max_tokens"] else "whole"
        done = "" if samples[-1]["done"] == 1 else f"{samples[-1]['done']:.0%} of "
        memory.set_title(f"{figures['model']}: {done}{figures['texts']:,} reviews, {length}", fontsize=9)
        memory.plot(seconds, [sample["bytes"] / 2**20 for sample in samples])
        memory.set_ylabel("memory, MiB")
        memory.set_ylim(bottom=0)
        speed.plot(*zip(*speeds(samples, figures["texts"]), strict=True))
        speed.set_ylabel("texts per second")
        speed.set_ylim(bottom=0)
        left.plot(seconds, [sample["seconds_left"] for sample in samples], label="displayed")
        if samples[-1]["done"] == 1:
            left.plot(seconds, [seconds[-1] - second for second in seconds], "k:", label="true")
        left.axvline(MINUTE, color="0.7", linewidth=0.8)
        left.set_ylabel("time left, s")
        left.set_xlabel("seconds since the start")
        left.set_ylim(0, 1.5 * max(seconds[-1], samples[-1]["seconds_left"]))
        left.legend(frameon=False)
        half = [sample["bytes"] for sample in samples if sample["seconds"] >= seconds[-1] / 2]
        about = {
            **figures,
            "done": round(samples[-1]["done"], 3),
            "texts_per_second": round(figures["texts"] * samples[-1]["done"] / seconds[-1], 3),
            "memory_growth_in_second_half": f"{half[-1] / half[0] - 1:+.1%}",
            "error_of_time_left_after_a_minute": f"{time_left_error(samples):.1%}",
            "the_same_in_processor_time": f"{work_error(samples):.1%}",
        }
        if samples[-1]["done"] == 1:
            about["processor_seconds_per_text"] = round(figures["processor_seconds"] / figures["texts"], 4)
            about["tokens_per_processor_second"] = round(figures["tokens"] / figures["processor_seconds"])
            about["bytes_per_text"] = round(figures["bytes"] / figures["texts"])
            about["processor_hours_for_25,000"] = round(
                FULL * figures["processor_seconds"] / figures["texts"] / 3600, 2
            )
        print(json.dumps(about))
    out.mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "svg"):
        figure.savefig(out / f"load.{suffix}", dpi=130)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--texts", type=int, default=FULL)
    one.add_argument("--model", default="sentiment")
    one.add_argument("--max-tokens", type=int)
    other = commands.add_parser("plot")
    other.add_argument("folders", type=Path, nargs="+")
    other.add_argument("--out", type=Path, required=True)
    given = vars(parser.parse_args())
    run: Any = {"measure": measure, "plot": plot}[given.pop("command")]
    run(**given)


if __name__ == "__main__":
    main()
