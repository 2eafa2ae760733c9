"""What the kernel makes of unpacked layers: mounted on top of each other, what a layer takes away is gone.

The mount is made in a mount namespace of a child process of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.images.archives import run_child

_CHILD = """
import json, os, sys
import trio
from bireme import _syscalls
from bireme.images import ImageStore
from tests.runtime.images.archives import Source, directory, docker_archive, file, tar

BELOW = tar(file("file", b"1"), file("kept", b"1"), file("dir/old", b"1"), file("opaque/old", b"1"),
            file("both/old", b"1"), file("changed", b"1"), file("back", b"1"))
ABOVE = tar(file(".wh.file"), file(".wh.dir"), directory("opaque"), file("opaque/.wh..wh..opq"),
            file("opaque/new", b"2"),
            file(".wh.both"), directory("both"), file("both/new", b"2"), file("changed", b"22"), file(".wh.back"))
TOP = tar(file("back", b"333"))


async def main():
    base = sys.argv[1]
    store = ImageStore(f"{base}/images")
    ((_, image),) = await store.load(Source(docker_archive([BELOW, ABOVE, TOP])))
    _syscalls.unshare(_syscalls.CLONE_NEWNS)
    _syscalls.mount(None, "/", None, _syscalls.MS_REC | _syscalls.MS_PRIVATE)
    os.mkdir(f"{base}/mount")
    os.chdir(f"{base}/images/layers")
    _syscalls.mount("overlay", f"{base}/mount", "overlay", 0, "lowerdir=" + ":".join(reversed(image.layers)))
    found = {}
    for path, _, names in os.walk(f"{base}/mount"):
        for name in names:
            whole = os.path.join(path, name)
            with open(whole) as file_:
                found[os.path.relpath(whole, f"{base}/mount")] = file_.read()
    print(json.dumps(found))


trio.run(main)
"""


@pytest.mark.root
def test_layers_as_overlayfs_shows_them(tmp_path: Path) -> None:
    assert run_child(_CHILD, str(tmp_path)) == {
        "kept": "1",
        "opaque/new": "2",
        "both/new": "2",
        "changed": "22",
        "back": "333",
    }
