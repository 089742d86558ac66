"""Evidence in rounds, against the same done by hand, one text at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from narrows import Explainer, Prior
from narrows.bottleneck.path import follow_path
from narrows.bottleneck.prior import Gaussian
from narrows.config import BottleneckConfig, choose_config
from narrows.errors import InputError
from narrows.evaluation.degradation import removal_counts
from narrows.readout import Bottleneck
from narrows.rounds import pick_strongest, picked_shares, read_layers
from tiny import Classifier

TOKENS, HIDDEN = 14, 5
PRIOR = Gaussian(torch.full((HIDDEN,), 0.3), torch.ones(HIDDEN))


def block(x: Tensor) -> Tensor:
    """What lies between two layers: every token sees all others."""
    return torch.tanh(x + x.mean(dim=-2, keepdim=True))


def make_bottlenecks(seed: int, content: Tensor, layers: int) -> list[Bottleneck]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(*content.shape, HIDDEN, generator=draw)
    made = []
    for layer in range(1, layers + 1):
        made.append(make_bottleneck(seed + 1000 * layer, layer, layers, x, content))
        x = block(x)
    return made


def make_bottleneck(seed: int, layer: int, layers: int, x: Tensor, content: Tensor) -> Bottleneck:
    """A head whose -log p(target) is no sum over tokens, so that closing one changes the others."""
    draw = torch.Generator().manual_seed(seed)
    one, two = torch.randn(2, HIDDEN, generator=draw)

    def nll(activation: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-(activation @ one).tanh().sum(-1) * (activation @ two).tanh().sum(-1))

    real = torch.ones_like(content)

    def onward(activation: Tensor) -> dict[int, Tensor]:
        carried = {}
        for deeper in range(layer + 1, layers + 1):
            carried[deeper] = activation = block(activation)
        return carried

    return Bottleneck(layer, nll, onward, x, PRIOR, real, [0] * len(content), nll(x.unsqueeze(1)).squeeze(1))


def one_point(number: int, stretch: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """A point of the van der Corput sequence as if it were alone: 1/2, 1/4, 3/4, 1/8, ... of the stretch."""
    place, part = 0.0, 0.5
    number += 1
    while number:
        place += part * (number % 2)
        number, part = number // 2, part / 2
    start, end = stretch
    return torch.tensor([start + (end - start) * place]).double(), torch.tensor([end - start]).double()


def by_hand(bottlenecks: list[Bottleneck], row: int, content: list[int], config: BottleneckConfig) -> list[float]:
    """Scores of one text: plain lists, one round after the other."""

    def evidence(closed: list[int], numbers: range) -> list[float]:
        """The sum over some points of the sequence."""
        total = torch.zeros(TOKENS)
        x = bottlenecks[0].activation[row : row + 1].clone()
        x[0, closed] = PRIOR.mean
        for number, bottleneck in enumerate(bottlenecks):
            x = block(x) if number else x
            real = torch.ones(1, TOKENS, dtype=torch.bool)
            for point in numbers:
                total += follow_path(bottleneck.nll, x, PRIOR, real, one_point(point, config.stretch)).evidence[0]
        return (total / len(bottlenecks)).tolist()

    rounds = config.rounds
    shares = [config.points_of_round(done) for done in range(rounds)]
    first = sums = evidence([], shares[0])
    closed: list[int] = []
    groups = []
    for done in range(rounds):
        if done:
            sums = [a + b for a, b in zip(sums, evidence(closed, shares[done]), strict=True)]
        found = [value / shares[done].stop for value in sums]
        target = max(1, int(len(content) * (done + 1) / (9 * rounds) + 0.5))
        left = sorted((i for i in content if i not in closed), key=lambda i: (-found[i], i))
        group = left[: max(0, target - len(closed))]
        groups.append([(i, found[i]) for i in group])
        closed += group
    scores = [(a / len(shares[0]) + b / shares[-1].stop) / 2 for a, b in zip(first, sums, strict=True)]
    below = [i for i in content if i not in closed]
    for group in reversed(groups):
        if group and below:
            floor = max(scores[i] for i in below)
            lift = max(0.0, floor + 1e-5 * abs(floor) - min(own for _, own in group))
        else:
            lift = 0.0
        for i, own in group:
            scores[i] = own + lift
        below += [i for i, _ in group]
    return scores


@given(
    seed=st.integers(0, 200),
    rounds=st.integers(2, 5),
    more=st.integers(0, 4),
    special=st.integers(0, 12),
    layers=st.integers(1, 3),
)
def test_rounds_are_those_made_by_hand(seed: int, rounds: int, more: int, special: int, layers: int) -> None:
    content = torch.ones(2, TOKENS, dtype=torch.bool)
    content[0, :1] = False
    content[1, : special + 1] = False  # as few as one token of the second text
    bottlenecks = make_bottlenecks(seed, content, layers)
    config = BottleneckConfig(points=rounds + more, rounds=rounds, stretch=(0.1, 0.7))
    reading = read_layers(bottlenecks, content, config)
    for row in range(2):
        expected = by_hand(bottlenecks, row, content[row].nonzero().flatten().tolist(), config)
        torch.testing.assert_close(reading.scores[row], torch.tensor(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reading.bits, reading.scores.abs())


@given(seed=st.integers(0, 50))
def test_what_is_closed_first_ranks_first(seed: int) -> None:
    content = torch.ones(1, TOKENS, dtype=torch.bool)
    bottlenecks = make_bottlenecks(seed, content, 1)
    # The point of a round of one is the middle of the path, as that of a Gauss-Legendre rule of one is.
    once = read_layers(bottlenecks, content, BottleneckConfig(points=1))
    twice = read_layers(bottlenecks, content, BottleneckConfig(points=2, rounds=2))
    count = max(1, int(TOKENS / 18 + 0.5))
    assert set(once.scores[0].topk(count).indices.tolist()) == set(twice.scores[0].topk(count).indices.tolist())


@given(content=st.integers(1, 600), rounds=st.integers(2, 9))
def test_the_rounds_pick_what_the_degradation_test_looks_at_first(content: int, rounds: int) -> None:
    shares = picked_shares(rounds)
    assert shares == sorted(shares)
    assert len(shares) == rounds
    assert max(1, int(content * shares[-1] + 0.5)) == max(1, removal_counts(content)[1])
    assert shares == pytest.approx([shares[-1] * (done + 1) / rounds for done in range(rounds)])


@given(scores=st.lists(st.integers(-3, 3), min_size=1, max_size=9), wanted=st.integers(-1, 10), seed=st.integers(0, 9))
def test_the_strongest_are_picked_by_score_then_position(scores: list[int], wanted: int, seed: int) -> None:
    candidates = torch.rand(len(scores), generator=torch.Generator().manual_seed(seed)) < 0.7
    picked = pick_strongest(torch.tensor([scores]).float(), candidates.unsqueeze(0), torch.tensor([wanted]))
    ranked = sorted((i for i in range(len(scores)) if candidates[i]), key=lambda i: (-scores[i], i))
    assert picked[0].nonzero().flatten().tolist() == sorted(ranked[: max(0, wanted)])


TEXTS = ["a good film", "bad", "the acting is superb, it is not a bad film, it is very good and the film is superb"]


def test_the_preset_best_is_the_same_alone_and_padded(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    explainer = Explainer(*bert, prior=make_prior(bert[0]), preset="best")
    assert explainer.config.rounds == 4
    for together, text in zip(explainer(TEXTS), TEXTS, strict=True):
        alone = explainer(text)
        assert alone.scores == pytest.approx(together.scores, abs=1e-5)


def test_rounds_belong_to_evidence() -> None:
    with pytest.raises(InputError, match="rounds belong to the readout evidence, not to information"):
        BottleneckConfig(readout="information", rounds=2)
    with pytest.raises(InputError, match="rounds must be at least 1, not 0"):
        BottleneckConfig(rounds=0)
    with pytest.raises(InputError, match="features are read in one round"):
        BottleneckConfig(rounds=2, features=True)
    assert choose_config("best", beta=0.1).rounds == 1
