"""What `calibrate` gains over maps without it, on texts that it did not see: the drop of p(predicted label) at 1/9.

A model without a prior is explained from the text's own mean (prior "instance"), at the usual layers. `calibrate` reads
training texts, and learns a corpus prior and perhaps other layers or another interval; then the same texts of another
split are explained both ways. Of a language model, what it says next is explained, on prompts of decoders/prompts.py.

    python benchmarks/calibration.py --model FOLDER --dataset mnli_matched --data-dir DATA --out calibration.json
    python benchmarks/calibration.py --model lm --dataset natural-test.jsonl --train natural-train.jsonl

Adds an entry for the model and the data set to OUT.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from narrows import Explainer, Prior, calibrate
from narrows.data import datasets
from narrows.evaluation.degradation import degrade
from narrows.evaluation.metrics import area, drop
from narrows.evaluation.statistics import bootstrap_interval, paired_bootstrap
from narrows.models.text.reader import Reader
from narrows.models.variants import resolve

TRAINED_ON = {"mnli_matched": "mnli", "mnli_mismatched": "mnli"}


def measure(explainer: Explainer, texts: list[Any], max_tokens: int | None) -> dict[str, np.ndarray]:
    """Explain what is predicted of texts and remove tokens in that order: the drop and the MoRF area of each text."""
    reader = Reader(explainer.model, explainer.tokenizer, max_tokens, "truncate")
    questions = [reader.ask(text, None).questions[0] for text in texts]
    goals = [own.goal for own in resolve(explainer.model, explainer.tokenizer, reader.task, questions)]
    rankings = [own.ranking for own in explainer(texts)]
    curves = degrade(explainer.model, explainer.tokenizer, questions, rankings, goals)
    return {"drop": drop(curves.morf), "area": area(curves.morf)}


def read(name: str, split: str | None, data_dir: Path | None, limit: int) -> list[Any]:
    """Draw texts of a data set, or prompts of a file of JSON lines."""
    if not Path(name).is_file():
        return list(datasets.load(name, split, data_dir, limit, 0))
    prompts = [json.loads(line)["prompt"] for line in Path(name).read_text(encoding="utf-8").splitlines()]
    return [prompts[place] for place in np.random.default_rng(0).permutation(len(prompts))[:limit]]


def main() -> None:
    """Calibrate, explain both ways, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a demo model, or a folder")
    parser.add_argument("--dataset", required=True, help="a data set, or a file of prompts")
    parser.add_argument("--train", help="what the calibration reads; default: the training texts of the data set")
    parser.add_argument("--data-dir", type=Path, help="folder with the published files of a data set")
    parser.add_argument("--train-texts", type=int, default=300, help="texts that the calibration reads")
    parser.add_argument("--explained", type=int, default=128, help="texts that the calibration explains")
    parser.add_argument("--limit", type=int, default=100, help="texts that are explained, of the split for reports")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--out", type=Path, default=Path("calibration.json"))
    options = parser.parse_args()
    plain = Explainer.from_pretrained(options.model, prior="instance", max_tokens=options.max_tokens)
    model, tokenizer = plain.model, plain.tokenizer
    trained_on = options.train or TRAINED_ON.get(options.dataset, options.dataset)
    texts = read(trained_on, "train", options.data_dir, options.train_texts)
    prior = calibrate(model, tokenizer, texts, limit=options.explained)
    assert isinstance(prior, Prior) and prior.calibration is not None
    unseen = read(options.dataset, None, options.data_dir, options.limit)
    after = Explainer(model, tokenizer, prior=prior, max_tokens=options.max_tokens)
    found = {name: measure(own, unseen, options.max_tokens) for name, own in (("plain", plain), ("calibrated", after))}
    entry: dict[str, Any] = {"texts": len(unseen), "trained": len(texts)}
    entry |= {name: getattr(prior.calibration, name) for name in ("layers", "interval")}
    for name in ("drop", "area"):
        one, other = found["calibrated"][name], found["plain"][name]
        pair = paired_bootstrap(one, other)
        entry[name] = {
            "plain": [float(other.mean()), *bootstrap_interval(other)],
            "calibrated": [float(one.mean()), *bootstrap_interval(one)],
            "gain": [pair.difference, *pair.interval],
        }
    name = f"{Path(options.model).name} {Path(options.dataset).stem}"
    print(json.dumps({name: entry}, indent=1))
    every = json.loads(options.out.read_text()) if options.out.is_file() else {}
    every[name] = entry
    options.out.write_text(json.dumps(every, indent=1) + "\n")


if __name__ == "__main__":
    main()
