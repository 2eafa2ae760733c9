"""The engine's side alone, against a launcher that answers as the test wants; and launchers that cannot start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from bireme.launcher import _protocol, client
from bireme.launcher._spawn import Connection
from bireme.launcher.client import ERRORS, Launcher
from bireme.launcher.requests import Facts, Message, StartRequest
from bireme_actors import BiremeError, CommandNotFound, Conflict, DriverError
from tests.runtime.launcher.harness import PATIENCE, prepare

FACTS: Facts = {
    "root": "/r",
    "pid": 1,
    "capabilities": 0,
    "devices": True,
    "cgroups": [],
    "seccomp": [],
    "kernel": "6",
}
REQUEST = cast(StartRequest, {"container": "c0"})


class FakeConnection:
    """What a Launcher needs of its connection; the other end of the socket is the test's."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.facts = FACTS
        self.swept = False
        self.words = ""

    async def wait_ended(self, seconds: float) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    def last_words(self) -> str:
        return self.words

    async def sweep(self) -> None:
        self.swept = True
        await trio.lowlevel.checkpoint()


class Far:
    """The test's end."""

    def __init__(self, sock: socket.socket, connection: FakeConnection, launcher: Launcher) -> None:
        self._sock = sock
        self.connection = connection
        self.launcher = launcher

    async def receive(self) -> Message:
        with trio.fail_after(PATIENCE):
            await trio.lowlevel.wait_readable(self._sock.fileno())
        message, descriptors = _protocol.receive(self._sock)
        assert descriptors == []
        return message

    async def expect(self, operation: str) -> int:
        """The number of the next request, which is to be an ``operation``."""
        message = await self.receive()
        assert message["op"] == operation
        return int(message["id"])

    def answer(self, number: int, result: Any, descriptors: tuple[int, ...] = ()) -> None:
        _protocol.send(self._sock, {"id": number, "ok": result}, descriptors)

    def send(self, message: Message) -> None:
        _protocol.send(self._sock, message)

    def hang_up(self) -> None:
        self._sock.close()


@asynccontextmanager
async def open_far() -> AsyncIterator[Far]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(False)
    connection = FakeConnection(near)
    with near, far:
        async with trio.open_nursery() as nursery:
            launcher = Launcher(cast(Connection, connection), nursery, _no_other)
            nursery.start_soon(launcher.read)
            yield Far(far, connection, launcher)
            await launcher.aclose(end=False)


async def _no_other() -> Connection:
    raise DriverError("there is no other launcher")


def exit_facts(process: int) -> Message:
    facts = {"process": process, "container": "c0", "code": 3, "signal": 0, "oom_killed": False}
    return {"event": "exit", "exit": facts | {"started": 1, "finished": 2}}


def test_every_kind_of_error_has_its_class() -> None:
    kinds = {value for name, value in vars(_protocol).items() if name.isupper() and isinstance(value, str)}
    assert set(ERRORS) == kinds
    assert all(issubclass(kind, BiremeError) for kind in ERRORS.values())


async def test_answers_find_their_askers() -> None:
    async with open_far() as far:
        results: dict[str, Any] = {}

        async def ask(container: str) -> None:
            try:
                await far.launcher.freeze(container, frozen=True)
                results[container] = "done"
            except BiremeError as error:
                results[container] = error

        async with trio.open_nursery() as nursery:
            for name in ("a", "b", "c"):
                nursery.start_soon(ask, name)
            asked = [await far.receive() for _ in range(3)]
            for message in reversed(asked):
                if message["request"]["container"] == "b":
                    error = {"kind": _protocol.CONFLICT, "message": "b runs"}
                    far.send({"id": message["id"], "error": error})
                else:
                    far.answer(message["id"], {})
        assert results["a"] == results["c"] == "done"
        assert isinstance(results["b"], Conflict)
        assert str(results["b"]) == "b runs"


class Word(str):
    """A kind of text that only the standard library writes."""


TEXTS = ("", "word", "häuser", "\0\"\\\n", "\U0001f6f6", os.fsdecode(b"latin-\xe9"), Word("own"))


@pytest.mark.parametrize("text", TEXTS)
async def test_every_text_is_heard_as_it_was_said(text: str) -> None:
    async with open_far() as far, trio.open_nursery() as nursery:
        nursery.start_soon(far.launcher.freeze, text, True)
        message = await far.receive()
        assert message == {"id": 1, "op": "freeze", "request": {"container": text, "frozen": True}}
        far.answer(1, {})


async def test_an_exit_right_behind_the_answer_is_not_lost() -> None:
    async with open_far() as far, trio.open_nursery() as nursery:
        nursery.start_soon(_start_and_wait, far.launcher)
        number = await far.expect("start")
        far.answer(number, {"process": 1, "pid": 9, "started": 1, "streams": []})
        far.send(exit_facts(1))


async def _start_and_wait(launcher: Launcher) -> None:
    launched = await launcher.start(REQUEST)
    assert (await launched.wait())["code"] == 3
    assert repr(launched) == "<Launched 1, pid 9: exited 3>"


