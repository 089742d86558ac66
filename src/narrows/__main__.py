"""``python -m narrows``: the command line."""

from __future__ import annotations

from narrows.cli import main

if __name__ == "__main__":
    main()
