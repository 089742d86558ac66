from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from narrows import Explainer
from narrows.app import compute
from narrows.app.request import Request
from narrows.app.session import Session
from narrows.app.shelf import Shelf
from narrows.errors import InputError
from narrows.methods.method import Batch
from narrows.methods.registry import METHODS
from narrows.models.predict import predict
from narrows.models.text.removal import remove

Steps = list[tuple[int, int]]


def silent(_: int, __: int) -> None:
    pass


def reporter(steps: Steps) -> Callable[[int, int], None]:
    return lambda done, total: steps.append((done, total))


def test_the_map_is_that_of_the_library(session: Session, shelf: Shelf) -> None:
    with shelf.lend(shelf.names[0]) as classifier:
        alone = Explainer(classifier.model, classifier.tokenizer, prior="instance")(session.request.text)
    assert session.saved == alone.to_dict()


def test_the_python_lines_make_the_same_map(session: Session, shelf: Shelf) -> None:
    long = Session.start(Request("good film " * 60, model=shelf.names[0], target="neutral", seed=3), shelf)
    assert long.saved["truncated"] > 0
    for own in (session, long):
        lines = own.python().split("attribution.show()")[0]
        names: dict[str, Any] = {}
        exec(lines, names)
        assert names["attribution"].to_dict() == own.saved
        assert len(names["layers"]) == 4
        assert "Heat map, tokens by layers" in names["layers"]._repr_html_()


def test_layers_and_betas_are_computed_once_and_say_how_far_they_are(
    session: Session, shelf: Shelf, steps: Steps
) -> None:
    layered = session.with_layers(shelf, reporter(steps))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [saved["layer"] for saved in layered.layers] == [0, 1, 2, 3]
    alone = Session.start(replace(session.request, layer=1), shelf)
    assert layered.layers[1]["total_bits"] == pytest.approx(alone.saved["total_bits"], rel=1e-4)
    assert layered.with_layers(shelf, reporter(steps)) is layered
    steps.clear()
    series = session.with_betas(shelf, reporter(steps))
    assert steps[-1] == (len(series.betas), len(series.betas))
    totals = [saved["total_bits"] for saved in series.betas.values()]
    assert {saved["config"]["readout"] for saved in series.betas.values()} == {"information"}
    assert totals[0] > totals[-1]
    assert [saved["config"]["beta"] for saved in series.betas.values()] == [float(beta) for beta in series.betas]


def test_every_method_of_the_registry_but_the_one_that_reads_files_is_offered() -> None:
    assert {*compute.METHOD_NAMES, "file"} == set(METHODS)


@pytest.mark.parametrize("method", ["ig", "layer_ig", "rollout", "iba", "narrows"])
def test_another_method_or_label_stands_beside_the_map(session: Session, shelf: Shelf, method: str) -> None:
    other = session.compare(method, "neutral", shelf).compared
    assert other is not None
    assert (other["method"], other["target"]) == (method, "neutral")
    assert [token["token"] for token in other["tokens"]] == [token["token"] for token in session.saved["tokens"]]
    assert other["probabilities"] == pytest.approx(session.saved["probabilities"])
    assert other["words"]
    if method == "ig":
        assert all(token["bits"] == 0 for token in other["tokens"])


def test_methods_that_read_files_or_do_not_exist_are_refused(session: Session, shelf: Shelf) -> None:
    for method in ("file", "file:path=/etc/passwd", "ig:steps=5", "magic"):
        with pytest.raises(InputError, match="no method"):
            session.compare(method, None, shelf)


def test_a_map_agrees_with_itself(session: Session) -> None:
    assert compute.agreement(session.saved, session.saved) == pytest.approx(1.0)


def p_without(session: Session, shelf: Shelf, gone: tuple[int, ...]) -> float:
    """The slow reference: encode, remove, predict."""
    with shelf.lend(session.request.model) as classifier:
        (encoding,) = Batch.of(classifier, [session.request.example()], shelf.max_tokens).encodings
        left = remove(encoding, gone, "delete", classifier.tokenizer)
        p = predict(classifier.model, classifier.tokenizer, [left])[0]
    return float(p[list(session.saved["probabilities"]).index(session.saved["target"])])


def test_taking_tokens_away_is_the_degradation_test_by_hand(session: Session, shelf: Shelf) -> None:
    now = session.click((), shelf)
    assert now.removal is not None
    assert now.removal.by_hand == ((0, pytest.approx(p_without(session, shelf, ()))),)
    assert (len(now.removal.morf), len(now.removal.lerf)) == (10, 10)
    for tokens in ((3,), (5,), (1,)):
        now = now.click(tokens, shelf)
    assert now.removal is not None
    assert now.removal.removed == (3, 5, 1)
    expected = [p_without(session, shelf, gone) for gone in ((), (3,), (3, 5), (3, 5, 1))]
    assert [count for count, _ in now.removal.by_hand] == [0, 1, 2, 3]
    assert [p for _, p in now.removal.by_hand] == pytest.approx(expected)
    back = now.click((5,), shelf)
    assert back.removal is not None
    assert back.removal.removed == (3, 1)
    expected = [p_without(session, shelf, gone) for gone in ((), (3,), (3, 1))]
    assert [p for _, p in back.removal.by_hand] == pytest.approx(expected)
    assert back.removal.probabilities[session.saved["target"]] == pytest.approx(expected[-1])
    assert back.put_back(shelf).clicks == ()


def test_the_strongest_go_first_as_in_the_curve_of_the_map(session: Session, shelf: Shelf) -> None:
    now = session.click((), shelf)
    content = sum(not token["special"] for token in session.saved["tokens"])
    for _ in range(content + 1):  # once more than there is
        now = now.click_strongest(shelf)
    assert now.removal is not None
    assert len(now.removal.removed) == content
    by_hand = dict(now.removal.by_hand)
    for count, p in now.removal.morf:
        assert by_hand[count] == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize("tokens", [(0,), (99,), (3, 3), (-1,)])
def test_only_tokens_of_the_text_can_be_taken_away(session: Session, shelf: Shelf, tokens: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="only tokens of the text"):
        session.click(tokens, shelf)


def test_files_hold_all_that_was_computed(session: Session, shelf: Shelf) -> None:
    few = session.files()
    assert set(few) == {"map.png", "map.svg", "map.pdf", "map.html", "map.tex", "map.json", "reproduce.py"}
    assert few["map.png"].startswith(b"\x89PNG")
    full = session.with_layers(shelf, silent).compare("ig", None, shelf)
    full = replace(full, betas={"1e-3": session.saved, "10": session.saved})
    assert {"layers.svg", "layers.json", "comparison.pdf", "beta.png", "beta.json"} <= set(full.files())


def test_a_shelf_lends_only_what_it_offers(shelf: Shelf) -> None:
    with pytest.raises(InputError, match="no model 'sentiment' on this page"):
        Session.start(Request("good", model="sentiment"), shelf)
    with pytest.raises(InputError, match="at least one model"):
        Shelf([])
    with pytest.raises(InputError, match="max_tokens"):
        Shelf(["sentiment"], max_tokens=2)


def test_a_long_text_is_cut_and_the_map_says_so(shelf: Shelf) -> None:
    saved = Session.start(Request("good film " * 100, model=shelf.names[0]), shelf).saved
    assert len(saved["tokens"]) == 40
    assert saved["truncated"] == 202 - 40
    assert np.isfinite(saved["total_bits"])
