"""The handle of one container: every verb a user has for it."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import trio

from bireme.drivers import changed_limits
from bireme.engine import _processes
from bireme.engine._attach import Attachment
from bireme.engine._background import open_background
from bireme.engine._bounds import merge_limits
from bireme.engine._commit import Pieces, image_config
from bireme.engine._execs import Exec, collect
from bireme.engine._health import Health
from bireme.engine._inspect import inspect_container
from bireme.engine._log_options import read_log_options
from bireme.engine._request import Environment, environment, parse_restart, words
from bireme.engine._signals import parse_signal
from bireme.engine._telling import tell_of_container
from bireme.images import Commit, Image
from bireme.storage import ContainerLog, LiveOutput, LogEntry, not_kept
from bireme_actors import (
    STOP_SECONDS,
    ActorStopped,
    Ask,
    ByteSource,
    Conflict,
    ContainerActor,
    ContainerConfig,
    ContainerFailed,
    ContainerView,
    DriverError,
    ExitStatus,
    Kill,
    Limits,
    NotFound,
    Pause,
    ProcessSpec,
    Reconfigure,
    Remove,
    Resize,
    Restart,
    RestartPolicy,
    Start,
    Status,
    Stop,
    Unpause,
    WaitCondition,
    Watch,
)

if TYPE_CHECKING:
    from bireme.engine._parts import Parts

R = TypeVar("R")

THAW_SECONDS = 10.0
"""What going on may take after a commit that was cancelled."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has run: how it ended and what it printed (None where that was not captured)."""

    args: tuple[str, ...]
    exit_status: ExitStatus
    stdout: bytes | None
    stderr: bytes | None
    container: str
    """Id of the container it ran in."""

    def check(self) -> None:
        """Raises ContainerFailed, with all of this in it, unless the exit status is 0."""
        if int(self.exit_status):
            last = (self.stderr or b"").decode("utf-8", "replace").strip().splitlines()[-1:]
            reason = f": {last[0]}" if last else ""
            code = int(self.exit_status)
            raise ContainerFailed(
                f"{self.args[0]!r} in container {self.container[:12]} exited with status {code}{reason}", self
            )


