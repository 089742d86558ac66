"""What the user's data calls its columns, where that is not what `narrows.data.example` looks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from narrows.data.example import ID_COLUMNS, LABEL_COLUMNS, PAIR_COLUMNS, SINGLE_COLUMNS
from narrows.errors import InputError

TEXT_COLUMNS = (*SINGLE_COLUMNS, *(name for pair in PAIR_COLUMNS for name in pair))


@dataclass(frozen=True)
class Columns:
    """Names of columns; None = they are found by their usual names. A second text needs a first one.

    Example:
        >>> Columns(text="review").rename({"review": "Superb.", "text": "(seen on TV)", "label": "positive"})
        {'label': 'positive', 'text': 'Superb.'}
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if self.text_pair is not None and self.text is None:
            raise InputError("the column of the second text goes with that of the first: name both")

    @property
    def named(self) -> dict[str, str]:
        """The columns that have a name of their own, by what they are."""
        return {own.name: name for own in fields(self) if (name := getattr(self, own.name)) is not None}

    def check(self, names: Sequence[str]) -> list[str]:
        """Rename the columns of a table; an `InputError` if one of them is not there."""
        if missing := [name for name in self.named.values() if name not in names]:
            raise InputError(f"no column {missing[0]!r} among {', '.join(map(str, names))}")
        return list(self.rename({name: name for name in names}))

    def rename(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Rename the columns of a row; what stood under their usual names is left out, so that it is not taken."""
        named = self.named
        usual = {"text": TEXT_COLUMNS, "label": LABEL_COLUMNS, "id": ID_COLUMNS}
        left_out = {*named.values(), *(name for role, names in usual.items() if role in named for name in names)}
        kept = {name: value for name, value in values.items() if name not in left_out}
        return kept | {role: values[name] for role, name in named.items() if name in values}


USUAL = Columns()
