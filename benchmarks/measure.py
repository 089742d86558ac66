"""Measure the speed of Narrows against the obvious implementation and other methods, side by side in one run.

Only the ratios count: absolute times depend on the machine and on who else uses it. All are timed in turn, several
rounds; a ratio is the median of those within a round. The least and the most of n rounds bound the median with a
probability of 1 - 2 / 2^n, whatever the times are like: 97 % for six rounds, 75 % for three. Writes the figures with
their environment as JSON; `python benchmarks/table.py` prints them. GIM takes part where its package is installed (pip
install gim-explain).

    python benchmarks/measure.py --size base --tokens 32 128                  # long on a CPU
    python benchmarks/measure.py --dataset sst2 --data-dir DATA --texts 500 --methods "narrows, fast" "IG, 10 steps"
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from naive import explain_naively
from workload import REAL, SIZES, Workload

from narrows import Explainer, Prior, __version__
from narrows.evaluation.cost import measured
from narrows.methods import FunctionMethod
from narrows.models.cut.blocks import find_blocks

sys.path.append(str(Path(__file__).parent / "rivals"))
from gradients import gim  # type: ignore[import-not-found]

NAIVE = "naive"
# By name, the method. At one layer, as the paper has it, unless the name says otherwise.
CONTENDERS: dict[str, str | FunctionMethod] = {
    "narrows, the same settings": "paper:layer={layer}:beta=0.1",
    "narrows, information": "information:layer={layer}",
    "narrows, fast, one layer": "fast:layer={layer}",
    "narrows, fast": "fast",
    "narrows, best": "best",
    "IG, 10 steps": "ig",
    "LIME, 100 samples": "lime",
    "KernelSHAP, 100 samples": "kernel_shap",
    "occlusion": "occlusion",
}
if find_spec("gim"):
    CONTENDERS["GIM"] = FunctionMethod(gim, label="GIM")
# Their arithmetic is not what their forward-equivalents say: gradients of the weights, and texts that get shorter.
UNCOUNTED = (NAIVE, "LIME, 100 samples", "KernelSHAP, 100 samples", "occlusion")


def contenders(work: Workload) -> dict[str, tuple[int, Callable[[], object]]]:
    """Prepare what is compared. The naive implementation explains one text, that of median length.

    Args:
        work: The classifier and its texts.

    Returns:
        By name, the number of texts that a call explains, and the call.
    """
    model, texts = work.classifier.model, len(work.examples)
    blocks = find_blocks(model)
    layer = round(0.75 * len(blocks))
    prior = Prior.load(work.classifier.prior or "").at(layer)
    ids = torch.tensor([work.encodings[work.middle].features["input_ids"]])
    one = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def naive() -> object:
        mean, std = prior.mean.to(model.dtype), prior.std.to(model.dtype)
        return explain_naively(model, blocks[layer - 1], one, mean, std, 0, 0.1)

    def method(named: str | FunctionMethod) -> Callable[[], object]:
        loaded, own = work.classifier, named.format(layer=layer) if isinstance(named, str) else named
        explainer = Explainer(loaded.model, loaded.tokenizer, own, loaded.prior)
        return lambda: explainer(work.examples, [0] * texts)

    return {NAIVE: (1, naive), **{name: (texts, method(named)) for name, named in CONTENDERS.items()}}


def measure(work: Workload, names: Sequence[str], rounds: int, minutes: float) -> dict[str, dict[str, Any]]:
    """Time the contenders in turn, several rounds.

    Args:
        work: The classifier and its texts.
        names: Of the contenders beside the naive one.
        rounds: How often each is timed, at most.
        minutes: After these no round begins.

    Returns:
        By name: median seconds per text of the wall clock and of the processor, forward-equivalents per text, how
        many times as fast as the naive one, by either clock, the least and the most of these ratios by the processor's,
        rounds, and arithmetic done in the blocks, GFLOP per processor second (0 where it is not counted).
    """
    every = contenders(work)
    calls = {name: every[name] for name in (NAIVE, *names)}
    work_per_forward = gigaflops(work)
    wall: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    forwards: dict[str, float] = {}
    end = time.monotonic() + 60 * minutes
    while not wall[NAIVE] or (len(wall[NAIVE]) < rounds and time.monotonic() < end):
        for name, (texts, call) in calls.items():
            started, used = time.perf_counter(), time.process_time()
            with measured(work.classifier.model) as cost:
                call()
            wall[name].append((time.perf_counter() - started) / texts)
            processor[name].append((time.process_time() - used) / texts)
            forwards[name] = cost.forward_equivalents / texts

    def ratios(name: str, clock: dict[str, list[float]]) -> list[float]:
        return [naive / own for naive, own in zip(clock[NAIVE], clock[name], strict=True)]

    return {
        name: {
            "seconds": median(wall[name]),
            "processor_seconds": median(processor[name]),
            "forward_equivalents": forwards[name],
            "times_naive": median(ratios(name, wall)),
            "times_naive_processor": median(ratios(name, processor)),
            "times_naive_interval": (min(ratios(name, processor)), max(ratios(name, processor))),
            "rounds": len(wall[name]),
            "gflops": 0.0 if name in UNCOUNTED else work_per_forward * forwards[name] / median(processor[name]),
        }
        for name in calls
    }


def gigaflops(work: Workload) -> float:
    """Count the arithmetic of one text's way through all blocks: twice their weights and the attention's products.

    Args:
        work: The classifier and its texts.

    Returns:
        Thousand million multiplications and additions per text, mean.
    """
    blocks = find_blocks(work.classifier.model)
    hidden = work.classifier.model.config.hidden_size
    weights = sum(parameter.numel() for block in blocks for parameter in block.parameters() if parameter.ndim == 2)
    lengths = [len(encoding) for encoding in work.encodings]
    each = [2 * weights * length + 4 * len(blocks) * hidden * length**2 for length in lengths]
    return sum(each) / len(each) / 1e9


def matrix_rate(hidden: int, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Measure the rate of the matrix product that a feed-forward layer makes, in GFLOP per processor second.

    Args:
        hidden: Size of the activations.
        dtype: Of the numbers.
        seconds: How long.

    Returns:
        The rate.
    """
    left, right = torch.randn(1_280, hidden, dtype=dtype), torch.randn(4 * hidden, hidden, dtype=dtype)
    torch.nn.functional.linear(left, right)
    start, count = time.process_time(), 0
    while time.process_time() - start < seconds:
        torch.nn.functional.linear(left, right)
        count += 1
    return 2 * 1_280 * 4 * hidden**2 * count / (time.process_time() - start) / 1e9


