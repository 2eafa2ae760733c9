"""A disk that fills up: one clear error, nothing left, and what fits goes on working.

The disk is a small tmpfs in a mount namespace of a child process of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.images.archives import run_child

_CHILD = """
import gzip, json, os, sys
import trio
from bireme import _syscalls
from bireme.images import ImageStore
from bireme_actors import StorageError
from tests.runtime.images.archives import Source, docker_archive, file, tar

mount = sys.argv[1]
_syscalls.unshare(_syscalls.CLONE_NEWNS)
_syscalls.mount(None, "/", None, _syscalls.MS_REC | _syscalls.MS_PRIVATE)
_syscalls.mount("tmpfs", mount, "tmpfs", 0, "size=4m,nr_inodes=400")

BOMB = gzip.compress(tar(file("small", b"1"), file("zeros", bytes(64 << 20))))
CASES = {
    "a bomb": lambda store: store.import_(Source(BOMB), reference="a"),
    "many files": lambda store: store.import_(Source(tar(*(file(f"{n}") for n in range(600)))), reference="a"),
    "a big archive": lambda store: store.load(Source(docker_archive([tar(file("f", os.urandom(6 << 20)))]))),
    "a big layer": lambda store: store.load(Source(gzip.compress(docker_archive([BOMB])))),
}


async def main():
    told = {}
    store = ImageStore(f"{mount}/images")
    for name, call in CASES.items():
        try:
            await call(store)
        except StorageError as error:
            told[name] = str(error)
        left = [os.path.join(base, f) for base, _, files in os.walk(mount) for f in files]
        assert left == [f"{mount}/images/index.json"], left
        assert os.listdir(f"{mount}/images/staging") == []
    await store.import_(Source(tar(file("small", b"1"))), reference="small")
    assert ImageStore(f"{mount}/images").get("small").size == 1
    print(json.dumps(told))


trio.run(main)
"""


@pytest.mark.root
def test_nothing_is_left_and_the_error_says_why(tmp_path: Path) -> None:
    told = run_child(_CHILD, str(tmp_path))
    assert set(told) == {"a bomb", "many files", "a big archive", "a big layer"}
    assert all("No space left on device" in text and "\n" not in text for text in told.values())
    assert "'zeros'" in told["a bomb"]
