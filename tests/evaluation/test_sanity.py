"""Maps after the weights are drawn anew: methods that look at the model, and methods that do not."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from narrows import Attribution, Explainer
from narrows.errors import InputError, ModelError
from narrows.evaluation.sanity import Stage, cascade, seed_stability
from narrows.evaluation.statistics import kendall_tau
from narrows.methods import Batch, FunctionMethod
from narrows.methods.method import Scores
from narrows.models.cut.blocks import find_blocks
from tiny import BLOCKS, Classifier

TEXTS = ("the film is not a bad act, it is very good", "a superb act, very very good film", "not the act")
TARGETS = (0, 1, 2)
STAGES = ["head", *[f"block {number}" for number in range(BLOCKS, 0, -1)], "embeddings"]

FLAT = FunctionMethod(lambda batch: [np.zeros(len(encoding)) for encoding in batch.encodings])


def run(method: Any, classifier: Classifier, seed: int = 0) -> list[Stage]:
    return cascade(method, *classifier, TEXTS, TARGETS, seed)


class Witness:
    """Keeps the weights and the prior that a method gets each time."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []
        self.priors: list[str] = []
        self.method = FunctionMethod(self.note)

    def note(self, batch: Batch) -> Sequence[Scores]:
        if TEXTS[0] in [example.text for example in batch.examples]:  # once per stage, however texts are batched
            self.seen.append({name: value.clone() for name, value in batch.model.named_parameters()})
            self.priors.append(batch.cut.prior.name)
        return [np.zeros(len(encoding)) for encoding in batch.encodings]


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in one if not torch.equal(one[name], other[name])}


def test_a_map_that_looks_at_the_model_changes_and_one_that_does_not_stays(bert: Classifier) -> None:
    looking = run("occlusion", bert)
    assert [stage.name for stage in looking] == STAGES
    assert all(stage.taus.shape == (3,) and (np.abs(stage.taus) <= 1).all() for stage in looking)
    assert all(stage.mean == pytest.approx(stage.taus.mean()) and stage.mean < 0.8 for stage in looking)
    for stage in run("random", bert):
        assert stage.taus == pytest.approx([1, 1, 1])
        assert stage.mean == pytest.approx(1)


def test_each_stage_draws_its_own_part_and_keeps_what_was_drawn_before(any_classifier: Classifier) -> None:
    model, witness = any_classifier[0], Witness()
    assert [stage.name for stage in run(witness.method, any_classifier)] == STAGES
    parts = [changed(before, after) for before, after in zip(witness.seen[:-1], witness.seen[1:], strict=True)]
    assert len(parts) == len(STAGES)
    assert not any(one & other for i, one in enumerate(parts) for other in parts[:i])
    # The tiny classifiers have drawn matrices; vectors stand as initialised, so drawing them again changes nothing.
    assert set().union(*parts) == {name for name, value in model.named_parameters() if value.ndim > 1}
    for number, block in enumerate(find_blocks(model), start=1):
        own = {id(parameter) for parameter in block.parameters()}
        matrices = {name for name, value in model.named_parameters() if id(value) in own and value.ndim > 1}
        assert parts[STAGES.index(f"block {number}")] == matrices
    heads = {"classifier", "score", "pre_classifier", "pooler"}
    assert all(set(name.split(".")) & heads for name in parts[0])
    assert parts[-1]
    assert all("emb" in name or "wte" in name or "wpe" in name for name in parts[-1])


def test_weights_are_drawn_as_transformers_draws_them(bert: Classifier) -> None:
    model, witness = bert[0], Witness()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3.0)
    run(witness.method, bert, seed=5)
    torch.manual_seed(5)
    fresh = type(model)(copy.deepcopy(model.config))
    assert not changed(witness.seen[-1], dict(fresh.named_parameters()))


def test_weights_that_were_loaded_are_drawn_too(bert: Classifier, tmp_path: Path) -> None:
    model, tokenizer = bert
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    witness = Witness()
    run(witness.method, (loaded, tokenizer))
    matrices = {name for name, value in loaded.named_parameters() if value.ndim > 1}
    assert changed(witness.seen[0], witness.seen[-1]) == matrices


def test_the_seed_decides_the_weights_and_the_model_and_the_generator_stay_as_they_were(bert: Classifier) -> None:
    model = bert[0]
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    first, again, other = (run("occlusion", bert, seed) for seed in (1, 1, 2))
    assert [stage.taus.tolist() for stage in first] == [stage.taus.tolist() for stage in again]
    assert [stage.taus.tolist() for stage in first] != [stage.taus.tolist() for stage in other]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_method_gets_no_prior_of_weights_that_are_gone(bert: Classifier) -> None:
    witness = Witness()
    run(witness.method, bert)
    assert set(witness.priors) == {"instance"}
    assert -1 <= run("information:layer=1:steps=2:samples=1", bert)[-1].mean < 0.9


def test_a_map_without_an_order_has_no_tau(bert: Classifier) -> None:
    assert all(np.isnan(stage.mean) and np.isnan(stage.taus).all() for stage in run(FLAT, bert))


def test_a_model_with_parts_that_an_untrained_one_lacks_is_refused(bert: Classifier) -> None:
    bert[0].classifier = nn.Sequential(bert[0].classifier)
    with pytest.raises(ModelError, match=r"an untrained one has no such classifier\.0\.weight"):
        run("occlusion", bert)


def test_stability_is_the_mean_over_pairs_of_seeds(bert: Classifier) -> None:
    explainer = Explainer(*bert, "ig", "instance")
    found = seed_stability("random", explainer, TEXTS, TARGETS, [3, 4, 5])
    maps: list[list[Attribution]] = [
        list(Explainer(*bert, f"random:seed={seed}", "instance")(list(TEXTS))) for seed in (3, 4, 5)
    ]
    for text, expected in enumerate(found):
        own = [scores[text].scores[1:-1] for scores in maps]  # special tokens do not count
        pairs = [kendall_tau(own[0], own[1]), kendall_tau(own[0], own[2]), kendall_tau(own[1], own[2])]
        assert expected == pytest.approx(np.mean(pairs))


def test_stability_needs_two_seeds_and_a_method_that_has_one(bert: Classifier) -> None:
    explainer = Explainer(*bert, "ig", "instance")
    with pytest.raises(InputError, match="at least two seeds, not 1"):
        seed_stability("random", explainer, TEXTS, TARGETS, [0])
    with pytest.raises(InputError, match="ig has no seed"):
        seed_stability("ig", explainer, TEXTS, TARGETS, [0, 1])
