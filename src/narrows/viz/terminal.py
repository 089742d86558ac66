"""Maps in the terminal: shaded where there is colour, and with a bar beneath each token where there is none."""

from __future__ import annotations

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
from narrows.viz.shade import LEVELS, Scale, Theme, scale_of_all, scales_of
from narrows.viz.spans import Span, check_same_tokens, cut, labels, segments, unplaced, visible

_BARS, _ASCII_BARS = ("▁▂▃▄▅▆▇█", "░▒▓"), ("12345678", "abc")  # for and against
_LEVEL = "narrows_level"  # key in the style of a token: how strong it is, for the bars of a terminal without colour
_WORDS = 8
_CELL = 7  # of the picture of layers: "999,999" fits
_TEXT_WIDTH = 100  # longer lines are hard to read


def render_map(attribution: AttributionDict, theme: Theme | None = None, scale: Scale | None = None) -> RenderableType:
    """Draw one result: the prediction, the text shaded by its scores, and what the numbers mean.

    Args:
        attribution: A saved result.
        theme: Whether the terminal is ``light`` or ``dark``; None reads ``COLORFGBG`` and takes dark where it is unset.
        scale: The scale that it shares with other maps (`narrows.viz.shade.scales_of`); None = its own.

    Returns:
        Something for ``rich.console.Console.print``.
    """
    return _TokenMap(attribution, scale or scales_of([attribution])[0], theme or _theme_of_terminal())


def render_maps(attributions: Sequence[AttributionDict], theme: Theme | None = None) -> RenderableType:
    """Draw results below each other; those of one quantity and unit share one scale.

    Args:
        attributions: Saved results.
        theme: As in `render_map`.

    Returns:
        Something for ``rich.console.Console.print``.
    """
    pairs = zip(attributions, scales_of(attributions), strict=True)
    return Group(*(render_map(attribution, theme, scale) for attribution, scale in pairs))


def render_layers(attributions: Sequence[AttributionDict], theme: Theme | None = None) -> RenderableType:
    """Draw one text at several layers: tokens down, layers across, one scale for all.

    Args:
        attributions: One saved result per layer, all of the same text.
        theme: As in `render_map`.

    Returns:
        Something for ``rich.console.Console.print``.

    Raises:
        InputError: If there are none, or they are of different texts.
    """
    check_same_tokens(attributions)
    return _LayerMap(tuple(attributions), theme or _theme_of_terminal())


@dataclass(frozen=True)
class _Canvas:
    """What the terminal can show."""

    scale: Scale
    theme: Theme
    unit: str
    quantity: str
    colour: bool
    encoding: str
    ascii_only: bool

    @classmethod
    def of(
        cls, scale: Scale, theme: Theme, result: AttributionDict, console: Console, options: ConsoleOptions
    ) -> _Canvas:
        # The 16 colours of an old terminal can be anything: no shade can be read off them.
        colour = not console.no_color and console.color_system in {"truecolor", "256"}
        unit, quantity = result["method"]["unit"], caption.quantity(result)
        names = visible(unit, options.encoding), visible(quantity, options.encoding)
        return cls(scale, theme, *names, colour, options.encoding, options.ascii_only)

    def style(self, level: int) -> Style:
        """Return the style of a token of this level."""
        meta = {_LEVEL: level}
        if not level or not self.colour:
            return Style(meta=meta)
        colours = self.scale.shade(level, self.theme)
        return Style(color=colours.foreground, bgcolor=colours.background, meta=meta)

    def bar(self, level: int) -> str:
        """Return the character that stands for a level where there is no colour."""
        bars = (_ASCII_BARS if self.ascii_only else _BARS)[level < 0]
        return " " if level == 0 else bars[math.ceil(abs(level) / LEVELS * len(bars)) - 1]

    def line(self, text: str) -> str:
        """Return a text that is safe to print, on one line."""
        return " ".join(visible(text, self.encoding).split())

    def number(self, score: float) -> str:
        return caption.number(score, self.scale.signed)

    def shaded(self, text: str, score: float) -> Text:
        return Text().append(self.line(text), self.style(self.scale.level(score)))

    def legend(self) -> Text:
        """Return the scale with its ends and its unit."""
        if not self.scale.largest:
            return Text(f"every token: {caption.amount(0, self.unit)}")
        low, high = self.scale.ends()
        legend = Text(f"{self.quantity}: {low} ")
        for level in self.scale.levels()[:: 3 if self.scale.signed else 2]:  # both halves fit a line of 80
            legend.append(" " if self.colour else self.bar(level), self.style(level))
        return legend.append(f" {high}")


@dataclass(frozen=True)
class _TokenMap:
    attribution: AttributionDict
    scale: Scale
    theme: Theme

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        canvas = _Canvas.of(self.scale, self.theme, self.attribution, console, options)
        width = min(options.max_width, _TEXT_WIDTH)
        yield _heading([self.attribution], canvas)
        yield Text()
        texts = segments(self.attribution)
        for segment in range(len(texts)):
            if len(texts) > 1:
                yield Text(("text", "text_pair")[segment], style="bold")
            paragraph = Text(overflow="fold")
            for span in cut(self.attribution, segment):
                style = canvas.style(self.scale.level(span.score)) if span.tokens else ""
                paragraph.append(visible(span.text, canvas.encoding), style)
            yield from _wrapped(paragraph, canvas, console, width)
            yield Text()
        others = unplaced(self.attribution)
        if others:
            yield from _wrapped(_special(others, canvas), canvas, console, width)
            yield Text()
        for part in _legend(self.attribution, canvas):
            yield from part.wrap(console, width)
        table = _word_table(self.attribution, canvas)
        if table.row_count:
            yield Text()
            yield table
        yield from _how(self.attribution, canvas, console, width)


