"""One thing to explain: a text or a pair of texts, and, where they are known, its gold label and its id."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

from narrows.errors import InputError, shown

T = TypeVar("T")

PAIR_COLUMNS: tuple[tuple[str, str], ...] = (("text", "text_pair"), ("premise", "hypothesis"))
PAIR_COLUMNS += (("sentence1", "sentence2"), ("question", "sentence"), ("question", "context"))
SINGLE_COLUMNS = ("text", "sentence")
LABEL_COLUMNS = ("label", "gold_label", "target")
ID_COLUMNS = ("id", "idx")
OPTIONAL_COLUMNS = {second for _, second in PAIR_COLUMNS}.difference(SINGLE_COLUMNS).union(LABEL_COLUMNS, ID_COLUMNS)
COLUMNS = {*SINGLE_COLUMNS, *LABEL_COLUMNS, *ID_COLUMNS, *(name for pair in PAIR_COLUMNS for name in pair)}


@dataclass(frozen=True)
class Example:
    """A text or a pair of texts; an `InputError` if one is no string, is empty, or holds half of a character.

    Example:
        >>> Example.of({"premise": "It rains.", "hypothesis": "It is dry.", "label": "contradiction"})
        Example(text='It rains.', text_pair='It is dry.', label='contradiction', id=None, parts=None)
    """

    text: str
    text_pair: str | None = None  # the second text of a pair
    label: str | int | None = None  # gold, by name or index; NaN, as data frames write it, means none
    id: str | int | None = None  # the user's own, which results keep; it need not be unique
    parts: tuple[tuple[int, int], ...] | None = None  # characters of text that are the user's own; None = all of them

    def __post_init__(self) -> None:
        for name in ("text", "text_pair") if self.text_pair is not None else ("text",):
            given = getattr(self, name)
            value = plain(given)
            if not isinstance(value, str):
                raise InputError(f"{name} must be a string, not {type(given).__name__}: {shown(given)}")
            if not value.strip():
                raise InputError(f"{name} is empty: there is nothing to explain")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "label", plain(self.label))
        own_id = plain(self.id)  # a date of a data frame's index, say, is written out
        object.__setattr__(self, "id", own_id if own_id is None or isinstance(own_id, str | int) else str(own_id))

    @classmethod
    def of(cls, item: "Item") -> "Example":
        """Read a string, a tuple of two or a row with the column names above; or raise an `InputError`."""
        if isinstance(item, Example):
            return item
        if is_chat(item) or is_chat([item]):
            template = "tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)"
            raise InputError(f"messages of a chat are read here as the one text that the model reads: {template}")
        row = as_row(item)
        if row is None:
            if isinstance(item, tuple) and len(item) == 2:
                return cls(*map(plain, item))
            text: Any = plain(item)
            if not isinstance(text, str):
                raise InputError(f"expected a text, a pair or a row with a 'text' column, not {type(item).__name__}")
            return cls(text)
        label, own_id = _label_of(row), next((row[c] for c in ID_COLUMNS if c in row), None)
        for first, second in PAIR_COLUMNS:
            if not (is_missing(row.get(first)) or is_missing(row.get(second))):
                return cls(row[first], row[second], label, own_id)
        for column in SINGLE_COLUMNS:
            if column in row:
                return cls(row[column], label=label, id=own_id)
        raise InputError(f"no 'text' column in the row; it has: {', '.join(map(str, row)) or 'nothing'}")


# What `Example.of` reads, and a chat, which needs the template of a tokenizer.
Item = Example | str | tuple[str, str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]


def check_columns(names: Iterable[Any]) -> None:
    """Raise an `InputError` if a table with these columns holds no texts, or holds some twice."""
    listed = list(names)
    if twice := [name for name in COLUMNS if listed.count(name) > 1]:
        raise InputError(f"two columns are named {twice[0]!r}")
    if not any(set(columns) <= set(listed) for columns in (*zip(SINGLE_COLUMNS), *PAIR_COLUMNS)):
        pairs = "; ".join("/".join(pair) for pair in PAIR_COLUMNS)
        named = ", ".join(map(str, listed)) or "none"
        raise InputError(f"no text column among {named}; name one 'text' (or a pair: {pairs})")


def check_label(example: "Example") -> "Example":
    """Return an example, or raise an `InputError` if its label is neither a name nor an index."""
    if isinstance(example.label, bool) or not (example.label is None or isinstance(example.label, str | int)):
        raise InputError(f"the label must be a name or an index, not {shown(example.label)}")
    return example


def sample(rows: Iterable[T], count: int, seed: int) -> list[T]:
    """Draw a random sample of a stream, which is read once and never held whole (Vitter 1985, algorithm R)."""
    draw = random.Random(seed)
    kept: list[T] = []
    for position, row in enumerate(rows):
        if position < count:
            kept.append(row)
        elif (place := draw.randrange(position + 1)) < count:
            kept[place] = row
    return kept


def as_row(item: Any) -> Mapping[str, Any] | None:
    """Give a row by its columns: a mapping, a named tuple, a row of a frame or of a database; None for what is none."""
    if isinstance(item, Mapping):
        return item
    if isinstance(item, tuple):
        return item._asdict() if hasattr(item, "_asdict") else None
    return {name: item[name] for name in item.keys()} if callable(getattr(item, "keys", None)) else None  # noqa: SIM118


def _label_of(row: Mapping[str, Any]) -> Any:
    """Find the label in a row; of the column ``target`` only names and indices: others hold what a regression has."""
    for column in LABEL_COLUMNS:
        label = row.get(column)
        if column in row and (
            column != "target" or (isinstance(label, str | Integral) and not isinstance(label, bool))
        ):
            return label
    return None


def known_of(item: Any) -> dict[str, Any]:
    """Give what the row of an error tells of an item, so far as it can be read: text, text_pair, id, gold label."""
    try:
        example = Example.of(item)
        texts = {"text": example.text, "text_pair": example.text_pair}
    except InputError:
        row, texts = as_row(item) or {}, {}
        own_id, label = next((row[c] for c in ID_COLUMNS if c in row), None), _label_of(row)
        try:
            example = Example("-", label=label, id=own_id)
        except InputError:  # half a character in one of them
            return {}
    gold = None if example.label is None else str(example.label)
    return {**texts, "id": example.id, "gold": gold}


def is_chat(item: Any) -> bool:
    """Tell a chat, a list of messages with role and content, from other items and lists of them."""
    listed = isinstance(item, (list, tuple)) and bool(item)
    return listed and all(isinstance(one, Mapping) and "role" in one and "content" in one for one in item)


def is_missing(value: Any) -> bool:
    """Tell what stands for a missing value, None, NaN and those of pandas, from everything else."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and value != value


def plain(value: Any) -> Any:
    """Turn text and numbers of other libraries (numpy, torch, pandas) into Python's own, and NaN into None."""
    if is_missing(value):
        return None
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError("holds half of a character (a lone surrogate)") from None
        return str.__str__(value)
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole or (isinstance(value, Integral) and not isinstance(value, bool)) else value
