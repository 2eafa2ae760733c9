"""The flags of Docker's ``run`` and ``create`` that are not to be had here, each with the reason. Pure.

Who types one is told why and what to do instead; none is let pass in silence.
"""

from __future__ import annotations

from bireme.cli._flags import ABSENT, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_REASONS: dict[str, tuple[str, ...]] = {
    "a container has the loopback's addresses only, or with --network host all that its host has": (
        "ip", "ip6", "link-local-ip",
    ),
    "there is no network between containers": ("link", "network-alias"),
    "there is no network to publish ports of; with --network host a container's ports are the host's": (
        "publish", "publish-all",
    ),
    "devices of the host cannot be handed to a container": ("device", "device-cgroup-rule", "gpus"),
    "input and output of devices are not bounded": (
        "blkio-weight", "blkio-weight-device", "device-read-bps", "device-read-iops", "device-write-bps",
        "device-write-iops",
    ),
    "processors and memory are bounded by --cpus, --cpu-shares, --memory and --memory-swap": (
        "cpu-rt-period", "cpu-rt-runtime", "kernel-memory", "memory-swappiness", "oom-kill-disable",
    ),
    "every container has a cgroup of the engine's own": ("cgroup-parent",),
    "the kernel's settings are the host's": ("sysctl",),
    "a container's files are bounded by the disk": ("storage-opt",),
    "signatures are not looked at; images are verified by their digests": ("disable-content-trust",),
    "the engine's socket is not handed to containers": ("use-api-socket",),
    "it is for Windows": ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"),
}  # fmt: skip
_LETTERS = {"publish": "p", "publish-all": "P"}
_OLD = {"network-alias": "net-alias"}


def _flags() -> Iterator[Flag]:
    for reason, names in _REASONS.items():
        for name in names:
            yield Flag(name, _LETTERS.get(name, ""), ABSENT, reason, old=_OLD.get(name, ""))


REFUSED_FLAGS = tuple(_flags())
