"""From what a user asks for to a container's configuration: one table of options, one pure function.

The image's part is merged in here: its environment and labels below the user's, its entrypoint and command where the
user gives none, its declared volumes beside the user's. Rules as in Docker's ``create``.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypedDict

from bireme.engine._bounds import new_limits
from bireme.engine._health import with_check
from bireme.engine._log_options import checked
from bireme.engine._modes import pid_mode, uts_mode
from bireme.engine._signals import parse_signal
from bireme.images import Image
from bireme.storage import check_names
from bireme_actors import (
    ContainerConfig,
    ContainerId,
    InvalidConfig,
    Limits,
    RestartPolicy,
    Security,
    Tmpfs,
    VolumesFrom,
    checked_tmpfs,
    clean_destination,
    parse_tmpfs,
    parse_volume,
    parse_volumes_from,
)

NETWORKS = ("none", "host")
RESTART_POLICIES = ("no", "always", "unless-stopped", "on-failure")
_NO_RESTART = RestartPolicy()
_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?")


class HasId(Protocol):
    """A container's handle."""

    @property
    def id(self) -> str: ...


Environment = Mapping[str, str] | Iterable[str]
"""``{"A": "b"}`` or ``["A=b"]``; in the latter form a bare ``"A"`` takes the image's variable away."""


TmpfsOption = Mapping[str, str] | Iterable[str | Tmpfs]
"""Paths with their options, as ``--tmpfs`` has them; none (``""``) are ``nosuid,nodev,noexec``, all may write."""


class CreateOptions(TypedDict, total=False):
    """Everything ``create``, ``run`` and ``open_container`` take by keyword, under Docker's words."""

    name: str
    """Docker's rule for names; made up if empty."""
    entrypoint: Sequence[str] | str | None
    """In place of the image's, whose command is then dropped too; ``""`` or ``[""]`` for none."""
    volumes: Iterable[str]
    """Absolute paths, a new volume each (``-v PATH``)."""
    volumes_from: Iterable[str | VolumesFrom | HasId]
    """Containers whose volumes to share: handles, names or ids, with ``:ro`` or ``:rw`` if wanted."""
    tmpfs: TmpfsOption
    """What to mount in memory: ``{"/run": "size=64m,mode=755"}`` or ``["/run:size=64m,mode=755"]``."""
    env: Environment
    user: str
    workdir: str
    hostname: str
    domainname: str
    labels: Mapping[str, str]
    tty: bool
    stdin_open: bool
    stdin_once: bool
    network: str
    """``none`` (loopback only) or ``host``."""
    pid_mode: str
    """``host``: it sees the host's processes. What it starts ends with its first process all the same."""
    uts_mode: str
    """``host``: the host's name is the container's too, and ``hostname`` is not to be given."""
    read_only: bool
    init: bool
    auto_remove: bool
    stop_signal: str | int
    stop_timeout: int | None
    """Seconds between the stop signal and SIGKILL; None is ten."""
    restart: RestartPolicy | str
    """A policy, or ``no``, ``always``, ``unless-stopped``, ``on-failure[:N]``."""
    security: Security
    limits: Limits
    platform: str
    """``linux/arm64/v8``: what the image has to be for; that it can run here is not asked."""
    driver: str
    log_driver: str
    """``json-file`` (the default), ``local``, or ``none``: output goes to who is attached, and is not kept."""
    log_opts: Mapping[str, str]
    """``max-size`` and ``max-file`` of a log that is kept."""
    extra: Mapping[str, object]
    """JSON that ``inspect`` hands back: ``{"Config": {...}, "HostConfig": {...}}``. ``Healthcheck``, ``ExtraHosts``,
    ``Dns``, ``DnsSearch`` and ``DnsOptions`` in it have their effect.
    """


_OPTIONS = frozenset(CreateOptions.__annotations__)