def environment() -> dict[str, Any]:
    """Describe what the figures hang on."""
    return {
        "narrows": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def workloads(options: argparse.Namespace) -> Iterator[tuple[str, Workload]]:
    """Make what is timed.

    Args:
        options: Of the command line.

    Yields:
        Name and workload.
    """
    dtype = getattr(torch, options.dtype)
    if options.dataset:
        work = Workload.real(options.dataset, options.texts, options.data_dir, options.model)
        work.classifier.model.to(dtype)
        yield f"{options.dataset}, {work.tokens:.0f} tokens on average", work
        return
    for tokens in options.tokens:
        yield f"{options.size}, {tokens} tokens", Workload.of(options.size, tokens, options.texts, dtype)


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="minilm", help="base takes long on a CPU")
    parser.add_argument("--tokens", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--dataset", choices=REAL, help="a demo model and real texts in place of random ones")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--model", help="another model for the texts of --dataset, as narrows takes it")
    parser.add_argument("--texts", type=int, default=2, help="that a method gets together; the naive one gets one")
    parser.add_argument("--methods", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=6, help="at most")
    parser.add_argument("--minutes", type=float, default=4, help="after these no round of a workload begins")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--out", type=Path, default=Path("out/benchmark.json"))
    options = parser.parse_args()
    results = []
    for name, work in workloads(options):
        print(name, flush=True)
        rate = matrix_rate(work.classifier.model.config.hidden_size, getattr(torch, options.dtype))
        figures = measure(work, options.methods, options.rounds, options.minutes)
        results.append({"workload": name, "texts": options.texts, "matrix_gflops": rate, "methods": figures})
    report = {
        "environment": environment(),
        "dtype": options.dtype,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
