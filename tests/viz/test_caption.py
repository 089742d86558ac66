from __future__ import annotations

import math

import pytest

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from saved_results import CASES, build, special


def test_numbers_of_bits() -> None:
    shown = [caption.bits(value) for value in (0.0, 0.001, 0.5, 9.994, 9.996, 99.94, 99.96, 123456.0)]
    assert shown == ["0", "<0.01", "0.50", "9.99", "10.0", "99.9", "100", "123,456"]
    assert [caption.bits(value, signed=True) for value in (-0.5, 0.0, 12.34)] == ["-0.50", "0", "+12.3"]
    assert caption.bits(math.nan) == "not finite"


def test_needed_and_carried_with_their_unit() -> None:
    sentence = caption.needed(build("a", [special("[CLS]", 18.042)]))
    assert sentence == "The prediction needed 18.0 bits of the 1,804 bits that layer 4 carries (1.0%)."


@pytest.mark.parametrize("carried", [0.0, 1.0])
def test_more_than_the_open_mask_lets_through_is_not_what_was_needed(carried: float) -> None:
    said = caption.needed(build("a", [special("[CLS]", 5.0)], carried_bits=carried)) or ""
    assert said.startswith("Nothing was narrowed: 5.00 bits pass at layer 4") and "%" not in said


def test_what_the_layer_carries_may_be_unknown() -> None:
    sentence = caption.needed(build("a", [special("[CLS]", 5.0)], carried_bits=None))
    assert sentence == "The prediction needed 5.00 bits at layer 4."


def test_layer_zero_is_the_embeddings() -> None:
    assert "that layer 0 (the embeddings) carries" in caption.needed(build("a", [], layer=0))


def test_truncation() -> None:
    assert caption.truncation(CASES["review"]()) is None
    assert (caption.truncation(CASES["long"]()) or "").startswith("412 tokens were cut off")
    assert (caption.truncation(build("a", [], truncated=1)) or "").startswith("1 token was cut off")


def test_strongest_words_whatever_their_sign() -> None:
    rows = caption.strongest(CASES["signed"](), 3)
    assert [(row.word, row.score) for row in rows] == [("superb", 6.8), ("thin", -4.1), ("but", 2.2)]
    assert rows[0].share == pytest.approx(6.8 / (0.02 + 0.6 + 0.1 + 4.1 + 2.2 + 0.05 + 1.4 + 0.3 + 6.8 + 0.4 + 1.1))


def test_tokens_take_the_place_of_missing_words() -> None:
    assert [row.word for row in caption.strongest(CASES["wordless"](), 2)] == ["superb", "thin"]


def test_shares_do_not_exceed_the_whole(attribution: AttributionDict) -> None:
    rows = caption.strongest(attribution, 1000)
    assert all(row.score != 0 and 0 < row.share <= 1 for row in rows)
    assert sum(row.share for row in rows) <= 1 + 1e-9


def test_the_target_is_listed_however_improbable() -> None:
    probabilities = {f"label {number}": (20 - number) / 210 for number in range(20)}
    listed = caption.classes(build("a", [], probabilities=probabilities, predicted="label 0", target="label 19"), 3)
    assert [label for label, _ in listed] == ["label 0", "label 1", "label 2", "label 19"]


def test_what_has_no_probability_is_listed_all_the_same() -> None:
    contrast = build("a", [], target="negative rather than positive")
    assert caption.classes(contrast, 1)[1:] == [("negative rather than positive", None)]
    assert caption.probability(contrast) == ""
    number = build("a", [], probabilities={}, target="0.53", predicted="0.53")
    assert caption.classes(number, 3) == [("0.53", None)]
    assert caption.probability(CASES["review"]()) == "p = 0.986"


def test_the_meaning_names_bits_and_the_sign_only_where_there_is_one() -> None:
    assert "bit" in caption.what_a_bit_is(signed=False)
    assert "against" not in caption.what_a_bit_is(signed=False)
    assert "against" in caption.what_a_bit_is(signed=True)
    assert caption.unit(False) == "information (bits)"


def test_evidence_has_a_unit_and_a_meaning_of_its_own() -> None:
    config = {"readout": "evidence", "points": 3}
    result = build("a", [special("[CLS]", -0.5)], config=config, layers=[1, 2, 3])
    kind = caption.kind(result)
    assert caption.unit(True, kind) == "evidence for the target (bits)"
    assert "log2 p(target)" in caption.meaning(True, kind)
    assert "3 points" in (caption.needed(result) or "")
    assert not caption.counts_needed(kind) and caption.counts_needed("narrows")
    assert caption.where(result) == "layers 1 to 3"


def test_a_file_of_an_earlier_version_knows_one_layer() -> None:
    result = build("a", [])
    del result["layers"]  # type: ignore[misc]
    assert caption.where(result) == "layer 4"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {},
            "Measured at 10 points on the way, per layer. The more of them, the closer the evidence of all tokens",
        ),
        ({"stretch": [0.2, 0.8]}, "Measured at 10 points between 20% and 80% of the way, per layer."),
        (
            {"rounds": 2},
            "Measured at 10 points on the way, per layer, in 2 rounds: a strong token is closed once it is",
        ),
        ({"rounds": 2}, "its own number is raised above theirs. So the numbers rank the tokens, and do not add up."),
        ({"rounds": 2, "stretch": [0.0, 0.5]}, "Measured at 10 points between 0% and 50% of the way, per layer, in 2"),
    ],
)
def test_how_evidence_was_read(settings: dict[str, object], sentence: str) -> None:
    config = {"layer": 4, "readout": "evidence", "points": 10, **settings}
    said = caption.needed(build("a", [special("[CLS]", 1.0)], config=config)) or ""
    assert said.startswith("Measured at 10 points") and sentence in said
    assert ("adds up" in said) == (not settings)


def test_evidence_of_a_target_without_a_probability_is_not_called_one() -> None:
    result = build("a", [special("[CLS]", 1.0)])
    assert caption.is_probable(result)
    assert not caption.is_probable({**result, "target": "positive rather than negative"})
    assert "one bit doubles the probability" in caption.meaning(True, caption.EVIDENCE)
    said = caption.meaning(True, caption.EVIDENCE, probable=False)
    assert "probability" not in said and "lowers the loss of the target" in said
