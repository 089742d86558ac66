"""Figures for papers and talks, drawn with matplotlib, which is loaded only when one is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from narrows.errors import DependencyError, InputError
from narrows.schema import AttributionDict
from narrows.viz import caption
from narrows.viz.shade import Scale, is_signed, shade
from narrows.viz.spans import check_layers, content, labels, unplaced, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME_LENGTH = 24
_NO_GLYPH = "\ufffd"


def plot_map(attribution: AttributionDict, ax: Axes | None = None, top: int = 30) -> Axes:
    """Draw the tokens of one result as bars, in reading order, in bits.

    Special tokens are hatched and listed last; they do not set the axis, and a bar that runs over it says its value.

    Args:
        attribution: A saved result.
        ax: Where to draw; None makes a figure whose height fits the tokens.
        top: How many tokens to show at most; of a longer text the strongest are taken, and the title says so.

    Returns:
        The axes that were drawn on.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If ``top`` is not positive.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, not {top}")
    signed = is_signed([attribution])
    spans = content(attribution)
    scale = Scale.of((span.score for span in spans), signed)
    kept = sorted(sorted(range(len(spans)), key=lambda position: -_size(spans[position].score))[:top])
    others = unplaced(attribution)
    drawable = _drawable()
    rows = [_Row(_name(spans[position].text, drawable), spans[position].score, False) for position in kept]
    rows += [_Row(_name(span.text, drawable), span.score, True) for span in others]
    ax = ax or _new_axes(6.4, 1.3 + 0.24 * max(1, len(rows)))
    _draw_bars(ax, rows, scale)
    title = f"target: {_name(attribution['target'], drawable)}, {caption.place(attribution['layer'])}"
    if len(kept) < len(spans):
        title += f" (the {len(kept)} strongest of {len(spans)} tokens)"
    ax.set_title(title, loc="left", fontsize=10, parse_math=False)
    ax.set_xlabel(caption.unit(signed))
    return ax


def plot_layers(attributions: Sequence[AttributionDict], ax: Axes | None = None) -> Axes:
    """Draw one text at several layers as a heat map: tokens down, layers across, a colour bar in bits.

    Args:
        attributions: One saved result per layer, all of the same text.
        ax: Where to draw; None makes a figure that fits the tokens and layers.

    Returns:
        The axes that were drawn on; the colour bar has its own, beside them.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there are none, or they are of different texts.
    """
    check_layers(attributions)
    signed = is_signed(attributions)
    tokens = attributions[0]["tokens"]
    scale = Scale.of((t["score"] for layer in attributions for t in layer["tokens"] if not t["special"]), signed)
    drawable = _drawable()
    ax = ax or _new_axes(2.8 + 0.42 * len(attributions), 1.2 + 0.24 * max(1, len(tokens)))
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = ListedColormap([shade(level).background for level in scale.levels()])
    largest = scale.largest or 1.0
    norm = Normalize(-largest if signed else 0.0, largest, clip=True)
    scores = [[_finite(layer["tokens"][row]["score"]) for layer in attributions] for row in range(len(tokens))]
    ax.imshow(scores or [[0.0] * len(attributions)], cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    names = [_name(label, drawable) for label in labels(attributions[0])]
    ax.set_yticks(range(len(names)), names, parse_math=False, usetex=False)
    for token, tick in zip(tokens, ax.get_yticklabels(), strict=True):
        tick.set_fontstyle("italic" if token["special"] else "normal")
    ax.set_xticks(range(len(attributions)), [str(layer["layer"]) for layer in attributions])
    ax.tick_params(length=0)
    ax.set_xlabel("layer")
    ax.set_title(f"target: {_name(attributions[0]['target'], drawable)}", loc="left", fontsize=10, parse_math=False)
    beyond = any(_size(score) > scale.largest for row in scores for score in row)
    extend = ("both" if signed else "max") if beyond else "neither"
    bar = ax.figure.colorbar(ScalarMappable(norm, colours), ax=ax, extend=extend, extendrect=True)
    bar.set_label(caption.unit(signed))
    return ax


@dataclass(frozen=True)
class _Row:
    name: str
    score: float
    special: bool


def _draw_bars(ax: Axes, rows: Sequence[_Row], scale: Scale) -> None:
    largest = scale.largest or 1.0
    low, high = (-1.25 * largest if scale.signed else 0.0), 1.25 * largest  # room for the numbers
    for position, row in enumerate(rows):
        score = max(-1.04 * largest, min(1.04 * largest, _finite(row.score)))
        colour = shade(scale.level(row.score) if not row.special else 0).background
        ax.barh(
            position,
            score,
            height=0.78,
            color=colour,
            edgecolor="#5b6470",
            linewidth=0.6,
            hatch="////" if row.special else None,
        )
        ax.annotate(
            caption.bits(row.score, scale.signed),
            (score, position),
            xytext=(-4 if score < 0 else 4, 0),
            textcoords="offset points",
            ha="right" if score < 0 else "left",
            va="center",
            fontsize=8,
        )
    ax.set_yticks(range(len(rows)), [row.name for row in rows], parse_math=False, usetex=False)
    for row, tick in zip(rows, ax.get_yticklabels(), strict=True):
        tick.set_fontstyle("italic" if row.special else "normal")
    ax.set_ylim(max(1, len(rows)) - 0.4, -0.6)  # reading order runs down
    ax.set_xlim(low, high)
    if scale.signed:
        ax.axvline(0, color="#1b1f24", linewidth=0.8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _new_axes(width: float, height: float) -> Axes:
    """Return axes in a new figure of this size in inches, within what a page can hold."""
    from matplotlib import pyplot

    _, ax = pyplot.subplots(figsize=(min(width, 16.0), min(height, 60.0)), layout="constrained")
    return ax


def _drawable() -> Callable[[str], bool]:
    """Return a test for the characters that matplotlib's font can draw: it warns at each one that it cannot.

    Raises:
        DependencyError: If matplotlib is not installed.
    """
    try:
        from matplotlib import font_manager, ft2font
    except ImportError as error:
        raise DependencyError("figures need matplotlib; install it with: pip install 'narrows[plot]'") from error
    path: Any = font_manager.findfont(font_manager.FontProperties())
    covered = ft2font.FT2Font(path).get_charmap()
    return lambda character: ord(character) in covered


def _name(text: str, drawable: Callable[[str], bool]) -> str:
    """Return a text on one short line, in characters that the font can draw."""
    line = " ".join(visible(text).split())
    line = "".join(character if drawable(character) else _NO_GLYPH for character in line)
    return line if len(line) <= _NAME_LENGTH else line[: _NAME_LENGTH - 3] + "..."


def _finite(score: float) -> float:
    return score if math.isfinite(score) else 0.0


def _size(score: float) -> float:
    return abs(_finite(score))
