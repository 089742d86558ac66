"""One thing to explain: a text or a pair of texts, and its gold label where it is known."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from narrows.errors import InputError

PAIR_COLUMNS: tuple[tuple[str, str], ...] = (("text", "text_pair"), ("premise", "hypothesis"))
PAIR_COLUMNS += (("sentence1", "sentence2"), ("question", "sentence"), ("question", "context"))
SINGLE_COLUMNS = ("text", "sentence")
LABEL_COLUMNS = ("label", "gold_label")


@dataclass(frozen=True)
class Example:
    """A text or a pair of texts; an `InputError` if one is no string, is empty, or holds half of a character.

    Example:
        >>> Example.of({"premise": "It rains.", "hypothesis": "It is dry.", "label": "contradiction"})
        Example(text='It rains.', text_pair='It is dry.', label='contradiction')
    """

    text: str
    text_pair: str | None = None  # the second text of a pair
    label: str | int | None = None  # gold, by name or index; NaN, as data frames write it, means none

    def __post_init__(self) -> None:
        texts = {"text": self.text} if self.text_pair is None else {"text": self.text, "text_pair": self.text_pair}
        for name, value in texts.items():
            if not isinstance(value, str):
                raise InputError(f"{name} must be a string, not {type(value).__name__}: {value!r:.60}")
            if not value.strip():
                raise InputError(f"{name} is empty: there is nothing to explain")
            object.__setattr__(self, name, _plain(value))
        object.__setattr__(self, "label", _plain(self.label))

    @classmethod
    def of(cls, item: "Example | str | tuple[str, str] | Mapping[str, Any]") -> "Example":
        """Read a string, a tuple of two or a mapping with the column names above; or raise an `InputError`."""
        if isinstance(item, Example):
            return item
        if isinstance(item, str):
            return cls(item)
        if isinstance(item, tuple) and len(item) == 2:
            return cls(item[0], item[1])
        if not isinstance(item, Mapping):
            raise InputError(f"expected a text, a pair or a row with a 'text' column, not {type(item).__name__}")
        label = next((item[column] for column in LABEL_COLUMNS if column in item), None)
        for first, second in PAIR_COLUMNS:
            if not (_missing(item.get(first)) or _missing(item.get(second))):
                return cls(item[first], item[second], label)
        for column in SINGLE_COLUMNS:
            if column in item:
                return cls(item[column], label=label)
        raise InputError(f"no 'text' column in the row; it has: {', '.join(map(str, item)) or 'nothing'}")


Item = Example | str | tuple[str, str] | Mapping[str, Any]  # what `Example.of` reads


def check_label(example: "Example") -> "Example":
    """Return an example, or raise an `InputError` if its label is neither a name nor an index."""
    if isinstance(example.label, bool) or not (example.label is None or isinstance(example.label, str | int)):
        raise InputError(f"the label must be a name or an index, not {example.label!r:.60}")
    return example


def sample(examples: "Iterable[Example]", count: int, seed: int) -> "list[Example]":
    """Draw a random sample of a stream, which is read once and never held whole (Vitter 1985, algorithm R)."""
    draw = random.Random(seed)
    kept: list[Example] = []
    for position, example in enumerate(examples):
        if position < count:
            kept.append(example)
        elif (place := draw.randrange(position + 1)) < count:
            kept[place] = example
    return kept


def _missing(value: Any) -> bool:
    """Tell None and NaN from everything else."""
    return value is None or (isinstance(value, float) and value != value)


def _plain(value: Any) -> Any:
    """Turn strings and whole numbers of other libraries (numpy, pandas) into Python's own, and NaN into None."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError("holds half of a character (a lone surrogate)") from None
        return str.__str__(value)
    if _missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return value
    try:
        return value.__index__()
    except (TypeError, ValueError):  # an array of several
        return value
