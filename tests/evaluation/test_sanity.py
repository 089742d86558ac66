"""Maps after the weights are drawn anew: methods that look at the model, and methods that do not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from narrows.bottleneck.prior import Prior
from narrows.data.example import Example
from narrows.errors import InputError, ModelError
from narrows.evaluation.sanity import cascade, seed_stability
from narrows.evaluation.statistics import kendall_tau
from narrows.methods.iba import narrows
from narrows.methods.method import Batch, Method, Scores, text_generator
from narrows.models.cut.blocks import find_blocks
from narrows.models.hub.loading import Classifier
from narrows.models.predict import predict
from narrows.models.text.removal import remove
from tiny import BLOCKS
from tiny import Classifier as Pair

TEXTS = ("the film is not a bad act, it is very good", "a superb act, very very good film", "not the act")
STAGES = ["head", *[f"block {number}" for number in range(BLOCKS, 0, -1)], "embeddings"]


def setting(pair: Pair, prior: Path | None = None) -> tuple[Classifier, Batch, list[int]]:
    classifier = Classifier(*pair, "tiny", prior)
    return classifier, Batch.of(classifier, [Example(text) for text in TEXTS]), [0, 1, 2]


def leave_one_out(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
    """Looks at the model's output only."""
    model, tokenizer = classifier.model, classifier.tokenizer
    maps = []
    for encoding, target in zip(batch.encodings, targets, strict=True):
        variants = [
            encoding,
            *[remove(encoding, [place], "delete", tokenizer) for place in range(1, len(encoding) - 1)],
        ]
        p = predict(model, tokenizer, variants)[:, target]
        maps.append(np.array([0.0, *(p[0] - p[1:]), 0.0]))
    return maps


