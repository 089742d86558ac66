r"""Maps for papers written in LaTeX: running text whose words stand on shaded boxes, set by LaTeX itself.

The preamble needs ``\usepackage{xcolor}``; texts beyond Latin need an engine that reads their script.
"""

from __future__ import annotations

import re

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from narrows.viz.shade import Scale, is_signed, shade
from narrows.viz.spans import Span, content, cut, segments, visible

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
    r"""Write a text so that LaTeX sets it as it stands, on one line.

    Args:
        text: Any text.

    Returns:
        LaTeX.

    Example:
        >>> print(escape_latex("50 % of {x_1}"))
        50 \% of \{x\_1\}
    """
    one_line = re.sub(r"\s+", " ", visible(text))
    escaped = "".join(_ESCAPES.get(character, character) for character in one_line)
    return re.sub(r"([-'`,?!])(?=[-'`,])", r"\1{}", escaped)  # two hyphens would be a dash


def render_latex(attribution: AttributionDict) -> str:
    r"""Draw one result as LaTeX: the text with a shaded box behind each token, and the scale with its unit below.

    Args:
        attribution: A saved result.

    Returns:
        A group that can stand in a figure or a table; needs ``\usepackage{xcolor}``.
    """
    p = caption.probability(attribution)
    signed, method = is_signed([attribution]), caption.kind(attribution)
    scale = Scale.of((span.score for span in content(attribution)), signed)
    lines = [
        r"% needs \usepackage{xcolor}",
        rf"% {escape_latex(caption.origin(attribution['method'], caption.where(attribution)))}, narrows "
        rf"{escape_latex(attribution['narrows_version'])}",
        r"{\setlength{\fboxsep}{1pt}\setlength{\parindent}{0pt}\raggedright",
        rf"\textbf{{{escape_latex(attribution['target'])}}}{p and f' (${p}$)'}\par\smallskip",
    ]
    for segment in range(len(segments(attribution))):
        spans = cut(attribution, segment)
        lines.append(f"{''.join(_box(span, scale) for span in spans)}\\par")
    lines += [rf"\smallskip\footnotesize {_legend(scale, method)}\par}}", ""]
    return "\n".join(lines)


def _box(span: Span, scale: Scale) -> str:
    text = escape_latex(span.text)
    level = scale.level(span.score) if span.tokens else 0
    return text if level == 0 else _coloured(text, level)


def _coloured(text: str, level: int) -> str:
    colours = shade(level)
    ink = r"\color{white}" if colours.foreground == "#ffffff" else ""
    return rf"\colorbox[HTML]{{{colours.background[1:].upper()}}}{{{ink}\strut {text}}}\allowbreak{{}}"


def _legend(scale: Scale, method: str) -> str:
    """Return the scale as a row of patches between its ends, and its unit."""
    unit = escape_latex(caption.unit(scale.signed, method))
    if not scale.largest:
        return f"{unit}: every token has {escape_latex(caption.amount(0, method=method))}"
    levels = scale.levels()
    picked = [levels[round(step * (len(levels) - 1) / (_STEPS - 1))] for step in range(_STEPS)]
    patches = "".join(
        rf"\colorbox[HTML]{{{shade(level).background[1:].upper()}}}{{\strut\hspace{{2pt}}}}" for level in picked
    )
    low = f"{caption.number(-scale.largest, True, method)} against" if scale.signed else "0"
    high = f"{caption.number(scale.largest, scale.signed, method)}{' for the target' if scale.signed else ''}"
    return f"{unit}: {escape_latex(low)} {patches} {escape_latex(high)}"
