"""Profiles as JSON: what is understood, what is refused and how, and which conditions hold where."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bireme.drivers import capabilities
from bireme.drivers.seccomp import _compile, _profile
from bireme.drivers.seccomp._document import parse
from bireme.drivers.seccomp._profile import ALLOW, Host, Machine, fail_with, kernel_version
from bireme_actors import InvalidConfig, MissingRequirement, Unsupported
from tests.runtime.drivers.bpf import X86, decide

PC = Host(machine=Machine(name="amd64", native="X86_64", compatible=("X86", "X32")), kernel=(5, 15))
PAUSE, GETPID, KILL = 34, 39, 62
KILL_PROCESS = 0x80000000


def profile(*rules: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **fields})


def getpid(**fields: Any) -> dict[str, Any]:
    return {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", **fields}


def ask(text: str, number: int = GETPID, *arguments: int, held: int = 0, host: Host = PC) -> int:
    return decide(_compile.program(parse(text).resolve(held, host)), number, arguments)


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ({"action": "SCMP_ACT_ERRNO"}, fail_with(1)),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 38}, fail_with(38)),
        ({"action": "SCMP_ACT_KILL"}, 0),
        ({"action": "SCMP_ACT_KILL_THREAD"}, 0),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, KILL_PROCESS),
        ({"action": "SCMP_ACT_TRAP"}, 0x00030000),
        ({"action": "SCMP_ACT_TRACE", "errnoRet": 7}, 0x7FF00007),
        ({"action": "SCMP_ACT_LOG"}, 0x7FFC0000),
        ({"action": "SCMP_ACT_ALLOW"}, ALLOW),
    ],
)
def test_actions(action: dict[str, Any], wanted: int) -> None:
    assert ask(profile(getpid(**action))) == wanted
    assert ask(profile(getpid(**action)), KILL) == ALLOW


def test_the_default_action_and_its_errno() -> None:
    text = profile(getpid(action="SCMP_ACT_ALLOW"), defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=13)
    assert ask(text) == ALLOW
    assert ask(text, PAUSE) == fail_with(13)
    assert ask(text, KILL) == fail_with(38), "newer than all that the profile names, as far as the numbers tell"
    assert ask(text.replace("13", "38"), PAUSE) == fail_with(38)


def test_one_name_in_the_old_form() -> None:
    assert ask(profile({"name": "getpid", "action": "SCMP_ACT_ERRNO"})) == fail_with(1)


def test_a_call_that_no_library_knows_is_skipped() -> None:
    assert ask(profile(getpid(names=["no_such_call", "getpid"]))) == fail_with(1)


def test_a_rule_that_says_what_the_default_says_changes_nothing() -> None:
    assert ask(profile(getpid(action="SCMP_ACT_ALLOW"))) == ALLOW


@pytest.mark.parametrize(
    ("operator", "hits", "misses"),
    [
        ("EQ", [5], [4, 6, 5 | 1 << 32]),
        ("NE", [4, 6], [5]),
        ("LT", [0, 4], [5, 6]),
        ("LE", [0, 5], [6]),
        ("GT", [6, 1 << 63], [5, 4]),
        ("GE", [5, 6], [4]),
    ],
)
def test_comparisons(operator: str, hits: list[int], misses: list[int]) -> None:
    text = profile(getpid(args=[{"index": 1, "value": 5, "op": f"SCMP_CMP_{operator}"}]))
    assert [ask(text, GETPID, 0, value) for value in hits] == [fail_with(1)] * len(hits)
    assert [ask(text, GETPID, 0, value) for value in misses] == [ALLOW] * len(misses)


def test_a_masked_comparison() -> None:
    text = profile(getpid(args=[{"index": 0, "value": 0xF0, "valueTwo": 0x20, "op": "SCMP_CMP_MASKED_EQ"}]))
    assert ask(text, GETPID, 0x12F) == fail_with(1)
    assert ask(text, GETPID, 0x30) == ALLOW


def test_conditions_on_different_arguments_all_have_to_hold() -> None:
    arguments = [{"index": n, "value": n, "op": "SCMP_CMP_EQ"} for n in (1, 2)]
    text = profile(getpid(args=arguments))
    assert ask(text, GETPID, 0, 1, 2) == fail_with(1)
    assert ask(text, GETPID, 0, 1, 3) == ALLOW


def test_of_conditions_on_one_argument_any_is_enough() -> None:
    text = profile(getpid(args=[{"index": 1, "value": n, "op": "SCMP_CMP_EQ"} for n in (1, 2)]))
    assert [ask(text, GETPID, 0, value) for value in (1, 2, 3)] == [fail_with(1), fail_with(1), ALLOW]


@pytest.mark.parametrize(
    ("conditions", "held", "applies"),
    [
        ({"includes": {"caps": ["CAP_KILL", "CAP_CHOWN"]}}, ("KILL", "CHOWN"), True),
        ({"includes": {"caps": ["CAP_KILL", "CAP_CHOWN"]}}, ("KILL",), False),
        ({"excludes": {"caps": ["CAP_KILL", "CAP_CHOWN"]}}, ("SYS_TIME",), True),
        ({"excludes": {"caps": ["CAP_KILL", "CAP_CHOWN"]}}, ("KILL",), False),
        ({"includes": {"arches": ["amd64", "arm"]}}, (), True),
        ({"includes": {"arches": ["arm64"]}}, (), False),
        ({"excludes": {"arches": ["amd64"]}}, (), False),
        ({"excludes": {"arches": ["arm64"]}}, (), True),
        ({"includes": {"minKernel": "5.15"}}, (), True),
        ({"includes": {"minKernel": "5.16"}}, (), False),
        ({"includes": {"minKernel": "4.20"}}, (), True),
        ({"excludes": {"minKernel": "5.15"}}, (), False),
        ({"excludes": {"minKernel": "6.0"}}, (), True),
        ({"includes": {}, "excludes": None}, (), True),
    ],
)
def test_conditions_on_the_container_and_its_host(
    conditions: dict[str, Any], held: tuple[str, ...], applies: bool
) -> None:
    found = ask(profile(getpid(**conditions)), held=capabilities.mask(held))
    assert found == (fail_with(1) if applies else ALLOW)


def test_only_capabilities_that_are_asked_for_make_a_difference() -> None:
    found = parse(profile(getpid(includes={"caps": ["CAP_KILL"]}), getpid(excludes={"caps": ["CAP_CHOWN"]})))
    assert found.relevant == capabilities.mask(("KILL", "CHOWN"))
    assert parse(profile(getpid())).relevant == 0


def test_architectures_by_the_machine() -> None:
    mapped = [
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
    ]
    assert parse(profile(archMap=mapped)).resolve(0, PC).architectures == ("X86_64", "X86")
    arm = replace(PC, machine=Machine(name="arm64", native="AARCH64"))
    assert parse(profile(archMap=mapped)).resolve(0, arm).architectures == ("AARCH64", "ARM")


def test_architectures_in_the_old_form() -> None:
    text = profile(architectures=["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"])
    assert parse(text).resolve(0, PC).architectures == ("X86_64", "X86")


def test_without_architectures_only_native_programs_run() -> None:
    rules = parse(profile()).resolve(0, PC)
    assert rules.architectures == ("X86_64",)
    assert decide(_compile.program(rules), 20, architecture=X86) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "decoding the seccomp profile failed"),
        ("{", "decoding the seccomp profile failed"),
        ("[" * 100000, "decoding the seccomp profile failed"),
        ("[" + "1" * 5000 + "]", "decoding the seccomp profile failed"),
        ("[]", "the profile: this is not an object"),
        ("{}", "'defaultAction' is missing"),
        (profile(defaultAction="SCMP_ACT_MAYBE"), "unknown action 'SCMP_ACT_MAYBE'"),
        (profile(defaultAction=1), "'defaultAction' is to be of type str"),
        (profile(defaultAction="SCMP_ACT_NOTIFY"), "unknown action"),
        (profile(syscalls={}), "'syscalls' is to be of type list"),
        (profile(syscalls=[1]), r"syscalls\[0\]: this is not an object"),
        (profile(getpid(), {"names": ["kill"]}), r"syscalls\[1\]: 'action' is missing"),
        (profile({"action": "SCMP_ACT_KILL"}), "it needs 'names', or one 'name'"),
        (profile(getpid(name="kill")), "it needs 'names', or one 'name'"),
        (profile(getpid(names=[1])), "'names' is to be a list of texts"),
        (profile(getpid(errnoRet=70000)), "errnoRet 70000 is out of range"),
        (profile(getpid(errnoRet=True)), "'errnoRet' is to be of type int"),
        (profile(getpid(args=[{"value": 1}])), r"args\[0\]: 'op' is missing"),
        (profile(getpid(args=[{"op": "SCMP_CMP_ABOUT"}])), "unknown operator 'SCMP_CMP_ABOUT'"),
        (profile(getpid(args=[{"op": "SCMP_CMP_EQ", "index": 6}])), "index 6"),
        (profile(getpid(args=[{"op": "SCMP_CMP_EQ", "value": -1}])), "64 bits"),
        (profile(getpid(args=[{"op": "SCMP_CMP_EQ", "valueTwo": 1 << 64}])), "64 bits"),
        (profile(getpid(includes={"caps": ["CAP_FLY"]})), "unknown capability"),
        (profile(getpid(includes={"minKernel": "new"})), "invalid kernel version 'new'"),
        (profile(getpid(includes=[])), ""),
        (profile(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}]), "both given"),
        (profile(archMap=[{}]), "'architecture' is missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, says: str) -> None:
    if not says:
        parse(text)  # an empty list of conditions is no condition: Docker's Go decoder sees none either
        return
    with pytest.raises(InvalidConfig, match=says) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_there_is_nobody_to_notify() -> None:
    with pytest.raises(Unsupported, match="listenerPath"):
        parse(profile(listenerPath="/run/x"))


def test_an_unknown_architecture_is_refused_when_compiled() -> None:
    with pytest.raises(InvalidConfig, match="SCMP_ARCH_VAX"):
        _compile.program(parse(profile(architectures=["SCMP_ARCH_VAX"])).resolve(0, PC))


def test_a_profile_too_large_for_the_kernel_is_refused() -> None:
    rules = [getpid(args=[{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]) for n in range(5000)]
    with pytest.raises(InvalidConfig, match=r"too large: [0-9]+ instructions, 4096 are possible"):
        _compile.program(parse(profile(*rules)).resolve(0, PC))


def test_unknown_calls_are_left_to_a_permissive_default() -> None:
    assert ask(profile(getpid()), 5000) == ALLOW
    assert ask(profile(getpid(), defaultAction="SCMP_ACT_LOG"), 5000) == 0x7FFC0000
    assert ask(profile(getpid(action="SCMP_ACT_ALLOW"), defaultAction="SCMP_ACT_KILL_PROCESS"), 5000) == fail_with(38)


def test_equal_rules_have_one_name_and_others_another() -> None:
    first, same = parse(profile(getpid())), parse(profile(getpid(), getpid()))
    other = parse(profile(getpid(errnoRet=2)))
    names = [found.resolve(0, PC).digest("1") for found in (first, same, other)]
    assert names[0] == names[1] != names[2]
    assert first.resolve(0, PC).digest("2") != names[0], "another libseccomp makes another program"


def test_a_processor_without_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_profile, "_MACHINES", {})
    with pytest.raises(MissingRequirement, match="seccomp=unconfined"):
        _profile.this_host()


def test_kernel_versions() -> None:
    assert kernel_version("6.1.0-13-amd64") == (6, 1)
    assert kernel_version("5.15") == (5, 15)
