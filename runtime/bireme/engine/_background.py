"""Helpers of one block: tasks that live no longer than it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks are cancelled when the block is left; what the block raises leaves unwrapped."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:  # noqa: BLE001 - raised again as soon as the helpers have ended
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
