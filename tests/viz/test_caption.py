from __future__ import annotations

import math

import pytest

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from saved_results import CASES, IG, LIME, OWN, build, by, little, method_of, review, signed, special, tokens_of


def test_numbers_have_digits_enough_to_be_told_apart() -> None:
    shown = [caption.number(value) for value in (0.0, 0.014, 0.5, 9.994, 9.996, 99.94, 99.96, 123456.0)]
    assert shown == ["0", "0.014", "0.50", "9.99", "10.0", "99.9", "100", "123,456"]
    assert [caption.number(value, signed=True) for value in (-0.5, 0.0, 12.34)] == ["-0.50", "0", "+12.3"]
    assert [caption.number(value) for value in (0.0031, 0.00996, 0.00044, -2e-5, 3e-12)] == [
        "0.0031",
        "0.010",
        "4.4e-4",
        "-2.0e-5",
        "3e-12",
    ]
    assert caption.number(math.nan) == "not finite"


def test_numbers_stay_as_short_as_a_cell() -> None:
    values = [sign * 10.0**power * digit for sign in (1, -1) for power in range(-12, 4) for digit in (1, 3.3, 9.96)]
    assert all(len(caption.number(value, signed=True)) <= 7 for value in values)


def test_amounts_have_their_unit() -> None:
    assert caption.amount(3.14159, "bits") == "3.14 bits"
    assert caption.amount(0.25, "nats of log p", signed=True) == "+0.25 nats of log p"
    assert caption.amount(0.25, "weight") == "weight 0.25"
    assert [caption.percent(share) for share in (0.314, 0.0314, 0.0, 1e-5)] == ["31%", "3.1%", "0%", "<0.1%"]


def test_quantity_and_origin_come_from_the_record() -> None:
    first = review()
    assert caption.quantity(first) == "information (bits)"
    assert caption.quantity(signed()) == "evidence (bits)"
    assert [caption.quantity(by(first, each)) for each in (IG, LIME, OWN)] == [
        "score (nats of log p)",
        "weight",
        "score",
    ]
    assert caption.origin(signed()) == "Evidence (complete), layers 1, 3, 5"
    assert caption.origin(by(first, LIME, layers=None)) == "LIME"
    at = by(first, method_of(label="IBA, layer 1,3, beta 0.1"), layers=[1, 3])
    assert caption.origin(at) == "IBA, beta 0.1, layers 1, 3"
    assert caption.places([0, 1, 2, 3]) == "layers 0 to 3"
    assert caption.places([0]) == "layer 0 (the embeddings)"


def test_information_that_the_prediction_needed() -> None:
    sentence = caption.needed(build("a", [special("[CLS]", 18.042)]))
    assert sentence == "The prediction needed 18.0 bits of the 1,804 bits that layer 4 carries (1.0%)."
    trace = [{"step": 0, "cross_entropy": 0.0, "information": 1.0}]
    assert "Nothing was narrowed: 5.00 bits" in (caption.needed(build("a", [special("[CLS]", 5.0)], trace=trace)) or "")
    assert caption.needed(build("a", [special("[CLS]", 5.0)], trace=[])) is None
    assert caption.needed(signed()) is None


def test_what_adds_up_says_by_how_much_it_misses_the_rise() -> None:
    assert caption.total(signed()) == pytest.approx(6.87)
    assert caption.missed(signed()) == "The scores miss the rise of 7.00 bits by 0.13 bits."
    assert caption.missed({**signed(), "rise": None}) is None
    assert caption.missed({**review(), "rise": 7.0}) is None


def test_a_map_that_explains_little_says_so() -> None:
    assert caption.explains_little(little())
    assert "No token of this text has 0.1 bits of evidence" in (caption.little(little()) or "")
    weak = build("weak", tokens_of("weak", [0.04]))  # another quantity, on a scale of its own
    for other in (signed(), review(), weak, {**signed(), "typical": 0.97}):
        assert caption.little(other) is None


def test_the_probability_of_a_typical_text_stands_beside_that_of_the_target() -> None:
    assert caption.probability({**review(), "typical": 0.4142}) == "p = 0.986, a typical text 0.41"
    assert caption.probability(review()) == "p = 0.986"
    assert caption.probability({**review(), "target": "a rather than b"}) == ""
    assert caption.heading(signed()) == "negative (p = 0.014, a typical text 0.41), Evidence (complete), layers 1, 3, 5"


def test_the_sentence_of_the_method_comes_first() -> None:
    assert caption.sentences(signed())[0] == signed()["method"]["caption"]
    assert len(caption.sentences(signed())) == 2
    assert caption.sentences(by(review(), LIME)) == ["Weights."]