def _heading(attributions: Sequence[AttributionDict], canvas: _Canvas) -> Group:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column()
    listed, hidden = caption.classes(attributions[0], count=4)
    for label in listed:
        name = Text(canvas.line(label.name), style="bold" if label.role else "")
        table.add_row(Text(label.role), name, Text(caption.chance(label.p, label.typical)))
    made = caption.origin(*attributions)
    if hidden > 0:
        made += f"; {hidden} more {'label is' if hidden == 1 else 'labels are'} not shown"
    return Group(table, Text(canvas.line(made), style="dim"))


def _special(others: Sequence[Span], canvas: _Canvas) -> Text:
    line = Text("special tokens  ", overflow="fold")
    for place, span in enumerate(others):
        line.append("   " if place else "")
        line.append_text(canvas.shaded(span.text, span.score)).append(f" {canvas.number(span.score)}")
    return line


def _legend(attribution: AttributionDict, canvas: _Canvas, every: bool = True) -> Iterator[Text]:
    """Give the scale and the sentences below it; of several layers only what is true of all."""
    yield canvas.legend()
    little = caption.already(attribution) if canvas.scale.grey else None
    for note in filter(None, (little, caption.truncation(attribution))):
        yield Text(note, style="bold")
    for sentence in caption.sentences(attribution) if every else [attribution["method"]["caption"]]:
        yield Text(canvas.line(sentence))


def _how(attribution: AttributionDict, canvas: _Canvas, console: Console, width: int) -> Iterator[Text]:
    how = canvas.line(attribution["method"]["how"])
    if how:
        yield Text()
        yield from Text(f"How this was made: {how}", style="dim").wrap(console, width)


def _word_table(attribution: AttributionDict, canvas: _Canvas) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("strongest words" if attribution["words"] else "strongest tokens", overflow="fold", max_width=40)
    table.add_column(canvas.unit, justify="right")
    table.add_column("rank", justify="right")
    shares = attribution["method"]["additive"]
    if shares:
        table.add_column("share", justify="right")
    for row in caption.strongest(attribution, _WORDS):
        word = Text(canvas.line(row.word), style="dim") if row.other else canvas.shaded(row.word, row.score)
        cells = [Text(canvas.number(row.score)), Text("" if row.rank is None else str(row.rank))]
        table.add_row(word, *cells, *([] if row.share is None else [Text(caption.percent(row.share))]))
    return table


def _wrapped(text: Text, canvas: _Canvas, console: Console, width: int) -> Iterator[Text]:
    # Without colour, a line of bars beneath each line of text says how strong its tokens are.
    for line in text.wrap(console, width, overflow="fold", tab_size=4):
        yield line
        if canvas.colour:
            continue
        levels = [0] * len(line.plain)
        for start, end, style in line.spans:
            level = style.meta.get(_LEVEL, 0) if isinstance(style, Style) else 0
            levels[start:end] = [level] * (min(end, len(levels)) - start)
        bars = "".join(
            canvas.bar(level) * cell_len(character) for character, level in zip(line.plain, levels, strict=True)
        )
        if bars.strip():
            yield Text(bars.rstrip())


@dataclass(frozen=True)
class _LayerMap:
    attributions: tuple[AttributionDict, ...]
    theme: Theme

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        first = self.attributions[0]
        scale = scale_of_all(self.attributions)
        canvas = _Canvas.of(scale, self.theme, first, console, options)
        width = min(options.max_width, _TEXT_WIDTH)
        yield _heading(self.attributions, canvas)
        yield Text()
        names = [canvas.line(label) for label in labels(first)]
        widest = max((Text(name).cell_len for name in names), default=0)
        name_width = max(len("all tokens"), min(widest, options.max_width // 3, 24)) + 1
        ranks = len(str(len(names))) + (1 if canvas.colour else 2)
        per_table = max(1, (options.max_width - name_width) // (_CELL + 1 + ranks))
        for start in range(0, len(self.attributions), per_table):
            yield _layer_table(self.attributions[start : start + per_table], names, (name_width, ranks), canvas)
            yield Text()
        for part in _legend(first, canvas, every=False):
            yield from part.wrap(console, width)
        if any(token["rank"] is not None for token in first["tokens"]):
            yield from Text("The small number beside a score is its rank.", style="dim").wrap(console, width)
        yield from _how(first, canvas, console, width)


def _layer_table(
    attributions: Sequence[AttributionDict], names: Sequence[str], widths: tuple[int, int], canvas: _Canvas
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


def _theme_of_terminal() -> Theme:
    # The last field is the background; 7 and 15 are the whites. Konsole, iTerm2, rxvt and others set it.
    return "light" if os.environ.get("COLORFGBG", "").rpartition(";")[2] in {"7", "15"} else "dark"
