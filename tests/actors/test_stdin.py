"""The input of a container: open to several writers, before it runs and from run to run."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import ContainerActor, Remove, Start, Stdin, Supervisor
from bireme_actors.testing import Fakes, FakeSink, sample_config
from tests.actors.conftest import Later, OpenCore


async def _made(core: Supervisor) -> ContainerActor:
    return await core.create(sample_config("app", open_stdin=True))


async def test_what_is_sent_before_the_start_arrives_after_it(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _made(core)
        sending = later(lambda: actor.stdin.send(b"early"))
        await wait_all_tasks_blocked()
        assert not sending.done
        await actor.ref.ask(Start())
        await wait_all_tasks_blocked()
        assert sending.done
        await actor.stdin.send(b" late")
        assert bytes(fakes.process(actor.config.id).input.received) == b"early late"


async def test_the_end_reaches_the_process_and_what_is_sent_then_is_dropped(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _made(core)
        await actor.ref.ask(Start())
        await actor.stdin.send_eof()
        await actor.stdin.send_eof()
        await actor.stdin.send(b"too late")
        sink = fakes.process(actor.config.id).input
        assert sink.closed
        assert not sink.received


async def test_a_process_without_input_drops_what_is_sent(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        await actor.ref.ask(Start())
        with trio.fail_after(1):
            await actor.stdin.send(b"for nobody")
            await actor.stdin.send_eof()


async def test_a_writer_who_waits_for_a_reader_is_free_when_the_process_ends(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _made(core)
        await actor.ref.ask(Start())
        process = fakes.process(actor.config.id)
        process.input.full = True
        stuck = later(lambda: actor.stdin.send(b"stuck"))
        await wait_all_tasks_blocked()
        behind = later(lambda: actor.stdin.send(b"for the next run"))
        await wait_all_tasks_blocked()
        process.exit(0)
        await wait_all_tasks_blocked()
        assert (stuck.done, behind.done) == (True, False)
        assert process.input.closed
        await actor.ref.ask(Start())
        await wait_all_tasks_blocked()
        assert bytes(fakes.process(actor.config.id).input.received) == b"for the next run"


async def test_a_cancelled_writer_lets_the_next_one_write(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _made(core)
        waiting = later(lambda: actor.stdin.send(b"never"))
        await wait_all_tasks_blocked()
        waiting.scope.cancel()
        await actor.ref.ask(Start())
        sink = fakes.process(actor.config.id).input
        sink.full = True
        stuck = later(lambda: actor.stdin.send(b"never"))
        await wait_all_tasks_blocked()
        stuck.scope.cancel()
        sink.full = False
        await actor.stdin.send(b"now")
        assert bytes(sink.received) == b"now"


@pytest.mark.parametrize("started", [False, True])
async def test_nobody_waits_for_a_container_that_is_gone(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock, started: bool
) -> None:
    async with open_core() as core:
        actor = await _made(core)
        if started:
            await actor.ref.ask(Start())
            fakes.process(actor.config.id).exit(0)
            await wait_all_tasks_blocked()
        pending = [later(lambda: actor.stdin.send(b"x")), later(actor.stdin.send_eof)]
        await wait_all_tasks_blocked()
        assert not any(sending.done for sending in pending)
        await actor.ref.ask(Remove())
        await wait_all_tasks_blocked()
        assert all(sending.done and sending.error is None for sending in pending)


async def test_nobody_waits_for_a_container_whose_runtime_has_ended(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _made(core)
        sending = later(lambda: actor.stdin.send(b"x"))
        await wait_all_tasks_blocked()
    await wait_all_tasks_blocked()
    assert sending.done


async def test_writes_do_not_mix(clock: MockClock) -> None:
    stdin, sink = Stdin(), FakeSink()
    stdin.connect(sink)
    async with trio.open_nursery() as nursery:
        for letter in (b"a", b"b", b"c"):
            nursery.start_soon(stdin.send, letter * 1000)
    assert len({bytes(sink.received[start : start + 1000]) for start in (0, 1000, 2000)}) == 3


async def test_a_broken_pipe_is_no_error_of_the_writer(clock: MockClock) -> None:
    class Broken(FakeSink):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError

    stdin, sink = Stdin(), Broken()
    stdin.connect(sink)
    await stdin.send(b"x")
    await stdin.send(b"y")
    assert sink.closed
