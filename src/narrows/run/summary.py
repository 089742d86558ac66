"""What a whole run says: which words, and which words beside each other, speak for each target, and which against it.

The run is read twice, row by row. First each word is tallied; the tally holds so many words at most, and lets go of the
rarest when it is full (lossy counting; Manku and Motwani 2002). Then the words with the strongest evidence, by the end
of its interval that is next to 0, are counted anew, exactly, with the bootstrap over the texts. So memory does not grow
with the number of texts, and the summary says which words may have been missed for that.
"""

import heapq
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from rich.console import Console

from narrows.data.labels import is_right
from narrows.data.output import write_whole
from narrows.data.parquet import TOKEN, read_rows, tokens_of
from narrows.data.schema import SummaryDict
from narrows.data.words import find_words
from narrows.errors import DataError, InputError, count, need
from narrows.run.finished import read_manifest
from narrows.run.parts import part_file, present_parts
from narrows.viz.strongest import render_summary, summary_csv, summary_page

Group = Literal["all", "right", "wrong"]
EntryKind = Literal["word", "pair"]
Key = tuple[str, Group, EntryKind, str]  # target, texts, kind, the word or the two words

READ = ("row", "text", "text_pair", "gold", "target", "predicted", "labels", "error", *TOKEN.values())
MOST_WORDS = 200_000  # in the tally: 73 MB
REPLICATES = 1000  # of the bootstrap; fewer where very many words are chosen, so that memory stays bounded
LEAST = 100  # replicates
MOST_DRAWN = 10_000_000  # numbers of the bootstrap, 160 MB
REPORTED = 100  # texts between two reports
Z = 1.96  # of the interval by which words are chosen
EXAMPLES = 3  # texts that are shown of each word
AROUND = 40  # characters on both sides of it


@dataclass(frozen=True)
class Entry:
    """One word, or two beside each other, in the texts that are explained for a target."""

    target: str  # what is explained
    group: Group  # of which texts: ``all``, or those that the model is ``right`` or ``wrong`` about
    kind: EntryKind  # ``word`` or ``pair``
    words: str  # in lower case
    mean: float  # of its score, over all its occurrences, in the unit of the run; of a pair the sum of both
    low: float  # lower end of the 95 % bootstrap interval over the texts
    high: float  # upper end
    beyond: float | None  # by how much a pair differs from what its words have elsewhere, on average; None for a word
    texts: int  # in how many it occurs
    count: int  # how often
    examples: tuple[str, ...]  # some of them, where its scores are highest, or lowest if it speaks against the target


