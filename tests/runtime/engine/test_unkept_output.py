"""The log driver ``none``: all output to who is attached, under every driver, and nothing of it on disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio

import bireme
from bireme import blocking
from bireme.drivers import RUNTIMES
from bireme.storage import OutputLost, _live

pytestmark = pytest.mark.root

DRIVERS = ("native", *(name for name, runtime in RUNTIMES.items() if shutil.which(runtime.program)))
MUCH = 3 * _live.MOST_BYTES
FLOOD = ["sh", "-c", f"yes | head -c {MUCH}; echo end >&2"]


def files_of(root: Path, container: bireme.Container) -> list[str]:
    return [name for name in os.listdir(root / "containers" / container.id) if name.startswith("log")]


@pytest.mark.parametrize("driver", DRIVERS)
async def test_every_byte_comes_out_and_nothing_is_kept(runtime: bireme.Runtime, root: Path, driver: str) -> None:
    container = await runtime.create("busybox", FLOOD, log_driver="none", driver=driver)
    async with container.attach() as attached:
        await container.start()
        found = {"stdout": 0, "stderr": 0}
        async for entry in attached:
            found[entry.stream] += len(entry.data)
    assert found == {"stdout": MUCH, "stderr": len("end\n")}
    assert await container.wait() == 0
    assert files_of(root, container) == []
    for refused in (lambda: container.logs(), lambda: container.logs(follow=True), lambda: container.attach(logs=True)):
        with pytest.raises(bireme.OutputNotKept, match="configured logging driver does not support reading"):
            refused()
    shown = container.inspect()
    assert (shown["LogPath"], shown["HostConfig"]["LogConfig"]) == ("", {"Type": "none", "Config": {}})  # type: ignore[index]  # JSON
    await container.remove()


async def test_run_captures_what_is_not_kept(runtime: bireme.Runtime) -> None:
    done = await runtime.run("busybox", ["sh", "-c", "cat; echo err >&2"], stdin=b"in", log_driver="none")
    assert (done.stdout, done.stderr) == (b"in", b"err\n")


async def test_a_terminal_too(runtime: bireme.Runtime) -> None:
    done = await runtime.run("busybox", ["echo", "shown"], tty=True, log_driver="none")
    assert done.stdout == b"shown\r\n"


async def test_without_anybody_output_goes_nowhere_and_holds_nothing_up(runtime: bireme.Runtime) -> None:
    async with runtime.open_container("busybox", FLOOD, log_driver="none") as container:
        with trio.fail_after(60):
            assert await container.wait() == 0


async def test_each_run_is_for_those_who_are_there(runtime: bireme.Runtime) -> None:
    container = await runtime.create("busybox", ["sh", "-c", "echo run"], log_driver="none")
    for _ in range(2):
        async with container.attach() as attached:
            await container.start()
            assert [entry.data async for entry in attached] == [b"run\n"]
    await container.remove()


async def test_who_never_reads_is_given_up_and_the_container_goes_on(
    runtime: bireme.Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_live, "PATIENCE", 0.2)
    container = await runtime.create("busybox", FLOOD, log_driver="none")
    async with container.attach() as stuck:
        await container.start()
        with trio.fail_after(60):
            assert await container.wait() == 0
        with pytest.raises(OutputLost):
            async for _ in stuck:
                pass
    await container.remove()


async def test_what_waits_for_a_reader_can_be_stopped(runtime: bireme.Runtime) -> None:
    container = await runtime.create("busybox", ["yes"], log_driver="none")
    async with container.attach():
        await container.start()
        with trio.fail_after(60):
            while not container._log.full:  # noqa: ASYNC110 - nobody else is to wait for that
                await trio.sleep(0.01)
            await container.kill()
            assert int(await container.wait()) == 137
    await container.remove()


async def test_a_removed_container_ends_its_readers(runtime: bireme.Runtime) -> None:
    container = await runtime.create("busybox", ["true"], log_driver="none")
    async with container.attach() as attached:
        await container.remove()
        assert [entry async for entry in attached] == []


async def test_a_driver_that_is_none_of_those_is_refused(runtime: bireme.Runtime) -> None:
    with pytest.raises(bireme.InvalidConfig, match="no log driver named 'syslog' is registered"):
        await runtime.create("busybox", ["true"], log_driver="syslog")
    with pytest.raises(bireme.InvalidConfig, match="max-size"):
        await runtime.create("busybox", ["true"], log_opts={"max-size": "much"})
    assert runtime.list() == []


def test_synchronous_programs_are_refused_at_once(tmp_path: Path) -> None:
    with blocking.open_runtime(root=tmp_path / "root") as runtime:
        container = runtime.create("busybox", ["echo", "hi"], log_driver="none")
        with pytest.raises(bireme.OutputNotKept):
            container.logs()
        with container.attach() as attached:
            container.start()
            assert b"".join(entry.data for entry in attached) == b"hi\n"
