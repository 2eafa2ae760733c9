"""Health checks: what is asked for, and what follows from a probe's result. Pure; Docker's rules and words.

A container with a check is *starting* until a probe succeeds, *healthy* then, and *unhealthy* once so many probes in a
row have failed. Failures in the start period do not count, unless one has succeeded before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bireme_actors import InvalidConfig, Nanoseconds

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"

MOST_OUTPUT = 4096
"""Bytes of a probe's output that are kept."""

_KEPT = 5
"""Results that are kept."""

_INTERVAL, _TIMEOUT, _START_INTERVAL, _RETRIES = 30.0, 30.0, 5.0, 3
_LEAST = 1_000_000
_SECOND = 1_000_000_000
_SPANS = ("Interval", "Timeout", "StartPeriod", "StartInterval")
_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What to run in a container to see whether it is well. Times are seconds."""

    args: tuple[str, ...]
    interval: float = _INTERVAL
    timeout: float = _TIMEOUT
    start_period: float = 0.0
    start_interval: float = _START_INTERVAL
    retries: int = _RETRIES

    def pause(self, status: str, age: float) -> float:
        """Seconds until the next probe of a container in ``status`` that started ``age`` seconds ago."""
        return self.start_interval if status == STARTING and age < self.start_period else self.interval


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe: 0 is good, any other exit code is bad, -1 where it could not be run or took too long."""

    start: Nanoseconds
    end: Nanoseconds
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True)
class Health:
    """How a container is, and the last results, the newest last."""

    status: str = STARTING
    failing_streak: int = 0
    log: tuple[ProbeResult, ...] = ()

    def begun(self) -> Health:
        """As it starts (again)."""
        return Health(log=self.log)

    def ended(self) -> Health:
        """Nobody looks any more: Docker says unhealthy then."""
        return replace(self, status=UNHEALTHY)

    def after(self, result: ProbeResult, check: HealthCheck, started: Nanoseconds) -> Health:
        """With one more result, of a container that started at ``started``."""
        log = (*self.log, result)[-_KEPT:]
        if result.exit_code == 0:
            return Health(HEALTHY, 0, log)
        if self.status == STARTING and result.start - started < check.start_period * _SECOND:
            return replace(self, log=log)
        streak = self.failing_streak + 1
        return Health(UNHEALTHY if streak >= check.retries else self.status, streak, log)


def read_check(config: Mapping[str, object]) -> HealthCheck | None:
    """The check of a container, from its ``Config`` in Docker's fields; None if it has none."""
    given = config.get("Healthcheck")
    args = _args(given.get("Test"), config.get("Shell")) if isinstance(given, Mapping) else ()
    if not args or not isinstance(given, Mapping):
        return None
    seconds = {name: _number(given.get(name)) / _SECOND for name in _SPANS}
    interval = seconds["Interval"] or _INTERVAL
    return HealthCheck(
        args,
        interval,
        seconds["Timeout"] or _TIMEOUT,
        seconds["StartPeriod"],
        seconds["StartInterval"] or min(_START_INTERVAL, interval),
        _number(given.get("Retries")) or _RETRIES,
    )


def merge_check(given: object, image: object) -> dict[str, object] | None:
    """What a user gives over what the image has, field by field. Raises InvalidConfig."""
    below = dict(image) if isinstance(image, Mapping) else {}
    own = {key: value for key, value in given.items() if value} if isinstance(given, Mapping) else {}
    _check(own)
    merged: dict[str, object] = {**below, **own}
    return merged or None


def with_check(extra: Mapping[str, object], image: Mapping[str, object]) -> dict[str, object]:
    """What is kept of a new container (``ContainerConfig.extra``), with the check that it gets; ``image``: as its
    configuration names things. Raises InvalidConfig.
    """
    config = extra.get("Config")
    given = config if isinstance(config, Mapping) else {}
    check = merge_check(given.get("Healthcheck"), image.get("Healthcheck"))
    if check is None:
        return dict(extra)
    shell = {"Shell": image["Shell"]} if image.get("Shell") and not given.get("Shell") else {}
    return {**extra, "Config": {**given, **shell, "Healthcheck": check}}


def _check(given: Mapping[str, object]) -> None:
    for name in _SPANS:
        if _number(given.get(name)) and _number(given.get(name)) < _LEAST:
            raise InvalidConfig(f"{name} in Healthcheck cannot be less than 1ms")
    if _number(given.get("Retries")) < 0:
        raise InvalidConfig("Retries in Healthcheck cannot be negative")
    test = given.get("Test")
    if isinstance(test, list | tuple) and any("\0" in str(word) for word in test):
        raise InvalidConfig("Test in Healthcheck holds a NUL character")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _args(test: object, shell: object) -> tuple[str, ...]:
    """The command of a ``Test``: empty for ``NONE``, for nothing, and for kinds that nobody knows."""
    words = [str(word) for word in test] if isinstance(test, list | tuple) else []
    if words[:1] == ["CMD"]:
        return tuple(words[1:])
    if words[:1] == ["CMD-SHELL"] and len(words) > 1:
        return (*(shell if isinstance(shell, list | tuple) and shell else _SHELL), " ".join(words[1:]))
    return ()


def health_json(health: Health, shown: Any) -> dict[str, object]:
    """``State.Health`` of Docker's JSON; ``shown`` writes a moment."""
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {"Start": shown(one.start), "End": shown(one.end), "ExitCode": one.exit_code, "Output": one.output}
            for one in health.log
        ],
    }


def shown_health(health: Health | None) -> str:
    """What stands behind ``Up 3 seconds`` on a list."""
    if health is None:
        return ""
    return " (health: starting)" if health.status == STARTING else f" ({health.status})"
