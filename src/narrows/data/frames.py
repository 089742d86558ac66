"""Explained texts as data frames of pandas: a row for each text, word, unit or token."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from narrows.data.schema import AttributionDict, FailedDict
from narrows.errors import InputError, need, one_of

Level = Literal["text", "word", "unit", "token"]
ABOUT = ("id", "gold", "target", "predicted")  # of the text, in every row
OF_TEXT = (
    "id",
    "text",
    "text_pair",
    "gold",
    "target",
    "predicted",
    "probability",
    "typical",
    "truncated",
    "flip",
    "fraction_to_flip",
    "error",
)
OF_PART = ("start", "end", "segment", "score", "rank")
WHOLE = ("text_number", "truncated", "flip", "start", "end", "segment", "rank")  # whole numbers, which may be missing


def to_frame(results: Iterable[AttributionDict | FailedDict], level: Level) -> Any:
    """Make a data frame; of a text that could not be explained there is a row of level ``text`` only."""
    pandas = need("pandas", "to_frame needs pandas: pip install pandas")
    one_of("level", level, get_args(Level))
    columns = OF_TEXT if level == "text" else ("text_number", *ABOUT, level, *OF_PART)
    rows = [row for number, saved in enumerate(results) for row in _rows(saved, number, level)]
    frame = pandas.DataFrame(rows, columns=list(columns))
    return frame.astype({column: "Int64" for column in columns if column in WHOLE})


def _rows(saved: Mapping[str, Any], number: int, level: Level) -> Iterator[Mapping[str, Any]]:
    if level == "text":
        check, probabilities = saved.get("check") or {}, saved.get("probabilities") or {}
        own = {name: saved.get(name) for name in OF_TEXT}  # only these: the tokens of a whole run fill the memory
        own["probability"], own["flip"] = probabilities.get(saved.get("target")), check.get("flip")
        yield {**own, "fraction_to_flip": _fraction(saved, own["flip"])}
    elif "error" not in saved:
        if (parts := saved.get(f"{level}s")) is None:
            raise InputError("the text was not explained in units: give unit_of, or ask for level='word'")
        about = {name: saved.get(name) for name in ABOUT}
        yield from ({**about, "text_number": number, "unit": part.get("text"), **part} for part in parts)


def _fraction(saved: Mapping[str, Any], flip: int | None) -> float | None:
    """Give the share of the words, or of whatever was removed, that flips the decision; None if nothing does."""
    if flip is None:
        return None
    kind = saved["check"]["unit_of"]
    tokens = [token for token in saved["tokens"] if not token["special"]]
    return flip / len(saved["words"] if kind == "word" else saved["units"] or tokens)