def flat(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
    return [np.zeros(len(encoding)) for encoding in batch.encodings]


def drawn_by_seed(seed: int) -> Method:
    """Looks at the text only."""

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        texts = zip(batch.examples, batch.encodings, strict=True)
        return [text_generator(seed, example).random(len(encoding)) for example, encoding in texts]

    return explain


blind = drawn_by_seed(0)


class Witness:
    """A method that keeps the weights that it was given each time."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []
        self.priors: list[Path | None] = []

    def __call__(self, classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        self.seen.append({name: value.clone() for name, value in classifier.model.named_parameters()})
        self.priors.append(classifier.prior)
        return flat(classifier, batch, targets)


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in one if not torch.equal(one[name], other[name])}


def test_a_map_that_looks_at_the_model_changes_and_one_that_does_not_stays(bert: Pair) -> None:
    classifier, batch, targets = setting(bert)
    looking = cascade(leave_one_out, classifier, batch, targets)
    assert [stage.name for stage in looking] == STAGES
    assert all(stage.taus.shape == (3,) and (np.abs(stage.taus) <= 1).all() for stage in looking)
    assert all(stage.mean == pytest.approx(stage.taus.mean()) and stage.mean < 0.8 for stage in looking)
    for stage in cascade(blind, classifier, batch, targets):
        assert stage.taus == pytest.approx([1, 1, 1])
        assert stage.mean == pytest.approx(1)


def test_each_stage_draws_its_own_part_and_keeps_what_was_drawn_before(any_classifier: Pair) -> None:
    classifier, batch, targets = setting(any_classifier)
    model = classifier.model
    witness = Witness()
    stages = cascade(witness, classifier, batch, targets)
    assert [stage.name for stage in stages] == STAGES
    parts = [changed(before, after) for before, after in zip(witness.seen[:-1], witness.seen[1:], strict=True)]
    assert not any(one & other for i, one in enumerate(parts) for other in parts[:i])
    # The tiny classifiers have drawn matrices; vectors stand as initialised, so drawing them anew changes nothing.
    assert set().union(*parts) == {name for name, value in model.named_parameters() if value.ndim > 1}
    for number, block in enumerate(find_blocks(model), start=1):
        own = {id(parameter) for parameter in block.parameters()}
        matrices = {name for name, value in model.named_parameters() if id(value) in own and value.ndim > 1}
        assert parts[STAGES.index(f"block {number}")] == matrices
    heads = {"classifier", "score", "pre_classifier", "pooler"}
    assert all(set(name.split(".")) & heads for name in parts[0])
    assert parts[-1]
    assert all("emb" in name or "wte" in name or "wpe" in name for name in parts[-1])


def test_weights_are_drawn_as_transformers_draws_them(bert: Pair) -> None:
    classifier, batch, targets = setting(bert)
    with torch.no_grad():
        for parameter in classifier.model.parameters():
            parameter.fill_(3.0)
    witness = Witness()
    cascade(witness, classifier, batch, targets, seed=5)
    torch.manual_seed(5)
    fresh = type(classifier.model)(copy.deepcopy(classifier.model.config))
    assert not changed(witness.seen[-1], dict(fresh.named_parameters()))


def test_weights_that_were_loaded_are_drawn_anew_too(bert: Pair, tmp_path: Path) -> None:
    model, tokenizer = bert
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    classifier, batch, targets = setting((loaded, tokenizer))
    witness = Witness()
    cascade(witness, classifier, batch, targets)
    matrices = {name for name, value in loaded.named_parameters() if value.ndim > 1}
    assert changed(witness.seen[0], witness.seen[-1]) == matrices


def test_the_seed_decides_the_weights_and_the_model_and_the_generator_stay_as_they_were(bert: Pair) -> None:
    classifier, batch, targets = setting(bert)
    before = copy.deepcopy(classifier.model.state_dict())
    state = torch.get_rng_state()
    first, again, other = (cascade(leave_one_out, classifier, batch, targets, seed) for seed in (1, 1, 2))
    assert [stage.taus.tolist() for stage in first] == [stage.taus.tolist() for stage in again]
    assert [stage.taus.tolist() for stage in first] != [stage.taus.tolist() for stage in other]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in classifier.model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in classifier.model.modules())


def test_a_method_is_given_no_prior_of_weights_that_are_gone(
    bert: Pair, make_prior: Callable[[PreTrainedModel], Prior], tmp_path: Path
) -> None:
    path = tmp_path / "prior.safetensors"
    make_prior(bert[0]).save(path)
    classifier, batch, targets = setting(bert, path)
    witness = Witness()
    cascade(witness, classifier, batch, targets)
    assert set(witness.priors) == {None}
    stages = cascade(narrows(layer=1, steps=2, samples=1), classifier, batch, targets)
    assert -1 <= stages[-1].mean < 0.9


def test_a_map_without_an_order_has_no_tau(bert: Pair) -> None:
    classifier, batch, targets = setting(bert)
    stages = cascade(flat, classifier, batch, targets)
    assert all(np.isnan(stage.mean) and np.isnan(stage.taus).all() for stage in stages)
    assert np.isnan(seed_stability(lambda _: flat, classifier, batch, targets, [0, 1])).all()


def test_a_model_with_parts_that_an_untrained_one_lacks_is_refused(bert: Pair) -> None:
    classifier, batch, targets = setting(bert)
    classifier.model.classifier = nn.Sequential(classifier.model.classifier)
    with pytest.raises(ModelError, match=r"an untrained one has no such classifier\.0\.weight"):
        cascade(leave_one_out, classifier, batch, targets)


def test_stability_is_the_mean_over_pairs_of_seeds(bert: Pair) -> None:
    classifier, batch, targets = setting(bert)
    found = seed_stability(drawn_by_seed, classifier, batch, targets, [3, 4, 5])
    maps = [drawn_by_seed(seed)(classifier, batch, targets) for seed in (3, 4, 5)]
    for text, expected in enumerate(found):
        own = [scores[text][1:-1] for scores in maps]  # special tokens have no say
        pairs = [kendall_tau(own[0], own[1]), kendall_tau(own[0], own[2]), kendall_tau(own[1], own[2])]
        assert expected == pytest.approx(np.mean(pairs))
    assert seed_stability(lambda _: blind, classifier, batch, targets, [0, 1, 2]) == pytest.approx([1, 1, 1])


def test_stability_needs_two_seeds(bert: Pair) -> None:
    classifier, batch, targets = setting(bert)
    with pytest.raises(InputError, match="at least two seeds, not 1"):
        seed_stability(drawn_by_seed, classifier, batch, targets, [0])
