"""The cyclic garbage collector, told that what an engine keeps lives long.

By itself Python looks through young objects at every 700th that is more, and through all there are whenever they have
become a quarter more: of a thousand containers, which are anything but garbage, that is half of what their starts cost.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (10_000, 10, 100)
"""When it runs, by generation: as long as it finds nothing, for a millisecond every so often, rarely for ten."""


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """For the length of the block it runs more seldom, unless the program that embeds us wants it still more so."""
    before = gc.get_threshold()
    too_often = 0 < before[0] < SELDOM[0]
    if too_often:
        gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        if too_often and gc.get_threshold() == SELDOM:
            gc.set_threshold(*before)
