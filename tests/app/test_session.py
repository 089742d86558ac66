from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import families
from narrows import Explainer
from narrows.app.page import build_page
from narrows.app.request import Request
from narrows.app.session import Session, agreement
from narrows.app.shelf import Shelf
from narrows.data.schema import AttributionDict
from narrows.errors import InputError, ModelError
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from narrows.models.text.removal import remove

Steps = list[tuple[int, int]]


def scores(saved: AttributionDict) -> list[float]:
    return [token["score"] for token in saved["tokens"]]


def silent(_: int, __: int) -> None:
    pass


def reporter(steps: Steps) -> Callable[[int, int], None]:
    return lambda done, total: steps.append((done, total))


def test_the_map_is_that_of_the_library(session: Session, shelf: Shelf) -> None:
    with shelf.lend(shelf.names[0]) as classifier:
        alone = Explainer(classifier.model, classifier.tokenizer, prior="instance")(session.request.text)
    assert session.saved == alone.to_dict()


@pytest.mark.parametrize("method", ["fast", "information:steps=3:seed=3", "lime:samples=8"])
def test_the_python_lines_make_the_same_map(session: Session, shelf: Shelf, method: str) -> None:
    short = Session.start(replace(session.request, method=method), shelf)
    long = Session.start(Request("good film " * 60, model=shelf.names[0], target="neutral", method=method), shelf)
    assert long.saved["truncated"] > 0
    for own in (short, long):
        lines = own.python().split("attribution.show()")[0]
        names: dict[str, Any] = {}
        exec(lines, names)
        assert names["attribution"].to_dict() == own.saved
        assert len(names.get("layers", ())) == (0 if method.startswith("lime") else 4)


def test_layers_are_computed_once_and_say_how_far_they_are(session: Session, shelf: Shelf, steps: Steps) -> None:
    layered = session.with_layers(shelf, reporter(steps))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [saved["layers"] for saved in layered.layers] == [[0], [1], [2], [3]]
    alone = Session.start(replace(session.request, method="fast:layer=1"), shelf)
    assert scores(layered.layers[1]) == pytest.approx(scores(alone.saved), rel=1e-4, abs=1e-6)
    assert layered.with_layers(shelf, reporter(steps)) is layered


def test_layers_of_other_methods(session: Session, shelf: Shelf) -> None:
    released = Session.start(replace(session.request, method="released:steps=2"), shelf).with_layers(shelf, silent)
    assert [saved["layers"] for saved in released.layers] == [[1], [2], [3]]  # it needs the input of a block
    with pytest.raises(InputError, match="lime looks at no layer"):
        Session.start(replace(session.request, method="lime"), shelf).with_layers(shelf, silent)


@pytest.mark.parametrize(
    ("method", "granularity"),
    [("fast:layer=2", "token"), ("lime", "token"), ("paper:steps=3:layer=2", "feature")],
)
def test_betas_are_of_the_method_or_of_information(
    session: Session, shelf: Shelf, steps: Steps, method: str, granularity: str
) -> None:
    own = Session.start(replace(session.request, method=method), shelf).with_betas(shelf, reporter(steps))
    assert steps[-1] == (len(own.betas), len(own.betas))
    settings = [saved["method"]["settings"] for saved in own.betas.values()]
    assert [each["beta"] for each in settings] == [float(beta) for beta in own.betas]
    assert {each["granularity"] for each in settings} == {granularity}
    assert {each["layer"] for each in settings} == {None if method == "lime" else 2}
    assert {each["steps"] for each in settings} == {10 if granularity == "token" else 3}
    totals = [sum(scores(saved)) for saved in own.betas.values()]
    assert totals[0] > totals[-1]
    assert own.with_betas(shelf, reporter(steps)) is own


@pytest.mark.parametrize("method", ["ig", "layer_ig", "rollout", "paper", "fast", "lime"])
def test_another_method_or_label_is_beside_the_map(session: Session, shelf: Shelf, method: str) -> None:
    for first in (session, Session.start(replace(session.request, method="occlusion"), shelf)):
        other = first.compare(method, "neutral", shelf).compared
        assert other is not None
        assert (other["method"]["name"], other["target"]) == (method, "neutral")
        assert [token["token"] for token in other["tokens"]] == [token["token"] for token in first.saved["tokens"]]
        assert other["probabilities"] == pytest.approx(first.saved["probabilities"], rel=1e-4)
        assert other["words"]