async def test_a_cancelled_start_that_came_about_is_undone() -> None:
    """The answer crosses the abort: the process is killed, its end awaited, the container forgotten."""
    async with open_far() as far, trio.open_nursery() as outer:
        scope = trio.CancelScope()

        async def start() -> None:
            with scope:
                await far.launcher.start(REQUEST)

        outer.start_soon(start)
        number = await far.expect("start")
        scope.cancel()
        abort = await far.expect("abort")
        reading, writing = os.pipe()
        far.answer(number, {"process": 1, "pid": 9, "started": 1, "streams": ["stdout"]}, (reading,))
        far.answer(abort, {})
        os.close(reading)
        far.answer(await far.expect("kill"), {})
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"the reader has gone")
        os.close(writing)
        far.send(exit_facts(1))
        assert await far.expect("cleanup") == 0


async def test_a_start_that_comes_about_when_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_far() as far, trio.open_nursery() as outer:
        scope = trio.CancelScope()

        async def start() -> None:
            with scope:
                await far.launcher.start(REQUEST)

        outer.start_soon(start)
        number = await far.expect("start")
        monkeypatch.setattr(client, "ABORT_SECONDS", 0.0)
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.undo()
        far.answer(number, {"process": 1, "pid": 9, "started": 1, "streams": []})
        far.answer(await far.expect("kill"), {})
        far.send(exit_facts(1))
        assert await far.expect("cleanup") == 0


async def test_a_launcher_that_dies_fails_every_ask_and_ends_every_process() -> None:
    async with open_far() as far:
        far.connection.words = "MemoryError"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_start_and_be_killed, far.launcher)
            number = await far.expect("start")
            far.answer(number, {"process": 1, "pid": 9, "started": 1, "streams": []})
            nursery.start_soon(_fail, far.launcher)
            await far.expect("freeze")
            far.hang_up()
        assert far.connection.swept
        with pytest.raises(DriverError, match=r"the launcher \(pid 1\) has ended: MemoryError"):
            await far.launcher.kill(1, 9)
        with pytest.raises(DriverError, match="no other launcher"):
            await far.launcher.start(REQUEST)
        await far.launcher.cleanup("c0")


async def _start_and_be_killed(launcher: Launcher) -> None:
    launched = await launcher.start(REQUEST)
    facts = await launched.wait()
    assert (facts["code"], facts["signal"], facts["container"]) == (137, 9, "c0")


async def _fail(launcher: Launcher) -> None:
    with pytest.raises(DriverError):
        await launcher.freeze("c0", frozen=True)


async def test_descriptors_of_an_answer_nobody_asked_for_are_closed() -> None:
    async with open_far() as far:
        reading, writing = os.pipe()
        far.answer(99, {}, (reading,))
        os.close(reading)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"x")
        os.close(writing)


async def test_unknown_kinds_are_driver_errors() -> None:
    async with open_far() as far, trio.open_nursery() as nursery:
        nursery.start_soon(_fail, far.launcher)
        number = await far.expect("freeze")
        far.send({"id": number, "error": {"kind": "of a later version", "message": "x"}})


async def test_refusals_are_of_their_kind() -> None:
    async with open_far() as far, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(CommandNotFound, match=r"^gone$"):
                await far.launcher.start(REQUEST)

        nursery.start_soon(start)
        number = await far.expect("start")
        far.send({"id": number, "error": {"kind": _protocol.NOT_FOUND, "message": "gone"}})


# Launchers that cannot start

PROGRAM = """
import sys, trio
from bireme import _syscalls as sys_
from bireme.launcher.client import open_launcher
from bireme_actors import BiremeError
async def main():
    try:
        async with open_launcher(sys.argv[1], sys.argv[1] + "/run", detached=False):
            print("started")
    except BiremeError as error:
        print(type(error).__name__, error)
%s
trio.run(main)
"""


def outcome(root: Path, first: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM % first, str(root)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


@pytest.mark.root
def test_without_the_right_to_mount(tmp_path: Path) -> None:
    found = outcome(prepare(tmp_path / "root"), "sys_.prctl(sys_.PR_CAPBSET_DROP, 21)")
    assert found.startswith("MissingRequirement root is needed, with CAP_SYS_ADMIN")


@pytest.mark.root
def test_without_a_root_directory(tmp_path: Path) -> None:
    assert outcome(tmp_path / "none", "pass").startswith("DriverError the launcher cannot serve: No such file")


@pytest.mark.root
def test_without_an_interpreter(tmp_path: Path) -> None:
    found = outcome(prepare(tmp_path / "root"), "sys.executable = ''")
    assert found.startswith("MissingRequirement the path of the Python interpreter is unknown")


@pytest.mark.root
def test_a_launcher_that_cannot_be_imported(tmp_path: Path) -> None:
    """What it printed last is the reason that is given."""
    first = "from bireme.launcher import _spawn; _spawn._SOURCE = '/nowhere'"
    found = outcome(prepare(tmp_path / "root"), first)
    assert found.startswith("DriverError the launcher ended before it was ready: ModuleNotFoundError")
