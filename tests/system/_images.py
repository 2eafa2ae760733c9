"""The images of the scenarios: busybox, and what each needs on top of it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from tests.system._cli import Cli


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an image: a directory if the name ends in ``/``, a link if ``link``, else a file."""

    name: str
    text: str = ""
    mode: int = 0o644
    owner: int = 0
    link: str = ""

    def info(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.name.rstrip("/"))
        info.uid = info.gid = self.owner
        info.mode, info.size = self.mode, len(self.text)
        if self.name.endswith("/"):
            info.type = tarfile.DIRTYPE
        elif self.link:
            info.type, info.linkname = tarfile.SYMTYPE, self.link
        return info


APPLETS = (
    "cat", "cp", "cut", "date", "echo", "env", "grep", "head", "id", "kill", "ls", "mkdir", "mount", "ps", "pwd",
    "readlink", "rm", "seq", "sh", "sleep", "sort", "stat", "test", "touch", "true", "tty", "wc", "which",
)  # fmt: skip

PASSWD = Entry("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:ann:/home/ann:/bin/sh\n")
GROUP = Entry("etc/group", "root:x:0:\nann:x:1000:\n")

IMAGES: dict[str, tuple[Sequence[Entry], Sequence[str]]] = {
    "s-base": ((), ()),
    "s-vol": (
        (
            Entry("vol/", mode=0o750, owner=1000),
            Entry("vol/f", "hello", mode=0o640, owner=1000),
            Entry("vol/sub/", mode=0o755),
            Entry("vol/sub/g", "deep"),
            Entry("vol/l", link="f"),
        ),
        ("VOLUME /vol",),
    ),
    "s-two": ((), ('VOLUME ["/a", "/b"]',)),
    "s-nest": ((Entry("p/", mode=0o755), Entry("p/f", "1"), Entry("p/c/", mode=0o755), Entry("p/c/f", "2")), ()),
    "s-link": (
        (
            Entry("real/", mode=0o755),
            Entry("real/f", "real"),
            Entry("link", link="/real"),
            Entry("rel", link="real"),
            Entry("up", link="../../../../etc"),
            Entry("dang", link="/nowhere/deep"),
            Entry("dir/", mode=0o755),
            Entry("dir/ln", link="../real"),
        ),
        (),
    ),
    "s-file": ((Entry("plain", "text"),), ()),
    "s-user": ((Entry("data/", mode=0o700, owner=1000),), ("USER ann", "VOLUME /data")),
}
"""Images by name: what they hold besides busybox, and the changes they are imported with."""


def image_tar(entries: Sequence[Entry] = ()) -> bytes:
    """A root filesystem with busybox, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        links = (Entry(f"bin/{applet}", link="busybox") for applet in APPLETS)
        for entry in (Entry("etc/", mode=0o755), PASSWD, GROUP, Entry("tmp/", mode=0o1777), *links, *entries):
            tar.addfile(entry.info(), io.BytesIO(entry.text.encode()))
    return buffer.getvalue()


def make_images(cli: Cli) -> None:
    for name, (entries, changes) in IMAGES.items():
        options = [word for change in changes for word in ("--change", change)]
        cli.ok("import", *options, "-", name, stdin=image_tar(entries))
