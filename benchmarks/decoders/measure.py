"""Measure methods on the prompts of `prompts.py`: where do they rank what decides, at what cost?

Appends one line of JSON per prompt and method to OUT/KIND-SPLIT.jsonl. What is there already is skipped, so a killed
run resumes. Another model or another prior wants another folder.

    python benchmarks/decoders/measure.py --model FOLDER --prompts DIR/recall-test.jsonl --prior prior.safetensors \
        --methods fast best occlusion lime ig random --out RUNS
    python benchmarks/decoders/measure.py --model FOLDER --prompts DIR/natural-test.jsonl --prior prior.safetensors \
        --methods fast best occlusion lime ig recency --removals delete replace --out RUNS

Ranks count from 1 among the content tokens, by `Attribution.ranking`: ``ranks`` by role, ``ranks_before`` without the
last token, at which a decoder reads. Of a prompt with units, ``unit_sum`` is the rank of the one that decides by the
sum of its scores, and ``unit_first`` by its first token. With --removals, ``curves`` holds p(target) as tokens go. The
method ``leave_one_out`` leaves out units, of prompts that have some; names that begin with ``captum_`` are classes of
captum (`captum_llm.py`); all others are methods of Narrows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum_llm import CAPTUM
from keep import PromptRow, Reader
from lines import append, mend, read_lines
from units import leave_one_out

from narrows import Attribution, Contrast, Explainer, NarrowsError, Prior, estimate_prior
from narrows.evaluation import cost
from narrows.evaluation.degradation import degrade
from narrows.models.text import reader as questioning
from narrows.models.text.removal import Removal
from narrows.models.variants import resolve

PRIOR_TEXTS, PRIOR_WORDS = 200, 60
Target = int | Contrast


def target_of(row: PromptRow) -> Target:
    """Tell what is asked: the first token of the answer; of two verbs, why this one and not the other."""
    return Contrast(row["answer_id"], row["distractor_id"]) if row["kind"] == "agreement" else row["answer_id"]


def touching(attribution: Attribution, span: Sequence[int]) -> set[int]:
    """List the positions of the tokens that share a character with a span."""
    start, end = span
    return {
        place
        for place, offset in enumerate(attribution.offsets)
        if offset is not None and offset[0] < end and offset[1] > start
    }


def rank_of(wanted: set[int], ranking: Sequence[int]) -> int | None:
    """Return the best rank of some positions, from 1; None if none of them is ranked."""
    return next((rank for rank, place in enumerate(ranking, start=1) if place in wanted), None)


def ranks(row: PromptRow, attribution: Attribution) -> dict[str, Any]:
    """Rank what decides.

    Args:
        row: A prompt.
        attribution: Of it.

    Returns:
        The figures named above, and the number of content tokens.
    """
    ranking, last = list(attribution.ranking), max(attribution.ranking)
    before = [place for place in ranking if place != last]
    roles = {role: touching(attribution, span) for role, span in row["spans"].items()}
    found: dict[str, Any] = {
        "tokens": len(ranking),
        "ranks": {role: rank_of(wanted, ranking) for role, wanted in roles.items()},
        "ranks_before": {role: rank_of(wanted, before) for role, wanted in roles.items()},
    }
    if row["unit"] is not None:
        units = [touching(attribution, span) for span in row["units"]]
        scores = np.asarray(attribution.scores)
        sums = np.array([scores[sorted(unit)].sum() for unit in units])
        firsts = np.array([-(rank_of(unit, ranking) or len(ranking)) for unit in units])
        for name, values in (("unit_sum", sums), ("unit_first", firsts)):
            found[name] = int((values > values[row["unit"]]).sum()) + 1
        found["units"] = len(units)
    return found


def curves(
    explainer: Explainer, rows: Sequence[PromptRow], found: Sequence[Attribution], removals: Sequence[Removal]
) -> list[dict[str, dict[str, list[float]]]]:
    """Remove tokens by each ranking: p(target) by way of removal, most and least relevant first.

    Args:
        explainer: Whose model is asked.
        rows: Prompts.
        found: Their attributions.
        removals: "delete", "replace", ...; each once as it is, and once with the last token never removed.

    Returns:
        Per prompt and way, such as "delete" and "delete, last kept", the curves "morf" and "lerf" of `Curves`.
    """
    model, tokenizer = explainer.model, explainer.tokenizer
    reader = questioning.Reader(model, tokenizer, None, "error")
    questions = [reader.ask(row["prompt"], target_of(row)).questions[0] for row in rows]
    goals = [resolved.goal for resolved in resolve(model, tokenizer, reader.task, questions)]
    rankings = [attribution.ranking for attribution in found]
    made: list[dict[str, dict[str, list[float]]]] = [{} for _ in rows]
    for removal in removals:
        for keep_read, name in ((False, removal), (True, f"{removal}, last kept")):
            curve = degrade(model, tokenizer, questions, rankings, goals, removal, keep_read)
            for own, morf, lerf in zip(made, curve.morf.tolist(), curve.lerf.tolist(), strict=True):
                own[name] = {"morf": morf, "lerf": lerf}
    return made


def measure(explainer: Explainer, rows: Sequence[PromptRow], removals: Sequence[Removal]) -> Iterator[dict[str, Any]]:
    """Explain prompts together, and yield what is measured of each; the cost is their mean.

    Args:
        explainer: With the method.
        rows: Prompts.
        removals: For `curves`; none = no curves.

    Yields:
        A line for each prompt.
    """
    with cost.measured(explainer.model) as spent:
        found = strict(list(explainer([row["prompt"] for row in rows], target=[target_of(row) for row in rows])))
    share = {
        "seconds": spent.seconds / len(rows),
        "forward_equivalents": spent.forward_equivalents / len(rows),
        "together": len(rows),
    }
    removed = curves(explainer, rows, found, removals) if removals else [{} for _ in rows]
    for row, attribution, own in zip(rows, found, removed, strict=True):
        top = [attribution.tokens[place] for place in attribution.ranking[:3]]
        yield {"id": row["id"], "kind": row["kind"], "p": row["p"], **ranks(row, attribution), **share, "top": top} | (
            {"curves": own} if removals else {}
        )


def measure_units(reader: Reader, rows: Sequence[PromptRow]) -> Iterator[dict[str, Any]]:
    """Leave out one unit of each prompt at a time: what occlusion is where a prompt has too many tokens for it.

    Args:
        reader: The model.
        rows: Prompts with units.

    Yields:
        A line for each, without ranks of tokens.
    """
    for row in rows:
        with cost.measured(reader.model) as spent:
            scores = leave_one_out(reader, row)
        line = {"id": row["id"], "kind": row["kind"], "p": row["p"], "ranks": {}, "ranks_before": {}}
        found = {"unit_sum": int((scores > scores[row["unit"]]).sum()) + 1, "units": len(scores)}
        yield line | found | {"seconds": spent.seconds, "forward_equivalents": spent.forward_equivalents, "together": 1}


def strict(found: Sequence[Attribution | NarrowsError]) -> list[Attribution]:
    """Raise the first error among attributions."""
    for result in found:
        if isinstance(result, NarrowsError):
            raise result
    return [result for result in found if isinstance(result, Attribution)]


def load_prior(path: Path, reader: Reader, data_dir: Path | None) -> Prior:
    """Load a prior, or estimate one from beginnings of the training parts of AG News and IMDB and save it.

    Args:
        path: Of the prior.
        reader: The model.
        data_dir: With the data sets, if there is no such file.

    Returns:
        The prior.
    """
    if path.exists():
        return Prior.load(path)
    if data_dir is None:
        raise SystemExit(f"{path}: no such file; give --data-dir to estimate a prior")
    from texts import real_texts

    drawn = [text for name in ("ag_news", "imdb") for text in real_texts(name, "train", data_dir, PRIOR_TEXTS // 2)]
    prior = estimate_prior(reader.model, reader.tokenizer, [" ".join(text.split()[:PRIOR_WORDS]) for text in drawn], 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    prior.save(path)
    return prior


def batches(rows: Sequence[PromptRow], size: int) -> list[list[PromptRow]]:
    """Put prompts of like length together."""
    ordered = sorted(rows, key=lambda row: len(row["prompt"]))
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


def main() -> None:
    """Measure, and print how long it will take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, nargs="+", required=True, help="files that prompts.py wrote")
    parser.add_argument("--prior", type=Path, required=True, help="estimated if there is no such file")
    parser.add_argument("--data-dir", type=Path, help="to estimate the prior")
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--removals", nargs="*", default=[])
    parser.add_argument("--limit", type=int, help="take the first so many prompts of each file")
    parser.add_argument("--batch", type=int, default=8, help="prompts explained together; 1 for times per text")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    reader = Reader.load(options.model)
    prior = load_prior(options.prior, reader, options.data_dir)
    options.out.mkdir(parents=True, exist_ok=True)
    for prompts in options.prompts:
        path, rows = options.out / prompts.name, read_lines(prompts)[: options.limit]
        done = {(line["method"], line["id"]) for line in mend(path)}
        for method in options.methods:
            run = partial(measure_units, reader)
            if method != "leave_one_out":
                made = CAPTUM.get(method, method)
                explainer = Explainer(reader.model, reader.tokenizer, method=made, prior=prior)
                run = partial(measure, explainer, removals=options.removals)
            todo = batches([row for row in rows if (method, row["id"]) not in done], options.batch)
            began = time.monotonic()
            for number, chunk in enumerate(todo, start=1):
                lines = [{"method": method, **line} for line in run(chunk)]
                append(path, *lines)
                left = (time.monotonic() - began) / number * (len(todo) - number)
                print(
                    f"{prompts.stem}, {method}: {number} of {len(todo)} batches, {left / 60:.1f} min left", flush=True
                )


if __name__ == "__main__":
    main()
