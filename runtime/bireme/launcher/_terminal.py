"""A terminal for a process in a container: the pair comes from the container's own devpts, by descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

from bireme import _syscalls as sys_

_TIOCGPTPEER = 0x5441
_TIOCSPTLCK = 0x40045431


def open_pair(rows: int, columns: int) -> tuple[int, int]:
    """``(master, slave)`` of a new terminal; the slave is opened through the master, not by a name."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    master = os.open("/dev/pts/ptmx", flags)
    if os.fstat(master).st_rdev != os.makedev(5, 2):
        raise OSError(errno.ENXIO, "not the terminal multiplexer", "/dev/pts/ptmx")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if rows and columns:
        set_size(master, rows, columns)
    return master, slave


def set_size(fd: int, rows: int, columns: int) -> None:
    """The terminal's size, in characters."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def bind_console(slave: int) -> None:
    """Make the terminal ``/dev/console`` too: a mount by descriptor onto a file made just now (CVE-2025-52565)."""
    place = os.open("/dev/console", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    tree = sys_.open_tree(slave, recursive=False)
    sys_.move_mount(tree, place)
    os.close(tree)
    os.close(place)


def adopt(slave: int) -> None:
    """Make the terminal this session's own. The caller leads a session that has none."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
