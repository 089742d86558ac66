"""The loop over masks against the loop-based reference, with the same noise handed to both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import reference
from narrows.bottleneck.channel import information
from narrows.bottleneck.optimize import (
    AUTO_BETA_FLOOR,
    AUTO_BETA_RATIO,
    NegativeLogLikelihood,
    NoiseSource,
    Optimization,
    OptimizedBottleneck,
    optimize,
    text_seed,
    weigh_information,
)
from narrows.bottleneck.path import LogOdds
from narrows.bottleneck.prior import Gaussian
from narrows.errors import InputError

HIDDEN, CLASSES = 3, 3


class PoolingHead:
    """A suffix small enough to differentiate by hand: mean over real tokens, linear, tanh, linear."""

    def __init__(self, seed: int = 0, hidden: int = HIDDEN, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.inner = scale * torch.randn(4, hidden, generator=generator, dtype=torch.float64)
        self.outer = scale * torch.randn(CLASSES, 4, generator=generator, dtype=torch.float64)

    def nll(self, real: Tensor, targets: Sequence[int]) -> NegativeLogLikelihood:
        """The same in torch, for a padded batch."""

        def judge(t: Tensor) -> Tensor:
            rows = torch.arange(len(targets))
            return -torch.log_softmax(self.logits_of(t, real), dim=-1)[rows, :, torch.tensor(list(targets))]

        return judge

    def odds(self, real: Tensor, targets: Sequence[int]) -> LogOdds:
        """Log-odds of the targets in torch, for a padded batch."""

        def judge(t: Tensor) -> Tensor:
            logits = self.logits_of(t, real)
            rows = []
            for row, target in zip(logits, targets, strict=True):
                others = [index for index in range(CLASSES) if index != target]
                rows.append(row[:, target] - row[:, others].exp().sum(dim=-1).log())
            return torch.stack(rows)

        return judge

    def logits_of(self, t: Tensor, real: Tensor) -> Tensor:
        weight = (real.to(t) / real.sum(dim=1, keepdim=True)).to(t)
        pooled = (t * weight[:, None, :, None]).sum(dim=2)
        return torch.tanh(pooled @ self.inner.to(t).T) @ self.outer.to(t).T

    def plain(self, x: reference.Matrix) -> tuple[list[float], Any]:
        """The same with lists."""
        inner, outer = self.inner.tolist(), self.outer.tolist()
        tokens, features = len(x), len(x[0])
        pooled = [sum(x[t][f] for t in range(tokens)) / tokens for f in range(features)]
        hidden = [math.tanh(sum(inner[h][f] * pooled[f] for f in range(features))) for h in range(4)]
        logits = [sum(outer[c][h] * hidden[h] for h in range(4)) for c in range(CLASSES)]

        def back(of_logits: list[float]) -> reference.Matrix:
            of_hidden = [
                sum(outer[c][h] * of_logits[c] for c in range(CLASSES)) * (1 - hidden[h] ** 2) for h in range(4)
            ]
            row = [sum(inner[h][f] * of_hidden[h] for h in range(4)) / tokens for f in range(features)]
            return [list(row) for _ in range(tokens)]

        return logits, back


def batch(lengths: Sequence[int], hidden: int = HIDDEN, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Activations, with garbage at the padding, and which tokens are real."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.zeros(len(lengths), max(lengths), dtype=torch.bool)
    x = torch.full((*real.shape, hidden), 1e3, dtype=torch.float64)
    for row, length in enumerate(lengths):
        real[row, :length] = True
        x[row, :length] = torch.randn(length, hidden, generator=generator, dtype=torch.float64)
    return x, real


def noise_of(seed: int, tokens: int, config: Optimization, hidden: int = HIDDEN) -> list[Any]:
    """What one text draws over a whole run: [draw][sample][token][feature]."""
    source = NoiseSource([seed], torch.ones(1, tokens, dtype=torch.bool), hidden)
    return [source.draw(config.samples)[0].tolist() for _ in range(config.steps + 1)]


def expected_results(
    x: Tensor,
    lengths: Sequence[int],
    prior: Gaussian,
    head: PoolingHead,
    targets: Sequence[int],
    seeds: Sequence[int],
    config: Optimization,
) -> list[reference.Result]:
    """The reference, one text after the other."""
    hidden = x.shape[-1]
    mean, std = (value.to(x).expand_as(x) for value in (prior.mean, prior.std))
    return [
        reference.explain(
            x[row, :length].tolist(),
            mean[row, :length].tolist(),
            std[row, :length].tolist(),
            head.plain,
            targets[row],
            noise_of(seeds[row], length, config, hidden),
            config.steps,
            None if config.beta == "auto" else config.beta,
            config.granularity == "token",
            config.learning_rate,
            config.initial_alpha,
            AUTO_BETA_FLOOR,
            config.adam_eps,
        )
        for row, length in enumerate(lengths)
    ]


def assert_equal(
    got: OptimizedBottleneck, expected: Sequence[reference.Result], lengths: Sequence[int], rel: float
) -> None:
    for row, (length, want) in enumerate(zip(lengths, expected, strict=True)):

        def same(value: Tensor, wanted: Any) -> None:
            torch.testing.assert_close(
                value.double(), torch.tensor(wanted, dtype=torch.float64), rtol=rel, atol=rel * 10
            )

        assert float(got.beta[row]) == pytest.approx(want.beta, rel=rel)
        same(got.alpha[row, :length], want.alpha)
        same(got.nats[row, :length], want.nats)
        same(got.cross_entropy[:, row], want.cross_entropy)
        same(got.total_nats[:, row], want.total_nats)


CORPUS = Gaussian(torch.tensor([0.2, -0.4, 0.0]), torch.tensor([0.7, 1.3, 0.5]))


@pytest.mark.parametrize("beta", ["auto", 0.0, 1e-5, 0.3, 4.0])
@pytest.mark.parametrize("granularity", ["feature", "token"])
def test_the_whole_loop_equals_the_reference(granularity: Any, beta: Any) -> None:
    config = Optimization(granularity=granularity, beta=beta, steps=6, samples=3)
    lengths, targets, seeds, head = [5, 2, 1], [0, 2, 1], [11, 12, 13], PoolingHead()
    x, real = batch(lengths)
    got = optimize(head.nll(real, targets), x, CORPUS, real, config, seeds)
    assert_equal(got, expected_results(x, lengths, CORPUS, head, targets, seeds, config), lengths, rel=1e-6)


@pytest.mark.parametrize("granularity", ["feature", "token"])
def test_float32_stays_close_to_the_float64_reference(granularity: Any) -> None:
    config = Optimization(granularity=granularity, beta=0.3, steps=6, samples=3)
    lengths, targets, seeds, head = [4, 3], [0, 2], [1, 2], PoolingHead()
    x, real = batch(lengths)
    x = x.float()
    got = optimize(head.nll(real, targets), x, CORPUS, real, config, seeds)
    assert got.alpha.dtype == torch.float32
    assert_equal(got, expected_results(x.double(), lengths, CORPUS, head, targets, seeds, config), lengths, rel=2e-3)


@pytest.mark.parametrize(
    "change",
    [
        *({"learning_rate": 0.3}, {"initial_alpha": 2.0}, {"samples": 1}, {"steps": 1}, {"steps": 15}),
        *({"adam_eps": 1e-2}, {"adam_eps": 1e-12}),
    ],
)
def test_every_setting_reaches_the_loop(change: dict[str, Any]) -> None:
    config = Optimization(granularity="feature", beta=0.2, **{"steps": 4, "samples": 2, **change})
    lengths, targets, seeds, head = [3], [1], [5], PoolingHead()
    x, real = batch(lengths)
    got = optimize(head.nll(real, targets), x, CORPUS, real, config, seeds)
    assert_equal(got, expected_results(x, lengths, CORPUS, head, targets, seeds, config), lengths, rel=1e-6)


@pytest.mark.parametrize("beta", ["auto", 0.3])
def test_a_prior_per_text_and_token_equals_the_reference(beta: Any) -> None:
    config = Optimization(granularity="feature", beta=beta, steps=4, samples=2)
    lengths, targets, seeds, head = [4, 2], [0, 1], [1, 2], PoolingHead()
    x, real = batch(lengths)
    prior = Gaussian(x * 0.5 + 0.1, torch.full((1, 1, 1), math.sqrt(1e-5), dtype=torch.float64))
    got = optimize(head.nll(real, targets), x, prior, real, config, seeds)
    assert_equal(got, expected_results(x, lengths, prior, head, targets, seeds, config), lengths, rel=1e-6)


def test_the_information_returned_is_that_after_the_last_update() -> None:
    lengths, head = [4, 2], PoolingHead()
    x, real = batch(lengths)
    got = optimize(head.nll(real, [0, 1]), x, CORPUS, real, Optimization(steps=3, beta=2.0), [1, 2])
    again = information(x, got.alpha, CORPUS.mean.double(), CORPUS.std.double()) * real.unsqueeze(-1)
    torch.testing.assert_close(got.nats, again)
    torch.testing.assert_close(got.total_nats[-1], again.sum(dim=(1, 2)))
    assert (got.total_nats[-1] < got.total_nats[-2]).all()


def test_the_trace_starts_with_the_open_mask() -> None:
    head = PoolingHead()
    x, real = batch([4])
    got = optimize(head.nll(real, [0]), x, CORPUS, real, Optimization(steps=3), [1])
    opened = information(x, torch.tensor(5.0), CORPUS.mean.double(), CORPUS.std.double())
    torch.testing.assert_close(got.total_nats[0], opened.sum(dim=(1, 2)))
    assert got.total_nats.shape == got.cross_entropy.shape == (4, 1)


@pytest.mark.parametrize("granularity", ["feature", "token"])
def test_padding_holds_no_information_and_neighbours_change_nothing(granularity: Any) -> None:
    lengths, targets, seeds, head = [6, 2, 4], [0, 1, 2], [1, 2, 3], PoolingHead()
    config = Optimization(granularity=granularity, beta="auto", steps=5, samples=2)
    x, real = batch(lengths)
    together = optimize(head.nll(real, targets), x, CORPUS, real, config, seeds)
    assert (together.nats[~real] == 0).all()
    for row, length in enumerate(lengths):
        alone = optimize(
            head.nll(real[row : row + 1, :length], [targets[row]]),
            x[row : row + 1, :length],
            CORPUS,
            real[row : row + 1, :length],
            config,
            [seeds[row]],
        )
        torch.testing.assert_close(alone.nats[0], together.nats[row, :length])
        torch.testing.assert_close(alone.beta[0], together.beta[row])
        torch.testing.assert_close(alone.total_nats[:, 0], together.total_nats[:, row])


@pytest.mark.parametrize("granularity", ["feature", "token"])
@pytest.mark.parametrize("adam_eps", [1e-8, 1e-15])
def test_the_loss_is_as_written_and_adam_is_torchs_on_long_texts_too(granularity: Any, adam_eps: float) -> None:
    """A mean over 400 * 8 elements times beta 1e-5: the gradient per element, 3e-9, is less than torch's eps of 1e-8.

    So the default takes small steps there, as the paper's loss with torch's Adam does, and a smaller eps full ones.
    """
    tokens, hidden = 400, 8
    config = Optimization(granularity=granularity, beta=1e-5, samples=1, adam_eps=adam_eps)
    head = PoolingHead(hidden=hidden, scale=1e-6)  # the cross-entropy hardly depends on any token
    x, real = batch([tokens], hidden)
    prior = Gaussian(torch.zeros(hidden), torch.ones(hidden))
    got = optimize(head.nll(real, [0]), x, prior, real, config, [7])
    want = expected_results(x, [tokens], prior, head, [0], [7], config)
    assert_equal(got, want, [tokens], rel=1e-6)
    moved = 5 - got.alpha
    if adam_eps < 1e-8:
        assert moved.min() > 5  # ten steps of nearly 1
    elif granularity == "feature":
        assert 0.5 < moved.median() < 4


def test_the_defaults_are_the_papers() -> None:
    paper = Optimization()
    assert (paper.granularity, paper.beta, paper.steps, paper.samples) == ("feature", 1e-5, 10, 10)
    assert (paper.learning_rate, paper.initial_alpha) == (1.0, 5.0)
    assert paper.adam_eps == torch.optim.Adam([torch.zeros(1)]).defaults["eps"]


@pytest.mark.parametrize(
    "change",
    [
        *({"granularity": "word"}, {"steps": 0}, {"steps": 1.5}, {"steps": True}, {"samples": -1}, {"samples": "3"}),
        *({"beta": -1.0}, {"beta": math.nan}, {"beta": "high"}, {"beta": True}, {"beta": None}),
        *({"learning_rate": 0.0}, {"learning_rate": math.inf}, {"adam_eps": 0.0}),
        *({"initial_alpha": math.nan}, {"initial_alpha": "5"}, {"seed": 0.5}, {"seed": True}),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_in_one_line_that_names_it(change: dict[str, Any]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(InputError, match=name) as caught:
        Optimization(**change)
    assert "\n" not in str(caught.value) and repr(value) in str(caught.value)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_half_precision_gives_finite_masks_on_long_texts(scale: float) -> None:
    """The gradient that goes back through a float16 suffix must neither overflow 65504 nor vanish."""
    tokens, hidden = 400, 256
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, tokens, hidden, generator=generator)
    weights = scale * torch.randn(hidden, CLASSES, generator=generator) / hidden**0.5
    real = torch.ones(1, tokens, dtype=torch.bool)
    logits = x.mean(dim=1) @ weights * 20
    target = int(logits.argmin())  # the model is sure of something else: p - 1 is near -1

    def nll(t: Tensor) -> Tensor:
        out = (t.mean(dim=2) @ (20 * weights).to(t)).float()
        return -torch.log_softmax(out, dim=-1)[..., target]

    prior = Gaussian(torch.zeros(hidden), torch.ones(hidden))
    config = Optimization(samples=1, steps=3, beta=1.0, adam_eps=1e-12)
    full = optimize(nll, x, prior, real, config, [1])
    half = optimize(nll, x.half(), prior, real, config, [1])
    assert torch.isfinite(half.alpha).all()
    torch.testing.assert_close(half.total_nats[-1], full.total_nats[-1], rtol=0.05, atol=1.0)


def test_auto_beta_is_the_papers_rule_per_text() -> None:
    config = Optimization(granularity="feature", beta="auto")
    ce, nats = torch.tensor([0.5, 2.0]), torch.tensor([5.0, 4.0])
    assert AUTO_BETA_RATIO == 10
    torch.testing.assert_close(weigh_information(config, ce, nats), torch.tensor([1.0, 5.0]))


@pytest.mark.parametrize("granularity", ["feature", "token"])
def test_auto_beta_has_a_floor_so_that_a_confident_text_is_still_compressed(granularity: Any) -> None:
    config = Optimization(granularity=granularity, beta="auto")
    beta = weigh_information(config, torch.tensor([1e-9]), torch.tensor([5.0]))
    assert beta.item() == pytest.approx(AUTO_BETA_FLOOR)
    assert beta.item() > 0


def test_texts_of_one_batch_get_betas_of_their_own() -> None:
    lengths, head = [4, 3], PoolingHead(scale=3.0)
    x, real = batch(lengths)
    predicted = [int(torch.tensor(head.plain(x[row, :n].tolist())[0]).argmax()) for row, n in enumerate(lengths)]
    config = Optimization(beta="auto", steps=1)
    got = optimize(head.nll(real, [predicted[0], (predicted[1] + 1) % 3]), x, CORPUS, real, config, [1, 2])
    assert got.beta[0] != got.beta[1]
    assert got.beta[1].item() == pytest.approx(
        10 * got.cross_entropy[0, 1].item() / (got.total_nats[0, 1].item() / (3 * HIDDEN))
    )


texts = st.text(max_size=20)


@given(seed=st.integers(0, 2**40), text=texts, pair=st.none() | texts)
def test_text_seed_is_a_seed_that_torch_takes_and_always_the_same(seed: int, text: str, pair: str | None) -> None:
    value = text_seed(seed, text, pair)
    assert 0 <= value < 2**63
    assert value == text_seed(seed, text, pair)
    torch.Generator().manual_seed(value)


@given(seed=st.integers(0, 1000), first=st.tuples(texts, st.none() | texts), second=st.tuples(texts, st.none() | texts))
def test_text_seed_tells_texts_apart(seed: int, first: tuple[str, str | None], second: tuple[str, str | None]) -> None:
    assert (text_seed(seed, *first) == text_seed(seed, *second)) == (first == second)


@given(one=st.integers(0, 1000), other=st.integers(0, 1000), text=texts)
def test_text_seed_tells_seeds_apart(one: int, other: int, text: str) -> None:
    assert (text_seed(one, text) == text_seed(other, text)) == (one == other)


def test_text_seed_does_not_depend_on_the_process() -> None:
    assert text_seed(0, "a", None) == 5001572403941519715


def test_text_seed_does_not_join_the_texts_of_a_pair() -> None:
    assert len({text_seed(0, "ab", "c"), text_seed(0, "a", "bc"), text_seed(0, "abc", None)}) == 3


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    extra=st.integers(0, 4),
    samples=st.integers(1, 3),
    data=st.data(),
)
def test_what_a_text_draws_depends_on_neither_neighbours_nor_padding(
    lengths: list[int], extra: int, samples: int, data: st.DataObject
) -> None:
    width = max(lengths) + extra
    real = torch.tensor([[position < length for position in range(width)] for length in lengths])
    seeds = [100 + row for row in range(len(lengths))]
    row = data.draw(st.integers(0, len(lengths) - 1))
    batched = NoiseSource(seeds, real, 2)
    alone = NoiseSource([seeds[row]], torch.ones(1, lengths[row], dtype=torch.bool), 2)
    for _ in range(3):
        drawn = batched.draw(samples)
        assert drawn.shape == (len(lengths), samples, width, 2)
        assert torch.equal(drawn[row, :, : lengths[row]], alone.draw(samples)[0])
        assert (drawn[row, :, lengths[row] :] == 0).all()


def test_noise_is_standard_normal_fresh_at_each_step_and_different_per_copy_and_text() -> None:
    source = NoiseSource([1, 2], torch.ones(2, 50, dtype=torch.bool), 20)
    first, second = source.draw(20), source.draw(20)
    assert first.mean().abs() < 0.02
    assert abs(first.std().item() - 1) < 0.02
    for one, other in [(first, second), (first[0], first[1]), (first[:, 0], first[:, 1])]:
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()) < 0.1
