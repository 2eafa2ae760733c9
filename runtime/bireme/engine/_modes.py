"""Which of its host's namespaces a container shares: Docker's ``PidMode`` and ``UTSMode``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bireme_actors import InvalidConfig, Unsupported

if TYPE_CHECKING:
    from bireme.engine._request import CreateOptions

_OWN = ("", "private")


def pid_mode(options: CreateOptions) -> str:
    """``""`` for PIDs of its own, or ``host``. Raises InvalidConfig, Unsupported for those of another container."""
    mode = options.get("pid_mode", "")
    if mode.startswith("container:"):
        raise Unsupported(
            f"invalid PID mode '{mode}': a container cannot share another one's processes, which end with that one;"
            " run both programs in one container (exec), or take 'host'"
        )
    return _own_or_host("PID", "processes", mode)


def uts_mode(options: CreateOptions) -> str:
    """``""`` for a host name of its own, or ``host``. Raises InvalidConfig, also for a name beside the host's."""
    mode = _own_or_host("UTS", "a host name", options.get("uts_mode", ""))
    for option in ("hostname", "domainname"):
        if mode and options.get(option):
            raise InvalidConfig(f"conflicting options: {option} and the UTS mode: a name that is the host's is not set")
    return mode


def _own_or_host(kind: str, what: str, mode: str) -> str:
    if mode not in (*_OWN, "host"):
        raise InvalidConfig(f"invalid {kind} mode '{mode}': '' ({what} of its own) and 'host' are possible")
    return "" if mode in _OWN else mode
