"""The page on serving: its code runs, and threads get what one caller gets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "serving.md"
TEXTS = ["A gorgeous, witty film.", "Dull and far too long, I left early.", "Good.", "The acting is superb."]


@pytest.fixture
def blocks() -> Iterator[list[str]]:
    """The blocks of code of the page; they set the number of torch's threads."""
    threads = torch.get_num_threads()
    yield re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    torch.set_num_threads(threads)


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "served"}
    exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_endpoints_answer_from_a_pool_as_alone(blocks: list[str]) -> None:
    pytest.importorskip("fastapi")
    names = run(blocks[0])
    assert {route.path for route in names["app"].routes} >= {"/explain", "/predict"}
    alone = [(names["explain"](text), names["predict"](text)) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        explained = pool.map(names["explain"], TEXTS)
        predicted = pool.map(names["predict"], TEXTS)
        for (explanation, prediction), own, logits in zip(alone, explained, predicted, strict=True):
            assert own["tokens"] == explanation["tokens"]
            assert own["scores"] == pytest.approx(explanation["scores"], rel=1e-4, abs=1e-5)
            assert logits == prediction


def test_asyncio_gives_what_one_call_after_the_other_gives(blocks: list[str]) -> None:
    names = run(blocks[1])
    assert [own.predicted for own in names["found"]] == ["positive", "negative"]
    together = asyncio.run(names["explain_all"](TEXTS))
    for own, text in zip(together, TEXTS, strict=True):
        assert own.scores == pytest.approx(names["explainer"](text).scores, rel=1e-4, abs=1e-5)
