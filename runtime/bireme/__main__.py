"""``python -m bireme``: the command line."""

from __future__ import annotations

from bireme.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
