"""The strongest words of a run, as tables in the terminal, a page with bars, and CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from narrows.data.schema import EntryDict, SummaryDict
from narrows.viz import caption
from narrows.viz.html import document, fill
from narrows.viz.spans import one_line

GROUPS = {"all": "all texts", "right": "texts that the model is right about", "wrong": "texts that it is wrong about"}
_SHOWN = 10  # rows of a table in the terminal
_WIDTH, _MIDDLE = 200, 100  # of a bar, and where its 0 is


@dataclass(frozen=True)
class Section:
    """The words of one target in some texts."""

    target: str
    group: str
    forward: list[EntryDict]  # those that speak for it, the strongest first
    against: list[EntryDict]  # those that speak against it
    pairs: list[EntryDict]  # two beside each other, by how much they differ from their words


def sections(summary: SummaryDict) -> list[Section]:
    """Sort the words of a summary by target and texts."""
    names = dict.fromkeys((own["target"], own["group"]) for own in summary["entries"])
    found = []
    for target, group in sorted(names, key=lambda name: (list(GROUPS).index(name[1]), name[0])):
        own = [entry for entry in summary["entries"] if (entry["target"], entry["group"]) == (target, group)]
        words = [entry for entry in own if entry["kind"] == "word"]
        pairs = [entry for entry in own if entry["kind"] == "pair"]
        pairs.sort(key=lambda entry: -abs(entry["beyond"] or 0.0))
        forward = [entry for entry in words if entry["mean"] > 0]
        found.append(Section(target, group, forward, [entry for entry in words[::-1] if entry["mean"] <= 0], pairs))
    return found


def render_summary(summary: SummaryDict) -> RenderableType:
    """Draw the strongest words of all texts for the terminal."""
    about = f"{summary['run']}: {summary['texts']:,} texts, mean {summary['unit']} per word"
    parts: list[RenderableType] = [Text(" ".join((about, room(summary))).strip())]
    for section in (own for own in sections(summary) if own.group == "all"):
        for title, rows in _titled(section):
            table = Table(title=Text(one_line(title)), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
            for name in ("word", summary["unit"], "from", "to", "texts"):
                table.add_column(Text(name), justify="left" if name == "word" else "right")
            for row in rows[:_SHOWN]:
                numbers = (caption.number(row[key], True) for key in ("mean", "low", "high"))
                table.add_row(Text(one_line(row["words"])), *numbers, f"{row['texts']:,}")
            parts += [Text(), table] if rows else []
    return Group(*parts)


def room(summary: SummaryDict) -> str:
    """Say which words there was no room for; nothing if there was room for all."""
    missed = summary["missed"]
    return f"(words and pairs in {missed:,} texts or fewer may be missing: there are too many)" if missed else ""


def summary_page(summary: SummaryDict) -> str:
    """Draw all of a summary as one page that needs nothing but itself."""
    title = f"Narrows: the strongest words of {summary['run']}"
    return document("summary.html.j2", title, _values(summary))


def summary_part(summary: SummaryDict) -> str:
    """Draw all of a summary for a page that holds the style sheet."""
    return fill("part_summary.html.j2", _values(summary))


def _values(summary: SummaryDict) -> dict[str, Any]:
    largest = max((abs(end) for own in summary["entries"] for end in (own["low"], own["high"])), default=1.0) or 1.0

    def bar(entry: EntryDict) -> dict[str, str]:
        ends = (entry["mean"], entry["low"], entry["high"])
        mean, low, high = (_MIDDLE + (_WIDTH - _MIDDLE) * own / largest for own in ends)
        drawn = {"left": min(_MIDDLE, mean), "width": abs(mean - _MIDDLE), "low": low, "high": high}
        return {name: f"{at:.1f}" for name, at in drawn.items()}

    drawn = {"bar": bar, "largest": largest, "room": room(summary)}
    return {"summary": summary, "sections": sections(summary), "groups": GROUPS, "titled": _titled, **drawn}


def summary_csv(summary: SummaryDict) -> str:
    """Write a row for each word."""
    names = [name for name in EntryDict.__annotations__ if name != "examples"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, "example"])
    for own in summary["entries"]:
        writer.writerow([*(own[name] for name in names), *own["examples"][:1]])  # type: ignore[literal-required]
    return out.getvalue()


def _titled(section: Section) -> Sequence[tuple[str, list[EntryDict]]]:
    target = section.target
    return (
        (f"For {target}", section.forward),
        (f"Against {target}", section.against),
        (f"Two words that together differ from what each has elsewhere, for {target}", section.pairs),
    )
