"""Progress: how much of the work is done, and how long the rest will take."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from narrows.run.parts import Receipt


@dataclass(frozen=True)
class Progress:
    """The state of a run."""

    rows: int  # texts in the parts made since this start
    errors: int  # those of them with an error
    tokens: int  # tokens of the others
    done: float | None  # share of the work, 0 to 1, with earlier starts and parts in the making; None if unknown
    seconds: float  # since this start
    seconds_left: float | None  # at the speed of this start; None if unknown
    doing: str = ""  # what is being done: the name of a method in an evaluation, else empty


MeterCallback = Callable[[Progress], None]


class Meter:
    """Measures progress; the time left is estimated from the work in the texts, not from their number."""

    def __init__(self, total: float, report: MeterCallback | None) -> None:
        """Start the clock; `total` is all work in any unit, 0 if unknown."""
        self.doing = ""
        self._report = report
        self._total = total
        self._counts = (0, 0, 0)  # rows, errors, tokens
        self._before = self._made = 0.0  # work of earlier starts, and of this one
        self._making: dict[Hashable, float] = {}  # work done of each part in the making
        self._start = time.monotonic()

    def skip(self, work: float) -> None:
        """Count work that an earlier start has done."""
        self._before += work
        self._tell()

    def tick(self, part: Hashable, work: float) -> None:
        """Note how much work of a part in the making is done."""
        self._making[part] = work
        self._tell()

    def add(self, part: Hashable, work: float, receipt: Receipt | None = None) -> None:
        """Count a new part; the receipt, if there is one, counts its texts."""
        self._making.pop(part, None)
        self._made += work
        if receipt is not None:
            rows, errors, tokens = self._counts
            self._counts = (rows + receipt.rows, errors + receipt.errors, tokens + receipt.tokens)
        self._tell()

    def _tell(self) -> None:
        if self._report is None:
            return
        seconds, now = time.monotonic() - self._start, self._made + sum(self._making.values())
        left = max(self._total - self._before - now, 0.0)
        done = 1 - left / self._total if self._total > 0 else None
        seconds_left = seconds * left / now if self._total > 0 and now > 0 else None
        self._report(Progress(*self._counts, done, seconds, seconds_left, self.doing))
