"""The command line: heavy imports stand inside the commands; exit code 2 is for what the user can put right."""

import errno
import os
import sys
import warnings
from typing import Annotated

import typer

from narrows import __version__
from narrows.cli import explain, models, runs
from narrows.cli.terminal import say
from narrows.errors import NarrowsError, NarrowsWarning

app = typer.Typer(
    name="narrows",
    help="How much each token of a text contributed to a transformer's prediction.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (explain, runs, models):
    app.add_typer(module.commands)

# Errors of stdout; files say themselves what is wrong.
LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE}
INTERRUPTED = 130  # what shells give a program that was stopped by Ctrl-C


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        typer.echo(f"narrows {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; turn what the user can put right into one line and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of libraries are for developers
        warnings.simplefilter("always", NarrowsWarning)
        warnings.showwarning = lambda message, *_, **__: say("warning", message)
        try:
            code = app(standalone_mode=False) or 0
            if sys.stdout is not None:
                sys.stdout.flush()
            sys.exit(code)
        except NarrowsError as error:
            say("error", error)
            sys.exit(2)
        except (KeyboardInterrupt, typer.Abort):
            sys.exit(INTERRUPTED)
        except OSError as error:
            if error.errno not in LOST:
                raise
            # Python would try again to write what is left when it ends, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):  # the reader has seen enough: narrows ... | head -1
                sys.exit(1)
            say("error", f"cannot write the output: {error.strerror}")
            sys.exit(2)
        except Exception as error:
            # A wrong option; without a message the parser has already printed the help.
            tell = getattr(error, "format_message", None)
            if tell is None:
                raise
            if message := tell():
                say("error", message)
            sys.exit(2)
