"""Which of its host's namespaces a container shares: Docker's ``UTSMode``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bireme_actors import InvalidConfig

if TYPE_CHECKING:
    from bireme.engine._request import CreateOptions

_OWN = ("", "private")


def uts_mode(options: CreateOptions) -> str:
    """``""`` for a host name of its own, or ``host``. Raises InvalidConfig, also for a name beside the host's."""
    mode = options.get("uts_mode", "")
    if mode in _OWN:
        return ""
    if mode != "host":
        raise InvalidConfig(f"invalid UTS mode '{mode}': '' (a host name of its own) and 'host' are possible")
    for option in ("hostname", "domainname"):
        if options.get(option):
            raise InvalidConfig(f"conflicting options: {option} and the UTS mode: a name that is the host's is not set")
    return mode
