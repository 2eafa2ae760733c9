"""Where a run keeps its files, what is in the containers' root, and the programs in C that measuring needs."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

from bench.processes import Failed

HERE = Path(__file__).parent
SLEEP = ("sleep", "86399")
"""The command of containers that are to run until they are removed; by it they are told from the engines' processes."""
_APPLETS = ("true", "sleep", "sh", "cat", "head", "tr", "fold", "seq")
_GET_FLAGS, _SET_FLAGS, _TOP = 0x80086601, 0x40086602, 0x20000


def spread(directory: Path) -> Path:
    """Have ext4 put each directory made in this one into another part of the disk (``chattr +T``).

    ext4 does not use an inode again within minutes of its release, and every new file looks at all such inodes of its
    part of the disk: what one system has just removed would cost the next one milliseconds a container.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):
        flags = struct.unpack_from("i", fcntl.ioctl(fd, _GET_FLAGS, bytes(8)))[0]
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("q", flags | _TOP))
    os.close(fd)
    return directory


def make_layer(root: Path) -> Path:
    """A root file system with busybox: what the image ``busybox`` of each system has, too."""
    for part in ("bin", "data", "dev", "etc", "proc", "sys", "tmp"):
        (root / part).mkdir(parents=True)
    for name in ("hostname", "hosts", "resolv.conf"):
        (root / "etc" / name).touch()
    shutil.copy2("/bin/busybox", root / "bin/busybox")
    for name in _APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    return root


def make_archive(layer: Path, archive: Path) -> Path:
    """The same as a tar archive, for engines to import."""
    with tarfile.open(archive, "w") as tar:
        for entry in sorted(layer.iterdir()):
            tar.add(entry, entry.name)
    return archive


def build(name: str, directory: Path) -> Path:
    """Compile ``bench/NAME.c``. Raises Failed where there is no C compiler."""
    program = directory / name
    if shutil.which("cc") is None:
        raise Failed(f"{name}.c cannot be compiled: there is no cc (Debian: apt-get install gcc libc6-dev)")
    if not program.exists():
        command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(HERE / f"{name}.c")]
        if subprocess.run([*command, "-static"], capture_output=True, check=False).returncode != 0:
            subprocess.run(command, check=True)
    return program


def write_filter(path: Path) -> Path:
    """Docker's default seccomp filter, as Bireme compiles it."""
    from bireme.drivers import capabilities
    from bireme.drivers.seccomp import _compile, this_host
    from bireme.drivers.seccomp._default import DEFAULT

    path.write_bytes(_compile.program(DEFAULT.resolve(capabilities.DEFAULT, this_host())))
    return path


def oci_filter() -> dict[str, object]:
    """The same in the form of an OCI bundle."""
    from bireme.drivers import capabilities
    from bireme.drivers.seccomp import document, this_host
    from bireme.drivers.seccomp._default import DEFAULT

    return document(DEFAULT.resolve(capabilities.DEFAULT, this_host()))


def capability_names() -> list[str]:
    """Docker's default set, in full."""
    from bireme.drivers import capabilities

    return [f"CAP_{name}" for name in capabilities.names(capabilities.DEFAULT)]
