"""Blobs on their way here: into a partial file, resumed where they broke off, compared with their digest at the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus

import httpx
import trio

from bireme.images._config import digest
from bireme.images.registry.documents import Descriptor
from bireme.images.registry.faults import RegistryError, read_refusal
from bireme.images.registry.partials import Partial, Partials
from bireme.images.registry.patience import TRANSIENT, retry_after
from bireme.images.registry.progress import LayerLine
from bireme.images.registry.session import MOST_REFUSAL, Session, body_of, read_bounded
from bireme_actors import StorageError

_FLUSH = 1 << 20
_PROGRESS_THAT_COUNTS = 1 << 20
"""Whoever comes that much further between two breaks may break as often as he likes."""
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:\d{1,19}|\*)")


class Interrupted(Exception):
    """A download broke off and may go on; ``asked``: seconds that the registry wants to be left alone."""

    def __init__(self, error: RegistryError, asked: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.asked = asked


async def fetch_small(session: Session, descriptor: Descriptor) -> bytes:
    """A blob that is read whole (a configuration). Raises RegistryError."""
    answer = await session.fetch("GET", f"blobs/{descriptor.digest}", most=descriptor.size)
    if not answer.ok:
        raise answer.refusal()
    if digest(answer.body) != descriptor.digest or len(answer.body) != descriptor.size:
        raise RegistryError(f"the registry sent another blob than {descriptor.digest}: refused")
    return answer.body


async def download(
    session: Session, partials: Partials, descriptor: Descriptor, line: LayerLine, is_here: Callable[[], bool]
) -> Partial | None:
    """A blob, whole and verified, in an open file that is the caller's to close. What is there is not fetched again.

    None if another pull has made a layer of it meanwhile, which ``is_here`` (it may block) tells.
    Raises RegistryError, StorageError. Failed or cancelled: what has come stays for the next time, unless it is good
    for nothing or the disk is full.
    """
    async with partials.claim(descriptor.digest):
        partial = await trio.to_thread.run_sync(partials.open, descriptor.digest)
        try:
            await trio.to_thread.run_sync(partial.rewind, descriptor.size)
            # Asked after the file was opened: whoever removes it has made the layer before.
            if partial.length < descriptor.size and await trio.to_thread.run_sync(is_here):
                partial.close()
                await trio.to_thread.run_sync(partials.remove, descriptor.digest)
                line.show("Download complete")
                return None
            await _complete(session, partial, descriptor, line)
        except BaseException as error:
            partial.close()
            if not partial.length or isinstance(error, StorageError):
                partials.remove(descriptor.digest)
            raise
    return partial


async def _complete(session: Session, partial: Partial, descriptor: Descriptor, line: LayerLine) -> None:
    """What was found on the disk may be bad: then all of it is fetched once more, and not twice."""
    found = partial.length
    await _fetch(session, partial, descriptor, line)
    line.show("Verifying Checksum")
    if found and partial.digest != descriptor.digest:
        await trio.to_thread.run_sync(partial.restart)
        await _fetch(session, partial, descriptor, line)
    if partial.digest != descriptor.digest:
        await trio.to_thread.run_sync(partial.restart)
        raise RegistryError(f"filesystem layer verification failed for digest {descriptor.digest}")
    line.show("Download complete")


async def _fetch(session: Session, partial: Partial, descriptor: Descriptor, line: LayerLine) -> None:
    failures, furthest = 0, partial.length
    while partial.length < descriptor.size:
        try:
            await _attempt(session, partial, descriptor, line)
        except Interrupted as broken:
            failures = 1 if partial.length - furthest >= _PROGRESS_THAT_COUNTS else failures + 1
            furthest = max(furthest, partial.length)
            delay = session.patience.delay(failures, broken.asked)
            if delay is None:
                raise broken.error from broken
            seconds = max(1, round(delay))
            line.show(f"Retrying in {seconds} second{'' if seconds == 1 else 's'}")
            await session.patience.sleep(delay)


async def _attempt(session: Session, partial: Partial, descriptor: Descriptor, line: LayerLine) -> None:
    offset = partial.length
    url = session.url(f"blobs/{descriptor.digest}")
    try:
        async with session.stream("GET", url, {"Range": f"bytes={offset}-"} if offset else {}) as response:
            await _check_head(response, partial, descriptor, url)
            await _receive(response, partial, descriptor, line)
    except RegistryError as error:
        if isinstance(error.__cause__, httpx.TransportError):
            raise Interrupted(error) from error
        raise
    if partial.length < descriptor.size:
        raise Interrupted(RegistryError(f'Get "{url}": unexpected EOF'))


async def _check_head(response: httpx.Response, partial: Partial, descriptor: Descriptor, url: str) -> None:
    """Whether what follows is what was asked for; a registry that cannot resume sends all of it again."""
    status = response.status_code
    if status in TRANSIENT:
        _, words = read_refusal(status, await read_bounded(response, MOST_REFUSAL, url))
        raise Interrupted(RegistryError(words), retry_after(response.headers.get("retry-after")))
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and partial.length:
        await trio.to_thread.run_sync(partial.restart)
        raise Interrupted(RegistryError(f"the registry does not resume {descriptor.digest}"))
    if status == HTTPStatus.PARTIAL_CONTENT and partial.length:
        found = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or int(found[1]) != partial.length:
            await trio.to_thread.run_sync(partial.restart)
            raise Interrupted(RegistryError(f"the registry resumes {descriptor.digest} somewhere else"))
    elif status == HTTPStatus.OK:
        await trio.to_thread.run_sync(partial.restart)
    else:
        _, words = read_refusal(status, await read_bounded(response, MOST_REFUSAL, url))
        raise RegistryError(f"{descriptor.digest}: {words}")
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:19]) > descriptor.size - partial.length:
        raise _too_long(descriptor)


async def _receive(response: httpx.Response, partial: Partial, descriptor: Descriptor, line: LayerLine) -> None:
    pending = bytearray()
    try:
        async with body_of(response) as pieces:
            async for piece in pieces:
                pending += piece
                if partial.length + len(pending) > descriptor.size:
                    pending.clear()
                    raise _too_long(descriptor)
                line.count("Downloading", partial.length + len(pending), descriptor.size)
                if len(pending) >= _FLUSH:
                    await _keep(partial, pending)
    finally:
        if pending:
            await _keep(partial, pending)


async def _keep(partial: Partial, pending: bytearray) -> None:
    """Write what has come, also when cancelled: it would have to be fetched again."""
    data = bytes(pending)
    pending.clear()
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(partial.append, data)


def _too_long(descriptor: Descriptor) -> RegistryError:
    return RegistryError(f"the registry sends more of {descriptor.digest} than its {descriptor.size} bytes: refused")
