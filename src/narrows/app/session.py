"""What one visitor looks at: the map on screen and whatever was computed for it; immutable, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from narrows.app import compute
from narrows.app.compute import Report
from narrows.app.request import Request
from narrows.app.shelf import Shelf
from narrows.data.schema import AttributionDict
from narrows.viz.canvas import FigureFormat, figure_bytes
from narrows.viz.files import SUFFIXES, render_file
from narrows.viz.fragments import Removal
from narrows.viz.series import plot_series
from narrows.viz.trace import plot_rate


@dataclass(frozen=True)
class Session:
    """One explained text.

    Attributes:
        request: What was asked for.
        saved: The map.
        layers: One per layer; empty until asked for.
        betas: One per beta; empty until asked for.
        compared: The map beside it; None until asked for.
        clicks: Tokens taken away by hand, in their order.
        removal: What that did; None until asked for.
    """

    request: Request
    saved: AttributionDict
    layers: Sequence[AttributionDict] = ()
    betas: Mapping[str, AttributionDict] = field(default_factory=dict)
    compared: AttributionDict | None = None
    clicks: tuple[tuple[int, ...], ...] = ()
    removal: Removal | None = None

    @classmethod
    def start(cls, request: Request, shelf: Shelf) -> Session:
        """Explain a text.

        Args:
            request: The text and the settings.
            shelf: The models.

        Returns:
            A session with its map.
        """
        return cls(request, compute.explain(request, shelf))

    def with_layers(self, shelf: Shelf, report: Report) -> Session:
        """Compute all layers, unless they are there.

        Args:
            shelf: The models.
            report: Told after each layer.

        Returns:
            The session with them.
        """
        return self if self.layers else replace(self, layers=compute.explain_layers(self.request, shelf, report))

    def with_betas(self, shelf: Shelf, report: Report) -> Session:
        """Compute the series of betas, unless it is there.

        Args:
            shelf: The models.
            report: Told after each beta.

        Returns:
            The session with it.
        """
        return self if self.betas else replace(self, betas=compute.explain_betas(self.request, shelf, report))

    def compare(self, method: str, target: str | None, shelf: Shelf) -> Session:
        """Put another map beside this one.

        Args:
            method: One of `narrows.app.compute.METHOD_NAMES`.
            target: The label that it explains; None = that of this map.
            shelf: The models.

        Returns:
            The session with it.
        """
        asked = replace(self.request, target=target or self.saved["target"])
        return replace(self, compared=compute.explain_by(method, asked, shelf))

    def click(self, tokens: tuple[int, ...], shelf: Shelf) -> Session:
        """Take tokens away, or put them back where they are gone already; none = only look.

        Args:
            tokens: Positions of the tokens that go together.
            shelf: The models.

        Returns:
            The session with the prediction without them.
        """
        clicks = tuple(click for click in self.clicks if click != tokens)
        if len(clicks) == len(self.clicks) and tokens:
            clicks = (*clicks, tokens)
        removal = compute.take_away(clicks, self.saved, self.request, shelf, self.removal)
        return replace(self, clicks=clicks, removal=removal)

    def click_strongest(self, shelf: Shelf) -> Session:
        """Take away the strongest token that is left, if one is.

        Args:
            shelf: The models.

        Returns:
            The session without it.
        """
        return self.click(compute.strongest_left(self.saved, self.clicks), shelf)

    def put_back(self, shelf: Shelf) -> Session:
        """Put all tokens back.

        Args:
            shelf: The models.

        Returns:
            The session with the whole text.
        """
        return replace(self, clicks=()).click((), shelf)

    def python(self) -> str:
        """Write the lines that make this map again.

        Returns:
            Python.
        """
        read = len(self.saved["tokens"]) if self.saved["truncated"] else None
        prior = "instance" if self.saved["config"].get("prior") == "instance" else None
        return self.request.python(read, prior)

    def files(self) -> dict[str, bytes]:
        """Draw everything that is there as files.

        Returns:
            From a file name to its content.
        """
        pictures: dict[str, Sequence[AttributionDict]] = {"map": [self.saved]}
        if self.layers:
            pictures["layers"] = self.layers
        if self.compared is not None:
            pictures["comparison"] = [self.saved, self.compared]
        found = {
            f"{name}{suffix}": render_file(saved, suffix) for name, saved in pictures.items() for suffix in SUFFIXES
        }
        if self.betas:
            series = list(self.betas.values())
            figures = {"beta": plot_series(series, list(self.betas), "beta"), "rate": plot_rate({"beta": series})}
            for name, figure in figures.items():
                found |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in get_args(FigureFormat)}
            found["beta.json"] = render_file(series, ".json")
        return {**found, "reproduce.py": self.python().encode()}
