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
from narrows.viz.shade import LEVELS, Scale, Theme, is_signed, shade
from narrows.viz.spans import Span, check_layers, content, cut, labels, segments, unplaced, visible

_BARS = "▁▂▃▄▅▆▇█"
_BARS_AGAINST = "░▒▓"
_ASCII_BARS = "12345678"
_ASCII_BARS_AGAINST = "abc"
_LEVEL = "narrows_level"  # key in the style of a token: how strong it is, for the bars of a terminal without colour
_WORDS = 8
_CELL = 7  # of the picture of layers: "999,999" fits
_TEXT_WIDTH = 100  # longer lines are hard to read


def render_map(attribution: AttributionDict, theme: Theme | None = None) -> RenderableType:
    """Draw one result: the prediction, the text shaded by bits, and what the numbers mean.

    Args:
        attribution: A saved result.
        theme: Whether the terminal is ``light`` or ``dark``; None reads ``COLORFGBG`` and takes dark where it is unset.

    Returns:
        Something for ``rich.console.Console.print``.
    """
    return _TokenMap(attribution, theme or _theme_of_terminal())


def render_layers(attributions: Sequence[AttributionDict], theme: Theme | None = None) -> RenderableType:
    """Draw one text at several layers: tokens down, layers across, one shade for all.

    Args:
        attributions: One saved result per layer, all of the same text.
        theme: As in `render_map`.

    Returns:
        Something for ``rich.console.Console.print``.

    Raises:
        InputError: If there are none, or they are of different texts.
    """
    check_layers(attributions)
    return _LayerMap(tuple(attributions), theme or _theme_of_terminal())


@dataclass(frozen=True)
class _Canvas:
    """What the terminal can show."""

    scale: Scale
    theme: Theme
    method: str
    colour: bool
    encoding: str
    ascii_only: bool

    @classmethod
    def of(cls, scale: Scale, theme: Theme, method: str, console: Console, options: ConsoleOptions) -> _Canvas:
        # The 16 colours of an old terminal are whatever its owner made them: no shade can be read off them.
        colour = not console.no_color and console.color_system in {"truecolor", "256"}
        return cls(scale, theme, method, colour, options.encoding, options.ascii_only)

    def style(self, level: int) -> Style:
        """Return the style of a token of this level."""
        meta = {_LEVEL: level}
        if not level or not self.colour:
            return Style(meta=meta)
        colours = shade(level, self.theme)
        return Style(color=colours.foreground, bgcolor=colours.background, meta=meta)

    def bar(self, level: int) -> str:
        """Return the character that stands for a level where there is no colour."""
        if level == 0:
            return " "
        if level > 0:
            bars = _ASCII_BARS if self.ascii_only else _BARS
        else:
            bars = _ASCII_BARS_AGAINST if self.ascii_only else _BARS_AGAINST
        return bars[math.ceil(abs(level) / LEVELS * len(bars)) - 1]

    def show(self, text: str) -> str:
        return visible(text, self.encoding)

    def line(self, text: str) -> str:
        """Return a text that is safe to print, on one line."""
        return " ".join(self.show(text).split())

    def number(self, score: float) -> str:
        """Return a score as it is written in this picture, without its unit."""
        return caption.number(score, self.scale.signed, self.method)

    def legend(self) -> Text:
        """Return the scale with its ends and its unit."""
        legend = Text()
        if not self.scale.largest:
            return legend.append(f"every token: {caption.amount(0, method=self.method)}")
        if self.scale.signed:
            legend.append(f"against {self.number(-self.scale.largest)} ")
        else:
            legend.append("0 ")
        for level in self.scale.levels()[:: 2 if self.scale.signed else 1]:  # both halves fit a line of 80
            legend.append(" " if self.colour else self.bar(level), self.style(level))
        legend.append(f" {caption.amount(self.scale.largest, self.scale.signed, self.method)}")
        return legend.append(" for the target" if self.scale.signed else " (the strongest token)")


@dataclass(frozen=True)
class _TokenMap:
    attribution: AttributionDict
    theme: Theme

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        signed = is_signed([self.attribution])
        scale = Scale.of((span.score for span in content(self.attribution)), signed)
        canvas = _Canvas.of(scale, self.theme, caption.kind(self.attribution), console, options)
        width = min(options.max_width, _TEXT_WIDTH)
        yield _heading(self.attribution, canvas, caption.where(self.attribution))
        yield Text()
        texts = segments(self.attribution)
        for segment in range(len(texts)):
            if len(texts) > 1:
                yield Text(("text", "text_pair")[segment], style="bold")
            paragraph = Text(overflow="fold")
            for span in cut(self.attribution, segment):
                style = canvas.style(scale.level(span.score)) if span.tokens else ""
                paragraph.append(canvas.show(span.text), style)
            yield from _wrapped(paragraph, canvas, console, width)
            yield Text()
        others = unplaced(self.attribution)
        if others:
            yield from _wrapped(_special(others, canvas), canvas, console, width)
            yield Text()
        for part in _legend([self.attribution], canvas):
            yield from part.wrap(console, width)
        table = _word_table(self.attribution, canvas)
        if table.row_count:
            yield Text()
            yield table


