r"""Maps for LaTeX: running text whose words stand on shaded boxes; the preamble needs ``\usepackage{xcolor}``."""

import re

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from narrows.viz.canvas import RED
from narrows.viz.shade import Scale, scales_of
from narrows.viz.spans import Span, segments, shaded, visible

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # at the start of a row of a table it would be an option of the line break before it
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_STEPS = 13  # patches of the scale


def escape_latex(text: str) -> str:
    r"""Write a text so that LaTeX sets it as it stands, on one line: 50 \% of \{x\_1\}."""
    one_line = re.sub(r"\s+", " ", visible(text))
    escaped = "".join(_ESCAPES.get(character, character) for character in one_line)
    return re.sub(r"([-'`,?!])(?=[-'`,])", r"\1{}", escaped)  # two hyphens would be a dash


def render_latex(attribution: AttributionDict, scale: Scale | None = None) -> str:
    r"""Draw one result as LaTeX: the text with a shaded box behind each token, its scale and its sentence below."""
    scale, p = scale or scales_of([attribution])[0], caption.probability(attribution)
    lines = [
        r"% needs \usepackage{xcolor}",
        rf"% {escape_latex(caption.origin(attribution))}, narrows {escape_latex(attribution['narrows_version'])}",
        r"{\setlength{\fboxsep}{0pt}\setlength{\parindent}{0pt}\raggedright",
        rf"\textbf{{{escape_latex(caption.target_name(attribution))}}}{p and f' ({p})'}\par\smallskip",
    ]
    for segment in range(len(segments(attribution))):
        lines.append("".join(_box(span, scale) for span in shaded(attribution, segment)) + r"\par")
    notes = [*caption.notes(attribution), *caption.sentences(attribution)]
    below = r"\par ".join(map(escape_latex, notes))
    if doubt := caption.doubtful(attribution):
        below = rf"\textcolor[HTML]{{{RED[1:].upper()}}}{{\bfseries {escape_latex(doubt)}}}\par {below}"
    lines += [rf"\smallskip\footnotesize {_legend(scale, attribution)}\par {below}\par}}", ""]
    return "\n".join(lines)


def _box(span: Span, scale: Scale) -> str:
    level = scale.level(span.score) if span.tokens else 0
    if level == 0:
        return escape_latex(span.text)
    colours = scale.shade(level)
    ink = r"\color{white}" if colours.foreground == "#ffffff" else ""
    box = rf"\colorbox[HTML]{{{colours.background[1:].upper()}}}{{{ink}\strut %s}}\allowbreak{{}}"
    return " ".join(box % escape_latex(word) for word in span.text.split() or [" "])  # lines break between boxes only


def _legend(scale: Scale, attribution: AttributionDict) -> str:
    """Return the scale as a row of patches between its ends, and its unit."""
    unit, quantity = attribution["method"]["unit"], escape_latex(caption.quantity(attribution))
    if not scale.largest:
        return f"{quantity}: every token has {escape_latex(caption.amount(0, unit))}"
    levels = scale.levels()
    picked = [levels[round(step * (len(levels) - 1) / (_STEPS - 1))] for step in range(_STEPS)]
    shades = [scale.shade(level).background[1:].upper() for level in picked]
    patches = "".join(rf"\colorbox[HTML]{{{shade}}}{{\strut\hspace{{4pt}}}}" for shade in shades)
    low, high = map(escape_latex, scale.ends())
    return f"{quantity}: {low} {patches} {high}"