def build_config(
    container: ContainerId, name: str, image: Image, image_ref: str, command: Sequence[str] | str | None,
    options: CreateOptions, driver: str, *, ephemeral: bool = False,
) -> ContainerConfig:
    """The configuration, but for its mounts. Raises InvalidConfig for what can never work, TypeError for an unknown
    option.
    """
    if not options.keys() <= _OPTIONS:
        raise TypeError(f"create() got unexpected options: {', '.join(sorted(options.keys() - _OPTIONS))}")
    entrypoint, cmd = _command(image, command, options)
    restart = parse_restart(options["restart"]) if "restart" in options else _NO_RESTART
    if restart.name != "no" and options.get("auto_remove"):
        raise InvalidConfig("can't create 'AutoRemove' container with restart policy")
    return ContainerConfig(
        id=container,
        name=name,
        created=time.time_ns(),
        image=image_ref,
        image_id=image.id,
        args=(*entrypoint, *cmd),
        driver=options.get("driver") or driver,
        entrypoint=entrypoint or None,
        command=cmd or None,
        env=_environment(image.config.env, options.get("env", ())),
        user=options.get("user") or image.config.user,
        working_dir=_working_dir(options.get("workdir") or image.config.working_dir or "/"),
        hostname=_hostname(container, options),
        labels={**image.config.labels, **_strings("label", options.get("labels", {}))},
        stop_signal=parse_signal(options.get("stop_signal") or image.config.stop_signal or "TERM"),
        volumes=_volumes(image, options.get("volumes", ())),
        volumes_from=_sources(options["volumes_from"]) if "volumes_from" in options else (),
        tmpfs=_tmpfs(options["tmpfs"]) if "tmpfs" in options else (),
        open_stdin=options.get("stdin_open", False),
        restart=restart,
        ephemeral=ephemeral,
        **_plain(options, image),
    )


def _plain(options: CreateOptions, image: Image) -> dict[str, Any]:
    """What needs no more than a check; where nothing is given it is as ``ContainerConfig`` has it."""
    found: dict[str, Any] = {"extra": _extra(options, image)}
    found |= {option: check(options) for option, check in _CHECKS.items() if option in options}
    found |= {option: value for option, value in options.items() if option in _UNCHECKED}
    return found


def _stop_timeout(options: CreateOptions) -> int | None:
    seconds = options["stop_timeout"]
    if seconds is not None and seconds < -1:
        raise InvalidConfig(f"invalid stop timeout {seconds}: seconds, 0 or more (-1: wait for ever)")
    return seconds


def _extra(options: CreateOptions, image: Image) -> Mapping[str, object]:
    """What is kept beside the rest, checked; nothing where neither user nor image say anything."""
    extra = _given_extra(options)
    if not extra and not image.config.extra:
        return extra
    check_names(extra)
    return checked(with_check(extra, image.config.extra))


def _given_extra(options: CreateOptions) -> Mapping[str, object]:
    extra = dict(options.get("extra", {}))
    domainname = options.get("domainname", "")
    if domainname:
        extra["Config"] = _with(extra, "Config", "Domainname", domainname)
    driver, log_opts = options.get("log_driver", ""), options.get("log_opts", {})
    if driver or log_opts:
        log = {"Type": driver or "json-file", "Config": dict(_strings("log option", log_opts))}
        extra["HostConfig"] = _with(extra, "HostConfig", "LogConfig", log)
    return extra


def _with(extra: Mapping[str, object], part: str, field: str, value: object) -> dict[str, object]:
    given = extra.get(part)
    return {**(given if isinstance(given, dict) else {}), field: value}


def words(value: Sequence[str] | str | None) -> tuple[str, ...]:
    """A command as words; a single text is one word, never split."""
    found = (value,) if isinstance(value, str) else tuple(value or ())
    for word in found:
        if not isinstance(word, str):
            raise InvalidConfig(f"invalid command: {word!r} is not a text")
        if "\0" in word:
            raise InvalidConfig(f"invalid command: {word!r} holds a NUL character")
    return found


