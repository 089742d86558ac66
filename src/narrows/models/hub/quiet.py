"""Silence while transformers and peft load something: what they say there is for developers."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars, its report on a new head, and a warning that peft causes."""
    logging: Any = import_module("transformers.utils.logging")
    with ExitStack() as undo, warnings.catch_warnings():
        undo.callback(logging.set_verbosity, logging.get_verbosity())
        logging.set_verbosity_error()
        if logging.is_progress_bar_enabled():
            undo.callback(logging.enable_progress_bar)
        logging.disable_progress_bar()
        # peft asks every model for a property that transformers has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield
