"""As many tokens at once as memory holds: batches within their limits, smaller ones where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows import Attribution, Explainer
from narrows.bottleneck.prior import Prior
from narrows.errors import InputError, MemoryLimitError
from narrows.methods.evidence import Evidence
from narrows.methods.method import Batch
from narrows.models import memory, predict
from narrows.models.memory import TokenBudget, is_out_of_memory
from tiny import Classifier

some_lengths = st.lists(st.integers(1, 50), max_size=30)


def cannot_allocate() -> RuntimeError:
    """What torch raises on a CPU; a real allocation, so that the words are torch's own."""
    try:
        torch.empty(2**55, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has 32 petabytes of memory")


@given(lengths=some_lengths, batch_size=st.integers(1, 8), tokens=st.integers(1, 120), copies=st.integers(1, 3))
def test_batches_are_a_partition_within_both_limits(
    lengths: list[int], batch_size: int, tokens: int, copies: int
) -> None:
    done = list(TokenBudget(tokens).run(lengths, batch_size, tuple, copies))
    assert all(tuple(rows) == result for rows, result in done)
    assert sorted(row for rows, _ in done for row in rows) == list(range(len(lengths)))
    longest = [max(lengths[row] for row in rows) for rows, _ in done]
    assert longest == sorted(longest, reverse=True)
    for (rows, _), most in zip(done, longest, strict=True):
        assert 1 <= len(rows) <= batch_size
        assert len(rows) == 1 or len(rows) * most * copies <= tokens


@given(lengths=st.lists(st.integers(1, 50), min_size=2, max_size=30), batch_size=st.integers(2, 8))
def test_batches_are_filled_where_the_budget_allows(lengths: list[int], batch_size: int) -> None:
    done = list(TokenBudget(10_000).run(lengths, batch_size, len))
    assert len(done) == -(-len(lengths) // batch_size)


@given(lengths=some_lengths, batch_size=st.integers(1, 8), capacity=st.integers(50, 200))
def test_every_text_is_done_once_whatever_memory_holds(lengths: list[int], batch_size: int, capacity: int) -> None:
    def work(rows: list[int]) -> list[int]:
        if len(rows) * max(lengths[row] for row in rows) > capacity:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return rows

    budget = TokenBudget(10_000)
    done = [row for rows, _ in budget.run(lengths, batch_size, work) for row in rows]
    assert sorted(done) == list(range(len(lengths)))


def test_what_was_learned_about_memory_is_remembered() -> None:
    tried = []

    def work(rows: list[int]) -> None:
        tried.append(len(rows))
        if len(rows) > 2:
            raise MemoryError

    budget = TokenBudget(80)
    assert [rows for rows, _ in budget.run([10] * 8, 8, work)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert tried == [8, 4, 2, 2, 2, 2]
    assert budget.tokens == 20


def test_a_single_text_that_does_not_fit_is_told_in_one_line() -> None:
    def work(rows: list[int]) -> None:
        raise cannot_allocate()

    with pytest.raises(MemoryLimitError, match=r"no memory for a text of 7 tokens, .*max_tokens: .+") as told:
        list(TokenBudget(100).run([7], 8, work))
    assert "\n" not in str(told.value)


def test_other_faults_are_not_taken_for_a_lack_of_memory() -> None:
    def work(rows: list[int]) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        list(TokenBudget(100).run([1, 1], 8, work))
    assert is_out_of_memory(cannot_allocate())


@pytest.mark.parametrize("tokens", [0, -1, True, 2.5])
def test_a_budget_is_a_whole_number_of_tokens(tokens: int) -> None:
    with pytest.raises(InputError, match="max_tokens_per_batch must be a whole number of at least 1"):
        TokenBudget(tokens)


@pytest.mark.parametrize(("free", "tokens"), [(None, 4096), (10**15, 4096), (0, 1), (2 * 17 * 16 * 3 * 4 * 100, 100)])
def test_the_budget_follows_the_free_memory(
    free: int | None, tokens: int, bert: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    assert TokenBudget.of(bert[0]).tokens == tokens


def test_the_free_memory_of_this_machine_can_be_told() -> None:
    free = memory.free_memory(torch.device("cpu"))
    assert free is not None and 10**6 < free < 10**15
    assert memory.free_memory(torch.device("meta")) is None


def test_maps_are_the_same_when_memory_runs_out_on_the_way(
    bert: Classifier, make_prior: Callable[..., Prior], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = bert
    texts = ["good film", "a very bad film it is not", "not", "the act is super"] * 2
    explainer = Explainer(model, tokenizer, "fast:layer=2", make_prior(model))
    whole = explainer(texts)
    original, tried = Evidence.explain, []

    def scarce(self: Evidence, batch: Batch) -> list[Attribution]:
        tried.append(len(batch))
        if tried[-1] > 3:
            raise cannot_allocate()
        return original(self, batch)

    monkeypatch.setattr(Evidence, "explain", scarce)
    pieces = explainer(texts)
    assert max(tried) == len(texts) and tried.count(len(texts)) == 1
    for one, other in zip(whole, pieces, strict=True):
        assert one.text == other.text
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_predictions_are_the_same_when_memory_runs_out_on_the_way(
    bert: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    from narrows.data.example import Example
    from narrows.models.text.encoding import encode

    model, tokenizer = bert
    encodings = [encode(tokenizer, Example(text), None) for text in ("good film", "bad", "not a very good act") * 3]
    whole = predict.predict(model, tokenizer, encodings)
    original = predict.forward_head

    def scarce(model: object, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        if len(inputs["input_ids"]) > 2:
            raise cannot_allocate()
        return original(model, inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(predict, "forward_head", scarce)
    assert predict.predict(model, tokenizer, encodings) == pytest.approx(whole, abs=1e-6)
