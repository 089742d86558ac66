"""A response in the terminal: prompt and response shaded by the sum, and the strongest words of each output."""

from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from narrows.viz import caption
from narrows.viz.generation import READ_AT, Picture, chance
from narrows.viz.shade import Theme
from narrows.viz.spans import content, cut, visible
from narrows.viz.terminal import Canvas


def render_generation(picture: Picture, theme: Theme | None = None) -> RenderableType:
    """Draw a response: the texts shaded by the sum over the outputs, and a row for each output."""
    return _GenerationMap(picture, theme)


@dataclass(frozen=True)
class _GenerationMap:
    picture: Picture
    theme: Theme | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self.picture.whole
        scale = self.picture.sum_scale(content(whole))
        canvas = Canvas(scale, self.theme, whole, console, options)
        yield Text(self.picture.said(), style="bold")
        yield Text(canvas.line(caption.origin(whole)), style="dim")
        for segment, name in enumerate(("prompt", "response")):
            yield Text()
            yield Text(name, style="bold")
            paragraph = Text(overflow="fold")
            for span in cut(whole, segment):
                style = canvas.style(scale.level(span.score)) if span.tokens else ""
                paragraph.append(visible(span.text, canvas.encoding), style)
            yield from canvas.wrap(paragraph)
        yield Text()
        yield from canvas.notes([whole["method"]["caption"], READ_AT])
        yield Text()
        yield self._table(Canvas(self.picture.word_scale, self.theme, whole, console, options))
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
