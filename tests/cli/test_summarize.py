"""``narrows summarize``: on the terminal, and as a page, a table and JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from command import Runner, assert_one_line
from narrows.run import summarize_run
from saved_runs import Text, make_run


def test_it_is_shown_and_saved(run: Runner, tmp_path: Path) -> None:
    texts: list[Text] = [("<b>good</b> film", [3.0 + n / 9, -1.0 - n / 9], "x", "x" if n else "y") for n in range(9)]
    folder = make_run(tmp_path / "run", texts)
    for suffix in (".html", ".csv", ".json"):
        shown = run("summarize", folder, "--out", tmp_path / f"words{suffix}")
        assert shown.code == 0
        assert "For x" in shown.out and "Against x" in shown.out and "good" in shown.out
    page = (tmp_path / "words.html").read_text()
    assert "&lt;b&gt;good" in page and "<b>good" not in page
    rows = list(csv.DictReader((tmp_path / "words.csv").read_text().splitlines()))
    entries = json.loads((tmp_path / "words.json").read_text())["entries"]
    assert [row["words"] for row in rows] == [own["words"] for own in entries]
    frame = summarize_run(folder).to_frame()
    assert frame["mean"].tolist() == [own["mean"] for own in entries]
    assert_one_line(run("summarize", folder, "--out", tmp_path / "words.txt"), "must end in .html, .csv, .json")
    assert_one_line(run("summarize", tmp_path / "nowhere"), "nowhere")