def _command(
    image: Image, command: Sequence[str] | str | None, options: CreateOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    given = options.get("entrypoint")
    cmd = words(command)
    if given is None:
        entrypoint = image.config.entrypoint or ()
        cmd = cmd or image.config.cmd or ()
    else:
        entrypoint = words(given)
        entrypoint = () if entrypoint == ("",) else entrypoint
    if not entrypoint and not cmd:
        raise InvalidConfig("no command specified: the image has none, so give one")
    if not (*entrypoint, *cmd)[0]:
        raise InvalidConfig("invalid command: its first word is empty")
    return entrypoint, cmd


def environment(value: Environment) -> tuple[str, ...]:
    """As ``NAME=value`` texts. Raises InvalidConfig for a variable without a name or with a NUL."""
    pairs = [f"{name}={text}" for name, text in value.items()] if isinstance(value, Mapping) else None
    return tuple(_variable(entry) for entry in pairs or _items("env", value))


def _variable(entry: object) -> str:
    if not isinstance(entry, str) or not entry.partition("=")[0] or "\0" in entry:
        raise InvalidConfig(f"invalid environment variable: {entry!r}; write NAME=value")
    return entry


def _environment(below: Iterable[str], value: Environment) -> tuple[str, ...]:
    """A bare name is kept, as Docker shows it; whoever starts a process takes the variable away."""
    return tuple({entry.partition("=")[0]: entry for entry in (*below, *environment(value))}.values())


def _strings(what: str, mapping: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in mapping.items():
        if not key or not isinstance(value, str):
            raise InvalidConfig(f"invalid {what} {key!r}: names and values are texts, names not empty")
    return mapping


def _items(what: str, value: Iterable[object]) -> list[object]:
    if isinstance(value, str):
        raise InvalidConfig(f"invalid {what}: {value!r} is one text; give a list")
    return list(value)


def _working_dir(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise InvalidConfig(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    return path


def _hostname(container: ContainerId, options: CreateOptions) -> str:
    hostname = options.get("hostname", "")
    if not hostname:
        return socket.gethostname() if options.get("network") == "host" else container[:12]
    if not _HOSTNAME.fullmatch(hostname):
        raise InvalidConfig(f"invalid hostname '{hostname}': letters, digits, '.', '-', '_', at most 64 of them")
    return hostname


def _volumes(image: Image, paths: Iterable[str]) -> tuple[str, ...]:
    own = [parse_volume(_text(path)) for path in _items("volumes", paths)]
    return tuple(dict.fromkeys([*own, *(clean_destination(path) for path in image.config.volumes)]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidConfig(f"invalid volume {value!r}: give the absolute path to mount the volume at, as text")
    return value


def _tmpfs(value: TmpfsOption) -> tuple[Tmpfs, ...]:
    """Those among the mounts come last, so that they lie above another at the same path, as in Docker."""
    pairs = [Tmpfs(*pair) for pair in value.items()] if isinstance(value, Mapping) else _items("tmpfs", value)
    found: dict[tuple[bool, str], Tmpfs] = {}
    for item in pairs:
        one = _one_tmpfs(item)
        if found.setdefault((one.listed, one.destination), one) is not one:
            raise InvalidConfig(f"Duplicate mount point: {one.destination}")
    return tuple(sorted(found.values(), key=lambda one: one.listed))


def _one_tmpfs(value: object) -> Tmpfs:
    if isinstance(value, str):
        return parse_tmpfs(value)
    texts: tuple[object, ...] = (value.destination, value.options) if isinstance(value, Tmpfs) else ()
    if not isinstance(value, Tmpfs) or not all(isinstance(text, str) for text in texts):
        raise InvalidConfig(f"invalid tmpfs {value!r}: give an absolute path and its options, as texts")
    return checked_tmpfs(value)


def _sources(values: Iterable[object]) -> tuple[VolumesFrom, ...]:
    return tuple(_source(value) for value in _items("volumes_from", values))


def _source(value: object) -> VolumesFrom:
    if isinstance(value, VolumesFrom):
        return value
    if isinstance(value, str):
        return parse_volumes_from(value)
    identifier = getattr(value, "id", None)
    if not isinstance(identifier, str):
        raise InvalidConfig(f"invalid volumes-from {value!r}: name a container")
    return VolumesFrom(identifier)


def parse_network(name: str) -> str:
    """``none`` or ``host``; Docker's defaults mean ``none`` here. Raises InvalidConfig."""
    chosen = "none" if name in ("", "default", "bridge") else name
    if chosen not in NETWORKS:
        raise InvalidConfig(f"network {name} not found: there are none (loopback only) and host")
    return chosen


def parse_restart(policy: RestartPolicy | str) -> RestartPolicy:
    """A policy, or its text. Raises InvalidConfig."""
    if isinstance(policy, str):
        name, colon, count = policy.partition(":")
        if colon and not (count.isascii() and count.isdigit()):
            raise InvalidConfig(f"invalid restart policy '{policy}': the maximum retry count must be a number")
        policy = RestartPolicy(name=name or "no", maximum_retries=int(count or 0))
    if policy.name not in RESTART_POLICIES:
        raise InvalidConfig(f"invalid restart policy '{policy.name}': one of {', '.join(RESTART_POLICIES)}")
    if policy.maximum_retries and policy.name != "on-failure":
        raise InvalidConfig(f"maximum retry count cannot be used with restart policy '{policy.name}'")
    if policy.maximum_retries < 0:
        raise InvalidConfig("maximum retry count cannot be negative")
    return policy


_CHECKS: Mapping[str, Callable[[CreateOptions], object]] = {
    "stop_timeout": _stop_timeout,
    "network": lambda options: parse_network(options["network"]),
    "pid_mode": pid_mode,
    "uts_mode": uts_mode,
    "limits": lambda options: new_limits(options["limits"]),
}
"""Options that are fields once they are checked, in this order."""

_UNCHECKED = frozenset({"tty", "stdin_once", "read_only", "init", "auto_remove", "security"})
