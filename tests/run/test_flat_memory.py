"""Memory that stays flat however many texts are explained."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from explain_worker import SETTINGS
from narrows.explainer import Explainer
from narrows.models.hub.loading import LoadedModel
from narrows.run import explain_dataset

TEXTS = 10_000
SETTLED = 2_000  # by then every buffer has the size that it keeps
MIB = 2**20
ALLOWED = 6 * MIB  # keeping the maps in a list takes twice as much, keeping the rows of a run eight times
WORDS = ("good", "bad", "film", "the", "not", "very", "acting", "superb", "a", "is")
STATUS = Path("/proc/self/status")
LIBC = ctypes.CDLL(None)

pytestmark = pytest.mark.skipif(
    not (STATUS.is_file() and hasattr(LIBC, "malloc_trim")),
    reason="the memory that a process holds is read as Linux and the GNU C library tell it",
)


def resident() -> int:
    """Bytes of memory that this process holds, without what is free and only not given back to the system yet."""
    gc.collect()
    LIBC.malloc_trim(0)
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def stream(seen: list[int]) -> Iterator[str]:
    """Texts of one length, no two alike; how much memory is held when the next is asked for goes into the list."""
    for number in range(TEXTS):
        if number in (SETTLED, TEXTS - 1):
            seen.append(resident())
        digits = (WORDS[int(digit)] for digit in f"{number:08d}")
        yield " ".join(digits)


def test_a_run_over_ten_thousand_texts(tmp_path: Path, make_classifier: Callable[..., tiny.Classifier]) -> None:
    model, tokenizer = make_classifier("bert")
    seen: list[int] = []
    settings = replace(SETTINGS, rows_per_part=250, batch_size=125)
    explain_dataset(stream(seen), tmp_path / "out", settings, loaded=LoadedModel(model, tokenizer, "tiny", None))
    settled, last = seen
    assert last - settled < ALLOWED


def test_an_explainer_of_ten_thousand_texts(make_classifier: Callable[..., tiny.Classifier]) -> None:
    model, tokenizer = make_classifier("bert")
    seen: list[int] = []
    explainer = Explainer(model, tokenizer, "fast:steps=1:iterations=1", "instance", max_tokens_per_batch=2_000)
    for _ in explainer(stream(seen), batch_size=125):
        pass
    settled, last = seen
    assert last - settled < ALLOWED
