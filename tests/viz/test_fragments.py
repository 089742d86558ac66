from __future__ import annotations

import re
from dataclasses import replace

import pytest

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz.fragments import (
    Removal,
    removal_sentence,
    render_beside_part,
    render_heat_part,
    render_list,
    render_parts,
    render_removal_part,
    render_series_part,
)
from narrows.viz.spans import at_level
from saved_results import CAPTION, CASES, build, hostile, layers, pair, review, special, tokens_of

OURS = (
    "div style section p b bdi span i table thead tbody tfoot tr th td h2 details summary pre "
    "sup svg text line rect polyline circle figure figcaption ul li button"
)
ELEMENTS = re.compile(rf"<(?!/?(?:{OURS.replace(' ', '|')})\b)")


def untouched(attribution: AttributionDict, **changes: object) -> Removal:
    p = attribution["probabilities"].get(attribution["target"], 0.5)
    ends = ((0, p), (11, 0.5))
    return replace(Removal((), 0, p, "positive", False, 11, ((0, p),), ends, ends), **changes)  # type: ignore[arg-type]


def parts(attribution: AttributionDict) -> str:
    return "".join(render_parts(attribution).values())


def test_no_element_is_made_by_a_text(attribution: AttributionDict) -> None:
    others = [render_list([attribution, attribution]), render_beside_part([attribution], "<b>note</b>")]
    for html in (*others, parts(attribution), render_removal_part(attribution, untouched(attribution))):
        assert not ELEMENTS.search(html)
        assert "<b>note" not in html
        assert "\x1b" not in html


def test_a_list_shows_every_result_and_says_how_many_it_leaves_out() -> None:
    html = render_list([make() for make in CASES.values()])
    assert html.count('<section class="row">') == len(CASES)
    assert html.count("<style>") == 1
    assert "(p = 0.986); Information, layer 4" in html
    assert "<b>a rather than b</b>; predicted: <b>positive</b>; Information" in render_list(
        [{**review(), "target": "a rather than b"}]
    )
    long = render_list([review()] * 60)
    assert long.count('<section class="row">') == 50
    assert "10 more results are not shown" in long
    assert '<section class="row">' not in render_list([])


def test_a_list_of_layers_is_a_heat_map() -> None:
    html = render_list(layers())
    assert "Heat map, tokens by layers" in html
    assert html.count('<td class="number t ') == 6 * 13
    assert "<style>" not in render_heat_part(layers())


def test_a_word_that_was_cut_up_is_shaded_whole_and_tells_its_tokens() -> None:
    text = "unbelievable film"
    first, second, film = tokens_of("unbeliev able film", [3.0, 5.0, 1.0])
    second.update(token="##able", start=8, end=12)
    film.update(start=13, end=17)
    tokens = [special("[CLS]", 1.0), first, second, film]
    word = {"word": "unbelievable", "start": 0, "end": 12, "segment": 0, "score": 8.0, "rank": 1}
    other = {"word": "film", "start": 13, "end": 17, "segment": 0, "score": 1.0, "rank": 3}
    result = build(text, tokens, words=[word, other])
    html = parts(result)
    assert 'data-tip="unbelievable: 8.00 bits, rank 1 of 3 (unbeliev 3.00, able 5.00)" aria-label' in html
    assert 'data-tip="film: 1.00 bits, rank 3 of 3" aria-label' in html
    by_token = parts(at_level(result, "token"))
    assert 'data-tip="able: 5.00 bits, rank 1 of 3" aria-label' in by_token
    assert "Strongest tokens" in by_token
    with pytest.raises(InputError, match="word, token, not 'sentence'"):
        at_level(result, "sentence")  # type: ignore[arg-type]


def test_words_can_be_pressed_and_labels_clicked() -> None:
    html = parts(review())
    assert html.count('role="button" aria-pressed="false"') == 11
    assert re.search(r'data-word="(\d+)" data-tip="superb: 9.80 bits, rank 1 of 11" aria-label="superb: 9.80', html)
    assert re.findall(r'data-target="(\w+)"', html) == ["positive", "negative"]
    assert "Not calibrated" in html


def test_a_sentence_says_what_striking_out_did_and_a_curve_draws_it() -> None:
    saved = review()
    now = untouched(
        saved, removed=(10,), words=1, p=0.25, decision="negative", flips=True, by_hand=((0, 0.99), (1, 0.25))
    )
    said = "Without this word the decision flips to negative: p(positive) 0.99 \u2192 0.25."
    assert removal_sentence(saved, now) == said
    html = render_removal_part(saved, now)
    assert said in html
    assert 'class="hand" points="0.0,1.3 29.1,97.5"' in html
    assert "these 2 words the decision stays positive" in removal_sentence(
        saved, replace(now, words=2, flips=False, decision="positive")
    )
    assert "Without" not in render_removal_part(saved, untouched(saved))


def test_side_by_side_each_has_its_heading() -> None:
    html = render_beside_part([review(), pair()], "Kendall's tau 0.5")
    assert "positive (p = 0.986), Information, layer 4" in html
    assert "contradiction (p = 0.947), Information, layer 4" in html
    assert "Kendall&#39;s tau 0.5" in html
    assert "&lt;img src=x" in render_beside_part([hostile()])


def test_side_by_side_one_is_told_when_the_scales_differ() -> None:
    one = review()
    other = {**one, "method": {**one["method"], "quantity": "score", "unit": "nats of log p"}}
    assert "each map has its own scale" in render_beside_part([one, other])  # type: ignore[list-item]
    assert "own scale" not in render_beside_part([one, one])


def test_a_series_shows_each_setting_and_the_curve_that_they_make() -> None:
    first = review()
    trace = [{**first["trace"][-1], "cross_entropy": 0.0, "information": 1.0}]
    strong: AttributionDict = {**first, "trace": trace}  # type: ignore[typeddict-item]
    html = render_series_part([first, strong], ["1e-3", "10"], "beta")
    assert html.count('<section class="row">') == 2
    assert "beta <b>1e-3</b>" in html
    assert "p(positive) through the bottleneck = 1.000" in html
    assert 'points="0.0,0.0 320.0,' in html
    assert "<polyline" not in render_series_part([first], ["1"], "beta")
    assert "<script" not in render_series_part([hostile(), hostile()], ["<script>", "b"], "<script>")


def test_a_list_shares_one_scale_unless_asked_otherwise() -> None:
    weak = build("weak", tokens_of("weak", [0.098]))
    assert re.search(r'class="t p0" title="weak: 0.098 bits, rank 1 of 1"', render_list([review(), weak]))
    assert re.search(r'class="t p24" title="weak', render_list([review(), weak], shared=False))
    assert render_list([review(), weak]).count("<span>9.80</span>") == 2
    assert render_list([review(), weak]).count(CAPTION) == 1


def test_a_curve_has_numbers_and_names_on_its_axes() -> None:
    html = render_removal_part(review(), untouched(review()))
    found = re.findall(r'<text class="tick[^>]*>([^<]*)</text>', html)
    assert found == ["0", "0.5", "1", "0", "5", "10", "tokens removed", "p(positive)"]
    assert "least relevant first" in html
