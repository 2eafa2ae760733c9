"""``make fuzz``: as long as wanted, from a seed that is told, so that what was found can be found again."""

from __future__ import annotations

import argparse
import secrets
import tempfile
from pathlib import Path

from tests.fuzz.rounds import fuzz
from tests.fuzz.world import World


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 30), help="of the first round")
    options = parser.parse_args()
    print(f"fuzzing for {options.seconds:g} seconds, from seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bireme-fuzz-") as directory:
        world = World(Path(directory))
        try:
            played = fuzz(world, options.seconds, options.seed)
        finally:
            world.close()
    print(f"{played.requests} requests in {played.rounds} rounds ({dict(played.statuses)}): no 500, no hang, no leak")


if __name__ == "__main__":
    main()
