"""The progress of a long list, with the time left, where somebody can see it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LEAST = 50  # texts; shorter lists have no bar


@contextmanager
def list_progress(texts: int) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr, of a terminal or a notebook only; call with the share that is done."""
    from tqdm.auto import tqdm

    seen = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    with tqdm(total=texts, desc="Explaining", unit=" texts", disable=texts < LEAST or not seen, leave=False) as bar:

        def tick(done: float) -> None:
            bar.update(max(round(done * texts) - bar.n, 0))

        yield tick
