"""Fixtures of the page's tests: a tiny saved classifier on a shelf, and a session with its map."""

from __future__ import annotations

import pytest

import tiny
from narrows.app.request import Request
from narrows.app.session import Session
from narrows.app.shelf import Shelf

TEXT = "a very good film, not bad acting"


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny classifier."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    classifier, tokenizer = tiny.classifier("bert")
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="package")
def shelf(model: str) -> Shelf:
    return Shelf([model], device="cpu", max_tokens=40)


@pytest.fixture
def request_of(model: str) -> Request:
    return Request(TEXT, model=model)


@pytest.fixture
def session(request_of: Request, shelf: Shelf) -> Session:
    return Session.start(request_of, shelf)


@pytest.fixture
def steps() -> list[tuple[int, int]]:
    return []
