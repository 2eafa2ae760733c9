"""Plays the catalogue on Bireme and on Docker, side by side: ``python -m tests.parity [ID ...]``.

Prints what either shows, tells what differs, and ends with 1 if a difference is not one that the catalogue explains.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from pprint import pformat

from tests.parity._bireme import open_bireme
from tests.parity._catalogue import Scenario, catalogue
from tests.parity._docker import NoDocker, open_docker
from tests.parity._images import make_images
from tests.parity._side import Side

_WIDTH = 58


def main(arguments: Sequence[str]) -> int:
    """Play the scenarios of these ids, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.partition("\n")[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="scenarios to play (default: all)")
    parser.add_argument("--driver", default="native", help="what Bireme runs containers with (default: native)")
    parser.add_argument("--only", choices=("bireme", "docker"), help="play on one side only")
    options = parser.parse_args(arguments)
    chosen = [found for found in catalogue() if not options.ids or found.id in options.ids]
    names = [options.only] if options.only else ["bireme", "docker"]
    with tempfile.TemporaryDirectory(prefix="parity-", ignore_cleanup_errors=True) as place, ExitStack() as stack:
        try:
            sides = [_open(name, Path(place), stack, options.driver) for name in names]
        except NoDocker as error:
            print(f"parity: {error}", file=sys.stderr)
            return 2
        wrong = [found.id for found in chosen if not _play(found, sides)]
    explained = sum(found.differs for found in chosen)
    print(f"{len(chosen)} scenarios, {explained} with a difference that is explained, {len(wrong)} wrong", *wrong)
    return 1 if wrong else 0


def _open(name: str, place: Path, stack: ExitStack, driver: str) -> Side:
    own = place / name
    own.mkdir()
    side = stack.enter_context(open_docker(own) if name == "docker" else open_bireme(own, driver))
    make_images(side)
    return side


def _play(found: Scenario, sides: Sequence[Side]) -> bool:
    """Play on each side, and print. True if all show what the catalogue says."""
    shown = {side.name: show(found, side) for side in sides}
    wrong = [name for name, value in shown.items() if value != found.expected(name)]
    print(f"{found.id:6} {'WRONG' if wrong else 'differs' if found.differs else 'same':8} {found.title}")
    if wrong or found.differs:
        _print_columns({name: pformat(value, width=_WIDTH) for name, value in shown.items()})
    else:
        print(f"       {' and '.join(shown)}: {found.expected(sides[0].name)!r}"[: 2 * _WIDTH])
    for name in wrong:
        print(f"       the catalogue has for {name}: {found.expected(name)!r}")
    if found.differs:
        print(f"       {found.why}")
    sys.stdout.flush()
    return not wrong


def show(found: Scenario, side: Side) -> object:
    """What a scenario shows on a side; a failure on the way is something it shows too."""
    try:
        return found.play(side)
    except Exception as error:  # noqa: BLE001 - whatever breaks one scenario must not hide the others
        return f"{type(error).__name__}: {error}"
    finally:
        side.clear()


def _print_columns(texts: dict[str, str]) -> None:
    columns = [[name, *_wrapped(text)] for name, text in texts.items()]
    for row in range(max(map(len, columns))):
        cells = [column[row] if row < len(column) else "" for column in columns]
        print("       " + " | ".join(f"{cell:{_WIDTH}}" for cell in cells).rstrip())


def _wrapped(text: str) -> list[str]:
    return [line[at : at + _WIDTH] for line in text.splitlines() for at in range(0, max(len(line), 1), _WIDTH)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
