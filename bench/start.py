"""How fast containers start: Bireme, and beside it a plain loop of ``crun run -d`` (and ``runc``), if installed.

The short way to two of the scenarios of ``python -m bench``, as a script: containers a second until N run, at the best
of several degrees of parallelism, and milliseconds from ``create`` (or ``crun run``) until one has ended and is gone.
With ``--overlay`` the loops mount an overlay root for each container too, as an engine that farms out to them has to.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.__main__ import in_own_mount_namespace, measure
from bench.model import Outcome, Plan, Sample
from bench.report.figures import latencies, percentile

_BESIDES = {"crun": "crun-same"}
_PEERS = ("bound", "crun", "crun-same", "runc", "bubblewrap", "docker", "podman")


def main() -> None:
    options = _arguments()
    if os.geteuid() != 0:
        raise SystemExit("bench/start.py: containers need root")
    in_own_mount_namespace(sys.argv)
    peers = [name for peer in options.peers for name in (peer, _BESIDES.get(peer, "")) if name]
    chosen = [name for name in peers if options.overlay or name not in _BESIDES.values() or name in options.peers]
    plan = Plan(sizes=(), probe=options.containers, probes=1, rounds=1, lives=options.lives)
    outcome = measure(["bireme", *chosen], ["start", "exit"], plan)
    host = f"{outcome.host['kernel']}, {outcome.host['processor']}"
    print(f"\n{options.containers} containers of one volume each; {host}")
    print(f"{'':<14}{'started/s':>10}{'at once':>10}{'ms to exit':>12}{'90 %':>8}   started/s by what is at once")
    for system in outcome.versions:
        print(_row(outcome, system))
    if options.json:
        outcome.save(Path(options.json))
    if any(skip.system == "bireme" for skip in outcome.skips):
        raise SystemExit("bench/start.py: Bireme could not be measured")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="containers a second and milliseconds to exit")
    parser.add_argument("--containers", type=int, default=200, help="how many to start for each measurement")
    parser.add_argument("--lives", type=int, default=50, help="how many to run to their exit, one after the other")
    parser.add_argument("--peers", nargs="*", choices=_PEERS, default=["crun", "runc"], help="what to compare with")
    parser.add_argument("--overlay", action="store_true", help="also crun with an overlay root for each container")
    parser.add_argument("--json", metavar="FILE", help="also write the samples there")
    return parser.parse_args()


def _row(outcome: Outcome, system: str) -> str:
    probes: Sequence[Sample] = list(outcome.of("start", system))
    rates = {sample.parallel: sample.size / max(sample.values) for sample in probes}
    if not rates:
        return f"{system:<14}not measured"
    best = max(rates, key=rates.__getitem__)
    way = next((sample.case for sample in outcome.of("exit", system)), "")
    lives = latencies(outcome, "exit", system, way) or [0.0]
    middle, slow = percentile(lives, 50) * 1000, percentile(lives, 90) * 1000
    every = ", ".join(f"{parallel}: {rate:.0f}" for parallel, rate in rates.items())
    return f"{system:<14}{rates[best]:>10.0f}{best:>10}{middle:>12.1f}{slow:>8.1f}   {every}"


if __name__ == "__main__":
    main()
