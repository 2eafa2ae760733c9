"""The systems that are measured: how each is opened on a socket and data of its own, and what it can be asked to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.peers import bireme, bound, bubblewrap, docker, oci, podman
from bench.peers.session import Session, Site

__all__ = ["PEERS", "Peer", "Session", "Site"]


@dataclass(frozen=True, slots=True)
class Peer:
    """A system: ``programs`` have to be installed for it, ``note`` says what it does and does not do."""

    name: str
    programs: Sequence[str]
    opened: Callable[[Site], AbstractContextManager[Session]]
    note: str


PEERS = (
    Peer(
        "bound", ("cc",), bound.opened,
        "C, no engine: namespaces, all mounts, overlay, cgroup, seccomp, capabilities as Bireme's; files laid out"
        " beforehand; no records, log or API",
    ),
    Peer(
        "bireme", (), bireme.opened,
        "embedded library (start, exit), `bireme` command and Engine API of a served engine; overlay root, volume, own"
        " /etc files, seccomp, capabilities, masks, device guard, log, config on the disk before it starts",
    ),
    Peer(
        "crun", ("crun",), oci.Loop("crun", bare=True).opened,
        "bare loop of `crun run -d`: bundles laid out beforehand, one shared root (no overlay), bind mount, no seccomp,"
        " no masks, no cgroup, no log",
    ),
    Peer(
        "crun-same", ("crun",), oci.Loop("crun", bare=False).opened,
        "loop of `crun run -d` with what Bireme gives: overlay root, seccomp, capabilities, masks, /dev; bundles laid"
        " out beforehand; no cgroup, no log, no records",
    ),
    Peer(
        "runc", ("runc",), oci.Loop("runc", bare=True).opened,
        "bare loop of `runc run -d`, as crun's but for runc's cgroups",
    ),
    Peer(
        "bubblewrap", ("bwrap",), bubblewrap.opened,
        "loop of `bwrap`: shared root (no overlay), bind mount, seccomp; no capabilities' set, no cgroup, no log",
    ),
    Peer(
        "docker", ("dockerd", "docker", "containerd", "runc"), docker.opened,
        "dockerd with containerd and runc, `--network none`, through its API (docker-py, threads) and `docker`; all its"
        " own defaults",
    ),
    Peer(
        "podman", ("podman", "conmon", "crun"), podman.opened,
        "`podman` with crun, `--network none`, no daemon; all its own defaults",
    ),
)  # fmt: skip
