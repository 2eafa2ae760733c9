"""What a process in a real container may do, read from its own ``/proc/self/status`` and from what it is refused."""

from __future__ import annotations

import json

import pytest

from bireme.drivers import capabilities
from bireme_actors import InvalidConfig, Security
from tests.runtime.drivers.conftest import Bench

pytestmark = pytest.mark.root

STATUS = ("cat", "/proc/self/status")


def read_status(printed: str) -> dict[str, str]:
    """The fields of a ``/proc/PID/status``."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in printed.splitlines())}


def masks(status: dict[str, str]) -> dict[str, int]:
    return {name: int(status[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


async def status_of(bench: Bench, **changes: object) -> dict[str, str]:
    code, printed = await bench.run(*STATUS, **changes)
    assert code == 0, printed
    return read_status(printed)


def available(bench: Bench) -> int:
    return bench.launcher.facts["capabilities"]


async def test_root_holds_the_default_capabilities(bench: Bench) -> None:
    status = await status_of(bench)
    default = capabilities.DEFAULT & available(bench)
    assert masks(status) == {"Inh": 0, "Prm": default, "Eff": default, "Bnd": default, "Amb": 0}
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "0")


async def test_another_user_holds_none_but_may_gain_them(bench: Bench) -> None:
    status = await status_of(bench, user="ann")
    assert masks(status) == {"Inh": 0, "Prm": 0, "Eff": 0, "Bnd": capabilities.DEFAULT & available(bench), "Amb": 0}
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1000"] * 4
    assert status["Seccomp"] == "2"


async def test_privileged_holds_all_there_is_and_no_filter(bench: Bench) -> None:
    status = await status_of(bench, security=Security(privileged=True))
    assert masks(status)["Eff"] == masks(status)["Bnd"] == available(bench)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("0", "0")


async def test_capabilities_are_added_and_dropped(bench: Bench) -> None:
    security = Security(cap_add=("NET_ADMIN", "CAP_SYS_ADMIN"), cap_drop=("mknod", "CHOWN"))
    wanted = capabilities.DEFAULT & ~capabilities.mask(("MKNOD", "CHOWN"))
    wanted |= capabilities.mask(("NET_ADMIN", "SYS_ADMIN"))
    assert masks(await status_of(bench, security=security))["Eff"] == wanted & available(bench)


async def test_all_dropped_is_none(bench: Bench) -> None:
    found = masks(await status_of(bench, security=Security(cap_drop=("ALL",))))
    assert found == {"Inh": 0, "Prm": 0, "Eff": 0, "Bnd": 0, "Amb": 0}


async def test_no_new_privileges(bench: Bench) -> None:
    status = await status_of(bench, security=Security(no_new_privileges=True))
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert masks(status)["Eff"] == capabilities.DEFAULT & available(bench), "root keeps its capabilities"


async def test_unconfined_has_no_filter_but_no_more_capabilities(bench: Bench) -> None:
    status = await status_of(bench, security=Security(seccomp="unconfined"))
    assert status["Seccomp"] == "0"
    assert masks(status)["Eff"] == capabilities.DEFAULT & available(bench)


async def test_a_profile_of_ones_own_denies_a_call(bench: Bench) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    security = Security(seccomp=json.dumps(profile))
    code, printed = await bench.run("mkdir", "/tmp/x", security=security)
    assert code != 0
    assert "not supported" in printed
    assert await bench.run("ls", "/tmp", security=security) == (0, "")


async def test_a_profile_of_ones_own_holds_for_privileged_containers_too(bench: Bench) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
    security = Security(seccomp=json.dumps(profile), privileged=True)
    code, printed = await bench.run("mkdir", "/tmp/x", security=security)
    assert code != 0
    assert "not permitted" in printed


async def test_a_broken_profile_starts_nothing(bench: Bench) -> None:
    config = await bench.config("true", security=Security(seccomp="{"))
    with pytest.raises(InvalidConfig, match="decoding the seccomp profile failed"):
        await bench.driver.start(config)
    assert not list(bench.leftovers())


async def test_mounting_is_refused_without_sys_admin(bench: Bench) -> None:
    code, printed = await bench.run("mount", "-t", "tmpfs", "none", "/tmp")
    assert code != 0
    assert "ermi" in printed


async def test_mounting_is_possible_with_sys_admin(bench: Bench) -> None:
    security = Security(cap_add=("SYS_ADMIN",))
    assert await bench.run("mount", "-t", "tmpfs", "none", "/tmp", security=security) == (0, "")


async def test_supplementary_groups(bench: Bench) -> None:
    security = Security(group_add=("audio", "4711"))
    layer = bench.root / "images/layers/base/etc/group"
    layer.write_text("root:x:0:\naudio:x:29:\n")
    status = await status_of(bench, security=security)
    assert status["Groups"].split() == ["0", "29", "4711"]


async def test_exec_has_the_rights_of_its_container(bench: Bench) -> None:
    security = Security(cap_drop=("NET_RAW",), no_new_privileges=True)
    config = await bench.config("sleep", "1000", security=security)
    container = await bench.driver.start(config)
    code, printed = await bench.exec(container, *STATUS)
    status = read_status(printed)
    held = capabilities.DEFAULT & ~capabilities.mask(("NET_RAW",)) & available(bench)
    assert code == 0
    assert masks(status)["Eff"] == masks(status)["Bnd"] == held
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    await container.kill(9)
    await container.wait()


async def test_a_privileged_exec_has_every_capability_and_the_filter(bench: Bench) -> None:
    container = await bench.driver.start(await bench.config("sleep", "1000", user="ann"))
    code, printed = await bench.exec(container, *STATUS, privileged=True)
    status = read_status(printed)
    assert code == 0
    assert masks(status)["Eff"] == masks(status)["Bnd"] == available(bench)
    assert status["Seccomp"] == "2"
    _, printed = await bench.exec(container, *STATUS, user="ann")
    assert masks(read_status(printed))["Eff"] == 0
    await container.kill(9)
    await container.wait()
