"""The driver's own decisions, on a launcher that only writes down what it is asked."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bireme.drivers import capabilities
from bireme.drivers.native import NativeDriver
from bireme.drivers.plan import Requests
from bireme.drivers.readiness import Readiness
from bireme.drivers.seccomp import Filters
from bireme.launcher.client import Launched
from bireme.launcher.launchers import Launchers
from bireme.launcher.requests import ExitFacts
from bireme_actors import Conflict, ContainerConfig, DriverError, ProcessSpec, Security
from bireme_actors.testing import sample_config
from tests.runtime.drivers.conftest import Roots


def exit_of(config: ContainerConfig, number: int = 1, **changes: Any) -> ExitFacts:
    facts = {
        "process": number,
        "container": config.id,
        "code": 137,
        "signal": 9,
        "oom_killed": True,
        "started": 5,
        "finished": 8,
    }
    return cast(ExitFacts, {**facts, **changes})


class FakeLauncher:
    """``log`` holds what was asked, in order; processes are pipes, and end when ``end`` is called."""

    def __init__(
        self, root: Path, nursery: trio.Nursery, *, devices: bool = True, held: int = capabilities.ALL
    ) -> None:
        self._nursery = nursery
        self.facts: dict[str, Any] = {"root": str(root), "capabilities": held, "devices": devices, "seccomp": []}
        self.log: list[tuple[Any, ...]] = []
        self.requests: list[Any] = []
        self.running: dict[str, Launched] = {}
        self.remembered: set[str] = set()
        self.far_ends: list[int] = []
        self.gone = False
        self._last = 0

    async def _note(self, *what: Any) -> None:
        await trio.lowlevel.checkpoint()
        if self.gone:
            raise DriverError("the launcher has ended")
        self.log.append(what)

    def launched(self, *names: str) -> Launched:
        self._last += 1
        streams = {}
        for name in names:
            ends = os.pipe()
            streams[name] = ends[1 if name == "stdin" else 0]
            self.far_ends.append(ends[0 if name == "stdin" else 1])
        return Launched(self._last, 100 + self._last, 5, streams)

    async def start(self, request: Any) -> Launched:
        container = request["container"]
        await self._note("start", container)
        if container in self.remembered:
            raise Conflict("not cleaned up yet")
        self.requests.append(request)
        process = request["process"]
        names = ["terminal"] if process["tty"] else ["stdout", "stderr"]
        if process["stdin"] and not process["tty"]:
            names.append("stdin")
        self.remembered.add(container)
        self.running[container] = self.launched(*names)
        return self.running[container]

    async def exec(self, request: Any) -> Launched:
        await self._note("exec", request["container"])
        if request["container"] not in self.running:
            raise Conflict("not running")
        self.requests.append(request)
        return self.launched("stdout", "stderr")

    async def kill(self, process: int, signum: int) -> None:
        await self._note("kill", process, signum)
        for container, launched in list(self.running.items()):
            if launched.process == process and signum == signal.SIGKILL:
                self.end(container)

    async def freeze(self, container: str, frozen: bool) -> None:
        await self._note("freeze", container, frozen)
        if container not in self.running:
            raise Conflict("not running")

    async def close_stdin(self, process: int) -> None:
        await self._note("close_stdin", process)

    async def cleanup(self, container: str) -> None:
        await self._note("cleanup", container)
        if container in self.running:
            raise Conflict("still running")
        self.remembered.discard(container)

    def later(self, task: Callable[[], Awaitable[object]]) -> None:
        self._nursery.start_soon(task)

    async def seccomp(self, name: str, program: bytes) -> None:
        await self._note("seccomp", name)

    def end(self, container: str, **facts: Any) -> None:
        launched = self.running.pop(container)
        launched.note_exit(exit_of(replace(sample_config(), id=cast(Any, container)), launched.process, **facts))

    def asked(self, kind: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.log if entry[0] == kind]


@pytest.fixture
async def launcher(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[FakeLauncher]:
    fake = FakeLauncher(tmp_path, nursery)
    yield fake
    for fd in fake.far_ends:
        os.close(fd)


def driver_of(launcher: FakeLauncher, *found: tuple[Any, Launched]) -> NativeDriver:
    root = Path(launcher.facts["root"])
    real = cast(Launchers, launcher)
    requests = Requests(real.facts, Roots(root), Filters(real, str(root / "cache")))
    return NativeDriver(real, Roots(root), requests, Readiness(select.epoll()), dict(found))


def plain(*args: str, **changes: Any) -> ContainerConfig:
    return replace(sample_config(*args), security=Security(seccomp="unconfined"), **changes)


@contextmanager
def closed_streams(*processes: Any) -> Iterator[None]:
    yield
    for process in processes:
        for stream in (process._launched.stdin, process._launched.stdout, process._launched.stderr):
            if stream is not None:
                stream.close()


async def finish(process: Any) -> None:
    """As the core does: read the output to its end, then take the exit."""
    for source in (process.stdout, process.stderr):
        if source is not None:
            await source.aclose()
    await process.wait()


async def test_the_request_holds_the_containers_rights(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = replace(sample_config("sh", "-c", "true"), init=True, read_only=True, hostname="box")
    process = await driver.start(config)
    (request,) = launcher.requests
    assert [entry[0] for entry in launcher.log] == ["seccomp", "start"]
    assert request["process"]["seccomp"] == launcher.log[0][1]
    assert request["process"]["capabilities"] == capabilities.DEFAULT
    assert (request["init"], request["read_only"], request["hostname"]) == ("/usr/bin/tini-static", True, "box")
    assert request["exit_file"] == f"containers/{config.id}/exit.json"
    launcher.end(config.id)
    await finish(process)


@pytest.mark.parametrize("privileged", [False, True])
async def test_nothing_is_promised_that_the_launcher_cannot_give(
    tmp_path: Path, nursery: trio.Nursery, privileged: bool
) -> None:
    held = capabilities.ALL & ~capabilities.mask(("NET_RAW",))
    launcher = FakeLauncher(tmp_path, nursery, devices=False, held=held)
    driver = driver_of(launcher)
    config = replace(plain(), security=Security(seccomp="unconfined", privileged=privileged))
    process = await driver.start(config)
    added = await process.exec(ProcessSpec(args=("true",), privileged=True))
    wanted = capabilities.ALL if privileged else capabilities.DEFAULT
    without = ~capabilities.mask(("NET_RAW", "MKNOD"))
    given = [request["process"]["capabilities"] for request in launcher.requests]
    assert given == [wanted & without, capabilities.ALL & without]
    launcher.end(config.id)
    with closed_streams(process, added):
        await process.wait()
    for fd in launcher.far_ends:
        os.close(fd)


async def test_the_exit_is_told_whole(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain()
    process = await driver.start(config)
    launcher.end(config.id)
    status = await process.wait()
    assert (int(status), status.signal, status.oom_killed, status.started, status.finished) == (137, 9, True, 5, 8)
    await finish(process)
    launcher.end((await again(driver, config)).id, code=3, signal=0, oom_killed=False)
    status = await driver._containers[config.id].wait()
    assert (int(status), status.signal, status.oom_killed) == (3, None, False)
    await driver.cleanup(config)


async def again(driver: NativeDriver, config: ContainerConfig) -> ContainerConfig:
    await driver.start(config)
    return config


async def test_the_launcher_forgets_once_exit_and_output_are_through(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain()
    process = await driver.start(config)
    assert process.stdout is not None
    assert process.stderr is not None
    launcher.end(config.id)
    await process.wait()
    await process.stdout.aclose()
    assert launcher.asked("cleanup") == []
    await process.stderr.aclose()
    await wait_all_tasks_blocked()
    assert launcher.asked("cleanup") == [("cleanup", config.id)]
    await process.wait()
    await driver.cleanup(config)
    await driver.cleanup(config)
    assert len(launcher.asked("cleanup")) == 1
    assert driver.statistics() == {"containers": 0, "unclaimed": 0}


async def end_quietly(launcher: FakeLauncher, config: ContainerConfig, process: Any) -> None:
    for source in (process.stdout, process.stderr):
        await source.aclose()
    launcher.end(config.id)
    await process.wait()


async def test_who_waits_for_the_exit_does_not_wait_for_the_launcher_to_forget(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain()
    process = await driver.start(config)
    await end_quietly(launcher, config, process)
    assert launcher.asked("cleanup") == []
    await wait_all_tasks_blocked()
    assert launcher.asked("cleanup") == [("cleanup", config.id)]


@pytest.mark.parametrize("turns", range(5))
async def test_the_next_start_waits_for_forgetting_that_is_under_way(launcher: FakeLauncher, turns: int) -> None:
    driver = driver_of(launcher)
    config = plain()
    first = await driver.start(config)
    await end_quietly(launcher, config, first)
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    second = await driver.start(config)
    assert [entry[0] for entry in launcher.log] == ["start", "cleanup", "start"]
    launcher.end(config.id)
    await finish(second)
    await wait_all_tasks_blocked()
    assert len(launcher.asked("cleanup")) == 2


async def test_cancelled_closing_forgets_all_the_same(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain()
    process = await driver.start(config)
    launcher.end(config.id)
    await process.wait()
    with trio.CancelScope() as scope:
        scope.cancel()
        for source in (process.stdout, process.stderr):
            assert source is not None
            try:
                await source.aclose()
            except trio.Cancelled:
                continue
    await wait_all_tasks_blocked()
    assert len(launcher.asked("cleanup")) == 1


async def test_a_start_comes_after_forgetting_the_run_before(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain()
    first = await driver.start(config)
    launcher.end(config.id)
    await first.wait()
    second = await driver.start(config)
    assert [entry[0] for entry in launcher.log] == ["start", "cleanup", "start"]
    launcher.end(config.id)
    await finish(second)


async def test_a_start_of_what_runs_is_a_conflict_and_touches_nothing(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain()
    process = await driver.start(config)
    with pytest.raises(Conflict):
        await driver.start(config)
    assert len(launcher.asked("start")) == 1
    launcher.end(config.id)
    await finish(process)


async def test_the_end_of_input_is_told_to_the_launcher(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain(open_stdin=True)
    process = await driver.start(config)
    assert process.stdin is not None
    await process.stdin.send_all(b"x")
    with trio.CancelScope() as scope:
        scope.cancel()
        await process.stdin.aclose()
    assert launcher.asked("close_stdin") == [("close_stdin", 1)], "also when cancelled, else the process waits for ever"
    launcher.end(config.id)
    await finish(process)


async def test_the_input_is_closed_when_the_process_has_ended(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain(open_stdin=True)
    process = await driver.start(config)
    launcher.end(config.id)
    await finish(process)
    assert process.stdin is not None
    with pytest.raises(trio.ClosedResourceError):
        await process.stdin.send_all(b"x")


async def test_a_dead_launcher_does_not_hinder_the_end(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain(open_stdin=True)
    process = await driver.start(config)
    launcher.gone = True
    launcher.end(config.id)
    assert await process.wait() == 137
    assert process.stdin is not None
    await process.stdin.aclose()
    await finish(process)
    with pytest.raises(DriverError):
        await driver.cleanup(config)


async def test_freezing_and_exec_of_what_has_ended(launcher: FakeLauncher) -> None:
    driver = driver_of(launcher)
    config = plain()
    process = await driver.start(config)
    launcher.end(config.id)
    with pytest.raises(Conflict):
        await process.set_frozen(True)
    await process.set_frozen(False)
    with pytest.raises(DriverError, match="not running"):
        await process.exec(ProcessSpec(args=("true",)))
    await finish(process)


# What an earlier engine has left.


async def test_what_is_found_running_is_adopted_once(launcher: FakeLauncher) -> None:
    config = plain()
    launched = launcher.running[config.id] = launcher.launched("stdout", "stderr")
    driver = driver_of(launcher, (config.id, launched))
    assert driver.statistics() == {"containers": 0, "unclaimed": 1}
    adopted = await driver.adopt(config)
    assert adopted is not None
    assert (adopted.pid, adopted.started) == (launched.pid, launched.started)
    assert driver.statistics() == {"containers": 1, "unclaimed": 0}
    assert await driver.adopt(config) is None
    launcher.end(config.id)
    await finish(adopted)


async def test_cleaning_up_ends_what_was_found_and_not_adopted(launcher: FakeLauncher) -> None:
    config = plain()
    launched = launcher.running[config.id] = launcher.launched("stdout", "stderr", "stdin")
    driver = driver_of(launcher, (config.id, launched))
    await driver.cleanup(config)
    assert launcher.log == [("kill", launched.process, signal.SIGKILL), ("cleanup", config.id)]
    await driver.cleanup(config)
    assert len(launcher.log) == 2


def note(root: Path, config: ContainerConfig, text: str) -> Path:
    path = root / "containers" / config.id / "exit.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


async def test_a_noted_exit_is_adopted(launcher: FakeLauncher, tmp_path: Path) -> None:
    config = plain()
    note(tmp_path, config, json.dumps(exit_of(config)))
    adopted = await driver_of(launcher).adopt(config)
    assert adopted is not None
    assert (await adopted.wait(), adopted.pid, adopted.started) == (137, 0, 5)
    assert (adopted.stdin, adopted.stdout, adopted.stderr) == (None, None, None)
    await adopted.kill(9)
    await adopted.resize(1, 1)
    await adopted.set_frozen(False)
    with pytest.raises(Conflict):
        await adopted.set_frozen(True)
    with pytest.raises(DriverError):
        await adopted.exec(ProcessSpec(args=("true",)))
    assert launcher.log == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"code": "3"}', "\udcff", json.dumps({"code": 1, "signal": 0})])
async def test_a_note_that_cannot_be_read_is_none(launcher: FakeLauncher, tmp_path: Path, text: str) -> None:
    config = plain()
    note(tmp_path, config, "").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert await driver_of(launcher).adopt(config) is None


async def test_a_start_removes_the_note_of_the_run_before(launcher: FakeLauncher, tmp_path: Path) -> None:
    config = plain()
    path = note(tmp_path, config, json.dumps(exit_of(config)))
    process = await driver_of(launcher).start(config)
    assert not path.exists()
    launcher.end(config.id)
    await finish(process)
