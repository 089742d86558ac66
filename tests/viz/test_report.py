from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz.report import Graded, render_report
from narrows.viz.spans import segments, visible
from saved_results import CASES, HOSTILE, LIME, build, by, hostile, long, pair, review, signed, tokens_of
from saved_summaries import method, run, runs

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
ABOUT = {"model": "sentiment", "command": "narrows evaluate --dataset imdb"}
KNOWN = {"html", "head", "meta", "title", "style", "body", "main", "section", "article", "h1", "h2", "h3", "p", "span"}
KNOWN |= {"div", "table", "thead", "tbody", "tr", "th", "td", "small", "b", "br", "i", "bdi", "a", "img", "details"}
KNOWN |= {"summary", "svg", "rect", "h4", "figure", "figcaption", "polyline", "line", "text"}


class Reader(HTMLParser):
    """Reads a page back: its elements, the cells of its tables (bold after a star), the texts of its maps."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.maps: list[str] = []
        self._in_map = False
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "br" and self.tables:
            self.tables[-1][-1][-1] += " "
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "p" and attributes.get("class") == "text":
            self.maps.append("")
            self._in_map = True
        elif tag == "b":
            self.tables[-1][-1][-1] += "*"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        self._in_map = self._in_map and tag != "p"

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if self._in_map:
            self.maps[-1] += data


def graded(attribution: AttributionDict, **changes: Any) -> Graded:
    values = {"drop": 0.8, "p_before": 0.95, "p_after": 0.15, "dataset": "imdb", "method": "Evidence (fast)"}
    return Graded(attribution, **{**values, **changes})


def page_of(**changes: Any) -> str:
    given = {"summaries": runs(3, 2), "figures": {}, "most": [], "least": [], "about": ABOUT, **changes}
    return render_report(**given)


def test_a_table_per_data_set_with_intervals_and_the_best_in_bold() -> None:
    reader = Reader(page_of())
    table = reader.tables[0]
    assert [cell.split(" high")[0].split(" low")[0] for cell in table[0]] == [
        "method",
        "drop at 11 %",
        "MoRF area",
        "LeRF area",
        "comprehen\u00adsiveness",
        "sufficiency",
        "flips",
        "seconds per text",
        "forward-equiv. per text",
    ]
    narrows = runs(3, 2)[0]["methods"]["fast"]
    assert table[1][:2] == ["Evidence (fast)", "*0.285 0.255 to 0.320"]
    assert table[1][2].startswith(f"*{narrows['area_morf']:.3f} ")
    assert table[1][4:] == ["*0.385", "*0.158", "*34.2 %", "0.600", "60.0"]
    assert [row[0] for row in table] == ["method", "Evidence (fast)", "IBA (paper)", "random"]
    assert not any("*" in cell for row in table[2:] for cell in row)


def test_low_is_good_where_it_is_and_cost_has_no_best() -> None:
    low = method("a", "A", 0.1, 1.0, area_morf=0.2, area_lerf=0.2, comprehensiveness=0.2, sufficiency=0.2, flips=0.2)
    high = method("b", "B", 0.1, 2.0, area_morf=0.3, area_lerf=0.3, comprehensiveness=0.3, sufficiency=0.3, flips=0.3)
    _, first, second = Reader(page_of(summaries=[run("imdb", [low, high], comparisons=[])])).tables[0]
    assert ["*" in cell for cell in first] == [False, True, True, False, False, True, False, False, False]
    assert ["*" in cell for cell in second] == [False, True, False, True, True, False, True, False, False]


def test_the_drop_at_five_shares_of_the_tokens() -> None:
    table = Reader(page_of()).tables[1]
    assert table[0] == ["method", "5 %", "11 %", "20 %", "33 %", "50 %"]
    drops = runs(3, 2)[0]["methods"]["fast"]["drops"]
    assert table[1] == ["Evidence (fast)", *(f"*{drops[share]:.3f}" for share in ("5", "11", "20", "33", "50"))]
    assert not any("*" in cell for row in table[2:] for cell in row)


def test_all_texts_of_a_report_share_one_scale() -> None:
    strong, weak = review(), build("weak", tokens_of("weak", [0.98]))
    page = page_of(most=[graded(strong)], least=[graded(weak)])
    assert re.search(r'class="t p2"[^>]*>weak<', page)


def test_pairs_are_bold_only_where_the_interval_leaves_out_zero() -> None:
    comparisons = [
        {"method": "ig", "other": "lime", "measure": "drop_11", "difference": 0.05, "interval": [0.01, 0.09]},
        {"method": "ig", "other": "lime", "measure": "area_morf", "difference": 0.02, "interval": [-0.01, 0.05]},
        {"method": "lime", "other": "gone", "measure": "drop_11", "difference": -0.07, "interval": [-0.1, -0.04]},
    ]
    methods = [method("ig", "IG", 0.2, 1.0), method("lime", "LIME", 0.2, 1.0)]
    pairs = [{**comparison, "win_rate": 0.625} for comparison in comparisons]
    reader = Reader(page_of(summaries=[run("imdb", methods, comparisons=pairs)]))
    assert reader.tables[2] == [
        ["method", "against", "drop at 11 %: better by", "better on", "MoRF area: better by", "better on"],
        ["IG", "LIME", "*+0.050 0.010 to 0.090", "62.5 %", "+0.020 -0.010 to 0.050", "62.5 %"],
        ["LIME", "gone", "*-0.070 -0.100 to -0.040", "62.5 %", "\u2013", "\u2013"],
    ]


def test_figures_are_images_within_the_page() -> None:
    reader = Reader(page_of(figures={"Curves <1>": SVG}))
    images = [attributes for tag, attributes in reader.elements if tag == "img"]
    assert [image["alt"] for image in images] == ["Curves <1>"]
    head, _, data = (images[0]["src"] or "").partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(data).decode() == SVG
    with pytest.raises(InputError, match="no SVG"):
        page_of(figures={"Curves": "a.png"})


def test_texts_with_their_maps_and_what_removal_did() -> None:
    most = [graded(review()), graded(pair(), drop=0.7, p_after=0.25)]
    least = [graded(signed(), drop=-0.01, p_before=0.1, p_after=0.11, dataset="a/mine.csv", method="LIME")]
    page = page_of(most=most, least=least)
    texts = [text for one in (*most, *least) for text in segments(one.attribution)]
    assert Reader(page).maps == texts
    assert "<h3>1. IMDB, Evidence (fast)</h3>" in page
    assert "p(positive): 0.950 before, 0.150 without the first ninth of the tokens; drop +0.800<" in page
    assert "<h3>1. a/mine.csv, LIME</h3>" in page
    assert "drop -0.010; predicted: positive<" in page
    assert page.index("Most faithful") < page.index("Least faithful")
    assert "faithful" not in page_of()


def test_the_curves_of_a_text_are_drawn_where_there_are_some() -> None:
    page = page_of(most=[graded(review())])
    assert "Step by step" in page
    assert "p(target) that is left" in page
    assert "Step by step" not in page_of(most=[graded({**review(), "trace": []})])


def test_maps_of_other_methods_have_their_unit() -> None:
    page = page_of(most=[graded(by(review(), LIME, trace=[]))])
    assert "weight:</span>" in page
    assert not re.search(r"\bbits\b", page)


@pytest.mark.parametrize("case", list(CASES))
def test_hostile_text_is_escaped(case: str) -> None:
    method_of_it = method("x", HOSTILE, 0.1, 1.0)
    summary = run(HOSTILE, [method_of_it, method("y", "Y", 0.2, 1.0)], model=HOSTILE, split=HOSTILE, target=HOSTILE)
    text = graded(CASES[case](), dataset=HOSTILE, method=HOSTILE)
    page = page_of(
        summaries=[summary], figures={HOSTILE: SVG}, most=[text], least=[text], about={HOSTILE: HOSTILE}, title=HOSTILE
    )
    for tag, attributes in Reader(page).elements:
        assert tag in KNOWN
        assert not any(name.startswith("on") or name in {"style", "srcdoc"} for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("src") or "data:image/svg+xml;base64,").startswith("data:image/svg+xml;base64,")
    assert not set(page) & {"\x00", "\x1b", "\r", "\u202e", "\x07"}
    assert visible(HOSTILE).split()[0].replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;") in page


def test_the_policy_allows_the_style_sheet_and_images_in_the_page_alone() -> None:
    page = page_of(figures={"a": SVG})
    policy = next(a["content"] for _, a in Reader(page).elements if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_nothing_is_fetched_and_nothing_runs() -> None:
    page = page_of(most=[graded(long())], figures={"a": SVG})
    page = re.sub(r"(base64,|sha256-)[A-Za-z0-9+/=]+", "", page)  # any of them may have // in it
    assert not re.search(r"(https?:)?//|url\(|@import|<link|<script|<iframe", page)


def test_what_the_run_is_of() -> None:
    reader = Reader(page_of())
    assert reader.tables[-1] == [["model", "sentiment"], ["command", "narrows evaluate --dataset imdb"]]
    assert "How this was made" not in page_of(about={})
    page = page_of(summaries=[run("rte", [method("ig", "IG", 0.1, 2.0)], max_tokens=128, instances=277)])
    assert "277 texts (test), model sentiment, target: gold, tokens removed by: delete, texts cut to 128 tokens" in page


def test_one_method_one_text_and_broken_numbers() -> None:
    broken = method("ig", "IG", math.nan, math.nan, area_morf=math.inf, instances=1)
    page = page_of(summaries=[run("imdb", [broken], instances=1)])
    assert "nan" in page
    assert "<b>" not in page
    assert "pairs)" not in page


def test_one_text_has_no_interval_and_scores_of_another_tool_no_cost() -> None:
    none = {name: None for name in ("drop_11_interval", "area_morf_interval", "area_lerf_interval")}
    drops = dict.fromkeys(("5", "11", "20", "33", "50"))
    cost = {"seconds": None, "forward_equivalents": None}
    made = [method(name, name, 0.3, 2.0, **none, drops_interval=drops, **cost) for name in ("mine", "yours")]
    summary = run("imdb", made, instances=1)
    summary["comparisons"] = [{**own, "interval": None} for own in summary["comparisons"]]
    page = render_report([summary], {}, [], [], ABOUT)
    assert not re.search(r"<small>[-0-9.]+ to", page)
    assert page.count(">unknown</td>") == 4


def test_the_same_page_twice_and_links_that_lead_somewhere() -> None:
    given = {"most": [graded(review()), graded(hostile())], "least": [graded(signed())], "figures": {"a": SVG}}
    page = page_of(**given)
    assert page == page_of(**given)
    elements = Reader(page).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "")[1:] for _, a in elements if "href" in a} <= set(ids)


def test_nothing_to_report() -> None:
    with pytest.raises(InputError, match="at least one run"):
        page_of(summaries=[])
