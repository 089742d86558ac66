"""The degradation test with the strongest published rivals beside the methods of Narrows.

DecompX, Value Zeroing and sequential integrated gradients are written here from their papers. GIM and ProxySPEX come by
their authors' packages, into an environment that need not be that of Narrows:

    pip install gim-explain shapiq lightgbm
    python benchmarks/rivals/compare.py --data DIR --datasets sst2 imdb --limit 100 --out out/rivals

The summaries, DIR/DATASET/summary.json, are kept as benchmarks/reproduction/results/checks/rivals_DATASET.json.
"""

from __future__ import annotations

import argparse
from math import nan
from pathlib import Path

from decompx import decompx
from games import proxyspex
from gradients import gim, sig
from value_zeroing import value_zeroing

from narrows.data.source import Source
from narrows.methods import FunctionMethod
from narrows.methods.method import Method
from narrows.models.hub.loading import load_model
from narrows.run import Plan, evaluate, write_summary

MODELS = {"imdb": "sentiment", "sst2": "sentiment", "ag_news": "topic", "rte": "rte"}
MODELS |= {"mnli_matched": "nli", "mnli_mismatched": "nli"}
OWN = ("random", "fast", "best", "ig", "lime", "occlusion")
RIVALS: dict[str, Method] = {
    "gim": FunctionMethod(gim, label="GIM"),
    "decompx": FunctionMethod(decompx, label="DecompX"),
    "value_zeroing": FunctionMethod(value_zeroing, label="Value Zeroing", signed=False),
    "sig": FunctionMethod(sig, label="SIG, 10 steps"),
    "proxyspex_200": FunctionMethod(proxyspex(200), label="ProxySPEX, 200"),
    "proxyspex_1000": FunctionMethod(proxyspex(1000), label="ProxySPEX, 1,000"),
}
IMDB_TOKENS = 96


def main() -> None:
    """Run, resume, and print the drops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the published files")
    parser.add_argument("--datasets", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("out/rivals"))
    options = parser.parse_args()
    for name in options.datasets:
        source = Source(name, data_dir=options.data, limit=options.limit)
        methods: tuple[str | Method, ...] = (*OWN, *(RIVALS[rival] for rival in options.rivals))
        plan = Plan(source, methods=methods, max_tokens=IMDB_TOKENS if name == "imdb" else None)
        evaluate(load_model(MODELS[name]), plan, options.out / name)
        for row, found in write_summary(options.out / name)["methods"].items():
            low, high = found["drop_11_interval"] or (nan, nan)  # one text has no interval
            cost, area = found["forward_equivalents"], found["area_morf"]
            print(f"{name}, {row}: {found['drop_11']:.3f} [{low:.3f}, {high:.3f}], MoRF {area:.3f}, {cost:.0f} passes")


if __name__ == "__main__":
    main()
