from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import pytest

from narrows.data.schema import AttributionDict
from narrows.errors import DependencyError, InputError
from narrows.viz.figure import plot_layers, plot_map
from narrows.viz.shade import shade
from saved_results import CASES, layers

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _headless() -> Iterator[None]:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def test_every_case_can_be_saved(attribution: AttributionDict) -> None:
    for ax in (plot_map(attribution), plot_layers([attribution])):
        ax.figure.savefig(target := io.BytesIO(), format="png")
        assert target.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_vector_formats(kind: str, start: bytes) -> None:
    plot_map(CASES["hostile"]()).figure.savefig(target := io.BytesIO(), format=kind)
    assert target.getvalue().startswith(start)


def test_bars_are_the_scores_in_reading_order() -> None:
    ax = plot_map(CASES["review"]())
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["The", "plot", "is", "thin", ",", "but", "the", "acting", "is", "superb", ".", "[CLS]", "[SEP]"]
    assert [bar.get_width() for bar in ax.patches][:4] == [0.02, 0.6, 0.1, 3.1]
    assert ax.get_xlabel() == "information (bits)"
    assert ax.get_title(loc="left") == "target: positive, layer 4"


def test_special_tokens_do_not_set_the_axis_but_say_their_bits() -> None:
    ax = plot_map(CASES["review"]())
    assert ax.get_xlim()[1] == pytest.approx(1.25 * 9.8)
    assert max(bar.get_width() for bar in ax.patches) <= 1.05 * 9.8
    assert "31.0" in [text.get_text() for text in ax.texts]


def test_only_signed_scores_cross_zero(attribution: AttributionDict) -> None:
    signed = attribution["config"].get("readout") == "signed"
    assert (plot_map(attribution).get_xlim()[0] < 0) == signed
    ax = plot_layers([attribution])
    assert (ax.images[0].norm.vmin < 0) == signed  # type: ignore[operator]
    assert ax.figure.axes[1].get_ylabel() == ("signed information (bits)" if signed else "information (bits)")


def test_a_long_text_shows_its_strongest_tokens_and_says_so() -> None:
    ax = plot_map(CASES["long"](), top=10)
    assert len(ax.get_yticklabels()) == 12
    assert "the 10 strongest of 312 tokens" in ax.get_title(loc="left")
    with pytest.raises(InputError, match="not 0"):
        plot_map(CASES["long"](), top=0)


def test_layers_and_their_colours() -> None:
    ax = plot_layers(layers(4))
    image = ax.images[0]
    assert image.get_array().shape == (13, 4)  # type: ignore[union-attr]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "2", "3"]
    assert ax.get_xlabel() == "layer"
    content = [token["score"] for layer in layers(4) for token in layer["tokens"] if not token["special"]]
    assert image.norm.vmax == max(content) < 12.0  # [CLS] has 12 bits at layer 3
    assert matplotlib.colors.to_hex(image.cmap(image.norm(1e9))) == shade(24).background


def test_given_axes_are_drawn_on() -> None:
    from matplotlib import pyplot

    _, (left, right) = pyplot.subplots(1, 2)
    assert plot_map(CASES["review"](), ax=left) is left
    assert plot_layers(layers(3), ax=right) is right
    assert len(pyplot.get_fignums()) == 1


def test_dollars_are_no_formulas() -> None:
    attribution = CASES["hostile"]()
    attribution["target"] = "$\\frac$"
    plot_map(attribution).figure.savefig(io.BytesIO())
    plot_layers([attribution]).figure.savefig(io.BytesIO())


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (lambda: plot_map(CASES["review"]()), lambda: plot_layers(layers(2))):
        with pytest.raises(DependencyError, match=r"pip install 'narrows\[plot\]'"):
            call()


def test_matplotlib_is_not_loaded_until_a_figure_is_asked_for() -> None:
    code = "import sys, narrows.viz.figure, narrows.viz.html, narrows.viz.terminal; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
