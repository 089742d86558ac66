"""Check and measure Narrows on a GPU: one command, some four minutes, no network, random weights.

1. Agreement: maps of the GPU against those of the CPU in float32, and of half precision against float32.
2. Speed: texts per second at the batch size where more no longer helps, as a multiple of the obvious implementation and
   as a share of the rate at which this card multiplies matrices; memory; a BERT-base and a Llama of 1.2 billion
   parameters, 32, 128 and 512 tokens, bfloat16.
3. Where the time of `fast` goes, by kernel.

Parts that the time does not suffice for are left out, and listed.

    python benchmarks/gpu.py --out out/gpu.json
    python benchmarks/gpu.py --device cpu --tiny  # tries the script itself out, on a machine without a GPU
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from agree import agree
from measure import gigaflops
from naive import explain_naively
from transformers import LlamaConfig, LlamaForCausalLM
from workload import Workload, word_tokenizer

from narrows import Example, Explainer, Prior, __version__
from narrows.evaluation.cost import measured
from narrows.models.cut.blocks import find_blocks, identify
from narrows.models.hub.loading import LoadedModel

METHODS = ("fast", "best", "paper", "ig", "lime")
DECODER_METHODS = ("fast", "ig")
SATURATED = 1.05  # a larger batch that is not faster by this is the last
LLAMA = {  # 1.2 billion parameters; the tiny one is for trying the script out
    False: {"num_hidden_layers": 16, "hidden_size": 2048, "heads": (32, 8), "intermediate_size": 8192},
    True: {"num_hidden_layers": 2, "hidden_size": 64, "heads": (4, 2), "intermediate_size": 128},
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    tokens: tuple[int, ...] = (32, 128, 512)
    batches: tuple[int, ...] = (8, 32, 128, 512, 2048)
    outputs: int = 32  # tokens of a generation
    at_least: float = 0.5  # seconds of a measurement


TINY = Sizes((8, 16), (2, 4), 3, 0.0)


@dataclass
class Budget:
    """The time that the parts share."""

    seconds: float
    began: float = field(default_factory=time.monotonic)
    left_out: list[str] = field(default_factory=list)

    def allows(self, part: str) -> bool:
        """Tell whether a part may begin; if not it is noted."""
        if time.monotonic() - self.began < self.seconds:
            print(f"{time.monotonic() - self.began:5.0f} s  {part}", flush=True)
            return True
        self.left_out.append(part)
        return False


def wait(device: torch.device) -> None:
    """Wait for what was started on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, call: Callable[[], object], at_least: float = Sizes.at_least) -> float:
    """Give the seconds of a call, after one to warm up; short ones are repeated."""
    call()
    wait(device)
    began, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - began < at_least:
        call()
        wait(device)
        calls += 1
    return (time.perf_counter() - began) / calls


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Measure the rate of a square matrix product, in GFLOP per second."""
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / timed(device, lambda: left @ right) / 1e9


def decoder(tokens: int, texts: int, dtype: torch.dtype, device: torch.device, tiny: bool) -> Workload:
    """Make a Llama with random weights, and texts for it."""
    sizes: dict[str, Any] = dict(LLAMA[tiny])
    heads, kept = sizes.pop("heads")
    tokenizer = word_tokenizer(specials=False)
    config = LlamaConfig(
        **sizes,
        vocab_size=len(tokenizer),
        num_attention_heads=heads,
        num_key_value_heads=kept,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = LlamaForCausalLM(config)
    model = model.to(dtype).eval()
    shape = (config.num_hidden_layers + 1, config.hidden_size)
    path = Path("/tmp") / f"prior-{config.hidden_size}.safetensors"
    Prior(torch.zeros(shape), torch.ones(shape), 1, identify(model)).save(path)
    words = torch.randint(2_000, (texts, tokens), generator=torch.Generator().manual_seed(0)).tolist()
    examples = [Example(" ".join(f"w{number}" for number in row)) for row in words]
    return Workload(LoadedModel(model, tokenizer, "llama", path), examples)


def encoder(tokens: int, texts: int, dtype: torch.dtype, device: torch.device, tiny: bool) -> Workload:
    """Make a BERT with random weights, and texts for it."""
    work = Workload.of("minilm" if tiny else "base", tokens, texts, dtype)
    model: Any = work.classifier.model
    model.to(device)
    return work


def agreement(device: torch.device, tiny: bool) -> dict[str, Any]:
    """Hold maps of the GPU against those of the CPU, and half precision against float32 on the GPU."""
    found = {}
    for name, build in (("encoder", encoder), ("decoder", decoder)):
        work = build(32, 8, torch.float32, torch.device("cpu"), True)
        model: Any = work.classifier.model
        tokenizer, prior = work.classifier.tokenizer, work.classifier.prior
        for method in ("fast", "best", "paper:steps=5", "ig"):
            explainer = Explainer(model, tokenizer, method, prior)
            reference = list(explainer(work.examples))
            row = {}
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                model.to(device, dtype)
                targets = [one.target for one in reference] if name == "encoder" else None
                row[str(dtype).removeprefix("torch.")] = agree(reference, list(explainer(work.examples, targets)))
                model.to("cpu", torch.float32)
            found[f"{name}, {method}"] = row
    return found


def saturate(
    device: torch.device, tokens: int, build: Callable[[int], Callable[[], object]], sizes: Sizes
) -> dict[str, float]:
    """Find the batch at which more texts at a time no longer help: texts per second there, and the memory it took."""
    best: dict[str, float] = {}
    for batch in sizes.batches:
        try:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            rate = batch / timed(device, build(batch), sizes.at_least)
        except torch.cuda.OutOfMemoryError:
            break
        memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
        if best and rate < SATURATED * best["texts_per_second"]:
            break
        best = {"texts_per_second": rate, "batch": batch, "tokens": tokens, "memory_gib": memory}
    return best


def speed(
    work: Workload, device: torch.device, methods: tuple[str, ...], rate: float, sizes: Sizes
) -> Iterator[tuple[str, Any]]:
    """Measure methods on texts of one length."""
    loaded, tokens = work.classifier, round(work.tokens)
    per_forward = gigaflops(work)
    for method in methods:
        explainer = Explainer(loaded.model, loaded.tokenizer, method, loaded.prior)

        def build(batch: int, explainer: Explainer = explainer) -> Callable[[], object]:
            texts = (work.examples * (batch // len(work.examples) + 1))[:batch]
            return lambda: explainer(texts, batch_size=batch)

        with measured(loaded.model) as cost:
            explainer(work.examples)
        forwards = cost.forward_equivalents / len(work.examples)
        found = saturate(device, tokens, build, sizes)
        found["forward_equivalents"] = forwards
        if method != "lime":  # its texts are shorter than the one they are made of
            found["share_of_matrix_rate"] = found["texts_per_second"] * forwards * per_forward / rate
        yield method, found


def naive(work: Workload, device: torch.device) -> float:
    """Measure the obvious implementation: texts per second, one at a time."""
    model = work.classifier.model
    blocks = find_blocks(model)
    layer = round(0.75 * len(blocks))
    prior = Prior.load(work.classifier.prior or "").at(layer)
    mean, std = prior.mean.to(device, model.dtype), prior.std.to(device, model.dtype)
    ids = torch.tensor([work.encodings[0].features["input_ids"]], device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return 1 / timed(device, lambda: explain_naively(model, blocks[layer - 1], inputs, mean, std, 0, 0.1))


def generation(work: Workload, device: torch.device, outputs: int) -> dict[str, float]:
    """Measure a response, each token of it explained."""
    loaded, prompt = work.classifier, work.examples[0].text
    explainer = Explainer(loaded.model, loaded.tokenizer, "fast", loaded.prior)
    return {"seconds": timed(device, lambda: explainer.generate(prompt, max_new_tokens=outputs)), "outputs": outputs}


def profile(work: Workload, device: torch.device) -> list[dict[str, Any]]:
    """List what `fast` spends its time on, the most first."""
    loaded = work.classifier
    explainer = Explainer(loaded.model, loaded.tokenizer, "fast", loaded.prior)
    explainer(work.examples)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if device.type == "cuda" else []
    with torch.profiler.profile(activities=kinds) as seen:
        explainer(work.examples)
        wait(device)
    name = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    rows = [{"what": row.key[:80], "calls": row.count, "ms": getattr(row, name) / 1e3} for row in seen.key_averages()]
    return sorted(rows, key=lambda row: -row["ms"])[:15]


def environment(device: torch.device) -> dict[str, Any]:
    """Describe what the figures hang on."""
    card = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return {
        "card": platform.processor() if card is None else card.name,
        "memory_gib": None if card is None else card.total_memory / 2**30,
        "cuda": torch.version.cuda,
        "narrows": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main() -> None:
    """Check, measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=240, help="after which no new part begins")
    parser.add_argument("--tiny", action="store_true", help="small models and texts, to try the script out")
    parser.add_argument("--out", type=Path, default=Path("out/gpu.json"))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --device cpu --tiny tries the script out")
    device, budget = torch.device(options.device), Budget(options.seconds)
    sizes, dtype = TINY if options.tiny else Sizes(), torch.bfloat16
    report: dict[str, Any] = {"environment": environment(device), "dtype": "bfloat16"}

    def save() -> None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**report, "left_out": budget.left_out}, indent=1) + "\n")

    if budget.allows("agreement"):
        report["agreement"] = agreement(device, options.tiny)
    rate = report["matrix_gflops"] = matrix_rate(device, dtype, 256 if options.tiny else 8192)
    for tokens in sizes.tokens:
        for name, make, methods in (("encoder", encoder, METHODS), ("decoder", decoder, DECODER_METHODS)):
            if not budget.allows(f"{name}, {tokens} tokens"):
                continue
            work = make(tokens, 8, dtype, device, options.tiny)
            rows = report.setdefault("speed", {}).setdefault(f"{name}, {tokens} tokens", {})
            if name == "encoder":
                rows["naive"] = {"texts_per_second": naive(work, device)}
            for method, found in speed(work, device, methods, rate, sizes):
                rows[method] = found
                if "naive" in rows:
                    found["times_naive"] = found["texts_per_second"] / rows["naive"]["texts_per_second"]
                save()
            if tokens == sizes.tokens[1] and name == "encoder" and budget.allows("profile"):
                report["profile"] = profile(work, device)
            if tokens == sizes.tokens[1] and name == "decoder" and budget.allows("generation"):
                rows["generation"] = generation(work, device, sizes.outputs)
    save()
    print(json.dumps(report, indent=1))
    print(f"wrote {options.out}; left out: {', '.join(budget.left_out) or 'nothing'}")


if __name__ == "__main__":
    main()
