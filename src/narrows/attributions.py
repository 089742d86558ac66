"""Several results: a list that is shown, drawn, saved and read again, with errors in the place of their texts."""

from html import escape
from pathlib import Path
from typing import Any, SupportsIndex, TypeAlias, overload

from rich.console import Console
from rich.text import Text

from narrows.attribution import Attribution, export
from narrows.data import maps
from narrows.data.frames import Level, to_frame
from narrows.data.schema import AttributionDict
from narrows.errors import NarrowsError, warn
from narrows.viz.files import are_layers
from narrows.viz.fragments import render_list
from narrows.viz.spans import Shaded, at_level, visible
from narrows.viz.terminal import render_layers, render_maps

# The `NarrowsError` of a text that could not be explained stands in the place of its attribution. `Any` lets type
# checkers pass code that reads results without asking for errors first, as typeshed does for what is seldom returned.
Result: TypeAlias = "Attribution | Any"


class Attributions(list[Result]):
    """Several results: a list that can be shown, in a terminal and in a notebook, drawn to a file, and saved.

    The `NarrowsError` of a text that could not be explained stands in its place; pictures leave it out and say so. One
    text at several layers is shown as one picture, tokens by layers; other results one below the other.

    Example:
        >>> from narrows import NarrowsError
        >>> Attributions([NarrowsError("text is empty")]).errors
        {0: NarrowsError('text is empty')}
    """

    def __repr__(self) -> str:
        if len(self) == 1:
            return f"Attributions([{self[0]!r}])"
        failed = f", {len(self.errors)} of them errors" if self.errors else ""
        return f"Attributions({len(self)}{failed})"

    @overload
    def __getitem__(self, index: SupportsIndex) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> "Attributions": ...

    def __getitem__(self, index: SupportsIndex | slice) -> "Result | Attributions":
        found = super().__getitem__(index)
        return Attributions(found) if isinstance(index, slice) else found  # type: ignore[arg-type]

    @property
    def errors(self) -> dict[int, NarrowsError]:
        """What is wrong with the texts that could not be explained, by their positions."""
        return {position: result for position, result in enumerate(self) if isinstance(result, NarrowsError)}

    def failures(self) -> str:
        """Say in one line how many texts could not be explained, and why the first could not; empty if all could."""
        if not (errors := list(self.errors.values())):
            return ""
        count = f"{len(errors):,} of {len(self):,} texts" if len(errors) < len(self) else f"none of {len(self):,} texts"
        verb = "could" if len(errors) == len(self) else "could not"
        return f"{count} {verb} be explained; the first: {errors[0]}"

    def to_dicts(self) -> list[AttributionDict]:
        """Give the saved form of each result, without those of errors."""
        return [result.to_dict() for result in self if not isinstance(result, NarrowsError)]

    def to_frame(self, level: Level = "text") -> Any:
        """Give a pandas data frame, a row for each text, with the error of one that has none, ``word`` or ``token``."""
        return to_frame(map(_saved, self), level)

    def show(self, level: Shaded = "word") -> None:
        """Print the maps to the terminal."""
        console, saved = Console(), [at_level(own, level) for own in self.to_dicts()]
        console.print(render_layers(saved) if saved and are_layers(saved) else render_maps(saved))
        if failed := self.failures():
            console.print(Text(visible(failed), style="bold"))

    def save(self, path: str | Path) -> None:
        """Write a row for each text, an error in that of one that has one, to a ``.jsonl`` or ``.parquet`` file."""
        with maps.map_writer(Path(path)) as write:
            for result in self:
                write(_saved(result))

    @classmethod
    def load(cls, path: str | Path) -> "Attributions":
        """Read the maps of a file that `save`, ``narrows explain --out`` or a run wrote; rows of errors are left out.

        Raises:
            DataError: If the file is missing or holds something else.

        Example:
            >>> import tempfile
            >>> Attributions([]).save(path := Path(tempfile.mkdtemp()) / "maps.jsonl")
            >>> Attributions.load(path)
            Attributions(0)
        """
        return cls(map(Attribution.from_dict, maps.read_maps(Path(path))))

    def export(self, path: str | Path, level: Shaded = "word") -> None:
        """Draw the maps to a file, as `Attribution.export` does; a `NarrowsWarning` says which texts have none.

        Raises:
            InputError: If there is no map at all.
        """
        export(self.to_dicts(), Path(path), level)
        if failed := self.failures():
            warn(f"{path} leaves out what has no map: {failed}")

    def _repr_html_(self) -> str:
        """Let notebooks show the maps."""
        failed = self.failures()
        return render_list(self.to_dicts()) + (f"<p>{escape(visible(failed))}</p>" if failed else "")


def _saved(result: Result) -> Any:
    return maps.failed_row(result) if isinstance(result, NarrowsError) else result.to_dict()
