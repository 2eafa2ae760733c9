"""Rules in the form of the OCI runtime specification (``linux.seccomp``), for runtimes that compile them themselves."""

from __future__ import annotations

from typing import Any

from bireme.drivers.seccomp._profile import Compare, Rules, compare_groups

_PLAIN = {
    0x7FFF0000: "SCMP_ACT_ALLOW",
    0x7FFC0000: "SCMP_ACT_LOG",
    0x00030000: "SCMP_ACT_TRAP",
    0x80000000: "SCMP_ACT_KILL_PROCESS",
    0x00000000: "SCMP_ACT_KILL_THREAD",
}
_ERRNO = 0x00050000


def document(rules: Rules) -> dict[str, Any]:
    """The filter as a JSON object: calls that share action and conditions in one entry."""
    action, number = _action(rules.default)
    found: dict[str, Any] = {"defaultAction": action}
    if number is not None:
        found["defaultErrnoRet"] = number
    found["architectures"] = [f"SCMP_ARCH_{name}" for name in rules.architectures]
    found["syscalls"] = _entries(rules)
    return found


def _entries(rules: Rules) -> list[dict[str, Any]]:
    alike: dict[tuple[int, tuple[Compare, ...]], list[str]] = {}
    for name, action, compare in rules.calls:
        for group in compare_groups(compare):
            alike.setdefault((action, group), []).append(name)
    return [_entry(names, action, compare) for (action, compare), names in alike.items()]


def _entry(names: list[str], value: int, compare: tuple[Compare, ...]) -> dict[str, Any]:
    action, number = _action(value)
    found: dict[str, Any] = {"names": names, "action": action}
    if number is not None:
        found["errnoRet"] = number
    if compare:
        found["args"] = [_argument(condition) for condition in compare]
    return found


def _action(value: int) -> tuple[str, int | None]:
    if value in _PLAIN:
        return _PLAIN[value], None
    return "SCMP_ACT_ERRNO" if value & 0xFFFF0000 == _ERRNO else "SCMP_ACT_TRACE", value & 0xFFFF


def _argument(condition: Compare) -> dict[str, Any]:
    return {
        "index": condition.index,
        "value": condition.value,
        "valueTwo": condition.other,
        "op": f"SCMP_CMP_{condition.operator}",
    }
