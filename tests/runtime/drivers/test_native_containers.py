"""Real containers under the native driver: streams, terminals, limits, init, freezing, taking over after an engine."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bireme.drivers import plan
from bireme_actors import ExitStatus, InvalidConfig, Limits, MissingRequirement, Process, ProcessSpec
from tests.runtime.drivers.conftest import PATIENCE, Bench, BenchFactory, read_all, runs

pytestmark = pytest.mark.root


async def wait(process: Process) -> ExitStatus:
    with trio.fail_after(PATIENCE):
        return await process.wait()


async def read_until(process: Process, wanted: bytes) -> bytes:
    assert process.stdout is not None
    data = b""
    with trio.fail_after(PATIENCE):
        while wanted not in data:
            some = await process.stdout.receive_some()
            assert some, f"the output ended with {data!r}, without {wanted!r}"
            data += bytes(some)
    return data


async def close(process: Process) -> None:
    for source in (process.stdout, process.stderr):
        if source is not None:
            await source.aclose()


# Terminals.


async def test_the_terminal_has_the_size_of_the_client(bench: Bench) -> None:
    extra = {"HostConfig": {"ConsoleSize": [41, 133]}}
    code, printed = await bench.run("stty", "size", tty=True, extra=extra)
    assert (code, printed) == (0, "41 133\r\n")


async def test_the_terminal_is_resized(bench: Bench) -> None:
    script = "echo ready; read line; stty size; echo got $line"
    process = await bench.driver.start(await bench.config("sh", "-c", script, tty=True, open_stdin=True))
    await read_until(process, b"ready")
    await process.resize(30, 100)
    assert process.stdin is not None
    await process.stdin.send_all(b"word\n")
    assert b"30 100" in await read_until(process, b"got word")
    await close(process)
    assert await wait(process) == 0


async def test_a_resize_signals_the_process(bench: Bench) -> None:
    script = "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.1; done"
    process = await bench.driver.start(await bench.config("sh", "-c", script, tty=True))
    await read_until(process, b"ready")
    await process.resize(21, 22)
    await read_until(process, b"21 22")
    assert await wait(process) == 3
    await close(process)


async def test_closing_the_input_of_a_terminal_ends_nothing(bench: Bench) -> None:
    process = await bench.driver.start(await bench.config("cat", tty=True, open_stdin=True))
    assert process.stdin is not None
    await process.stdin.aclose()
    await process.stdin.send_all(b"still here\n")
    await read_until(process, b"still here")
    await process.stdin.send_all(b"\x04")
    assert await wait(process) == 0
    await close(process)


async def test_a_terminal_without_input_takes_none(bench: Bench) -> None:
    process = await bench.driver.start(await bench.config("true", tty=True))
    assert process.stdin is None
    assert await wait(process) == 0


@pytest.mark.parametrize(("rows", "columns"), [(-1, 80), (24, 1 << 16)])
async def test_an_impossible_size_is_refused(bench: Bench, rows: int, columns: int) -> None:
    process = await bench.driver.start(await bench.config("sleep", "1000", tty=True))
    with pytest.raises(InvalidConfig, match="invalid terminal size"):
        await process.resize(rows, columns)
    await process.kill(signal.SIGKILL)
    await wait(process)


async def test_an_exec_with_a_terminal(bench: Bench) -> None:
    container = await bench.driver.start(await bench.config("sleep", "1000"))
    spec = ProcessSpec(args=("sh", "-c", "echo ready; read x; stty size"), tty=True, open_stdin=True)
    added = await container.exec(spec)
    await read_until(added, b"ready")
    await added.resize(10, 20)
    assert added.stdin is not None
    await added.stdin.send_all(b"\n")
    assert b"10 20" in await read_until(added, b"10 20")
    assert await wait(added) == 0
    await close(added)
    await container.kill(signal.SIGKILL)
    await wait(container)


# Input.


async def test_the_end_of_input_reaches_an_exec(bench: Bench) -> None:
    container = await bench.driver.start(await bench.config("sleep", "1000"))
    added = await container.exec(ProcessSpec(args=("cat",), open_stdin=True))
    assert added.stdin is not None
    await added.stdin.send_all(b"abc")
    await added.stdin.aclose()
    assert await read_all(added) == "abc"
    assert await wait(added) == 0
    await container.kill(signal.SIGKILL)
    await wait(container)


async def test_input_that_nobody_reads_any_more_is_an_error(bench: Bench) -> None:
    process = await bench.driver.start(await bench.config("true", open_stdin=True))
    await wait(process)
    assert process.stdin is not None
    with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
        await process.stdin.send_all(b"x")


# Limits, environment, init.


async def test_resource_limits(bench: Bench) -> None:
    limits = Limits(rlimits={"nofile": (100, 200), "core": (0, 0)})
    _, printed = await bench.run("cat", "/proc/self/limits", limits=limits)
    rows = {line[:25].strip(): line[25:].split()[:2] for line in printed.splitlines()}
    assert rows["Max open files"] == ["100", "200"]
    assert rows["Max core file size"] == ["0", "0"]


async def test_open_files_are_as_many_as_may_be_by_default(bench: Bench) -> None:
    _, printed = await bench.run("cat", "/proc/self/limits")
    row = next(line for line in printed.splitlines() if line.startswith("Max open files"))
    soft, hard = map(int, row[25:].split()[:2])
    assert soft == hard <= 1 << 20


async def test_environment_hostname_and_directory(bench: Bench) -> None:
    config = await bench.config("sh", "-c", 'echo "$A $HOSTNAME $HOME $(cat /proc/sys/kernel/hostname) $PWD"')
    process = await bench.driver.start(config)
    assert await read_all(process) == f" {config.id[:12]} /root {config.id[:12]} /\n"
    assert await wait(process) == 0
    changes = {"env": ("A=1", "B", "A=2"), "working_dir": "/tmp", "hostname": "box", "user": "ann"}
    script = 'echo "$A $HOSTNAME $HOME $PWD"'
    assert await bench.run("sh", "-c", script, **changes) == (0, "2 box /home/ann /tmp\n")


async def test_init_is_the_first_process_and_hands_signals_on(bench: Bench) -> None:
    script = "trap 'exit 5' TERM; echo pid $$; while :; do sleep 0.1; done"
    process = await bench.driver.start(await bench.config("sh", "-c", script, init=True))
    printed = await read_until(process, b"\n")
    assert int(printed.split()[1]) > 1
    await process.kill(signal.SIGTERM)
    assert await wait(process) == 5
    await close(process)


async def test_a_missing_init_names_its_package(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "INIT", "/nonexistent/tini-static")
    with pytest.raises(MissingRequirement, match="package tini"):
        await bench.driver.start(await bench.config("true", init=True))
    assert not list(bench.leftovers())


# Freezing.


async def test_frozen_processes_do_nothing(bench: Bench) -> None:
    process = await bench.driver.start(await bench.config("cat", open_stdin=True))
    await process.set_frozen(True)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.send_all(b"x")
    with trio.move_on_after(0.1) as patience:
        await process.stdout.receive_some()
    assert patience.cancelled_caught, "a frozen cat wrote"
    await process.set_frozen(False)
    assert await process.stdout.receive_some() == b"x"
    await process.stdin.aclose()
    assert await wait(process) == 0
    await close(process)


async def test_what_has_ended_cannot_be_frozen_but_thawed(bench: Bench) -> None:
    process = await bench.driver.start(await bench.config("true"))
    await wait(process)
    with pytest.raises(Exception, match="not running"):
        await process.set_frozen(True)
    await process.set_frozen(False)


# After an engine.


async def test_the_next_engine_takes_over(bench_factory: BenchFactory) -> None:
    script = "echo before; read line; echo after $line; exit 6"
    async with bench_factory(detached=True) as first:
        config = await first.config("sh", "-c", script, open_stdin=True)
        process = await first.driver.start(config)
        await read_until(process, b"before")
        started, pid = process.started, process.pid
        await close(process)
    async with bench_factory(detached=True) as second:
        try:
            adopted = await second.driver.adopt(config)
            assert adopted is not None
            assert (adopted.started, adopted.pid) == (started, pid)
            assert await second.exec(adopted, "echo", "hi") == (0, "hi\n")
            assert adopted.stdin is not None
            await adopted.stdin.send_all(b"all\n")
            await read_until(adopted, b"after all")
            assert await wait(adopted) == 6
            await close(adopted)
            await wait_all_tasks_blocked()
            assert second.driver.statistics() == {"containers": 0, "unclaimed": 0}
        finally:
            await second.launcher.quit()


async def test_a_launcher_taken_over_can_be_replaced(bench_factory: BenchFactory) -> None:
    """What the earlier engine had handed over to it, the next launcher has to have as well."""
    async with bench_factory(detached=True) as first:
        config = await first.config("sleep", "1000")
        await close(await first.driver.start(config))
    async with bench_factory(detached=True) as second:
        try:
            adopted = await second.driver.adopt(config)
            assert adopted is not None
            os.kill(second.launcher.facts["pid"], signal.SIGKILL)
            assert await wait(adopted) == 137
            await close(adopted)
            process = await second.driver.start(config)
            await process.kill(signal.SIGKILL)
            assert await wait(process) == 137
            await close(process)
        finally:
            await second.launcher.quit()


async def test_the_end_of_input_reaches_a_container_taken_over(bench_factory: BenchFactory) -> None:
    async with bench_factory(detached=True) as first:
        config = await first.config("cat", open_stdin=True)
        process = await first.driver.start(config)
        await close(process)
    assert process.stdin is not None
    await process.stdin.aclose()  # no launcher listens to this one any more: only its own end is closed
    async with bench_factory(detached=True) as second:
        try:
            adopted = await second.driver.adopt(config)
            assert adopted is not None
            assert adopted.stdin is not None
            await adopted.stdin.send_all(b"x")
            await adopted.stdin.aclose()
            assert await read_all(adopted) == "x"
            assert await wait(adopted) == 0
        finally:
            await second.launcher.quit()


async def test_the_end_of_input_reaches_the_launcher_also_when_cancelled(bench_factory: BenchFactory) -> None:
    """It keeps an end of its own open for the next engine."""
    async with bench_factory(detached=True) as bench:
        try:
            process = await bench.driver.start(await bench.config("cat", open_stdin=True))
            assert process.stdin is not None
            with trio.CancelScope() as scope:
                scope.cancel()
                await process.stdin.aclose()
            assert await wait(process) == 0
            await close(process)
        finally:
            await bench.launcher.quit()


async def test_an_exit_between_two_engines_is_told_to_the_second(bench_factory: BenchFactory) -> None:
    async with bench_factory(detached=True) as first:
        config = await first.config("sh", "-c", "read line; echo last words; exit 9", open_stdin=True)
        other = await first.config("sleep", "1000")
        process = await first.driver.start(config)
        await first.driver.start(other)
        await close(process)
        pidfd = os.pidfd_open(process.pid)
    assert process.stdin is not None
    await process.stdin.send_all(b"go\n")
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    await process.stdin.aclose()
    async with bench_factory(detached=True) as second:
        try:
            adopted = await second.driver.adopt(config)
            assert adopted is not None
            assert await wait(adopted) == 9
            assert await read_all(adopted) == "last words\n"
        finally:
            await second.launcher.quit()


async def test_a_container_nobody_has_a_record_of_is_ended(bench_factory: BenchFactory) -> None:
    async with bench_factory(detached=True) as first:
        config = await first.config("sleep", "1000")
        process = await first.driver.start(config)
    async with bench_factory(detached=True) as second:
        try:
            assert await second.driver.end_unclaimed() == (config.id,)
            assert not runs(process.pid)
            assert await second.driver.end_unclaimed() == ()
        finally:
            await second.launcher.quit()


async def test_cleaning_up_ends_what_nobody_adopted(bench_factory: BenchFactory) -> None:
    async with bench_factory(detached=True) as first:
        config = await first.config("sleep", "1000")
        process = await first.driver.start(config)
    async with bench_factory(detached=True) as second:
        try:
            await second.driver.cleanup(config)
            assert not runs(process.pid)
            assert second.driver.statistics() == {"containers": 0, "unclaimed": 0}
        finally:
            await second.launcher.quit()


async def test_an_exit_is_found_after_the_launcher_has_gone_too(bench_factory: BenchFactory) -> None:
    async with bench_factory() as first:
        config = await first.config("sh", "-c", "exit 4")
        status = await wait(await first.driver.start(config))
    async with bench_factory() as second:
        adopted = await second.driver.adopt(config)
        assert adopted is not None
        assert await adopted.wait() == status == 4
        assert (adopted.started, adopted.pid) == (status.started, 0)
        process = await second.driver.start(replace(config, args=("sleep", "1000")))
        note = second.root / "containers" / config.id / "exit.json"
        assert not note.exists(), "the note of an earlier run is stale"
        await process.kill(signal.SIGKILL)
        await wait(process)
