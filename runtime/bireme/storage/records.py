"""Containers' records: ``config.json``, which is the source of truth, and ``state.jsonl`` beside it.

A configuration is written to ``config.json.new`` and flushed, with its name; from then on it is durable, and whole
wherever a crash strikes. Putting it in its place is a rename that needs no second flush, since start-up takes a whole
``config.json.new`` for what it is and drops a torn one, whose writer never had an answer (``recovery``).

A state is a line added to ``state.jsonl``, the last whole one counts: the cheapest way to replace it so that a crash
finds the old or the new one, whatever it cuts short, and a matter of microseconds. Nobody waits for the disk, so after
a power failure it may be an older one.
"""

from __future__ import annotations

import contextlib
import logging
import os

from bireme import _files
from bireme.storage import _format
from bireme.storage.durable import Flush, Steps
from bireme.storage.paths import NEW, Layout, list_ids
from bireme_actors import ContainerId, ContainerRecord, ContainerState, Status

_log = logging.getLogger("bireme")

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_STATES_BYTES = 1 << 16
"""So much of earlier states is kept."""
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def write_config(layout: Layout, container: ContainerId, data: bytes, *besides: str) -> Steps[None]:
    """Write beside, have it flushed, with the names in the directories that are ``besides`` to be durable; rename."""
    path = layout.config(container)
    fd = os.open(path + NEW, _WRITE, 0o600)
    try:
        _files.write_all(fd, data)
        yield Flush(fd, (layout.container(container), layout.containers, *besides))
        os.rename(path + NEW, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path + NEW)
        raise
    finally:
        os.close(fd)


def write_state(layout: Layout, container: ContainerId, data: bytes) -> None:
    """Add a line, which begins with the line's end so that it never joins one that was cut short."""
    path = layout.state(container)
    fd = os.open(path, _APPEND, 0o600)
    try:
        _files.write_all(fd, b"\n" + data)
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    if size > _STATES_BYTES:
        _files.write_atomic(path, data, durable=False)


def list_containers(layout: Layout) -> list[ContainerId]:
    """Whose directories there are, whole or not."""
    return [ContainerId(name) for name in list_ids(layout.containers)]


def read_record(layout: Layout, container: ContainerId) -> ContainerRecord | None:
    """One record; None, with the reason reported, if it is damaged or has none."""
    try:
        config = _format.decode_config(read(layout.config(container)))
        if config.id != container:
            raise _format.Damaged(f"it is the record of container {config.id}")
    except (OSError, _format.Damaged) as error:
        _log.error(
            "the record of container %s is damaged and left aside: %s; repair or remove %s and restart the engine",
            container,
            error,
            layout.config(container),
        )
        return None
    return ContainerRecord(config, _read_state(layout, container))


def _read_state(layout: Layout, container: ContainerId) -> ContainerState:
    try:
        lines = read(layout.state(container)).split(b"\n")
    except FileNotFoundError:
        return ContainerState()
    except OSError as error:
        _log.warning("the state of container %s cannot be read: %s", container, error)
        lines = []
    for line in reversed(lines):
        with contextlib.suppress(_format.Damaged):
            return _format.decode_state(line)
    _log.warning("the state of container %s is lost; it counts as exited", container)
    return ContainerState(status=Status.EXITED, exit_code=255, error="its state on disk was damaged")


def read(path: str) -> bytes:
    """A small file."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()
