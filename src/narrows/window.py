"""A stretch of a stream of texts: large enough to sort by length, small enough to wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from narrows.example import Example
from narrows.models.encoding import Encoding
from narrows.models.targets import Target

Item = Example | str | tuple[str, str] | Mapping[str, Any]
"""What can be explained: a text, a pair, or a row that holds one."""

WINDOW = 4  # batches that are sorted by length together, and come out together


@dataclass(frozen=True)
class Window:
    """Texts, each with its encoding and its target.

    Attributes:
        examples: The texts.
        encodings: Their tokens.
        targets: What is explained in each.
    """

    examples: list[Example]
    encodings: list[Encoding]
    targets: list[Target]

    def take(self, rows: Sequence[int]) -> Window:
        """Pick some of the texts.

        Args:
            rows: Their positions.

        Returns:
            A window of them, in the order given.
        """
        return Window(
            [self.examples[row] for row in rows],
            [self.encodings[row] for row in rows],
            [self.targets[row] for row in rows],
        )


def windows(
    requests: Iterable[tuple[Item, Target]], encode: Callable[[Example], Encoding], batch_size: int, batch_tokens: int
) -> Iterator[Window]:
    """Cut a stream into windows.

    Args:
        requests: Texts, each with its target.
        encode: Tokenizes one.
        batch_size: Most texts of a batch.
        batch_tokens: Most tokens of a batch.

    Yields:
        Windows of a few batches, the last one shorter.
    """
    window, tokens = Window([], [], []), 0
    for item, target in requests:
        example = Example.of(item)
        encoding = encode(example)
        window.examples.append(example)
        window.encodings.append(encoding)
        window.targets.append(target)
        tokens += len(encoding)
        if len(window.examples) >= WINDOW * batch_size or tokens >= WINDOW * batch_tokens:
            yield window
            window, tokens = Window([], [], []), 0
    if window.examples:
        yield window


def is_pair(item: Any) -> bool:
    """Tell whether something is one pair of texts, not a list of two."""
    return isinstance(item, tuple) and len(item) == 2 and all(isinstance(text, str) for text in item)
