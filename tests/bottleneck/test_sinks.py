"""Sinks: found by their norm as in a plain loop; what becomes of them in priors, and in maps of a planted model."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tiny
from narrows import Explainer, estimate_prior
from narrows.bottleneck.prior import PRIORS
from narrows.bottleneck.sinks import FEWEST, OUTLIER, PART, Run, Sinks, find_sinks
from narrows.models.corpus import sinks_of
from narrows.models.cut.network import Network
from narrows.models.cut.view import borrowed
from narrows.models.text.removal import neutral_token
from planted_sink import HEIGHT, TEXTS, planted_sink

LAYERS = 6


def by_hand(runs: list[Run]) -> Sinks:
    """Find sinks as they are defined, token by token."""
    tokens: list[tuple[int, int, float]] = []  # position, id, share of the layers at which it is an outlier
    usual = []
    for layer in range(len(runs[0][0])):
        later, every = [], []
        for activations, _, real in runs:
            for row, length in enumerate(real.sum(dim=1).tolist()):
                norms = [float(activations[layer][row, place].norm()) for place in range(length)]
                every += norms
                later += norms[1:]
        usual.append(float(torch.tensor(later or every).median()))
    for activations, ids, real in runs:
        for row, length in enumerate(real.sum(dim=1).tolist()):
            for place in range(length):
                out = [float(own[row, place].norm()) > OUTLIER * usual[layer] for layer, own in enumerate(activations)]
                tokens.append((place, int(ids[row, place]), sum(out) / len(out)))

    def mostly(some: list[tuple[int, float]]) -> tuple[int, ...]:
        kinds = {kind: [share >= PART for own, share in some if own == kind] for kind, _ in some}
        return tuple(sorted(k for k, found in kinds.items() if len(found) >= FEWEST and 2 * sum(found) > len(found)))

    positions = mostly([(place, share) for place, _, share in tokens])
    return Sinks(positions, mostly([(own, share) for place, own, share in tokens if place not in positions]))


def runs_of(lengths: list[list[int]], seed: int) -> list[Run]:
    """Make runs in which position 0 and the token 1 are outliers at some of the layers."""
    generator = torch.Generator().manual_seed(seed)
    outlying = int(torch.randint(LAYERS + 1, (), generator=generator))
    runs: list[Run] = []
    for sizes in lengths:
        real = torch.tensor([[place < size for place in range(max(sizes))] for size in sizes])
        ids = torch.randint(4, real.shape, generator=generator)
        activations = []
        for layer in range(LAYERS):
            own = torch.rand(*real.shape, 3, generator=generator) + 1
            if layer < outlying:
                own[:, 0] *= 30
                own[ids == 1] *= 30
            own[~real] = torch.nan
            activations.append(own)
        runs.append((activations, ids, real))
    return runs


@given(
    lengths=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 50),
)
def test_sinks_are_what_a_loop_over_all_tokens_finds(lengths: list[list[int]], seed: int) -> None:
    runs = runs_of(lengths, seed)
    assert find_sinks(runs) == by_hand(runs)


def test_an_outlier_at_few_layers_is_no_sink() -> None:
    activations = [torch.ones(8, 5, 3) for _ in range(LAYERS)]
    activations[-1][:, 0] *= 100  # as [CLS] is after the last block of some encoders
    real = torch.ones(8, 5, dtype=torch.bool)
    assert find_sinks([(activations, torch.zeros(8, 5, dtype=torch.long), real)]) == Sinks()


@given(
    positions=st.sets(st.integers(0, 4), max_size=3),
    tokens=st.sets(st.integers(0, 3), max_size=3),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 20),
)
def test_the_sinks_of_a_text_are_real_and_leave_something(
    positions: set[int], tokens: set[int], lengths: list[int], seed: int
) -> None:
    real = torch.tensor([[place < length for place in range(max(lengths))] for length in lengths])
    ids = torch.randint(4, real.shape, generator=torch.Generator().manual_seed(seed))
    found = Sinks(tuple(positions), tuple(tokens)).of(ids, real)
    for row, length in enumerate(lengths):
        wanted = [place for place in range(length) if place in positions or int(ids[row, place]) in tokens]
        wanted = wanted if len(wanted) < length else []
        assert ([] if found is None else found[row].nonzero().flatten().tolist()) == wanted


# A model with a planted sink.


@pytest.fixture(scope="module")
def sunk() -> tiny.Classifier:
    return planted_sink()


def test_a_planted_sink_is_found_in_a_corpus_and_without_one(sunk: tiny.Classifier) -> None:
    assert estimate_prior(*sunk, TEXTS).sinks == Sinks((0,))
    assert sinks_of(Network.of(borrowed(sunk[0])), sunk[1]) == Sinks((0,))


def test_sinks_are_found_anew_when_the_weights_have_changed() -> None:
    model, tokenizer = planted_sink()
    network = Network.of(borrowed(model))
    assert sinks_of(network, tokenizer) == Sinks((0,))
    with torch.no_grad():
        model.model.embed_tokens.weight *= HEIGHT  # every token is as large as the sink was
    anew = sinks_of(network, tokenizer)
    assert anew == sinks_of(Network.of(borrowed(copy.deepcopy(model))), tokenizer) != Sinks((0,))
    assert sinks_of(Network.of(borrowed(model)), tokenizer) == anew  # of a view that is made later, too


def test_the_prior_leaves_the_sink_out(sunk: tiny.Classifier) -> None:
    model, tokenizer = sunk
    prior = estimate_prior(model, tokenizer, TEXTS)
    states: list[Tensor] = []
    for text in TEXTS:
        with torch.no_grad():
            states.append(model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[1][0])
    expected = torch.cat([own[1:] for own in states])
    torch.testing.assert_close(prior.mean[1], expected.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert prior.count == sum(map(len, states))


@pytest.mark.parametrize("prior", ["corpus", "instance"])
def test_scores_still_add_up_to_the_rise(sunk: tiny.Classifier, prior: str) -> None:
    own = estimate_prior(*sunk, TEXTS) if prior == "corpus" else PRIORS["instance"]
    explainer = Explainer(*sunk, method="complete:steps=40:draws=0", prior=own)
    for found in explainer(list(TEXTS)):
        assert found.scores[0] == 0  # held open
        assert abs(found.missed) < 0.01 * max(abs(found.rise), 1)


@pytest.mark.parametrize("method", ["fast", "best"])
def test_the_word_that_decides_comes_first_whatever_the_sink(sunk: tiny.Classifier, method: str) -> None:
    explainer = Explainer(*sunk, method=method, prior=estimate_prior(*sunk, TEXTS))
    for found in explainer(list(TEXTS), target="y"):
        ranked = [place for place in found.ranking if place != len(found.tokens) - 1]  # where the answer is read
        assert found.tokens[ranked[0]] == "!", found


def test_a_sink_is_measured_with_a_space_in_its_place_and_what_is_read_at_by_leaving_it_out(
    sunk: tiny.Classifier,
) -> None:
    model, tokenizer = sunk
    (found,) = Explainer(model, tokenizer, prior=estimate_prior(model, tokenizer, TEXTS))([TEXTS[0]], target="y")

    def log_odds(ids: Tensor) -> float:
        with torch.no_grad():
            log_p = model(input_ids=ids).logits[0, -1].double().log_softmax(dim=-1)
        p = float(log_p[tokenizer.convert_tokens_to_ids("y")].exp())
        return float(np.log2(p) - np.log2(1 - p))

    ids = tokenizer(TEXTS[0], return_tensors="pt").input_ids
    filled = ids.clone()
    filled[0, 0] = neutral_token(tokenizer)
    assert filled[0, 0] != ids[0, 0]
    for place, left in ((0, filled), (ids.shape[1] - 1, ids[:, :-1])):
        assert found.scores[place] == pytest.approx(log_odds(ids) - log_odds(left), abs=1e-3)


def test_an_encoder_without_outliers_has_no_sinks(bert: tiny.Classifier, make_prior: Callable[..., object]) -> None:
    assert estimate_prior(*bert, ["good", "bad film"]).sinks == Sinks()
    assert make_prior(bert[0]).sinks == Sinks()  # type: ignore[attr-defined]
