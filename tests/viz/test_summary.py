from __future__ import annotations

import csv
import io
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InputError
from narrows.viz.summary import best, headings, method_labels, summary_table
from saved_summaries import method, run, runs


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]


def test_methods_down_and_data_sets_across() -> None:
    rows = rows_of(summary_table(runs(), "markdown"))
    assert rows[0] == [
        "method",
        "IMDB (n = 500)",
        "MNLI-m (n = 500)",
        "MNLI-mm (n = 500)",
        "AG News (n = 500)",
        "RTE (n = 500)",
    ]
    assert rows[1] == ["---"] * 6
    assert [row[0] for row in rows[2:]][:3] == ["Evidence (fast)", "IBA (paper)", "IBA (released code)"]
    assert rows[2][1] == "**0.285** [0.255, 0.320]"  # the best of its column
    assert rows[3][1] == "0.216 [0.186, 0.251]"
    assert len(rows) == 2 + 12


def test_a_method_that_was_not_run_leaves_a_dash() -> None:
    one, other = run("imdb", [method("ig", "IG", 0.2, 20.0)]), run("rte", [method("lime", "LIME", 0.1, 100.0)])
    assert rows_of(summary_table([one, other], "markdown"))[2:] == [
        ["IG", "0.200 [0.170, 0.235]", "\u2013"],
        ["LIME", "\u2013", "0.100 [0.070, 0.135]"],
    ]
    assert "LIME & -- & 0.100" in summary_table([one, other], "latex")
    assert list(csv.reader(io.StringIO(summary_table([one, other], "csv")))) == [
        ["method", "IMDB", "IMDB low", "IMDB high", "RTE", "RTE low", "RTE high"],
        ["IG", "0.2", "0.17", "0.235", "", "", ""],
        ["LIME", "", "", "", "0.1", "0.07", "0.135"],
    ]


def test_latex_has_a_row_per_method() -> None:
    lines = summary_table(runs(3, 2), "latex").splitlines()
    assert lines[0] == r"\begin{tabular}{lcc}"
    assert lines[1] == r"method & IMDB (n = 500) & MNLI-m (n = 500) \\"
    assert lines[2] == r"\hline"
    assert lines[3] == r"Evidence (fast) & \textbf{0.285} [0.255, 0.320] & \textbf{0.361} [0.331, 0.396] \\"
    assert lines[-1] == r"\end{tabular}"
    assert len(lines) == 7


@pytest.mark.parametrize("format", ["markdown", "latex", "csv"])
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_name_stays_in_its_cell(format: Any, label: str, dataset: str) -> None:
    table = summary_table([run(dataset, [method("a", label, 0.1, 1.0), method("b", "plain", 0.2, 1.0)])], format)
    if format == "csv":
        assert [len(row) for row in csv.reader(io.StringIO(table))] == [4, 4, 4]
    elif format == "markdown":
        assert [len(row) for row in rows_of(table.replace("\\\\", ""))] == [2, 2, 2, 2]
    else:
        assert len(table.splitlines()) == 6
        assert re.findall(r"(?<!\\)&", table) == ["&"] * 3
    assert not set(table) & set("\x00\x1b\r\u202e")


def test_characters_that_mean_something_are_escaped() -> None:
    summary = run("imdb", [method("a", r"a|b_c*<i>[x](y) 50% & $x^2$ \~{}", 0.1, 1.0)])
    markdown, latex = summary_table([summary], "markdown"), summary_table([summary], "latex")
    assert r"| a\|b\_c\*\<i\>\[x\](y) 50% \& \$x^2\$ \\\~{} |" in markdown
    assert r"\$x\textasciicircum{}2\$ \textbackslash{}\textasciitilde{}\{\} & 0.100" in latex
    assert r"{[}x](y) 50\% \&" in latex


def test_nan_is_written_and_never_the_best() -> None:
    broken = method("ig", "IG", 0.2, 20.0, drop_11=math.nan, drop_11_interval=[math.nan, math.nan])
    table = summary_table([run("imdb", [broken, method("lime", "LIME", 0.1, 9.0)])], "markdown")
    assert rows_of(table)[2][1] == "nan [nan, nan]"
    assert "**" not in table
    assert best({"a": math.nan, "b": 1.0, "c": 1.0, "d": 0.5}, high_is_good=True) == {"b", "c"}
    assert best({"a": math.nan, "b": 1.0, "c": 0.5}, high_is_good=False) == {"c"}
    assert best({"a": 1.0}, high_is_good=True) == set()


def test_one_text_has_no_interval() -> None:
    found = [run("imdb", [method("ig", "IG", 0.2, 20.0, drop_11_interval=None, instances=1)], instances=1)]
    assert rows_of(summary_table(found, "markdown"))[2][1] == "0.200"
    assert summary_table(found, "csv").splitlines()[1] == "IG,0.2,,"


def test_runs_of_one_data_set_are_told_apart_by_what_they_differ_in() -> None:
    methods = [method("ig", "IG", 0.2, 20.0)]
    first = run("imdb", methods)
    assert headings([first, run("rte", methods)]) == ["IMDB", "RTE"]
    assert headings([first, run("imdb", methods, removal="mask"), run("data/my own.csv", methods)]) == [
        "IMDB, delete",
        "IMDB, mask",
        "my own.csv",
    ]
    assert headings([first, run("imdb", methods, model="bert", max_tokens=128)]) == [
        "IMDB, sentiment, uncut",
        "IMDB, bert, 128 tokens",
    ]


def test_labels_in_the_order_of_their_first_appearance() -> None:
    one, other = run("imdb", [method("ig", "IG", 0.2, 20.0)]), run("rte", [method("lime", "LIME", 0.1, 1.0)])
    assert method_labels([one, other]) == {"ig": "IG", "lime": "LIME"}


def test_nothing_to_show() -> None:
    for summaries in ([], [run("imdb", [])]):
        with pytest.raises(InputError, match="at least one run with one method"):
            summary_table(summaries, "markdown")
    with pytest.raises(InputError, match="markdown, latex, csv, not 'html'"):
        summary_table(runs(2, 1), "html")  # type: ignore[arg-type]
