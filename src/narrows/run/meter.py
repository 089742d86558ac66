"""How far a run is, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from narrows.run.dataset_settings import Share
from narrows.run.parts import Receipt
from narrows.run.texts import Survey


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        rows: Texts in the parts that were made in this start.
        errors: Those of them that could not be explained.
        tokens: Tokens of the others.
        done: Share of the work that is done, 0 to 1, earlier starts and parts in the making counted; None where it
            cannot be known.
        seconds: Since this start.
        seconds_left: At the speed of this start; None where it cannot be known.
    """

    rows: int
    errors: int
    tokens: int
    done: float | None
    seconds: float
    seconds_left: float | None


Report = Callable[[Progress], None]
"""Told of progress."""


class Meter:
    """Tells where a run stands; the time left is reckoned by the work in the texts, not by their number."""

    def __init__(self, survey: Survey | None, share: Share, report: Report | None) -> None:
        """Prepare to tell.

        Args:
            survey: The work of each part; None where it is not known.
            share: The parts that are to be made.
            report: Who is told.
        """
        self._report = report
        self._work = None if survey is None else survey.work
        self._total = sum(work for part, work in enumerate(self._work or ()) if share.has(part))
        self._rows = self._errors = self._tokens = 0
        self._before = self._made = 0.0  # work done by earlier starts, and by this one
        self._making: dict[int, float] = {}  # parts in the making, and the share of each that is done
        self._start = time.monotonic()

    def start(self, present: Iterable[int]) -> None:
        """Start the clock.

        Args:
            present: Parts that are there already.
        """
        self._before = sum(map(self._work_of, present))
        self._start = time.monotonic()
        self._tell()

    def tick(self, part: int, done: float) -> None:
        """Take note of a part in the making.

        Args:
            part: Its number.
            done: How much of it is done, 0 to 1.
        """
        self._making[part] = done
        self._tell()

    def add(self, receipt: Receipt) -> None:
        """Take note of a new part.

        Args:
            receipt: What it says of itself.
        """
        self._making.pop(receipt.part, None)
        self._made += self._work_of(receipt.part)
        self._rows += receipt.rows
        self._errors += receipt.errors
        self._tokens += receipt.tokens
        self._tell()

    def _work_of(self, part: int) -> float:
        return self._work[part] if self._work is not None and part < len(self._work) else 0.0

    def _tell(self) -> None:
        if self._report is None:
            return
        seconds = time.monotonic() - self._start
        now = self._made + sum(done * self._work_of(part) for part, done in self._making.items())
        known = self._total > 0
        left = max(self._total - self._before - now, 0.0)
        self._report(
            Progress(
                self._rows,
                self._errors,
                self._tokens,
                1 - left / self._total if known else None,
                seconds,
                seconds * left / now if known and now > 0 else None,
            )
        )
