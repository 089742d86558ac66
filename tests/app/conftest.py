"""Fixtures of the page's tests: a tiny saved classifier and language model, and a desk that answers about them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import families
import tiny
from narrows.app.desk import Desk
from narrows.app.request import PageRequest
from narrows.app.shelf import Shelf
from saved_runs import make_run

TEXT = "a very good film, not bad acting"
CHAT = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}is {% endif %}"


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny classifier."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    classifier, tokenizer = tiny.classifier("bert")
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="package")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny causal language model that chats."""
    folder = tmp_path_factory.mktemp("models") / "language"
    causal, tokenizer = families.of_task("GPT2", "LMHeadModel", vocab_size=len(families.tokenizer("bytes")))
    tokenizer.chat_template = CHAT
    causal.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="package")
def shelf(model: str, language: str) -> Shelf:
    return Shelf([model, language], device="cpu", max_tokens=40)


@pytest.fixture(scope="package")
def desk(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """With two runs of made-up maps on it."""
    texts = [("good film", (2.0, 0.5), "positive", "positive"), ("bad film", (-2.0, 0.5), "positive", "negative")] * 8
    later = [(text, (2 * first, second), *labels) for text, (first, second), *labels in texts]
    folder = tmp_path_factory.mktemp("runs")
    return Desk(shelf, [make_run(folder / "reviews", texts), make_run(folder / "later", later)])


@pytest.fixture
def request_of(model: str) -> PageRequest:
    return PageRequest(TEXT, model=model)


@pytest.fixture(scope="session")
def start() -> Path:
    """The file of the map that the page begins with."""
    import narrows.app

    path = Path(narrows.app.__file__).parent / "static" / "start.json"
    assert json.loads(path.read_text(encoding="utf-8"))["model"] == "sentiment"
    return path
