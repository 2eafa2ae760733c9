"""Starting many containers, so many at a time, from the threads of a pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from bench.peers.session import Times

T = TypeVar("T")


def timed(pool: ThreadPoolExecutor, items: Sequence[T], parallel: int, start: Callable[[T], object]) -> Times:
    """Call ``start`` with each item, so many at a time; seconds from the beginning until each call returned.

    Raises what one of the calls raises. However it ends, nothing is started any more afterwards.
    """
    over = threading.Event()
    begin = time.perf_counter()

    def start_some(share: Sequence[T]) -> Times:
        times = []
        for item in share:
            if over.is_set():
                break
            start(item)
            times.append(time.perf_counter() - begin)
        return times

    futures = [pool.submit(start_some, items[first::parallel]) for first in range(parallel)]
    try:
        return sorted(moment for future in futures for moment in future.result())
    finally:
        over.set()
        wait(futures)
