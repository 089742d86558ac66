"""The training loop on a model of a few weights, against an optimiser that is run by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import DataError, InputError, NumericsError
from narrows.finetune.batches import Encoded, collate
from narrows.finetune.device import autocast, choose_device, describe_device, faster_precision
from narrows.finetune.loop import Loop, LoopSettings, Progress

CPU = torch.device("cpu")
SETTINGS = LoopSettings(
    epochs=2.0,
    batch_size=4,
    batch_tokens=1000,
    warmup=0.25,
    clip=1.0,
    seed=0,
    precision="float32",
    checkpoint_minutes=1e-9,
)
ITEMS = [Encoded([index % 5, index % 3, 1], [0, 0, 0], index % 2) for index in range(20)]


class Bag(nn.Module):
    """Two classes from a bag of five words, with dropout; it has weights that are not trained, too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words = nn.Embedding(5, 4)
        self.fixed = nn.Linear(4, 4).requires_grad_(False)
        self.head = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> SimpleNamespace:
        bag = (self.words(input_ids) * attention_mask[..., None]).sum(dim=1)
        return SimpleNamespace(logits=self.head(self.fixed(self.dropout(bag))))


def make(settings: LoopSettings = SETTINGS, items: list[Encoded] = ITEMS, rate: float = 0.05) -> Loop:
    model = Bag()
    trained = [value for value in model.parameters() if value.requires_grad]
    return Loop(model, torch.optim.AdamW(trained, lr=rate, weight_decay=0.1), items, settings, padding=0)


def weights(loop: Loop) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in loop.model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def quiet(progress: Progress) -> None:
    pass


class StoppedError(Exception):
    """Stands for a run that is killed."""


def stop_after(step: int) -> object:
    def report(progress: Progress) -> None:
        if progress.step == step:
            raise StoppedError

    return report


def test_the_weights_are_those_of_the_plain_algorithm(tmp_path: Path) -> None:
    loop = make()
    loop.run(tmp_path / "c", "", quiet)
    model = Bag().train()
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.05, weight_decay=0.1)
    assert len(loop.batches) == 10
    for step, batch in enumerate(loop.batches):
        torch.manual_seed(step)
        # 10 steps, a quarter of them (rounded to 2) rising: 1/2, 1, then 8/8, 7/8 ... 1/8
        optimizer.param_groups[0]["lr"] = 0.05 * [0.5, 1.0, *(part / 8 for part in range(8, 0, -1))][step]
        inputs, labels = collate([ITEMS[index] for index in batch], 0, CPU)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(**inputs).logits, labels).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
    assert same(weights(loop), model.state_dict())
    assert same({"fixed": Bag().fixed.weight}, {"fixed": loop.model.fixed.weight})
    assert not loop.model.training


@pytest.mark.parametrize("step", [1, 4, 5, 9, 10])
def test_a_stopped_run_goes_on_to_the_weights_of_an_undisturbed_one(step: int, tmp_path: Path) -> None:
    whole, first, second = make(), make(), make()
    reports: list[Progress] = []
    end = whole.run(tmp_path / "whole", "x", quiet)
    with pytest.raises(StoppedError):
        first.run(tmp_path / "c", "x", stop_after(step))  # type: ignore[arg-type]
    torch.manual_seed(999)  # another process would have another state
    again = second.run(tmp_path / "c", "x", reports.append)
    assert same(weights(whole), weights(second))
    assert [progress.step for progress in reports] == list(range(step + 1, 11))
    assert replace(again, seconds=0) == replace(end, seconds=0)


def test_a_checkpoint_is_written_only_when_its_time_has_come(tmp_path: Path) -> None:
    seen: list[bool] = []
    make(replace(SETTINGS, checkpoint_minutes=60)).run(
        tmp_path / "c", "x", lambda progress: seen.append((tmp_path / "c").exists())
    )
    assert seen == [False] * 9 + [True]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_part_of_an_epoch_is_trained(tmp_path: Path) -> None:
    half, double = make(replace(SETTINGS, epochs=0.4)), make()
    assert half.run(tmp_path / "c", "x", quiet).step == 2
    assert half.batches == double.batches[:2]


def test_the_rate_rises_and_falls_and_never_reaches_zero() -> None:
    loop = make(replace(SETTINGS, epochs=20.0))
    rates = [loop.rate(step) for step in range(len(loop.batches))]
    top = rates.index(max(rates))
    assert max(rates) == 1.0
    assert min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        make().run(tmp_path / "c", "x", stop_after(3))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="other settings or data; delete it first"):
        make().run(tmp_path / "c", "y", quiet)


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_a_damaged_checkpoint_is_told(keep: int, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        make().run(tmp_path / "c", "x", stop_after(3))  # type: ignore[arg-type]
    content = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(content[:keep])
    with pytest.raises(DataError, match="damaged"):
        make().run(tmp_path / "c", "x", quiet)


def test_a_loss_that_is_not_finite_stops_the_run_and_spoils_no_checkpoint(tmp_path: Path) -> None:
    loop = make(rate=1e30)
    states: list[Progress] = []
    with pytest.raises(NumericsError, match=r"the loss is (nan|inf) at step \d+: lower the learning rate"):
        loop.run(tmp_path / "c", "x", states.append)
    assert all(torch.isfinite(torch.tensor(state.loss)) for state in states)


def test_the_random_numbers_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loop = make()
    torch.manual_seed(5)
    loop.run(tmp_path / "c", "x", quiet)
    assert torch.equal(torch.rand(3), expected)


def test_progress_counts_the_tokens_and_averages_the_loss(tmp_path: Path) -> None:
    states: list[Progress] = []
    end = make().run(tmp_path / "c", "x", states.append)
    assert end.tokens == end.total_tokens == 2 * 20 * 3
    assert [state.tokens for state in states] == [12 * step for step in range(1, 11)]
    assert states[-1].loss < states[0].loss
    assert all(0 < first.seconds <= second.seconds for first, second in pairwise(states))


def test_bfloat16_is_for_the_products_only() -> None:
    linear, x = nn.Linear(4, 4), torch.randn(2, 4)
    with autocast(CPU, "bfloat16"):
        assert linear(x).dtype == torch.bfloat16
    with autocast(CPU, "float32"):
        assert linear(x).dtype == torch.float32
    assert linear.weight.dtype == torch.float32


def test_the_faster_precision_is_the_one_that_takes_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster in (torch.bfloat16, torch.float32):
        monkeypatch.setattr(
            "narrows.finetune.device._time_of_product", lambda precision, faster=faster: float(precision != faster)
        )
        assert f"torch.{faster_precision(CPU)}" == str(faster)
    monkeypatch.undo()
    assert faster_precision(CPU) in ("bfloat16", "float32")
    assert faster_precision(torch.device("meta")) == "float32"


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda")
    assert describe_device(CPU) == f"cpu, {torch.get_num_threads()} threads"
    for name in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match=f"no device '{name}' here"):
            choose_device(name)
