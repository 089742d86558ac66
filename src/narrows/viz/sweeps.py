"""Figures of sweeps: one method at several layers or betas (`values`: by name of a method), a panel per data set."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from narrows.data.schema import RunSummary
from narrows.errors import InputError
from narrows.viz.canvas import COLOURS, DASHES, INK, gaps, paper_style, settle
from narrows.viz.curves import DROP_UP, Measure, draw_curves, draw_rates
from narrows.viz.panels import RANDOM_COLOUR, finish, is_random, make_panels, name_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Parameter = Literal["layer", "beta"]


@paper_style()
def plot_sweep_curves(
    summaries: Sequence[RunSummary], parameter: Parameter, values: Mapping[str, float], measure: Measure = "probability"
) -> "Figure":
    """Draw the degradation curves of one method at several layers or betas (the paper's figures 2a, 2b and 4)."""
    colours = _colours(summaries, values)
    figure, panels = make_panels(summaries, sharey=True)
    random = {"color": RANDOM_COLOUR, "linestyle": DASHES[3], "label": "random", "zorder": 3}
    looks: dict[str, Any] = {name: random for run in summaries for name in run["methods"] if is_random(name)}
    looks |= {name: {"color": colours[value]} for name, value in values.items() if value in colours}
    draw_curves(panels, summaries, looks, measure, "morf")
    _value_bar(figure, panels, parameter, colours)
    return finish(figure, panels)


@paper_style()
def plot_sweep_line(summaries: Sequence[RunSummary], parameter: Parameter, values: Mapping[str, float]) -> "Figure":
    """Draw the drop at 11 % against the layer or beta, its 95 % interval as a band."""
    ranked = list(_colours(summaries, values))
    figure, panels = make_panels(summaries, sharey=False)
    for panel, summary in zip(panels, summaries, strict=True):
        found = sorted((name for name in summary["methods"] if name in values), key=values.__getitem__)
        places, methods = [values[name] for name in found], [summary["methods"][name] for name in found]
        bounds = [method["drop_11_interval"] or (None, None) for method in methods]
        low, high = (gaps([own[end] for own in bounds]) for end in (0, 1))
        drops = gaps([method["drop_11"] for method in methods])
        panel.axhline(0, color=INK, linewidth=0.6)
        if summary["instances"] > 1:
            panel.fill_between(places, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="95 % interval")
        panel.plot(places, drops, "o-", color=COLOURS[0], label="mean over the texts")
        for method in (method for name, method in summary["methods"].items() if is_random(name)):
            panel.axhline(method["drop_11"], color=RANDOM_COLOUR, linestyle=DASHES[3], label="random")
        if parameter == "beta" and min(ranked) > 0:
            panel.set_xscale("log")
        elif parameter == "beta":
            panel.set_xscale("symlog", linthresh=next((value for value in ranked if value > 0), 1.0))
        shown = ranked[:: math.ceil(len(ranked) / 6)]
        panel.set_xticks(shown, [_written(value) for value in shown])
        panel.set_xticks([], minor=True)
    name_axes(panels, parameter, DROP_UP)
    return finish(figure, panels)


@paper_style()
def plot_sweep_rates(summaries: Sequence[RunSummary], parameter: Parameter, values: Mapping[str, float]) -> "Figure":
    """Draw what is left of p(target) against the bits that pass, for one method at several layers or betas."""
    colours = _colours(summaries, values)
    figure, panels = make_panels(summaries, sharey=True)
    looks = {name: {"color": colours[value], "marker": "."} for name, value in values.items() if value in colours}
    draw_rates(panels, summaries, looks)
    _value_bar(figure, panels, parameter, colours)
    return settle(figure)


def _colours(summaries: Sequence[RunSummary], values: Mapping[str, float]) -> dict[float, str]:
    """Give each layer or beta that was run a colour, rising from dark to light, none too light for white paper."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    found = sorted({values[name] for summary in summaries for name in summary["methods"] if name in values})
    if not found:
        known = ", ".join(values) or "no method"
        raise InputError(f"a figure of a sweep needs a run of one of its methods; values are given for {known}")
    return {v: to_hex(colormaps["viridis"](0.9 * n / max(1, len(found) - 1))) for n, v in enumerate(found)}


def _value_bar(figure: "Figure", panels: "list[Axes]", parameter: str, colours: Mapping[float, str]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    ranked, norm = list(colours), BoundaryNorm(range(len(colours) + 1), len(colours))
    mapped = ScalarMappable(norm, ListedColormap(list(colours.values())))
    bar = figure.colorbar(mapped, ax=panels, label=parameter, aspect=25)
    shown = range(0, len(ranked), math.ceil(len(ranked) / 13))
    bar.set_ticks([place + 0.5 for place in shown], labels=[_written(ranked[place]) for place in shown])
    bar.minorticks_off()
    bar.ax.tick_params(length=0)


def _written(value: float) -> str:
    """Write a layer or a beta: 9, 0.1, 1e-5."""
    if value == 0 or 0.01 <= abs(value) < 10000:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"