def test_the_other_method_looks_at_the_same_layer(session: Session, shelf: Shelf) -> None:
    own = Session.start(replace(session.request, method="fast:layer=1:points=6"), shelf)
    expected = {"layer_ig": [1], "paper": [1], "fast": [1], "ig": None}
    for method, layers in expected.items():
        other = own.compare(method, None, shelf).compared
        assert other is not None and other["layers"] == layers
    same = own.compare("fast", None, shelf).compared
    assert same == own.saved  # with the settings of the map


def test_methods_that_read_files_or_do_not_exist_are_refused(session: Session, shelf: Shelf) -> None:
    at_layer = replace(session, request=replace(session.request, method="fast:layer=1"))
    for method in ("file", "file:path=/etc/passwd", "magic"):
        for own in (session, at_layer):
            with pytest.raises(InputError, match="no method"):
                own.compare(method, None, shelf)


def test_a_map_agrees_with_itself_and_not_with_its_reverse(session: Session, shelf: Shelf) -> None:
    assert "tau +1.00" in str(agreement(session.saved, session.saved))
    assert "the same for 9 of 9 tokens" in str(agreement(session.saved, session.saved))
    back = copy.deepcopy(session.saved)
    for token in back["tokens"]:
        token["rank"] = None if token["rank"] is None else 10 - token["rank"]
        token["score"] = -token["score"]
    assert "tau -1.00" in str(agreement(session.saved, back))
    assert "the same for 0 of 9 tokens" in str(agreement(session.saved, back))
    unsigned = Session.start(replace(session.request, method="rollout"), shelf).saved
    assert "Sign" not in str(agreement(session.saved, unsigned))
    for token in back["tokens"]:
        token["score"] = 0.0
    assert agreement(session.saved, back) is None


def p_without(session: Session, shelf: Shelf, gone: tuple[int, ...]) -> float:
    """The slow reference: encode, remove, predict."""
    with shelf.lend(session.request.model) as classifier:
        encoding = encode(classifier.tokenizer, session.request.example(), shelf.max_tokens)
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


@pytest.mark.parametrize("method", ["fast", "best", "occlusion"])
def test_the_first_in_the_ranking_go_first_as_in_the_curve_of_the_map(
    session: Session, shelf: Shelf, method: str
) -> None:
    session = Session.start(replace(session.request, method=method), shelf)
    now = session.click_strongest(shelf)
    assert [session.saved["tokens"][place]["rank"] for click in now.clicks for place in click] == [1]
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
    betas = {beta: replace(session.request, method=f"information:beta={beta}") for beta in ("1e-3", "10")}
    full = replace(full, betas={beta: Session.start(request, shelf).saved for beta, request in betas.items()})
    assert {"layers.svg", "layers.json", "comparison.pdf", "beta.png", "beta.json"} <= set(full.files())


def test_a_shelf_lends_only_what_it_offers(shelf: Shelf) -> None:
    with pytest.raises(InputError, match="no model 'sentiment' on this page"):
        Session.start(Request("good", model="sentiment"), shelf)
    with pytest.raises(InputError, match="at least one model"):
        Shelf([])
    with pytest.raises(InputError, match="max_tokens"):
        Shelf(["sentiment"], max_tokens=2)


def test_a_language_model_is_offered_with_targets_to_type(tmp_path: Path) -> None:
    for part in families.of_task("GPT2", "LMHeadModel"):
        part.save_pretrained(tmp_path)
    shelf = Shelf([str(tmp_path)], device="cpu")
    assert shelf.labels(str(tmp_path)) == ()
    session = Session.start(Request("a film", model=str(tmp_path), target=" bad", method="fast:layer=1"), shelf)
    assert session.saved["target"] == " bad"
    with pytest.raises(ModelError, match=r"gives no logits of shape \(batch, classes\)"):
        session.click((), shelf)
    targets: Any = next(block for block in build_page(shelf).blocks.values() if getattr(block, "label", "") == "Target")
    assert (targets.choices, targets.allow_custom_value) == ([("predicted", "predicted")], True)


def test_a_long_text_is_cut_and_the_map_says_so(shelf: Shelf) -> None:
    saved = Session.start(Request("good film " * 100, model=shelf.names[0]), shelf).saved
    assert len(saved["tokens"]) == 40
    assert saved["truncated"] == 202 - 40
    assert np.isfinite(scores(saved)).all()
