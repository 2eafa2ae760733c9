"""Mailbox laws: what is put in comes out in order, answering never fails, asking always ends."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import ActorStopped, Ask, Start
from bireme_actors._mailbox import Item, Mailbox, Ref, Reply
from tests.actors.conftest import Later


async def _receive(mailbox: Mailbox) -> Item:
    item = await mailbox.receive()
    assert item is not None
    return item


async def _take(mailbox: Mailbox) -> tuple[object, Reply[object]]:
    message, reply = await _receive(mailbox)
    assert reply is not None
    return message, reply


async def test_messages_come_out_in_the_order_they_went_in(clock: MockClock) -> None:
    mailbox = Mailbox("it", capacity=10)
    for number in range(10):
        await mailbox.tell(number)
    assert [(await _receive(mailbox))[0] for _ in range(10)] == list(range(10))


async def test_a_full_mailbox_makes_who_tells_wait_and_nobody_else(clock: MockClock, later: Later) -> None:
    mailbox = Mailbox("it", capacity=2)
    told = [later(lambda number=number: mailbox.tell(number)) for number in range(4)]  # type: ignore[misc]  # bound
    await wait_all_tasks_blocked()
    assert sum(pending.done for pending in told) == 2
    assert sorted([(await _receive(mailbox))[0] for _ in range(4)], key=str) == [0, 1, 2, 3]
    await wait_all_tasks_blocked()
    assert all(pending.done for pending in told)
    assert mailbox.statistics() == {"queued": 0, "pending": 0}


async def test_a_cancelled_tell_into_a_full_mailbox_is_not_in(clock: MockClock, later: Later) -> None:
    mailbox = Mailbox("it", capacity=1)
    await mailbox.tell("first")
    pending = later(lambda: mailbox.tell("second"))
    await wait_all_tasks_blocked()
    pending.scope.cancel()
    await wait_all_tasks_blocked()
    assert not pending.done
    assert await mailbox.receive() == ("first", None)
    assert mailbox.statistics() == {"queued": 0, "pending": 0}


async def test_an_ask_gets_its_own_answer(clock: MockClock, later: Later) -> None:
    mailbox = Mailbox("it")
    asked = [later(lambda: mailbox.ask(Start())) for _ in range(3)]
    replies = [(await _take(mailbox))[1] for _ in range(3)]
    for number, reply in reversed(list(enumerate(replies))):
        reply.set(number)
    await wait_all_tasks_blocked()
    assert sorted(pending.result() for pending in asked) == [0, 1, 2]
    assert mailbox.statistics() == {"queued": 0, "pending": 0}


async def test_only_the_first_answer_counts(clock: MockClock, later: Later) -> None:
    mailbox = Mailbox("it")
    pending = later(lambda: mailbox.ask(Start()))
    _, reply = await _take(mailbox)
    reply.set("first")
    reply.set("second")
    reply.fail(ValueError("third"))
    await wait_all_tasks_blocked()
    assert pending.result() == "first"


async def test_an_error_is_raised_where_it_was_asked(clock: MockClock, later: Later) -> None:
    mailbox = Mailbox("it")
    pending = later(lambda: mailbox.ask(Start()))
    _, reply = await _take(mailbox)
    reply.settle(ValueError("no"), None)
    await wait_all_tasks_blocked()
    with pytest.raises(ValueError, match="no"):
        pending.result()


async def test_a_cancelled_ask_leaves_nothing_and_its_answer_is_dropped(clock: MockClock, later: Later) -> None:
    mailbox = Mailbox("it")
    pending = later(lambda: mailbox.ask(Start()))
    await wait_all_tasks_blocked()
    pending.scope.cancel()
    await wait_all_tasks_blocked()
    assert mailbox.statistics()["pending"] == 0
    _, reply = await _take(mailbox)
    assert not reply.wanted
    reply.set(None)
    assert mailbox.statistics() == {"queued": 0, "pending": 0}


@pytest.mark.parametrize("taken", [True, False])
async def test_closing_ends_what_is_queued_and_what_is_pending(clock: MockClock, later: Later, taken: bool) -> None:
    mailbox = Mailbox("container db")
    pending = later(lambda: mailbox.ask(Start()))
    await wait_all_tasks_blocked()
    if taken:
        await mailbox.receive()
    mailbox.close()
    mailbox.close()
    await wait_all_tasks_blocked()
    with pytest.raises(ActorStopped, match="container db has ended"):
        pending.result()
    assert mailbox.statistics() == {"queued": 0, "pending": 0}


@pytest.mark.parametrize("waiting", [True, False])
async def test_who_takes_out_is_told_of_the_end(clock: MockClock, later: Later, waiting: bool) -> None:
    mailbox = Mailbox("it")
    if not waiting:
        mailbox.close()
    taking = later(mailbox.receive)
    await wait_all_tasks_blocked()
    mailbox.close()
    await wait_all_tasks_blocked()
    assert taking.result() is None


async def test_closing_wakes_who_waits_for_room(clock: MockClock, later: Later) -> None:
    mailbox = Mailbox("it", capacity=1)
    await mailbox.tell("first")
    pending = [later(lambda: mailbox.ask(Start())), later(lambda: mailbox.tell("more"))]
    await wait_all_tasks_blocked()
    mailbox.close()
    await wait_all_tasks_blocked()
    assert [type(waiting.error) for waiting in pending] == [ActorStopped] * 2


async def test_nothing_can_be_asked_of_a_closed_mailbox(clock: MockClock) -> None:
    cause = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"), Mailbox("it") as mailbox:
        raise cause
    for asked in (mailbox.tell(Start()), mailbox.ask(Start())):
        with pytest.raises(ActorStopped, match=r"it has ended \(ValueError\('a bug'\)\)") as caught:
            await asked
        assert caught.value.__cause__ is cause


async def test_telling_and_asking_are_checkpoints(clock: MockClock) -> None:
    mailbox = Mailbox("it")
    with trio.testing.assert_checkpoints():
        await mailbox.tell("something")
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.tell("never")
    assert scope.cancelled_caught
    assert mailbox.statistics()["queued"] == 1


async def test_a_ref_puts_in_and_shows_what_it_is(clock: MockClock) -> None:
    mailbox = Mailbox("container db")
    ref = Ref(mailbox)
    await ref.tell("something")
    assert "container db" in repr(ref)
    assert await mailbox.receive() == ("something", None)
    assert not [name for name in dir(ref) if not name.startswith("_") and name not in ("ask", "tell")]


def test_what_is_asked_names_its_reply() -> None:
    assert issubclass(Start, Ask)