def _heading(attribution: AttributionDict, canvas: _Canvas, where: str) -> Group:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    listed = caption.classes(attribution, count=4)
    for label, probability in listed:
        role = [
            name
            for name, holder in (("predicted", attribution["predicted"]), ("target", attribution["target"]))
            if label == holder
        ]
        table.add_row(
            Text(", ".join(role)),
            Text(canvas.line(label), style="bold" if role else ""),
            Text("" if probability is None else f"p = {probability:.3f}"),
        )
    made = caption.origin(attribution["method"], where)
    hidden = len(attribution["probabilities"]) - len([p for _, p in listed if p is not None])
    if hidden > 0:
        made += f"; {hidden} more {'label is' if hidden == 1 else 'labels are'} not shown"
    return Group(table, Text(canvas.line(made), style="dim"))


def _special(others: Sequence[Span], canvas: _Canvas) -> Text:
    line = Text("special tokens  ", overflow="fold")
    for number, span in enumerate(others):
        line.append("   " if number else "")
        line.append(canvas.line(span.text), canvas.style(canvas.scale.level(span.score)))
        line.append(f" {canvas.number(span.score)}")
    return line.append(f" {caption.short_unit(canvas.method)}" if caption.is_counted(canvas.method) else "")


def _legend(attributions: Sequence[AttributionDict], canvas: _Canvas) -> Iterator[Text]:
    yield canvas.legend()
    needed = caption.needed(attributions[0])
    if needed and (len(attributions) == 1 or caption.kind(attributions[0]) == caption.EVIDENCE):  # the same at each
        yield Text(needed)
    yield Text(canvas.line(caption.meaning(canvas.scale.signed, canvas.method, caption.is_probable(attributions[0]))))
    note = caption.truncation(attributions[0])
    if note:
        yield Text(note, style="bold")


def _word_table(attribution: AttributionDict, canvas: _Canvas) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("strongest words" if attribution["words"] else "strongest tokens", overflow="fold", max_width=40)
    unit = caption.short_unit(canvas.method)
    table.add_column(unit, justify="right")
    table.add_column(f"share of all {unit}" if caption.is_counted(canvas.method) else "share of all", justify="right")
    for row in caption.strongest(attribution, _WORDS):
        word = Text().append(canvas.line(row.word), canvas.style(canvas.scale.level(row.score)))
        table.add_row(word, Text(canvas.number(row.score)), Text(caption.percent(row.share)))
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
        signed = is_signed(self.attributions)
        first = self.attributions[0]
        scores = (token["score"] for layer in self.attributions for token in layer["tokens"] if not token["special"])
        canvas = _Canvas.of(Scale.of(scores, signed), self.theme, caption.kind(first), console, options)
        yield _heading(first, canvas, caption.places([attribution["layer"] for attribution in self.attributions]))
        yield Text()
        names = [canvas.line(label) for label in labels(first)]
        widest = max((Text(name).cell_len for name in names), default=0)
        name_width = max(len("needed"), min(widest, options.max_width // 3, 24)) + 1
        per_table = max(1, (options.max_width - name_width) // (_CELL + 1))
        for start in range(0, len(self.attributions), per_table):
            yield _layer_table(self.attributions[start : start + per_table], names, name_width, canvas)
            yield Text()
        for part in _legend(self.attributions, canvas):
            yield from part.wrap(console, min(options.max_width, _TEXT_WIDTH))


def _layer_table(
    attributions: Sequence[AttributionDict], names: Sequence[str], name_width: int, canvas: _Canvas
) -> Table:
    with_total = caption.counts_needed(canvas.method)
    table = Table(box=None, padding=0, collapse_padding=True, show_edge=False, show_footer=with_total)
    table.add_column("layer", footer="needed", width=name_width, no_wrap=True, overflow="ellipsis")
    for attribution in attributions:
        table.add_column("", width=1, footer="")
        table.add_column(
            str(attribution["layer"]), footer=caption.bits(attribution["total_bits"]), justify="right", width=_CELL
        )
    for position, name in enumerate(names):
        special = attributions[0]["tokens"][position]["special"]
        cells: list[Text] = [Text(name, style="italic" if special else "")]
        for attribution in attributions:
            score = attribution["tokens"][position]["score"]
            level = canvas.scale.level(score)
            mark = "" if canvas.colour else canvas.bar(level)
            cells += [Text(mark), Text(canvas.number(score).rjust(_CELL), style=canvas.style(level))]
        table.add_row(*cells)
    return table


def _theme_of_terminal() -> Theme:
    # The last field is the background; 7 and 15 are the whites. Konsole, iTerm2, rxvt and others set it.
    return "light" if os.environ.get("COLORFGBG", "").rpartition(";")[2] in {"7", "15"} else "dark"
