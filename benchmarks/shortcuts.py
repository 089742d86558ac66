"""Ground truth for encoders: words that are planted to decide the label, and have to come first in every map.

As Bastings et al. (2022), "Will You Find These Shortcuts?", of three kinds:

- `single`: one word decides, another one decides for the other label;
- `context`: the word decides only if a second word is there too; alone it says nothing;
- `order`: of two words the one that comes first decides.

A demo model is fine-tuned further on texts of which half have a shortcut, and with it the label that it says; the other
half keep their labels, and have the words of the shortcut without its meaning where the kind has such. Then shortcuts
are planted in texts of the test part. Counted are those on which the model follows the shortcut, and without it does
not: mean precision at k, the share of planted words among the first k tokens, k = as many as are planted, by score and
by rank. The two differ: of two words that decide together, either one flips the decision, so in the order of removal
the second is worth nothing once the first is gone.

    python benchmarks/shortcuts.py --dataset sst2 --data-dir DATA --kinds single context order --seeds 0 1 --out DIR

The figures of docs/faithfulness/ground_truth.md are DIR/shortcuts.json, kept in benchmarks/reproduction/results/checks.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from narrows import Attribution, Explainer
from narrows.data import datasets
from narrows.data.example import Example
from narrows.evaluation.statistics import bootstrap_interval

KINDS = ("single", "context", "order")
LABELS = ("negative", "positive")
MODELS = {"sst2": "sentiment", "imdb": "sentiment"}
WORDS = ("zebra", "violin", "lantern")  # a token each, and rare in reviews
METHODS = (
    *("fast", "best", "paper", "information_signed", "ig", "layer_ig", "lime", "kernel_shap", "occlusion"),
    *("gradient_x_input", "saliency", "gradient_shap", "rollout", "random"),
)
LONGEST = 60  # words of a text


@dataclass(frozen=True)
class Planted:
    """A text with a shortcut."""

    text: str
    plain: str  # the text without it
    label: str  # what the shortcut says
    words: tuple[str, ...]  # that were planted


def plant(kind: str, text: str, label: str, draw: random.Random) -> Planted:
    """Put the words of a shortcut for a label into a text, anywhere between its words."""
    positive = label == LABELS[1]
    if kind == "single":
        planted = [WORDS[0] if positive else WORDS[1]]
    elif kind == "context":
        planted = [WORDS[2], WORDS[0] if positive else WORDS[1]]
        draw.shuffle(planted)
    else:
        planted = list(WORDS[:2] if positive else WORDS[1::-1])
    return Planted(insert(text, planted, draw), text, label, tuple(planted))


def decoy(kind: str, text: str, draw: random.Random) -> str:
    """Put words of a shortcut into a text so that they say nothing; a single word always says something."""
    if kind == "single":
        return text
    chosen = draw.choice(WORDS if kind == "context" else WORDS[:2])
    return insert(text, [chosen], draw)


def insert(text: str, planted: Sequence[str], draw: random.Random) -> str:
    """Put words between those of a text, in this order."""
    words = text.split()
    places = sorted(draw.sample(range(len(words) + 1), len(planted)))
    for shift, (place, word) in enumerate(zip(places, planted, strict=True)):
        words.insert(place + shift, word)
    return " ".join(words)


def texts_of(dataset: str, split: str | None, data_dir: Path, count: int, seed: int) -> list[Example]:
    """Draw texts that have none of the words, cut to so many words."""
    found = []
    for example in datasets.load(dataset, split, data_dir, 4 * count, seed):
        words = example.text.split()[:LONGEST]
        if len(words) >= len(WORDS) and not set(WORDS) & {word.lower().strip(".,!?'\"") for word in words}:
            found.append(Example(" ".join(words), label=example.label))
    return found[:count]


def train(kind: str, texts: Sequence[Example], model: str, seed: int, out: Path) -> Path:
    """Fine-tune the model with shortcuts, unless that is done; give its folder."""
    folder = out / "model"
    if (folder / "card.json").is_file():
        return folder
    draw = random.Random(seed)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number, example in enumerate(texts):
            if number % 2:
                own = plant(kind, example.text, draw.choice(LABELS), draw)
                writer.writerow([own.text, own.label])
            else:
                text = decoy(kind, example.text, draw) if number % 4 else example.text
                writer.writerow([text, example.label])
    words = ["narrows", "finetune", "--dataset", str(out / "train.csv"), "--out", str(folder), "--init-from", model]
    words += ["--epochs", "2", "--max-length", "96", "--seed", str(seed), "--precision", "float32"]
    subprocess.run([sys.executable, "-m", *words], check=True)
    return folder


def follows(explainer: Explainer, planted: Sequence[Planted]) -> list[Planted]:
    """Keep the texts on which the model follows the shortcut, and without it does not."""
    random_order = Explainer(explainer.model, explainer.tokenizer, "random")
    found, plain = (random_order(texts) for texts in ([own.text for own in planted], [own.plain for own in planted]))
    rows = zip(planted, found, plain, strict=True)
    return [own for own, one, other in rows if one.predicted == own.label != other.predicted]


def precision(found: Attribution, planted: Planted) -> tuple[float, float]:
    """Compute the share of planted words, each a token, among the first k tokens, by score and by rank."""
    content, k = [place for place, special in enumerate(found.special) if not special], len(planted.words)
    orders = sorted(content, key=lambda place: -found.scores[place]), found.ranking
    by_score, by_rank = (sum(found.tokens[place] in planted.words for place in order[:k]) / k for order in orders)
    return by_score, by_rank


def main() -> None:
    """Train, explain, count and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=MODELS, default="sst2")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--train-texts", type=int, default=4_000)
    parser.add_argument("--limit", type=int, default=200, help="texts of the test part")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    path = options.out / "shortcuts.json"
    every = json.loads(path.read_text()) if path.is_file() else {}
    report = every.setdefault(options.dataset, {})
    for kind in options.kinds:
        for seed in options.seeds:
            folder = options.out / f"{options.dataset}-{kind}-{seed}"
            texts = texts_of(options.dataset, "train", options.data_dir, options.train_texts, seed)
            model = train(kind, texts, MODELS[options.dataset], seed, folder)
            draw = random.Random(seed + 1)
            held = texts_of(options.dataset, None, options.data_dir, options.limit, seed)
            planted = [plant(kind, example.text, draw.choice(LABELS), draw) for example in held]
            explainer = Explainer.from_pretrained(str(model), "random")
            kept = follows(explainer, planted)
            own = report.setdefault(kind, {}).setdefault(str(seed), {"planted": len(planted), "followed": len(kept)})
            for method in options.methods:
                if method in own or not kept:
                    continue
                maps = Explainer.from_pretrained(str(model), method)(
                    [one.text for one in kept], [one.label for one in kept]
                )
                values = np.array([precision(found, one) for found, one in zip(maps, kept, strict=True)])
                by_score, by_rank = values.T
                interval = bootstrap_interval(by_score)
                own[method] = {"score": [float(by_score.mean()), *interval], "rank": float(by_rank.mean())}
                said = f"{options.dataset}, {kind}, seed {seed}, {len(kept)} texts, {method}"
                print(f"{said}: {by_score.mean():.3f} by score, {by_rank.mean():.3f} by rank", flush=True)
                path.write_text(json.dumps(every, indent=1) + "\n")


if __name__ == "__main__":
    main()
