"""Waiting for an exit: something that any number of tasks do, not a message.

A ``Watch`` is one future exit (or removal) and the answer to all who wait for it; it is made before the exit, so
whoever registers early misses nothing.
"""

from __future__ import annotations

import trio

from bireme_actors._model import ContainerState, ExitStatus, Status, WaitCondition


class Watch:
    """One answer for any number of waiters, before and after it is given."""

    __slots__ = ("_answer", "_event")

    def __init__(self) -> None:
        self._event: trio.Event | None = None
        self._answer: ExitStatus | Exception | None = None

    def set(self, status: ExitStatus) -> None:
        """Answer all waiters; the first answer counts."""
        self._give(status)

    def fail(self, error: Exception) -> None:
        """Answer all waiters with an error; the first answer counts."""
        self._give(error)

    def _give(self, answer: ExitStatus | Exception) -> None:
        if self._answer is None:
            self._answer = answer
            if self._event is not None:
                self._event.set()

    def done(self) -> bool:
        """Whether ``wait`` would return at once."""
        return self._answer is not None

    async def wait(self) -> ExitStatus:
        """The answer. Cancelling changes nothing for anybody else."""
        if self._answer is not None:
            await trio.lowlevel.checkpoint()
        else:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        if not isinstance(self._answer, ExitStatus):
            assert self._answer is not None
            raise self._answer
        return self._answer

    @property
    def waiters(self) -> int:
        """How many tasks wait."""
        return 0 if self._event is None else self._event.statistics().tasks_waiting


class Exits:
    """The exits of one container, past and to come."""

    __slots__ = ("_next", "_removed")

    def __init__(self) -> None:
        self._next = Watch()
        self._removed = Watch()

    def watch(self, condition: WaitCondition, state: ContainerState) -> Watch:
        """Register now, in this instant, for what ``condition`` means in ``state``.

        ``not-running``: at once unless it runs or is about to; ``next-exit``: an exit still to come; ``removed``: the
        end of the removal. A container that is removed ends every wait.
        """
        runs = state.running or state.status in _ABOUT_TO_RUN
        if condition is WaitCondition.NOT_RUNNING and not runs:
            return _answered(state.exit_status())
        if condition is WaitCondition.REMOVED or self._removed.done():
            return self._removed
        return self._next

    def exited(self, status: ExitStatus) -> None:
        """The container has exited: everyone who waits for that is answered."""
        watch, self._next = self._next, Watch()
        watch.set(status)

    def removed(self, status: ExitStatus) -> None:
        """The container is gone: everyone is answered, with its last exit."""
        self._next.set(status)
        self._removed.set(status)

    def fail(self, error: Exception) -> None:
        """Nobody can know any more: everyone who waits gets the error."""
        self._next.fail(error)
        self._removed.fail(error)

    @property
    def waiters(self) -> int:
        """How many tasks wait for an exit or for the removal."""
        return self._next.waiters + self._removed.waiters


def _answered(status: ExitStatus) -> Watch:
    watch = Watch()
    watch.set(status)
    return watch


_ABOUT_TO_RUN = frozenset({Status.STARTING, Status.RESTARTING})