def test_truncation() -> None:
    assert caption.unread(CASES["review"]()) == []
    assert caption.unread(CASES["long"]())[0].startswith("412 tokens were cut off")
    assert caption.unread(build("a", [], truncated=1))[0].startswith("1 token was cut off")


def test_strongest_words_whatever_their_sign_with_their_ranks() -> None:
    rows = caption.strongest(signed(), 3)
    assert [(row.word, row.score, row.rank) for row in rows[:3]] == [
        ("superb", 6.8, 1),
        ("thin", -4.1, 11),
        ("but", 2.2, 2),
    ]
    assert [(row.word, row.other) for row in rows[3:]] == [("7 more", True), ("[CLS]", True), ("[SEP]", True)]
    assert rows[3].score == pytest.approx(0.02 - 0.6 + 0.1 + 0.05 + 1.4 + 0.3 - 0.4)


def test_tokens_take_the_place_of_missing_words() -> None:
    assert [row.word for row in caption.strongest(CASES["wordless"](), 2)] == ["superb", "thin"]


@pytest.mark.parametrize("count", [0, 2, 1000])
def test_shares_are_whole_where_scores_add_up_and_missing_where_not(attribution: AttributionDict, count: int) -> None:
    rows = caption.strongest(attribution, count)
    additive = attribution["method"]["additive"]
    assert all((row.share is not None) == additive for row in rows)
    if additive:
        assert sum(row.share or 0.0 for row in rows) == pytest.approx(1)
    else:
        assert not any(row.other for row in rows)


def test_the_target_is_listed_however_improbable() -> None:
    probabilities = {f"label {number}": (20 - number) / 210 for number in range(20)}
    many = build("a", [], probabilities=probabilities, predicted="label 0", target="label 19", typical=0.5)
    listed, hidden = caption.classes(many, 3)
    assert [label.name for label in listed] == ["label 0", "label 1", "label 2", "label 19"]
    assert [label.role for label in listed] == ["predicted", "", "", "target"]
    assert [label.typical for label in listed] == [None, None, None, 0.5]
    assert hidden == 16


def test_what_has_no_probability_is_listed_all_the_same() -> None:
    contrast = build("a", [], target="negative rather than positive")
    listed, hidden = caption.classes(contrast, 1)
    assert [(label.name, label.p) for label in listed[1:]] == [("negative rather than positive", None)]
    assert hidden == 1
    number = build("a", [], probabilities={}, target="0.53", predicted="0.53")
    ((label,), hidden) = caption.classes(number, 3)
    assert (label.name, label.p, label.role, hidden) == ("0.53", None, "predicted, target", 0)


def test_a_unit_of_ones_own_is_shown() -> None:
    mine = build("one two", tokens_of("one two", [0.5, 2.0]), method=method_of(quantity="score", unit="logits"))
    assert caption.quantity(mine) == "score (logits)"
    assert caption.amount(2.0, mine["method"]["unit"]) == "2.00 logits"


def test_a_target_of_tokens_is_named_by_text_and_ids() -> None:
    def named(target: str, *sides: tuple[str, list[int]]) -> AttributionDict:
        record = {"target_tokens": [{"text": text, "ids": ids} for text, ids in sides]}
        p = {" Paris": 0.7, " the": 0.1}
        return {**build("a", [], target=target), "predicted": " Paris", "probabilities": p, "record": record}

    one, two = named(" Paris", (" Paris", [7042])), named(" Paris, so", (" Paris, so", [7042, 28, 588]))
    assert caption.target_name(one) == "' Paris' (id 7042)"
    assert [label.name for label in caption.classes(one, 4)[0]] == ["' Paris' (id 7042)", "' the'"]
    assert caption.heading(one).startswith("' Paris' (id 7042) (p = 0.700")
    assert caption.target_name(two) == "' Paris, so' (ids 7042, 28, 588)"
    assert [label.name for label in caption.classes(two, 1)[0]] == ["' Paris'", "' Paris, so' (ids 7042, 28, 588)"]
    rather = named(" Paris rather than  Rome", (" Paris", [7042]), (" Rome", [6201]))
    assert caption.target_name(rather) == "' Paris' (id 7042) rather than ' Rome' (id 6201)"
    whole = named("the whole distribution")
    assert caption.target_name(whole) == "the whole distribution"
    assert caption.label_name(whole, " the") == "' the'"
    assert caption.label_name({**one, "record": {}}, " Paris") == " Paris"
