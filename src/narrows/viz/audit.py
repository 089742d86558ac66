"""One page for an auditor, A4: the text and the decision, the map and its check, and all that makes it again."""

import textwrap
from collections.abc import Mapping, Sequence

from narrows.data.schema import AttributionDict
from narrows.viz import canvas, caption
from narrows.viz.canvas import INK, LINES, RED
from narrows.viz.checked import check_sentence, check_table
from narrows.viz.figure import Sheet
from narrows.viz.shade import scales_of
from narrows.viz.spans import segments

_PAGE = (595.0, 842.0)  # points
_MARGIN = 50.0
_SIZE = 9.0  # of letters
_WORDS = 6  # rows of the tables
_LINES = 4  # of a cell


@canvas.paper_style()
def render_audit(attribution: AttributionDict, facts: Mapping[str, str], said: str | None = None) -> bytes:
    """Draw one result as a PDF of one page, with `facts` about model and versions; `said` is of words struck out."""
    width, height = (side - 2 * _MARGIN for side in _PAGE)
    rest = fill(attribution, facts, said, 0).top
    most = max(1, int((height - rest) / (1.75 * _SIZE)))
    figure = canvas.new_figure(_PAGE[0] / 72, _PAGE[1] / 72)
    figure.set_layout_engine("none")
    box = (_MARGIN / _PAGE[0], _MARGIN / _PAGE[1], width / _PAGE[0], height / _PAGE[1])
    fill(attribution, facts, said, most).draw(figure.add_axes(box), width, height)
    return canvas.figure_bytes(figure, "pdf")


def fill(attribution: AttributionDict, facts: Mapping[str, str], said: str | None, most: int) -> Sheet:
    """Set the page, with at most so many lines of the text."""
    sheet = Sheet(_PAGE[0] - 2 * _MARGIN, _SIZE)
    sheet.write("Why the model decided so", 15.0, INK, bold=True)
    _head(sheet, "Decision")
    target, p = caption.target_name(attribution), caption.probability(attribution)
    sheet.write(f"The model says {caption.label_name(attribution, attribution['predicted'])}.", _SIZE, INK)
    sheet.write(f"Explained: {target}{p and f', {p}'}.", _SIZE, INK)
    listed, hidden = caption.classes(attribution, _WORDS)
    rows = [[label.name, f"{label.p:.3f}", label.role] for label in listed if label.p is not None]
    _table(sheet, ["label", "p", ""], [*rows, *([[f"{hidden} more", "", ""]] if hidden else [])], (0, 200, 250))
    _head(sheet, "The text, shaded by what each word contributed")
    scale = scales_of([attribution])[0]
    if sheet.shaded(attribution, scale, most):
        count = sum(map(len, segments(attribution)))
        sheet.write(f"Only the first {most} lines of {count:,} characters are shown.", _SIZE - 1, INK)
    sheet.legend(attribution, scale)
    sheet.write(attribution["method"]["caption"], _SIZE - 1)
    for note in caption.notes(attribution):
        sheet.write(note, _SIZE - 1, INK)
    _head(sheet, "Check")
    found = attribution["check"]
    sheet.write(check_sentence(attribution) or "This map was not checked on its text.", _SIZE, INK)
    if found is not None:
        head, cells = check_table(found)
        _table(sheet, head, cells[:_WORDS], (0, 200, 290, 380))
    sheet.write(f"Struck out by hand: {said}" if said else "", _SIZE, INK)
    _head(sheet, "What such maps are worth")
    sheet.write(caption.trust(attribution), _SIZE, RED if caption.doubtful(attribution) else INK)
    _head(sheet, "How it was made")
    own = attribution["method"]
    settings = ", ".join(f"{name} = {value}" for name, value in own["settings"].items())
    made = {"method": f"{own['name']}: {caption.origin(attribution)}", "settings": settings}
    made |= {"prior": str(attribution["prior"] or "none"), "narrows": attribution["narrows_version"], **facts}
    _table(sheet, [], [[name, value] for name, value in made.items()], (0, 90))
    return sheet


def _head(sheet: Sheet, text: str) -> None:
    sheet.top += 0.9 * _SIZE
    sheet.write(text, _SIZE + 1, INK, bold=True)
    sheet.top += 0.2 * _SIZE


def _table(sheet: Sheet, head: Sequence[str], rows: Sequence[Sequence[str]], places: Sequence[float]) -> None:
    """Set rows with a column at each of these places; the last one has several lines if need be, others are cut."""
    sheet.top += 0.3 * _SIZE
    ends = (*places[1:], sheet.width)
    for row in (*([head] if head else []), *rows):
        sheet.top += 1.45 * (_SIZE - 1)
        for cell, place, end in zip(row, places, ends, strict=False):
            fits, colour = int((end - place) / (0.62 * (_SIZE - 1))), LINES if row is head or place == 0 else INK
            first, *more = textwrap.wrap(canvas.printable(cell), fits)[:_LINES] or [""]
            sheet.put(1.0 + place, canvas.short_name(first, fits), _SIZE - 1, 0.0, colour)
            for line in more if end == sheet.width else ():
                sheet.top += 1.3 * (_SIZE - 1)
                sheet.put(1.0 + place, line, _SIZE - 1, 0.0, colour)
