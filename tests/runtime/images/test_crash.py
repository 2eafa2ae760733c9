"""Killed at any step, a store comes back with whole images and nothing else.

A child process does the work and ends itself, without any cleaning up, at its nth operation on the file system; the
next start must find either what was before or what was wanted. For every n.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.images.archives import run_child

_CHILD = """
import json, os, shutil, sys
import trio
from bireme.images import ImageStore
from tests.runtime.images.archives import Source, docker_archive, everything_below, file, hard_link, saved, tar

base, verb = sys.argv[1], sys.argv[2]
OLD, NEW = tar(file("old", b"o" * 900)), tar(file("d/new", b"n" * 900), hard_link("h", "d/new"))
STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.chown", "os.utime",
         "os.truncate", "os.setxattr", "os.listdir", "os.scandir")


async def begin(store):
    await store.load(Source(docker_archive([OLD], ["old:1"])))


async def work(store):
    if verb == "import":
        await store.import_(Source(NEW), reference="new:1")
    elif verb == "load":
        await store.load(Source(docker_archive([OLD, NEW], ["new:1", "new:2"])))
    elif verb == "remove":
        await store.remove("old:1", force=False, used_by={})


def die_at(last):
    count = 0

    def hook(event, arguments):
        nonlocal count
        if event in STEPS and any(isinstance(item, (str, bytes)) and os.fsencode(item) for item in arguments):
            count += 1
            if count == last:
                os._exit(9)

    sys.addaudithook(hook)


async def verify(path):
    store = ImageStore(path)
    assert store.problems == (), store.problems
    names = sorted(name for image in store.list() for name in image.references)
    wanted = {"import": [["old:1"], ["new:1", "old:1"]], "load": [["old:1"], ["new:1", "new:2", "old:1"]],
              "remove": [["old:1"], []]}[verb]
    assert names in wanted, names
    assert all(image.references for image in store.list())
    layers = {layer.partition("/")[0] for image in store.list() for layer in image.layers}
    assert set(os.listdir(f"{path}/layers")) == layers
    assert set(os.listdir(f"{path}/configs")) == {image.id[7:] for image in store.list()}
    assert os.listdir(f"{path}/staging") == []
    if names:
        await saved(store, *names)
    return len(names)


def run(path, last):
    child = os.fork()
    if child == 0:
        store = ImageStore(path)
        die_at(last)
        trio.run(work, store)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def attempt(function, *arguments):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            trio.run(function, *arguments)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def prepare(path):
    await begin(ImageStore(path))


assert attempt(prepare, f"{base}/first") == 0
for last in range(1, 2000):
    path = f"{base}/{last}"
    shutil.copytree(f"{base}/first", path, symlinks=True)
    status = run(path, last)
    assert status in (0, 9), status
    assert attempt(verify, path) == 0, f"step {last}"
    shutil.rmtree(path)
    if status == 0:
        print(json.dumps({"steps": last}))
        break
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("verb", "least"), [("import", 25), ("load", 25), ("remove", 10)])
def test_killed_at_each_step(tmp_path: Path, verb: str, least: int) -> None:
    assert run_child(_CHILD, str(tmp_path), verb)["steps"] > least
