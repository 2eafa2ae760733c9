"""``python -m bench``: measure Bireme and every peer that is installed, and write samples, table and plots."""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import host, model, report
from bench.model import Outcome, Plan, Sample, Skip
from bench.peers import PEERS, Peer, Session, Site
from bench.peers.install import install
from bench.places import build, make_archive, make_layer, spread, write_filter
from bench.processes import Failed, MountNamespace
from bench.report.figures import percentile
from bench.report.publish import publish
from bench.scenarios import SCENARIOS

_OWN = "BENCH_MOUNT_NAMESPACE"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 if something of Bireme's own could not be measured."""
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("bench: containers need root", file=sys.stderr)
        return 1
    in_own_mount_namespace(["-m", "bench", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        if options.install:
            install()
        outcome = measure(options.systems, options.only, _plan(options))
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for path in report.write(outcome, options.out):
        print(path)
    if options.publish:
        publish(outcome, options.out, host.project())
    return int(any(skip.system == "bireme" and not skip.reason.startswith("would take") for skip in outcome.skips))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes instead of half an hour")
    parser.add_argument("--only", type=_list_of(model.SCENARIOS), default=model.SCENARIOS, metavar="SCENARIO,...",
                        help=", ".join(model.SCENARIOS))  # fmt: skip
    names = tuple(peer.name for peer in PEERS)
    parser.add_argument("--systems", type=_list_of(names), default=names, metavar="SYSTEM,...", help=", ".join(names))
    parser.add_argument("--out", type=Path, default=Path("bench/results"), metavar="DIR", help="where to write to")
    parser.add_argument("--sizes", type=_numbers, metavar="N,...", help="containers started at once")
    parser.add_argument("--rounds", type=int, help="times that all systems take turns")
    parser.add_argument("--smallest", type=int, metavar="N", help="only see that all works, with N of each")
    parser.add_argument("--patience", type=float, metavar="SECONDS", help="skip what would take longer than this")
    parser.add_argument("--publish", action="store_true", help="put the figures into README.md and docs/performance.md")
    parser.add_argument("--install", action="store_true", help="first install peers that are missing (Debian)")
    return parser


def _list_of(known: Sequence[str]) -> type:
    class Names(tuple[str, ...]):
        def __new__(cls, text: str) -> Names:
            found = [name for name in text.split(",") if name]
            unknown = [name for name in found if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
            return super().__new__(cls, found)

    return Names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _plan(options: argparse.Namespace) -> Plan:
    plan = model.smallest(options.smallest) if options.smallest else model.QUICK if options.quick else Plan()
    given = {name: getattr(options, name) for name in ("sizes", "rounds", "patience") if getattr(options, name)}
    return dataclasses.replace(plan, **given)


def in_own_mount_namespace(command: Sequence[str]) -> None:
    """Begin anew where mounts are nobody else's; what is left mounted ends with this process."""
    if os.environ.get(_OWN) != "yes":
        os.environ[_OWN] = "yes"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *command])
    # An ended run takes its systems along.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measure(systems: Sequence[str], scenarios: Sequence[str], plan: Plan) -> Outcome:
    """Open the systems, play the scenarios, end the systems. Interrupted, it gives what there is."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        command = f"python -m bench {shlex.join(sys.argv[1:])}".strip()
        outcome = Outcome(host=host.describe(scratch), command=command, plan=plan)
        sites = _sites(scratch, stack)
        # The core alone needs nobody; whatever else takes part would only take its processor.
        for name in [name for name in scenarios if name == "core"]:
            _play(name, {}, plan, outcome)
        with _opened([peer for peer in PEERS if peer.name in systems], sites, outcome) as sessions:
            try:
                for name in [name for name in model.SCENARIOS if name in scenarios and name != "core"]:
                    _play(name, sessions, plan, outcome)
            except KeyboardInterrupt:
                outcome.skips.append(Skip(scenario="all", system="all", size=0, reason="the run was interrupted"))
    return outcome


def _sites(scratch: Path, stack: ExitStack) -> Site:
    """What every system finds; ``place`` is still to be filled in."""
    namespace = MountNamespace()
    stack.callback(namespace.close)
    layer = make_layer(scratch / "layer")
    programs = scratch / "programs"
    programs.mkdir()
    build("exits", programs)
    return Site(
        place=spread(scratch / "systems"), programs=programs, layer=layer,
        archive=make_archive(layer, scratch / "busybox.tar"), seccomp=write_filter(scratch / "seccomp.bpf"),
        namespace=namespace,
    )  # fmt: skip


@contextmanager
def _opened(peers: Sequence[Peer], site: Site, outcome: Outcome) -> Iterator[Mapping[str, Session]]:
    """The systems that are installed and answer. They are ended in reverse."""
    sessions: dict[str, Session] = {}
    with ExitStack() as stack:
        for peer in peers:
            missing = [program for program in peer.programs if shutil.which(program) is None]
            try:
                if missing:
                    raise Failed(f"not installed: {', '.join(missing)} (python -m bench --install)")
                place = site.place / peer.name
                place.mkdir()
                sessions[peer.name] = stack.enter_context(peer.opened(dataclasses.replace(site, place=place)))
            except (Failed, OSError) as error:
                outcome.skips.append(Skip(scenario="all", system=peer.name, size=0, reason=str(error)))
                _say(f"{peer.name}: {error}")
                continue
            outcome.systems[peer.name] = peer.note
            outcome.versions[peer.name] = sessions[peer.name].version
            _say(f"{peer.name}: {sessions[peer.name].version}")
        yield sessions


def _play(name: str, sessions: Mapping[str, Session], plan: Plan, outcome: Outcome) -> None:
    for found in SCENARIOS[name](sessions, plan):
        if isinstance(found, Sample):
            outcome.samples.append(found)
            _say(_line(found))
        else:
            outcome.skips.append(found)
            _say(f"{found.scenario:<8}{found.system:<12}{found.size:>6}  not measured: {found.reason}")


def _line(sample: Sample) -> str:
    start = f"{sample.scenario:<8}{sample.system:<12}{sample.size:>6}  {sample.case}, {sample.parallel} at once: "
    if sample.unit != "s":
        return f"{start}{sample.values[0]:.0f} {sample.unit}"
    middle = f"p50 {percentile(sample.values, 50) * 1000:.2f} ms, last {max(sample.values) * 1000:.1f} ms"
    if sample.scenario in ("start", "shared"):
        return f"{start}{sample.size / max(sample.values):.1f}/s"
    return start + middle


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