@dataclass(frozen=True)
class Summary:
    """The strongest words of a run."""

    run: str  # name of the run, or of both
    unit: str  # of the scores
    texts: int  # how many were explained; of two runs, how many of the same texts for the same target
    entries: tuple[Entry, ...]  # the words, by target, group and kind, those that speak for the target most first
    missed: int = 0  # words in more texts than this are all among those to choose from

    def to_dict(self) -> SummaryDict:
        """Give the saved form."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    def show(self) -> None:
        """Print the strongest words of all texts to the terminal."""
        Console().print(render_summary(self.to_dict()))

    def save(self, path: str | Path) -> None:
        """Write ``.html``, a page with bars and examples, ``.csv``, or ``.json``; or an `InputError`."""
        write_whole(Path(path), check_format(path)(self.to_dict()))

    def to_frame(self) -> Any:
        """Give a pandas data frame, a row for each entry."""
        return need("pandas", "data frames need pandas: pip install pandas").DataFrame(
            [asdict(own) for own in self.entries]
        )


@dataclass(frozen=True)
class _Said:
    """What one text says."""

    row: int
    target: str
    groups: tuple[Group, ...]
    text: str
    text_pair: str | None
    words: "list[_Word]"


class _Word(NamedTuple):
    """A word of a text, or two beside each other."""

    kind: EntryKind
    words: str
    score: float
    place: tuple[int, int, int]  # segment, first character, character after the last


@dataclass(slots=True)
class _Tally:
    """What is known of a word so far; n occurrences with the sum s in each text."""

    missed: int = 0  # in so many texts at most it was before
    texts: int = 0
    n: int = 0
    s: float = 0.0
    nn: float = 0.0
    sn: float = 0.0
    ss: float = 0.0

    def add(self, n: int, s: float) -> None:
        self.texts, self.n, self.s = self.texts + 1, self.n + n, self.s + s
        self.nn, self.sn, self.ss = self.nn + n * n, self.sn + s * n, self.ss + s * s

    @property
    def mean(self) -> float:
        return self.s / self.n

    @property
    def error(self) -> float:
        """Standard error of the mean over texts, of a ratio of sums (Cochran 1977, section 6); of one text the mean."""
        mean = self.mean
        if self.texts == 1:
            return abs(mean)
        spread = max(0.0, self.ss - 2 * mean * self.sn + mean * mean * self.nn)
        return float(np.sqrt(spread * self.texts / (self.texts - 1))) / self.n


def check_format(path: str | Path) -> Callable[[SummaryDict], str]:
    """Find what writes a file of this name; an `InputError` if nothing does."""
    writers = {".html": summary_page, ".csv": summary_csv, ".json": lambda own: json.dumps(own, indent=1) + "\n"}
    if (suffix := Path(path).suffix) not in writers:
        raise InputError(f"cannot write {path}: the name must end in {', '.join(writers)}")
    return writers[suffix]


def summarize_run(
    folder: str | Path,
    against: str | Path | None = None,
    limit: int = 25,
    min_texts: int = 5,
    report: Callable[[float, float], None] = lambda done, total: None,
) -> Summary:
    """Find the words that speak for and against each target of a run most, or in which two runs differ most.

    Args:
        folder: Of the run, or of one method of an evaluation (``OUT/maps/NAME``).
        against: Folder of another run over the same texts: then a word's score is that of the first less that of the
            second, in texts with the same target.
        limit: How many words of each target, group, kind and side.
        min_texts: In how many texts a word must be.
        report: Called with rows read and rows in all, twice as many as there are.

    Raises:
        DataError: If it is no run, or no text has a word often enough.
        InputError: If the runs have different units.
    """
    limit, min_texts = count("limit", limit), count("min_texts", min_texts)
    folders = [Path(each) for each in ((folder,) if against is None else (folder, against))]
    totals = [_rows_of(each) for each in folders]
    units = {unit for each in folders if (unit := _unit(each)) is not None}
    if len(units) > 1:
        raise InputError(f"runs with scores in {' and in '.join(sorted(units))} cannot be compared")
    if not units:
        raise DataError(f"{folders[0]}: there is no text to sum up")

    def said(done: int) -> Iterator[_Said]:
        for number, own in enumerate(_said(folders[0]) if against is None else _differences(*folders)):
            if number % REPORTED == 0:
                report(done + own.row, 2 * totals[0])
            yield own

    tallies, texts, missed = _tally(said(0))
    chosen = _choose(tallies, limit, min_texts)
    if not chosen:
        raise DataError(f"{folders[0]}: no word is in {min_texts} of {texts} texts: ask for fewer")
    entries = _count(said(totals[0]), chosen, min_texts)
    report(2 * totals[0], 2 * totals[0])
    return Summary(" less ".join(each.name for each in folders), units.pop(), texts, tuple(entries), missed)


def _rows_of(folder: Path) -> int:
    """Say how many rows a run has, finished or not."""
    manifest, _ = read_manifest(folder)
    return int((manifest.get("result") or {}).get("rows") or manifest["source"]["rows"] or 0)


def _unit(folder: Path) -> str | None:
    """Read the unit of the scores; None if no text was explained."""
    parts = (part_file(folder, part) for part in present_parts(folder))
    return next(
        (row["unit"] for part in parts for row in read_rows(part, ("unit", "error")) if row["error"] is None), None
    )


def _said(folder: Path) -> Iterator[_Said]:
    """Read what the explained texts of a run say, row by row."""
    for part in present_parts(folder):
        for row in read_rows(part_file(folder, part), READ):
            if row["error"] is None:
                right = is_right(row["predicted"], row["gold"], row["labels"])
                groups: tuple[Group, ...] = ("all",) if right is None else ("all", "right" if right else "wrong")
                yield _Said(row["row"], row["target"], groups, row["text"], row["text_pair"], list(_words(row)))


def _words(row: Mapping[str, Any]) -> Iterator[_Word]:
    """List the words of a text with their scores, then every two beside each other."""
    words = find_words(row["text"], row["text_pair"], tokens_of(row))
    for word in words:
        yield _Word("word", word.text.casefold(), word.score, (word.segment, word.start, word.end))
    for one, other in pairwise(words):
        if one.segment == other.segment:
            both = f"{one.text} {other.text}".casefold()
            yield _Word("pair", both, one.score + other.score, (one.segment, one.start, other.end))


def _differences(folder: Path, against: Path) -> Iterator[_Said]:
    """Read the texts that two runs explain for the same target: words with the first score less the second."""
    others = _said(against)
    other = next(others, None)
    for own in _said(folder):
        while other is not None and other.row < own.row:
            other = next(others, None)
        if other is None:
            return
        if other.row != own.row or other.target != own.target:
            continue
        if (other.text, other.text_pair) != (own.text, own.text_pair):
            raise InputError(f"{folder} and {against} are of different texts: row {own.row} differs")
        scores = {(word.kind, word.place): word.score for word in other.words}
        same = [w._replace(score=w.score - scores[key]) for w in own.words if (key := (w.kind, w.place)) in scores]
        yield replace(own, words=same)


def _by_key(said: _Said) -> dict[tuple[EntryKind, str], tuple[int, float]]:
    """Count each word of a text, and sum up its scores."""
    found: dict[tuple[EntryKind, str], tuple[int, float]] = {}
    for word in said.words:
        n, s = found.get((word.kind, word.words), (0, 0.0))
        found[word.kind, word.words] = n + 1, s + word.score
    return found


def _tally(stream: Iterable[_Said]) -> tuple[dict[Key, _Tally], int, int]:
    """Tally all words, as long as there is room: then those in the fewest texts go, and may come again."""
    # Who comes again may have been in as many texts as any that went: so no word in more texts than that is lost.
    tallies: dict[Key, _Tally] = {}
    texts = missed = 0
    for said in stream:
        texts += 1
        for (kind, words), (n, s) in _by_key(said).items():
            for group in said.groups:
                key = said.target, group, kind, words
                if (own := tallies.get(key)) is None:
                    own = tallies[key] = _Tally(missed)
                own.add(n, s)
        while len(tallies) > MOST_WORDS:
            missed += 1
            tallies = {key: own for key, own in tallies.items() if own.texts + own.missed > missed}
    return tallies, texts, missed


def _choose(tallies: Mapping[Key, _Tally], limit: int, min_texts: int) -> dict[Key, float]:
    """Choose the strongest words on both sides, and of pairs those that differ most from their words; give means."""
    ranked: dict[tuple[str, Group, EntryKind], list[tuple[float, float, Key, float]]] = defaultdict(list)
    for key, own in tallies.items():
        if own.texts + own.missed >= min_texts:
            value, margin = own.mean, Z * own.error
            if key[2] == "pair":
                parts = [tallies.get(part) for part in _parts(key)]
                if len(parts) != 2 or None in parts:
                    continue
                value -= sum(part.mean for part in parts if part is not None)
            ranked[key[:3]].append((value - margin, value + margin, key, own.mean))
    chosen: dict[Key, float] = {}
    for found in ranked.values():
        first = sorted((own for own in found if own[0] > 0), key=lambda own: (-own[0], own[2]))[:limit]
        last = sorted((own for own in found if own[1] < 0), key=lambda own: (own[1], own[2]))[:limit]
        chosen |= {key: mean for _, _, key, mean in (*first, *last)}
    return chosen


def _parts(key: Key) -> list[Key]:
    """List the words of a pair."""
    target, group, _, words = key
    return [(target, group, "word", word) for word in words.split(" ")]


def _count(stream: Iterable[_Said], chosen: Mapping[Key, float], min_texts: int) -> list[Entry]:
    """Count the chosen words exactly, with the Poisson bootstrap over the texts (Chamandy et al. 2012)."""
    number = {key: place for place, key in enumerate(chosen)}
    replicates = min(REPLICATES, max(LEAST, MOST_DRAWN // len(chosen)))
    exact = {part: _Tally() for key in chosen for part in (key, *(_parts(key) if key[2] == "pair" else ()))}
    asked = {key[2:] for key in exact}
    moments = np.zeros((len(chosen), 2, replicates))  # sums of the scores, numbers of occurrences
    examples: list[list[tuple[float, str]]] = [[] for _ in chosen]
    for said in stream:
        weights = None
        for (kind, words), (n, s) in _by_key(said).items():
            if (kind, words) not in asked:
                continue
            for key in [(said.target, group, kind, words) for group in said.groups]:
                if (own := exact.get(key)) is not None:
                    own.add(n, s)
                if (place := number.get(key)) is None:
                    continue
                if weights is None:
                    weights = np.random.default_rng([0, said.row]).poisson(1.0, replicates).astype(float)
                moments[place] += np.multiply.outer((s, n), weights)
                shown, value = examples[place], (s if chosen[key] >= 0 else -s) / n
                if len(shown) < EXAMPLES or value >= shown[-1][0]:
                    shown[:] = heapq.nlargest(EXAMPLES, [*shown, (value, _around(said, kind, words))])
    entries = []
    for key, (top, below), shown in zip(chosen, moments, examples, strict=True):
        if (own := exact[key]).texts < min_texts:
            continue
        means = top[below > 0] / below[below > 0]
        low, high = np.percentile(means, [2.5, 97.5]).tolist() if len(means) else (own.mean, own.mean)
        beyond = own.mean - sum(exact[part].mean for part in _parts(key)) if key[2] == "pair" else None
        entries.append(Entry(*key, own.mean, low, high, beyond, own.texts, own.n, tuple(text for _, text in shown)))
    order = {name: place for place, name in enumerate((*get_args(Group), *get_args(EntryKind)))}
    return sorted(entries, key=lambda own: (own.target, order[own.group], order[own.kind], -own.mean, own.words))


def _around(said: _Said, kind: EntryKind, words: str) -> str:
    """Cut out the text around a word."""
    best = max((own for own in said.words if (own.kind, own.words) == (kind, words)), key=lambda own: abs(own.score))
    segment, start, end = best.place
    text = (said.text, said.text_pair)[segment] or ""
    before, after = max(0, start - AROUND), min(len(text), end + AROUND)
    return f"{'...' if before else ''}{text[before:after]}{'...' if after < len(text) else ''}"
