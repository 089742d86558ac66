"""Measure the speed of Narrows against the obvious implementation, side by side in one run.

Only the ratios count: absolute times depend on the machine and on who else uses it. Weights are random, for speed does
not depend on them. Prints a table and writes the figures with their environment as JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import transformers
from naive import explain_naively
from rich.console import Console
from rich.table import Table
from transformers import BertConfig, BertForSequenceClassification

from narrows import __version__
from narrows.config import PRESETS, BottleneckConfig
from narrows.models.split import Network, borrowed, run_prefix
from narrows.models.targets import negative_log_likelihood
from narrows.optimize import optimize
from narrows.prior import Gaussian

SIZES = {  # blocks, hidden, heads
    "minilm": (6, 384, 12),
    "base": (12, 768, 12),
}
BETA = 0.1


def build(size: str) -> BertForSequenceClassification:
    """Build a BERT of a size with random weights.

    Args:
        size: A key of SIZES.

    Returns:
        The classifier, in evaluation mode, its weights trainable.
    """
    blocks, hidden, heads = SIZES[size]
    torch.manual_seed(0)
    config = BertConfig(
        num_hidden_layers=blocks, hidden_size=hidden, num_attention_heads=heads, intermediate_size=4 * hidden
    )
    return BertForSequenceClassification(config).eval()


def contenders(size: str, tokens: int, batch: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """Prepare what is compared.

    Args:
        size: A key of SIZES.
        tokens: Tokens per text.
        batch: Texts that Narrows takes together.

    Returns:
        By name, the number of texts that a call explains, and the call.
    """
    model = build(size)
    network = Network.of(model)
    layer = round(0.75 * len(network.blocks))
    prior = Gaussian(torch.zeros(model.config.hidden_size), torch.ones(model.config.hidden_size))
    ids = torch.randint(1000, 20_000, (batch, tokens))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    first = {name: value[:1] for name, value in inputs.items()}
    identical = BottleneckConfig(granularity="feature", beta=BETA, steps=10, samples=10)

    def naive() -> object:
        return explain_naively(model, network.blocks[layer - 1], first, prior.mean, prior.std, 0, BETA)

    def narrows(config: BottleneckConfig) -> Callable[[], object]:
        def call() -> object:
            with borrowed(model, 0):
                prefix = run_prefix(network, inputs, [layer])
                nll = negative_log_likelihood(network, prefix, inputs, layer, torch.zeros(batch, dtype=torch.long))
                real = inputs["attention_mask"].bool()
                return optimize(nll, prefix.activations[layer], prior, real, config, list(range(batch)))

        return call

    return {
        "naive": (1, naive),
        "narrows, identical": (batch, narrows(identical)),
        "narrows, default": (batch, narrows(PRESETS["fast"])),
    }


def measure(size: str, tokens: int, batch: int, rounds: int) -> dict[str, object]:
    """Time the contenders in turn, several rounds.

    Args:
        size: A key of SIZES.
        tokens: Tokens per text.
        batch: Texts that Narrows takes together.
        rounds: How often each is timed, after one call to warm up.

    Returns:
        Median seconds per text of each, and how many times as fast as naive.
    """
    calls = contenders(size, tokens, batch)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, (texts, call) in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append((time.perf_counter() - start) / texts)
    medians = {name: median(times) for name, times in seconds.items()}
    ratios = {name: medians["naive"] / value for name, value in medians.items()}
    return {"size": size, "tokens": tokens, "batch": batch, "seconds_per_text": medians, "times_naive": ratios}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="minilm")
    parser.add_argument("--tokens", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/benchmark.json"))
    options = parser.parse_args()
    results = [measure(options.size, tokens, options.batch, options.rounds) for tokens in options.tokens]
    environment = {
        "narrows": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    table = Table("model", "tokens", "method", "seconds per text", "times naive", title="10 steps, layer at 3/4")
    for result in results:
        for name, seconds in result["seconds_per_text"].items():
            ratio = result["times_naive"][name]
            table.add_row(str(result["size"]), str(result["tokens"]), name, f"{seconds:.3f}", f"{ratio:.1f}")
    Console().print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"environment": environment, "results": results}, indent=2) + "\n")
    Console(stderr=True).print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
