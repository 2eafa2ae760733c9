"""The kernel: an actor is stopped, is cancelled or crashes; in each case nothing of it, and nobody, hangs."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import ActorStopped, Ask, Conflict
from bireme_actors._actor import Actor, protected
from bireme_actors._mailbox import Reply
from bireme_actors._services import open_services
from tests.actors.conftest import Later


@dataclass(frozen=True)
class Do(Ask[str]):
    what: str


class Clerk(Actor):
    """Does what it is told, some of it slowly, some of it wrongly."""

    def __init__(self) -> None:
        super().__init__("clerk")
        self.slow_ended = 0

    def handle(self, message: object, reply: Reply[Any]) -> None:
        assert isinstance(message, Do)
        match message.what:
            case "answer":
                reply.set("here")
            case "refuse":
                raise Conflict("no")
            case "slowly":
                self.spawn(self.slowly, reply)
            case "crash":
                raise ValueError("a bug")
            case "crash later":
                self.spawn(self.crash)
            case "stop":
                self.stop()
            case "stop, reported" | "crash, reported":
                self.spawn(self.report_later, Do(message.what.removesuffix(", reported")))

    @protected
    async def report_later(self, message: Do) -> None:
        await trio.sleep(1)
        await self.report(message)

    @protected
    async def slowly(self, reply: Reply[str]) -> None:
        try:
            await trio.sleep(100)
            reply.set("at last")
        finally:
            self.slow_ended += 1

    @protected
    async def crash(self) -> None:
        await trio.sleep(1)
        raise ValueError("a bug")


async def test_a_slow_thing_does_not_hold_up_the_next(clock: MockClock, nursery: trio.Nursery, later: Later) -> None:
    clerk = Clerk()
    nursery.start_soon(clerk.run)
    slow = later(lambda: clerk.ref.ask(Do("slowly")))
    began = trio.current_time()
    assert await clerk.ref.ask(Do("answer")) == "here"
    assert trio.current_time() == began
    await trio.sleep(101)
    assert slow.result() == "at last"


async def test_a_refusal_is_an_answer_and_the_actor_goes_on(clock: MockClock, nursery: trio.Nursery) -> None:
    clerk = Clerk()
    nursery.start_soon(clerk.run)
    with pytest.raises(Conflict, match="no"):
        await clerk.ref.ask(Do("refuse"))
    assert await clerk.ref.ask(Do("answer")) == "here"


@pytest.mark.parametrize("end", ["crash", "crash later", "crash, reported", "stop", "stop, reported"])
async def test_however_it_ends_every_ask_ends(clock: MockClock, later: Later, end: str) -> None:
    clerk = Clerk()
    asked = []
    for what in ("slowly", end, "nothing", "nothing"):
        asked.append(later(lambda what=what: clerk.ref.ask(Do(what))))  # type: ignore[misc]  # bound at once
        await wait_all_tasks_blocked()
    run = later(clerk.run)
    await trio.sleep(2)
    await wait_all_tasks_blocked()
    assert [type(pending.error) for pending in asked] == [ActorStopped] * 4
    assert (run.error is None) == end.startswith("stop")
    assert clerk.slow_ended == 1, "its children end with it"
    assert clerk.mailbox.statistics() == {"queued": 0, "pending": 0}
    with pytest.raises(ActorStopped):
        await clerk.ref.ask(Do("answer"))


async def test_what_a_child_reports_is_handled_at_once(clock: MockClock, nursery: trio.Nursery, later: Later) -> None:
    clerk = Clerk()
    nursery.start_soon(clerk.run)
    asked = later(lambda: clerk.ref.ask(Do("answer")))
    await clerk.report(Do("stop"))
    await wait_all_tasks_blocked()
    with pytest.raises(ActorStopped):
        asked.result()


async def test_a_cancelled_child_reports_nothing(clock: MockClock, nursery: trio.Nursery) -> None:
    clerk = Clerk()
    nursery.start_soon(clerk.run)
    with trio.CancelScope() as scope:
        scope.cancel()
        await clerk.report(Do("crash"))
    assert scope.cancelled_caught
    assert await clerk.ref.ask(Do("answer")) == "here"


async def test_a_cancelled_actor_ends_every_ask(clock: MockClock, later: Later) -> None:
    clerk = Clerk()
    run = later(clerk.run)
    asked = later(lambda: clerk.ref.ask(Do("slowly")))
    await wait_all_tasks_blocked()
    run.scope.cancel()
    await wait_all_tasks_blocked()
    assert isinstance(asked.error, ActorStopped)
    assert clerk.slow_ended == 1


async def test_asks_never_hang_whatever_the_moment_of_the_end(clock: MockClock, nursery: trio.Nursery) -> None:
    ends = 0
    for moment in range(12):
        clerk = Clerk()
        async with trio.open_nursery() as asking:
            asking.start_soon(clerk.run)
            for _ in range(moment):
                await trio.lowlevel.checkpoint()
            asking.start_soon(_expect_stopped, clerk, "slowly")
            asking.start_soon(_expect_stopped, clerk, "stop")
        ends += clerk.mailbox.statistics()["pending"]
    assert ends == 0


async def _expect_stopped(clerk: Clerk, what: str) -> None:
    with trio.fail_after(50), pytest.raises(ActorStopped):
        await clerk.ref.ask(Do(what))


# Services.


async def test_services_outlive_the_cancelled_block(clock: MockClock) -> None:
    told = []

    async def service() -> None:
        try:
            await trio.sleep_forever()
        finally:
            told.append("service ended")

    with trio.CancelScope() as scope:
        async with open_services() as services:
            services.start_soon(service)
            await wait_all_tasks_blocked()
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(5)
                    told.append("client ended")
    assert scope.cancelled_caught
    assert told == ["client ended", "service ended"]


async def test_services_open_also_where_everything_is_cancelled_already(clock: MockClock) -> None:
    with trio.fail_after(5), trio.CancelScope() as scope:
        scope.cancel()
        async with open_services() as services:
            services.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_service_that_fails_ends_the_block_and_tells(clock: MockClock) -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    async def serve() -> None:
        async with open_services() as services:
            services.start_soon(fail)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await serve()
    assert caught.group_contains(ValueError, match="a bug")


# Control-C.


def test_control_c_in_an_actor_or_its_child_reaches_the_main_task_only() -> None:
    class Struck(Clerk):
        def handle(self, message: object, reply: Reply[Any]) -> None:
            assert isinstance(message, Do)
            if message.what == "strike":
                signal.raise_signal(signal.SIGINT)
                reply.set("survived")
            elif message.what == "strike child":
                self.spawn(self.strike, reply)
            else:
                super().handle(message, reply)

        @protected
        async def strike(self, reply: Reply[str]) -> None:
            signal.raise_signal(signal.SIGINT)
            reply.set("survived")

    async def main(what: str) -> None:
        clerk = Struck()
        async with open_services() as services:
            services.start_soon(clerk.run)
            try:
                await clerk.ref.ask(Do(what))
                await trio.sleep_forever()
            except KeyboardInterrupt:
                told.append(await clerk.ref.ask(Do("answer")))

    told: list[str] = []
    for what in ("strike", "strike child"):
        trio.run(main, what, clock=MockClock(autojump_threshold=0))
    assert told == ["here", "here"]
