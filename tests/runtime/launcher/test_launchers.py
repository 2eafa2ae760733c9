"""Which launcher is asked for what, and when the one that shares the host's PIDs comes to life. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
import trio.testing

from bireme.launcher import _protocol, _spawn
from bireme.launcher.client import Launcher
from bireme.launcher.launchers import Launchers
from bireme.launcher.requests import ArchiveRequest, ContainerFacts, ExecRequest, LimitsRequest, StartRequest
from bireme_actors import Conflict, DriverError, MissingRequirement

Ask = Callable[[Launchers], Awaitable[object]]
LIMITS: LimitsRequest = {"memory": 1, "cpu": 0, "pids": 0}
OTHERS = _protocol.HOST_PIDS_NUMBERS + 1


class FakeLauncher:
    """Notes what it is asked."""

    def __init__(self, name: str, others: list[FakeLauncher | Exception] | None = None) -> None:
        self.name = name
        self.facts = {"root": "/r", "pid": 1}
        self.asked: list[tuple[Any, ...]] = []
        self.others = others or []
        """Who comes of ``beside``, in turn."""
        self.fails: Exception | None = None
        self.found: list[tuple[Any, Any]] = []
        self._real = Launcher.__new__(Launcher)
        self._real._writers = {}

    def statistics(self) -> dict[str, int]:
        return {"asks": 1, "processes": 2}

    def sole_writer(self, container: str) -> Any:
        return self._real.sole_writer(container)

    async def beside(self, settings: object, connection: object = None) -> FakeLauncher:
        await trio.lowlevel.checkpoint()
        other = self.others.pop(0)
        if isinstance(other, Exception):
            raise other
        return other

    async def containers(self) -> list[tuple[Any, Any]]:
        await trio.lowlevel.checkpoint()
        return list(self.found)

    async def aclose(self, *, end: bool) -> None:
        await self._note("aclose", end)

    def release(self) -> None:
        self.asked.append(("release",))

    async def _note(self, *asked: Any) -> None:
        await trio.lowlevel.checkpoint()
        if self.fails is not None and asked[0] != "aclose":
            raise self.fails
        self.asked.append(asked)

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any) -> None:
            await self._note(name, *(each.get("container") if isinstance(each, dict) else each for each in arguments))

        return ask

    def names(self) -> list[str]:
        return [asked[0] for asked in self.asked]


def launchers(*others: FakeLauncher | Exception) -> tuple[Launchers, FakeLauncher]:
    own = FakeLauncher("own", list(others))
    settings = _spawn.settings_for("/r", "/r/run", detached=False, stepwise=False, host_pids=True)
    return Launchers(cast(Launcher, own), settings), own


def start(container: str, *, host_pid: bool = True) -> StartRequest:
    return cast(StartRequest, {"container": container, "host_pid": host_pid})


async def ask_everything(both: Launchers, container: str, process: int) -> None:
    await both.exec(cast(ExecRequest, {"container": container}))
    await both.archive(cast(ArchiveRequest, {"container": container}))
    await both.freeze(container, True)
    await both.limit(container, LIMITS)
    await both.kill(process, 9)
    await both.close_stdin(process)


EVERYTHING = ["start", "exec", "archive", "freeze", "limit", "kill", "close_stdin"]


async def test_without_such_containers_there_is_one_launcher() -> None:
    both, own = launchers()
    await both.seccomp("f", b"")
    await both.start(start("a", host_pid=False))
    await ask_everything(both, "a", 1)
    await both.cleanup("a")
    await both.leave(end=True)
    assert own.names() == ["seccomp", *EVERYTHING, "cleanup"]
    assert both.statistics() == own.statistics()


async def test_each_is_asked_for_its_own() -> None:
    sharing = FakeLauncher("sharing")
    both, own = launchers(sharing)
    await both.start(start("a"))
    await both.start(start("b", host_pid=False))
    await ask_everything(both, "a", OTHERS)
    assert (own.names(), sharing.names()) == (["start"], EVERYTHING)
    await ask_everything(both, "b", 1)
    assert (own.names(), sharing.names()) == (EVERYTHING, EVERYTHING)
    assert both.statistics() == {"asks": 2, "processes": 4}
    await both.cleanup("a")
    await both.archive(cast(ArchiveRequest, {"container": "a"}))
    assert (own.names()[-1], sharing.names()[-1]) == ("archive", "cleanup")


async def test_many_first_ones_have_one_launcher_with_all_filters() -> None:
    sharing = FakeLauncher("sharing")
    both, _ = launchers(sharing)
    await both.seccomp("f", b"1")
    await both.seccomp("g", b"2")
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(both.start, start(str(number)))
    assert sorted(sharing.names()) == ["seccomp"] * 2 + ["start"] * 5
    assert sharing.names()[:2] == ["seccomp"] * 2
    await both.seccomp("h", b"3")
    await both.exec(cast(ExecRequest, {"container": "1"}))
    assert sharing.asked[-2:] == [("seccomp", "h", b"3"), ("exec", "1")]


async def test_one_that_does_not_come_to_life_is_tried_again() -> None:
    sharing = FakeLauncher("sharing")
    both, own = launchers(MissingRequirement("no cgroups"), sharing)
    with pytest.raises(MissingRequirement):
        await both.start(start("a"))
    await both.archive(cast(ArchiveRequest, {"container": "a"}))
    assert own.names() == ["archive"]
    await both.start(start("a"))
    assert sharing.names() == ["start"]


async def test_whose_start_fails_is_nobodys() -> None:
    sharing = FakeLauncher("sharing")
    both, own = launchers(sharing)
    sharing.fails = DriverError("no")
    with pytest.raises(DriverError):
        await both.start(start("a"))
    await both.archive(cast(ArchiveRequest, {"container": "a"}))
    assert own.names() == ["archive"]


AGAIN: dict[str, Ask] = {
    "started": lambda both: both.start(start("a")),
    "forgotten": lambda both: both.cleanup("a"),
}


@pytest.mark.parametrize("ask", AGAIN.values(), ids=AGAIN)
async def test_who_runs_and_is_not_started_again_nor_forgotten_is_where_it_was(ask: Ask) -> None:
    sharing = FakeLauncher("sharing")
    both, own = launchers(sharing)
    await both.start(start("a"))
    sharing.fails = Conflict("it runs")
    with pytest.raises(Conflict):
        await ask(both)
    sharing.fails = None
    await both.freeze("a", True)
    assert (own.names(), sharing.names()) == ([], ["start", "freeze"])


async def test_who_is_started_again_while_it_is_being_forgotten_is_where_it_was() -> None:
    sharing = FakeLauncher("sharing")
    both, own = launchers(sharing)
    await both.start(start("a"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(both.cleanup, "a")
        nursery.start_soon(both.start, start("a"))
    await both.freeze("a", True)
    assert own.names() == []


async def test_a_start_waits_for_who_writes_to_the_container() -> None:
    """A second mount of its writable layer would empty the first one's work directory."""
    sharing = FakeLauncher("sharing")
    both, own = launchers(sharing)
    async with trio.open_nursery() as nursery, own.sole_writer("a"):
        nursery.start_soon(both.start, start("a"))
        await trio.testing.wait_all_tasks_blocked()
        assert sharing.names() == []
    assert sharing.names() == ["start"]


async def test_what_an_earlier_engine_has_left_is_found() -> None:
    sharing = FakeLauncher("sharing")
    both, own = launchers(sharing)
    facts = cast(ContainerFacts, {"container": "a"})
    own.found, sharing.found = [(cast(ContainerFacts, {"container": "b"}), 1)], [(facts, 2)]
    both._sharing = cast(Launcher, sharing)
    found = await both.containers()
    assert [each["container"] for each, _ in found] == ["b", "a"]
    await both.freeze("a", True)
    await both.freeze("b", True)
    assert (own.names(), sharing.names()) == (["freeze"], ["freeze"])


@pytest.mark.parametrize("end", [True, False])
async def test_leaving(end: bool) -> None:
    sharing = FakeLauncher("sharing")
    both, own = launchers(sharing)
    await both.start(start("a"))
    await both.leave(end=end)
    await both.leave(end=end)
    assert sharing.asked[1:] == [("aclose", end), ("release",)]
    await both.kill(OTHERS, 9)  # a number that nobody knows
    assert own.names() == ["kill"]
