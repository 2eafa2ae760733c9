"""The image that is always there: ``busybox``, made on first use of the host's static busybox.

The archive is made in memory, always the same for the same file, and takes the way of any other import, so the image
is one like all others. Its times are those of the file.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator

from bireme.images._config import build_config
from bireme.images._faults import reason
from bireme.images._repository import NewImage, Repository
from bireme.images._tar import Stream
from bireme.images.model import Image, ImageConfig
from bireme.images.references import parse
from bireme_actors import MissingRequirement

NAME = "busybox:latest"
BINARY = "/bin/busybox"
_PACKAGE = "busybox-static"
_MESSAGE = "Made by bireme of the host's busybox"
_CONFIG = ImageConfig(
    cmd=("sh",), env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
)  # fmt: skip
_SECONDS = 10
_PT_INTERP = 3

_DIRECTORIES = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "lib": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555,
    "root": 0o700, "run": 0o755, "sbin": 0o755, "srv": 0o755, "sys": 0o555, "tmp": 0o1777, "usr": 0o755,
    "usr/bin": 0o755, "usr/lib": 0o755, "usr/local": 0o755, "usr/local/bin": 0o755, "usr/local/sbin": 0o755,
    "usr/sbin": 0o755, "usr/share": 0o755, "var": 0o755, "var/cache": 0o755, "var/lib": 0o755, "var/log": 0o755,
    "var/spool": 0o755, "var/tmp": 0o1777,
}  # fmt: skip

_FILES = {
    "etc/passwd": """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
""",
    "etc/group": """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
kmem:x:15:
wheel:x:10:root
dialout:x:20:
cdrom:x:24:
www-data:x:33:
utmp:x:43:
staff:x:50:
users:x:100:
nogroup:x:65534:
""",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/profile": "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
    "etc/hostname": "",
    "etc/resolv.conf": "",
}
_SECRET_FILES = {"etc/shadow": "root:*:::::::\n"}


async def make_default(repository: Repository) -> Image:
    """Make the image and give it its name. Raises MissingRequirement if the host has no static busybox."""
    key = parse(NAME).key
    archive, moment = await repository.in_thread(_archive)

    def stream() -> Stream:
        return io.BytesIO(archive)

    async with repository.hold() as hold:
        layer = await repository.add_layer(hold, stream)
        raw = build_config(_CONFIG, diff_ids=[layer.diff_id], created=moment * 1_000_000_000, comment=_MESSAGE)
        return (await repository.add_images([NewImage(raw, (layer,), (key,))]))[0]


def _archive() -> tuple[bytes, int]:
    """The root file system's archive and the second it is of."""
    try:
        with open(BINARY, "rb") as file:
            program, moment = file.read(), int(os.fstat(file.fileno()).st_mtime)
    except OSError as error:
        raise MissingRequirement(f"{BINARY} cannot be read ({reason(error)}): install {_PACKAGE}") from error
    if not is_static(program):
        raise MissingRequirement(f"{BINARY} is not a statically linked program: install {_PACKAGE}")
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in _members(program, _applets()):
            member.mtime = moment
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue(), moment


def _members(program: bytes, applets: list[str]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The program once; each applet a hard link to it."""
    directories = {**{os.path.dirname(path): 0o755 for path in applets}, **_DIRECTORIES}
    for path, mode in sorted(directories.items()):
        if path:
            yield _member(path, tarfile.DIRTYPE, mode), b""
    for path, text in sorted(_FILES.items()):
        yield _member(path, tarfile.REGTYPE, 0o644, len(text)), text.encode()
    for path, text in sorted(_SECRET_FILES.items()):
        yield _member(path, tarfile.REGTYPE, 0o640, len(text)), text.encode()
    yield _member("bin/busybox", tarfile.REGTYPE, 0o755, len(program)), program
    for path in applets:
        link = _member(path, tarfile.LNKTYPE, 0o755)
        link.linkname = "bin/busybox"
        yield link, b""


def _member(path: str, kind: bytes, mode: int, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size = kind, mode, size
    return member


def _applets() -> list[str]:
    """Where the program wants to be found, below the root."""
    try:
        listed = subprocess.run(
            [BINARY, "--list-full"], capture_output=True, check=True, timeout=_SECONDS, env={}, cwd="/"
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingRequirement(f"{BINARY} does not run ({error}): install {_PACKAGE}") from error
    paths = {os.path.normpath(line) for line in listed.decode().split() if line and not line.startswith(("/", ".."))}
    return sorted(paths - {"bin/busybox", "linuxrc", "."})


def is_static(program: bytes) -> bool:
    """Whether this is an ELF program that names no interpreter (``PT_INTERP``), so needs nothing besides itself."""
    if program[:4] != b"\x7fELF" or len(program) < 64:
        return False
    wide = program[4] == 2
    offset, size, count = (32, 54, 56) if wide else (28, 42, 44)

    def number(at: int, length: int) -> int:
        return int.from_bytes(program[at : at + length], "big" if program[5] == 2 else "little")

    table, step = number(offset, 8 if wide else 4), number(size, 2)
    return all(number(table + index * step, 4) != _PT_INTERP for index in range(number(count, 2)))
