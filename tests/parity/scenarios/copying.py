"""``cp`` and ``export``, where volumes and links are on the way."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.parity._catalogue import scenario
from tests.parity._side import Side


def copied_in(side: Side, target: str) -> tuple[int, str]:
    """The end of copying a file to ``CONTAINER:PATH``."""
    with side.scratch() as directory:
        (directory / "file").write_text("text")
        done = side("cp", str(directory / "file"), target)
    return done.status, done.err


def listed(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@scenario("X01", "cp out of a volume: a directory, its content, a file",
          (["s", "s/y", "x"], ["s", "s/y", "x"], "hi\n"))
def out(side: Side) -> object:
    container = side.ran("echo hi > /d/x; mkdir /d/s; echo deep > /d/s/y", "-v", "/d")
    with side.scratch() as directory:
        (directory / "there").mkdir()
        side.ok("cp", f"{container}:/d", str(directory / "new"))
        side.ok("cp", f"{container}:/d/.", str(directory / "there"))
        side.ok("cp", f"{container}:/d/x", str(directory / "file"))
        return listed(directory / "new"), listed(directory / "there"), (directory / "file").read_text()


@scenario("X02", "cp into a read-only volume is refused", (1, True))
def read_only(side: Side) -> object:
    container = side.make("--volumes-from", f"{side.make('-v', '/d')}:ro")
    status, err = copied_in(side, f"{container}:/d/file")
    return status, "read-only" in err.lower()


@scenario("X03", "cp of what is not there, to where nothing is, to an unknown container",
          ((1, True), 1, (1, True)))
def missing(side: Side) -> object:
    """The words are those of the command, and change with its version; that they name what is missing does not."""
    container = side.make()
    with side.scratch() as directory:
        found = side("cp", f"{container}:/nosuch", str(directory))
    status, err = copied_in(side, "nosuch:/f")
    unknown = status, "No such container" in err and "nosuch" in err
    return (found.status, "/nosuch" in found.err), copied_in(side, f"{container}:/no/such/f")[0], unknown


@scenario("X04", "cp by a link that leads out of the root stays in the root", ("text", False))
def by_link(side: Side) -> object:
    container = side.make(image="s-link")
    copied_in(side, f"{container}:/up/bireme-x04")
    with side.scratch() as directory:
        side.ok("cp", f"{container}:/etc/bireme-x04", str(directory / "back"))
        return (directory / "back").read_text(), Path("/etc/bireme-x04").exists()


@scenario("X05", "export has what the image has at a volume's place, not what the volume has",
          ["vol", "vol/f", "vol/l", "vol/sub", "vol/sub/g"])
def exported(side: Side) -> object:
    container = side.ran("echo 1 > /vol/new; rm /vol/f", image="s-vol")
    archive = side.ok("export", container).encode(errors="surrogateescape")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return sorted(info.name for info in tar if info.name.split("/")[0] == "vol")


@scenario("X06", "cp into a container that was never started: its volume has the file when it starts", "text")
def before_start(side: Side) -> object:
    container = side.make("-v", "/d", command=["cat", "/d/file"])
    copied_in(side, f"{container}:/d/file")
    return side.ok("start", "-a", container)


@scenario("X07", "cp into a volume reaches all who share it", "text")
def shared(side: Side) -> object:
    source = side.make("-v", "/d")
    sharer = side.running("--volumes-from", source)
    copied_in(side, f"{source}:/d/file")
    return side.ok("exec", sharer, "cat", "/d/file")


@scenario("X08", "cp from one to the other side of a nested volume", ("outer\n", "inner\n"))
def nested(side: Side) -> object:
    container = side.ran("echo outer > /n/x; echo inner > /n/m/x", "-v", "/n", "-v", "/n/m")
    with side.scratch() as directory:
        side.ok("cp", f"{container}:/n", str(directory / "n"))
        return (directory / "n/x").read_text(), (directory / "n/m/x").read_text()