class Container:
    """One container. Two handles of the same container are equal. After its removal every verb raises NotFound."""

    def __init__(self, actor: ContainerActor, parts: Parts) -> None:
        self._actor = actor
        self._parts = parts

    def __repr__(self) -> str:
        return f"<Container {self.name} {self.id[:12]} {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    # What it is: frozen snapshots, no waiting.

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._actor.config.id

    @property
    def name(self) -> str:
        return self._actor.config.name

    @property
    def status(self) -> Status:
        return self._actor.state.status

    @property
    def view(self) -> ContainerView:
        """Configuration and state, frozen."""
        return self._actor.view

    @property
    def volumes(self) -> Mapping[str, Path]:
        """Where each volume lies on the host, by its path in the container."""
        layout = self._parts.layout
        return {mount.destination: Path(layout.volume(mount.volume)) for mount in self._actor.config.mounts}

    @property
    def health(self) -> Health | None:
        """What its health check has found; None without one, or before the first start."""
        return self._parts.health.of(self.id)

    def inspect(self) -> dict[str, object]:
        """Docker's JSON of it (Engine API, ``ContainerInspect``)."""
        layers = self._parts.layers_of(self._actor.config)
        return inspect_container(self.view, self._parts.layout, layers, self._parts.execs.of(self.id), self.health)

    # Its life.

    async def start(self) -> None:
        """Run the command; it has been executed on return.

        Raises NotModified if it runs, CommandNotFound, CommandNotExecutable, DriverError. Cancelled: it starts all
        the same.
        """
        await self._ask(Start())

    async def stop(self, timeout: float | None = None, signal: str | int | None = None) -> None:  # noqa: ASYNC109 - the grace
        """Send the stop signal, SIGKILL after ``timeout`` seconds (default: the container's own, else ten; -1: never).

        Returns when it has ended. Raises NotModified if it does not run. Cancelled: the stop goes on.
        """
        await self._ask(Stop(*self._stop_options(timeout, signal)))

    async def restart(self, timeout: float | None = None, signal: str | int | None = None) -> None:  # noqa: ASYNC109 - the grace
        """Stop it as ``stop`` does, if it runs, and start it again."""
        await self._ask(Restart(*self._stop_options(timeout, signal)))

    def _stop_options(self, timeout: float | None, signum: str | int | None) -> tuple[int, float | None]:
        config = self._actor.config
        chosen = timeout if timeout is not None else config.stop_timeout
        grace = STOP_SECONDS if chosen is None else float(chosen)
        return (config.stop_signal if signum is None else parse_signal(signum)), (None if grace < 0 else grace)

    async def kill(self, signum: str | int = signal.SIGKILL) -> None:
        """Send a signal; it is sent on return. Raises Conflict if it does not run, InvalidConfig."""
        await self._ask(Kill(parse_signal(signum)))

    async def pause(self) -> None:
        """Freeze all of its processes at once. Raises Conflict if it does not run, or is paused."""
        await self._ask(Pause())

    async def unpause(self) -> None:
        """Thaw them."""
        await self._ask(Unpause())

    async def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it; with ``force`` also while it runs, with ``volumes`` those of its volumes that nobody else holds.

        Raises Conflict while it runs. Cancelled: the removal goes on.
        """
        await self._ask(Remove(force=force, volumes=volumes))

    async def rename(self, name: str) -> None:
        """Raises Conflict if the name is taken, InvalidConfig."""
        if name == self.name:
            raise InvalidName(name)
        await self._guard(self._parts.supervisor.rename(self.id, name))

    async def update(self, *, restart: RestartPolicy | str | None = None, limits: Limits | None = None) -> None:
        """Change the restart policy, or bounds (those that are not 0), also while it runs; durable on return.

        Raises InvalidConfig, Conflict, MissingRequirement where this host has no such bound, DriverError. Cancelled: a
        bound may hold for this run only.
        """
        policy = None if restart is None else parse_restart(restart)
        if policy is not None and policy.name != "no" and self._actor.config.auto_remove:
            raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
        if limits is not None:
            merged = merge_limits(self._actor.config.limits, limits)
            if self.view.state.running:
                await self._parts.launcher.limit(self._actor.config.id, changed_limits(merged))
        await self._ask(Reconfigure(partial(_changed, policy=policy, limits=limits)))
        self._tell("update")

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size, in characters. Raises Conflict if it does not run."""
        await self._ask(Resize(rows, columns))
        self._tell("resize", height=str(rows), width=str(columns))

    def watch(self, condition: WaitCondition | str = WaitCondition.NOT_RUNNING) -> Watch:
        """Register now for an exit or the removal; ``await watch.wait()`` answers any number of times."""
        return self._actor.exits.watch(WaitCondition(condition), self._actor.state)

    async def wait(self, condition: WaitCondition | str = WaitCondition.NOT_RUNNING) -> ExitStatus:
        """How it ended, once it has; at once if it does not run. Cancelling leaves it as it is.

        ``condition``: ``not-running``, ``next-exit`` or ``removed`` (Docker Engine API, ``ContainerWait``).
        """
        return await self.watch(condition).wait()

    # Its streams.

    @property
    def _log(self) -> ContainerLog | LiveOutput:
        return self._parts.logs.open_log(self._actor.config.id)

    def _check_kept(self) -> None:
        if not read_log_options(self._actor.config.extra).kept:
            raise not_kept(self.id)

    def logs(
        self,
        *,
        follow: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        since: int = 0,
        until: int = 0,
        tail: int | None = None,
    ) -> AsyncGenerator[LogEntry]:
        """Its output so far, with ``follow`` until it ends. ``since``, ``until``: nanoseconds since the epoch, 0 for
        none.

        ``tail``: that many lines from the end. Never holds the container up. Raises OutputNotKept, at once.
        """
        self._check_kept()
        return self._logs(follow=follow, stdout=stdout, stderr=stderr, since=since, until=until, tail=tail)

    async def _logs(
        self, *, follow: bool, stdout: bool, stderr: bool, since: int, until: int, tail: int | None
    ) -> AsyncGenerator[LogEntry]:
        self._still_there()
        wanted = {name for name, chosen in (("stdout", stdout), ("stderr", stderr)) if chosen}
        follow = follow and (self.view.state.running or self.status in (Status.STARTING, Status.RESTARTING))
        async with aclosing(self._log.read(follow=follow, tail=tail, since=since, until=until)) as entries:
            async for entry in entries:
                if entry.stream in wanted:
                    yield entry

    def attach(
        self, *, stdin: bool = False, stdout: bool = True, stderr: bool = True, logs: bool = False, stream: bool = True
    ) -> Attachment:
        """Take part in its streams from this very moment on, before or while it runs; an ``async with`` block.

        ``logs``: what it has printed before comes first; ``stream`` False: and nothing else. Raises OutputNotKept for
        ``logs`` where there are none (log driver ``none``). There, who does not read may hold the container up a while.
        """
        if logs:
            self._check_kept()
        self._tell("attach")
        return Attachment(self._actor, self._log, stdin=stdin, stdout=stdout, stderr=stderr, logs=logs, stream=stream)

    # More processes in it.

    def create_exec(self, spec: ProcessSpec) -> Exec:
        """Make another process ready to ``start``. Raises Conflict if the container does not run or is paused."""
        self._still_there()
        if not self.view.state.running:
            raise Conflict(f"Container {self.id} is not running")
        if self.status is Status.PAUSED:
            raise Conflict(f"Container {self.id} is paused, unpause the container before exec")
        return self._parts.execs.create(self._actor, spec)

    def exec_spec(
        self,
        command: Sequence[str] | str,
        *,
        env: Environment = (),
        user: str = "",
        workdir: str = "",
        tty: bool = False,
        stdin_open: bool = False,
        privileged: bool = False,
    ) -> ProcessSpec:
        """What ``exec`` runs: the container's environment, user and directory where nothing else is said."""
        config = self._actor.config
        args = words(command)
        if not args:
            raise Conflict("no exec command specified: give one")
        merged = {entry.partition("=")[0]: entry for entry in (*config.env, *environment(env))}
        return ProcessSpec(
            args=args,
            env=tuple(merged.values()),
            user=user or config.user,
            working_dir=workdir or config.working_dir,
            tty=tty,
            open_stdin=stdin_open,
            privileged=privileged,
        )

    async def exec(
        self,
        command: Sequence[str] | str,
        *,
        env: Environment = (),
        user: str = "",
        workdir: str = "",
        tty: bool = False,
        privileged: bool = False,
        stdin: bytes = b"",
        capture_stdout: bool = True,
        capture_stderr: bool = True,
        check: bool = False,
    ) -> Completed:
        """Run another command in it to its end.

        ``check`` raises ContainerFailed for another status than 0. Raises Conflict if the container does not run,
        CommandNotFound, CommandNotExecutable. Cancelled: the process is killed.
        """
        spec = self.exec_spec(
            command, env=env, user=user, workdir=workdir, tty=tty, stdin_open=bool(stdin), privileged=privileged
        )
        execution = self.create_exec(spec)
        stdout = bytearray() if capture_stdout else None
        stderr = bytearray() if capture_stderr else None
        await self._guard(execution.start())
        try:
            async with open_background() as background:
                if stdin:
                    background.start_soon(_feed_exec, execution, stdin)
                await collect(execution, stdout, stderr)
                status = await execution.wait()
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                await execution.kill(signal.SIGKILL)
            raise
        done = Completed(spec.args, status, _bytes(stdout), _bytes(stderr), self.id)
        if check:
            done.check()
        return done

    async def top(self, arguments: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
        """Titles and rows of the host's ``ps``. Raises Conflict if it does not run."""
        found = await trio.to_thread.run_sync(_processes.top, self._running_pid(), self.id, arguments)
        self._tell("top")
        return found

    async def stats(self, before: tuple[int, _processes.Usage] | None = None) -> dict[str, object]:
        """Docker's JSON of what it uses at this moment."""
        self._still_there()
        config, pid = self._actor.config, self.view.state.pid
        read = partial(_processes.stats_json, config.id, config.name, pid, before, config.limits.memory)
        return await trio.to_thread.run_sync(read)

    def _still_there(self) -> None:
        if self.status is Status.REMOVED:
            raise NotFound(f"No such container: {self.id}")

    def _running_pid(self) -> int:
        self._still_there()
        if not self.view.state.pid:
            raise Conflict(f"Container {self.id} is not running")
        return self.view.state.pid

    async def commit(
        self,
        reference: str = "",
        *,
        changes: Sequence[str] = (),
        message: str = "",
        author: str = "",
        pause: bool = True,
    ) -> Image:
        """An image of its image's layers and what it has written, without its volumes; frozen meanwhile, if it runs.

        ``changes``: instructions as in a Dockerfile. Raises InvalidConfig, ImageNotFound if its own image is gone,
        StorageError. Cancelled or failed: no image.
        """
        self._still_there()
        config = self._actor.config
        made = Commit(
            base=config.image_id, config=image_config(config), reference=reference, changes=changes, message=message,
            author=author,
        )  # fmt: skip
        with self._here():
            async with self._frozen(pause), self._parts.archives.layer(config) as pieces:
                return await self._parts.images.commit(Pieces(pieces), made)

    @asynccontextmanager
    async def _frozen(self, wanted: bool) -> AsyncIterator[None]:
        if not (wanted and self.status is Status.RUNNING and await self._freeze()):
            yield
            return
        try:
            yield
        finally:
            deadline = trio.current_time() + THAW_SECONDS
            with trio.CancelScope(shield=True, deadline=deadline), suppress(Conflict, NotFound):
                await self.unpause()

    async def _freeze(self) -> bool:
        """False if it has just ended, or somebody else has frozen it."""
        try:
            await self.pause()
        except Conflict:
            return False
        return True

    # Its files.

    async def stat_path(self, path: str) -> dict[str, object]:
        """``name size mode mtime linkTarget`` of a path in it. Raises NotFound."""
        with self._here():
            return await self._parts.archives.stat(self._actor.config, path)

    def get_archive(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A tar of ``path``, as an ``async with`` block that gives its bytes. Raises NotFound while it is read."""
        self._tell("archive-path", path=path)
        return self._archive(self._parts.archives.pack(self._actor.config, path))

    def export(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A tar of the whole root file system without its volumes' content, as ``get_archive``."""
        self._tell("export")
        return self._archive(self._parts.archives.export(self._actor.config))

    async def put_archive(
        self, path: str, source: ByteSource, *, no_overwrite_dir_non_dir: bool = False, copy_uid_gid: bool = False
    ) -> None:
        """Unpack an uncompressed tar into the directory ``path``. Raises NotFound, InvalidConfig."""
        with self._here():
            await self._parts.archives.unpack(
                self._actor.config,
                path,
                source,
                no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
                copy_uid_gid=copy_uid_gid,
            )
        self._tell("extract-to-dir", path=path)

    async def changes(self) -> list[tuple[str, int]]:
        """``(path, kind)`` of every change to its root file system: 0 modified, 1 added, 2 deleted."""
        with self._here():
            return await self._parts.archives.changes(self._actor.config, self._parts.layers_of(self._actor.config))

    @asynccontextmanager
    async def _archive(
        self, packing: AbstractAsyncContextManager[AsyncIterator[bytes]]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        with self._here():
            async with packing as chunks:
                yield chunks

    @contextmanager
    def _here(self) -> Iterator[None]:
        """Files that a removal took away under our hands belong to a container that is gone."""
        try:
            yield
        except (DriverError, FileNotFoundError) as error:
            if self.status in (Status.REMOVING, Status.REMOVED):
                raise NotFound(f"No such container: {self.id}") from error
            raise

    def _tell(self, action: str, **attributes: str) -> None:
        tell_of_container(self._parts.events, self._actor.config, action, **attributes)

    async def _ask(self, message: Ask[R]) -> R:
        return await self._guard(self._actor.ref.ask(message))

    async def _guard(self, asking: Awaitable[R]) -> R:
        """A container that is gone is not found, rather than an actor that has stopped."""
        try:
            return await asking
        except ActorStopped as error:
            if self.status is Status.REMOVED:
                raise NotFound(f"No such container: {self.id}") from error
            raise


class InvalidName(Conflict):
    """Renaming a container to the name it has."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Renaming a container with the same name as its current name: {name}")


def _changed(config: ContainerConfig, policy: RestartPolicy | None, limits: Limits | None) -> ContainerConfig:
    merged = config.limits if limits is None else merge_limits(config.limits, limits)
    return replace(config, restart=policy or config.restart, limits=merged)


def _bytes(buffer: bytearray | None) -> bytes | None:
    return None if buffer is None else bytes(buffer)


async def _feed_exec(execution: Exec, data: bytes) -> None:
    await execution.send(data)
    await execution.send_eof()
