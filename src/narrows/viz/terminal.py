"""Maps in the terminal: shaded where there is colour, and with a bar beneath each token where there is none."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from narrows.viz.checked import check_sentence
from narrows.viz.generation import READ_AT, Picture, chance
from narrows.viz.shade import LEVELS, Scale, Theme, scale_of_all, scales_of
from narrows.viz.spans import (
    Span,
    check_same_tokens,
    content,
    cut,
    labels,
    one_line,
    segments,
    shaded,
    unplaced,
    visible,
)

_BARS, _ASCII_BARS = ("▁▂▃▄▅▆▇█", "░▒▓"), ("12345678", "abc")  # for and against
_LEVEL = "narrows_level"  # key in the style of a token: how strong it is, for the bars of a terminal without colour
_WORDS = 8
_CELL = 7  # of the picture of layers: "999,999" fits
_TEXT_WIDTH = 100  # longer lines are hard to read


def render_map(attribution: AttributionDict, theme: Theme | None = None, scale: Scale | None = None) -> RenderableType:
    """Draw one result: the prediction, the text shaded by its scores, and what the numbers mean."""
    return _TokenMap(attribution, scale or scales_of([attribution])[0], theme)


def render_maps(attributions: Sequence[AttributionDict], theme: Theme | None = None) -> RenderableType:
    """Draw results below each other; those of one quantity and unit share one scale."""
    pairs = zip(attributions, scales_of(attributions), strict=True)
    return Group(*(render_map(attribution, theme, scale) for attribution, scale in pairs))


def render_layers(attributions: Sequence[AttributionDict], theme: Theme | None = None) -> RenderableType:
    """Draw one text at several layers: tokens down, layers across, one scale for all."""
    check_same_tokens(attributions)
    return _LayerMap(tuple(attributions), theme)


def render_generation(picture: Picture) -> RenderableType:
    """Draw a response: the texts shaded by the sum over the outputs, and a row for each output."""
    return _GenerationMap(picture)


class Canvas:
    """What the terminal can show of maps on one scale."""

    def __init__(
        self, scale: Scale, theme: Theme | None, result: AttributionDict, console: Console, options: ConsoleOptions
    ) -> None:
        # The 16 colours of an old terminal can be anything: no shade can be read off them.
        self.colour = not console.no_color and console.color_system in {"truecolor", "256"}
        # The last field is the background; 7 and 15 are the whites. Konsole, iTerm2, rxvt and others set it.
        white = os.environ.get("COLORFGBG", "").rpartition(";")[2] in {"7", "15"}
        self.theme: Theme = theme or ("light" if white else "dark")
        self.scale, self.result, self.console = scale, result, console
        self.encoding, self.bars = options.encoding, _ASCII_BARS if options.ascii_only else _BARS
        self.unit = visible(result["method"]["unit"], self.encoding)
        self.width = min(options.max_width, _TEXT_WIDTH)

    def style(self, level: int) -> Style:
        """Return how text of a level looks."""
        meta = {_LEVEL: level}
        if not level or not self.colour:
            return Style(meta=meta)
        colours = self.scale.shade(level, self.theme)
        return Style(color=colours.foreground, bgcolor=colours.background, meta=meta)

    def bar(self, level: int) -> str:
        """Return the character that stands for a level where there is no colour."""
        bars = self.bars[level < 0]
        return " " if level == 0 else bars[math.ceil(abs(level) / LEVELS * len(bars)) - 1]

    def line(self, text: str) -> str:
        """Return a text that is safe to print, on one line."""
        return one_line(text, self.encoding)

    def number(self, score: float) -> str:
        """Write a score."""
        return caption.number(score, self.scale.signed)

    def shaded(self, text: str, score: float) -> Text:
        """Return a word, shaded by its score."""
        return Text().append(self.line(text), self.style(self.scale.level(score)))

    def wrap(self, text: Text) -> Iterator[Text]:
        """Break a text into lines; without colour, bars beneath each say how strong its tokens are."""
        for line in text.wrap(self.console, self.width, overflow="fold", tab_size=4):
            yield line
            levels = [0] * len(line.plain)
            for start, end, style in line.spans:
                level = style.meta.get(_LEVEL, 0) if isinstance(style, Style) else 0
                levels[start:end] = [level] * (min(end, len(levels)) - start)
            bars = "".join(self.bar(level) * cell_len(own) for own, level in zip(line.plain, levels, strict=True))
            if bars.strip() and not self.colour:
                yield Text(bars.rstrip())

    def paragraph(self, spans: Sequence[Span]) -> Iterator[Text]:
        """Set a text, each of its spans shaded by its score."""
        paragraph = Text(overflow="fold")
        for span in spans:
            style = self.style(self.scale.level(span.score)) if span.tokens else ""
            paragraph.append(visible(span.text, self.encoding), style)
        yield from self.wrap(paragraph)

    def heading(self, attributions: Sequence[AttributionDict]) -> Group:
        """Draw the labels with their probabilities, and how the maps were made."""
        table = Table.grid(padding=(0, 2))
        for column in ("role", "label", "p"):
            table.add_column(column, overflow="fold" if column == "label" else "ellipsis")
        listed, hidden = caption.classes(self.result, count=4)
        for label in listed:
            name = Text(self.line(label.name), style="bold" if label.role else "")
            table.add_row(Text(label.role), name, Text(caption.chance(label.p, label.typical)))
        made = caption.origin(*attributions)
        if hidden > 0:
            made += f"; {hidden} more {'label is' if hidden == 1 else 'labels are'} not shown"
        return Group(table, Text(self.line(made), style="dim"))

    def legend(self) -> Text:
        """Return the scale with its ends and its unit."""
        if not self.scale.largest:
            return Text(f"every token: {caption.amount(0, self.unit)}")
        low, high = self.scale.ends()
        legend = Text(f"{visible(caption.quantity(self.result), self.encoding)}: {low} ")
        for level in self.scale.levels()[:: 3 if self.scale.signed else 2]:  # both halves fit a line of 80
            legend.append(" " if self.colour else self.bar(level), self.style(level))
        return legend.append(f" {high}")

    def notes(self, sentences: Sequence[str]) -> Iterator[Text]:
        """Give the scale and the sentences below it."""
        bold = [Text(note, style="bold") for note in caption.notes(self.result)]
        bold += [Text(note, style="bold red") for note in [caption.doubtful(self.result)] if note]
        for part in (self.legend(), *bold, *map(Text, map(self.line, sentences))):
            yield from part.wrap(self.console, self.width)

    def how(self) -> Iterator[Text]:
        """Give the mechanics of the method."""
        if how := self.line(self.result["method"]["how"]):
            yield Text()
            yield from Text(f"How this was made: {how}", style="dim").wrap(self.console, self.width)


@dataclass(frozen=True)
class _TokenMap:
    attribution: AttributionDict
    scale: Scale
    theme: Theme | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        canvas = Canvas(self.scale, self.theme, self.attribution, console, options)
        yield canvas.heading([self.attribution])
        yield Text()
        texts = segments(self.attribution)
        for segment in range(len(texts)):
            if len(texts) > 1:
                yield Text(("text", "text_pair")[segment], style="bold")
            yield from canvas.paragraph(shaded(self.attribution, segment))
            yield Text()
        if others := unplaced(self.attribution):
            line = Text("special tokens  ", overflow="fold")
            for place, span in enumerate(others):
                line.append("   " if place else "").append_text(canvas.shaded(span.text, span.score))
                line.append(f" {canvas.number(span.score)}")
            yield from canvas.wrap(line)
            yield Text()
        if checked := check_sentence(self.attribution):
            yield from Text(canvas.line(checked)).wrap(console, canvas.width)
            yield Text()
        yield from canvas.notes(caption.sentences(self.attribution))
        if (table := _word_table(self.attribution, canvas)).row_count:
            yield Text()
            yield table
        yield from canvas.how()


def _word_table(attribution: AttributionDict, canvas: Canvas) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(f"strongest {caption.kind(attribution)}s", overflow="fold", max_width=40)
    for name in (canvas.unit, "rank", "share") if attribution["method"]["additive"] else (canvas.unit, "rank"):
        table.add_column(Text(name), justify="right")
    for row in caption.strongest(attribution, _WORDS):
        word = Text(canvas.line(row.word), style="dim") if row.other else canvas.shaded(row.word, row.score)
        cells = [canvas.number(row.score), "" if row.rank is None else str(row.rank)]
        cells += [] if row.share is None else [caption.percent(row.share)]
        table.add_row(word, *map(Text, cells))
    return table


@dataclass(frozen=True)
class _LayerMap:
    attributions: tuple[AttributionDict, ...]
    theme: Theme | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        first = self.attributions[0]
        canvas = Canvas(scale_of_all(self.attributions), self.theme, first, console, options)
        yield canvas.heading(self.attributions)
        yield Text()
        names = [canvas.line(label) for label in labels(first)]
        widest = max(map(cell_len, names), default=0)
        name_width = max(len("all tokens"), min(widest, options.max_width // 3, 24)) + 1
        ranks = len(str(len(names))) + (1 if canvas.colour else 2)
        per_table = max(1, (options.max_width - name_width) // (_CELL + 1 + ranks))
        for start in range(0, len(self.attributions), per_table):
            yield _layer_table(self.attributions[start : start + per_table], names, (name_width, ranks), canvas)
            yield Text()
        yield from canvas.notes([first["method"]["caption"]])  # not what is true of one layer only
        if any(token["rank"] is not None for token in first["tokens"]):
            rank = Text("The small number beside a score is its rank.", style="dim")
            yield from rank.wrap(console, canvas.width)
        yield from canvas.how()


def _layer_table(
    attributions: Sequence[AttributionDict], names: Sequence[str], widths: tuple[int, int], canvas: Canvas
) -> Table:
    with_sum = all(map(caption.sums, attributions))
    table = Table(box=None, padding=0, collapse_padding=True, show_edge=False, show_footer=with_sum)
    table.add_column("layer", footer="all tokens", width=widths[0], no_wrap=True, overflow="ellipsis")
    for attribution in attributions:
        table.add_column("", width=1, footer="")
        head, footer = caption.layer_name(attribution), canvas.number(caption.total(attribution))
        table.add_column(head, footer=footer, justify="right", width=_CELL)
        table.add_column("", width=widths[1])
    for position, name in enumerate(names):
        cells: list[Text] = [Text(name, style="italic" if attributions[0]["tokens"][position]["special"] else "")]
        for attribution in attributions:
            token = attribution["tokens"][position]
            level = canvas.scale.level(token["score"])
            mark = "" if canvas.colour else canvas.bar(level)
            rank = "" if token["rank"] is None else f" {token['rank']}"
            written = canvas.number(token["score"]).rjust(_CELL)
            cells += [Text(mark), Text(written, style=canvas.style(level)), Text(rank, style="dim")]
        table.add_row(*cells)
    return table


@dataclass(frozen=True)
class _GenerationMap:
    picture: Picture

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self.picture.whole
        canvas = Canvas(self.picture.sum_scale(content(whole)), None, whole, console, options)
        yield Text(self.picture.said(), style="bold")
        yield Text(canvas.line(caption.origin(whole)), style="dim")
        for segment, name in enumerate(("prompt", "response")):
            yield Text()
            yield Text(name, style="bold")
            yield from canvas.paragraph(cut(whole, segment))
        yield Text()
        yield from canvas.notes([whole["method"]["caption"], READ_AT])
        yield Text()
        yield self._table(Canvas(self.picture.word_scale, None, whole, console, options))
        yield from canvas.how()

    def _table(self, canvas: Canvas) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("output", overflow="fold", max_width=24)
        table.add_column("p", justify="right")
        table.add_column("read at", overflow="fold", max_width=24)
        table.add_column(f"strongest words ({canvas.unit})", overflow="fold")
        for output in self.picture.outputs:
            words = Text()
            for word, score in self.picture.strongest(output):
                words.append("  " if words else "").append_text(canvas.shaded(word, score))
                words.append(f" {canvas.number(score)}")
            name = canvas.line(self.picture.name(output))
            token, score = self.picture.read_at(output)
            read = Text(f"{canvas.line(token)} {canvas.number(score)}")
            table.add_row(Text(name), Text(chance(output["probability"])), read, words)
        return table
