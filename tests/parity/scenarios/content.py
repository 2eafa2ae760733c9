"""What the image has at a volume's path: copied into the new volume, with all that belongs to it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.parity._catalogue import scenario
from tests.parity._images import STAMP
from tests.parity._side import Side

_STAMP_NS = int(STAMP.replace(".", ""))


def rich(side: Side) -> Path:
    """The directory of a volume that was filled with s-rich's."""
    return side.volume(side.make(image="s-rich"), "/rich")


def described(path: Path) -> str:
    found = path.lstat()
    return f"{found.st_uid}:{found.st_gid}:{stat.S_IMODE(found.st_mode):o}"


@scenario("V16", "a new volume over image content gets that content: files, directories, links", "hellodeepf")
def copied(side: Side) -> object:
    return side.sh("cat /vol/f /vol/sub/g; readlink /vol/l", image="s-vol")


@scenario("V17", "copy-up keeps owner, group and mode of the directory and the files", "1000:1000:750\n1000:1000:640")
def owners(side: Side) -> object:
    return side.sh("stat -c %u:%g:%a /vol /vol/f", image="s-vol")


@scenario("V18", "copy-up keeps times to the nanosecond", _STAMP_NS)
def times(side: Side) -> object:
    return (rich(side) / "alone").stat().st_mtime_ns


@scenario("V326", "copy-up keeps the time of the directory itself", False, bireme=True,
          why="a volume's directory has the image's time, where Docker's has that of the copying")
def directory_time(side: Side) -> object:
    return rich(side).stat().st_mtime_ns == _STAMP_NS


@scenario("V20", "-v at a path that the image fills, without a VOLUME, gets the content too", "1\n2")
def flag_alone(side: Side) -> object:
    return side.sh("cat /p/f; echo; cat /p/c/f", "-v", "/p", image="s-nest")


@scenario("V21", "a volume owned by the image's user is writable by that user", "1000\n1000:700")
def user(side: Side) -> object:
    return side.sh("id -u; echo x > /data/x; stat -c %u:%a /data", image="s-user")


@scenario("V301", "copy-up keeps hard links, also across directories", ([3, 3, 3], 1))
def hard_links(side: Side) -> object:
    found = [(rich_ / name).stat() for rich_ in [rich(side)] for name in ("first", "second", "sub/third")]
    return [one.st_nlink for one in found], len({one.st_ino for one in found})


@scenario("V302", "copy-up keeps extended attributes, of a file and of the directory", [b"blue", b"blue"])
def attributes(side: Side) -> object:
    volume = rich(side)
    return [os.getxattr(path, "user.colour") for path in (volume / "first", volume)]


@scenario("V303", "copy-up keeps the special mode bits", ["1000:1001:3751", "3:4:4755", "7:8:710"])
def special_bits(side: Side) -> object:
    volume = rich(side)
    return [described(path) for path in (volume, volume / "setuid", volume / "sub")]


@scenario("V304", "copy-up keeps symbolic links as they are, with their owner", ("/no/where", 5, 6))
def symbolic_links(side: Side) -> object:
    link = rich(side) / "link"
    return os.readlink(link), link.lstat().st_uid, link.lstat().st_gid


@scenario("V305", "copy-up keeps device nodes", (True, (1, 3), "0:0:666"))
def devices(side: Side) -> object:
    path = rich(side) / "null"
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode), (os.major(found.st_rdev), os.minor(found.st_rdev)), described(path)


@scenario("V306", "copy-up keeps named pipes", True)
def pipes(side: Side) -> object:
    path = rich(side) / "pipe"
    return path.exists() and stat.S_ISFIFO(path.lstat().st_mode)


@scenario("V307", "copy-up takes hidden files, empty directories and names of any kind",
          [".hidden", "empty", "unicode ☃ space"])
def odd_names(side: Side) -> object:
    return sorted(name for name in os.listdir(rich(side)) if name in (".hidden", "empty", "unicode ☃ space"))


@scenario("V308", "copy-up of a file of zeros has its full size", 1 << 20)
def zeros(side: Side) -> object:
    return (rich(side) / "sparse").stat().st_size


@scenario("V309", "copy-up sees the image as a container does: upper layers hide lower ones",
          ["both", "dir", "dir/seen", "low"])
def layers(side: Side) -> object:
    volume = side.volume(side.make(image="s-layers"), "/vol")
    return sorted(str(path.relative_to(volume)) for path in volume.rglob("*"))


@scenario("V310", "of a file that two layers have, copy-up takes the upper one", "high")
def upper(side: Side) -> object:
    return side.sh("cat /vol/both", image="s-layers")


@scenario("V311", "a change in the volume changes neither the image nor the next container's volume", "hello")
def unchanged(side: Side) -> object:
    side.sh("echo changed > /vol/f; rm -r /vol/sub", image="s-vol")
    return side.sh("cat /vol/f", image="s-vol")


@scenario("V312", "what was removed from a volume does not come back at the next start", ("sub", "sub"))
def not_again(side: Side) -> object:
    container = side.ran("rm -f /vol/f /vol/l; ls /vol", image="s-vol")
    side.ok("start", container)
    side.ok("wait", container)
    first, second = side.ok("logs", container).splitlines()
    return first, second


@scenario("V313", "an emptied volume is not filled again for who shares it", "0")
def not_for_others(side: Side) -> object:
    source = side.ran("rm -rf /vol/* ", image="s-vol")
    return side.sh("ls -A /vol | wc -l", "--volumes-from", source, image="s-vol")


@scenario("V314", "the content is there as soon as the container is created", ["f", "l", "sub"])
def at_once(side: Side) -> object:
    return sorted(os.listdir(side.volume(side.make(image="s-vol"), "/vol")))


@scenario("V315", "a file of the image at the path of its VOLUME is refused", (125, "file exists", 0, 0))
def over_a_file(side: Side) -> object:
    done = side("run", "s-filevol", "true")
    return *done.says("file exists"), len(side.containers()), len(side.volumes())


@scenario("V316", "a whole system directory as a volume works: its programs are copied", "ok")
def programs(side: Side) -> object:
    return side.sh("echo ok > /bin/marker; cat /bin/marker", "-v", "/bin")


@scenario("V317", "-v /etc has the image's files, and the container's own names", "root\n0\nsame")
def etc(side: Side) -> object:
    script = 'head -1 /etc/passwd | cut -d: -f1; ls /etc/hosts >/dev/null; echo $?;'
    return side.sh(script + '[ "$(cat /etc/hostname)" = "$(hostname)" ] && echo same', "-v", "/etc")


@scenario("V318", "the directory's mode is kept where the directory is empty", "1777")
def empty_directory(side: Side) -> object:
    return side.sh("stat -c %a /tmp", "-v", "/tmp")


@scenario("V319", "parents of the volume that the image lacks are root's, 0755", "0:0:755")
def parents(side: Side) -> object:
    return side.sh("stat -c %u:%g:%a /new", "-v", "/new/deep", image="s-user")


@scenario("V320", "content that appears in the container before its volume is shared is the volume's, not the image's",
          "container")
def later_content(side: Side) -> object:
    source = side.ran("echo container > /vol/f", image="s-vol")
    return side.sh("cat /vol/f", "--volumes-from", source, image="s-vol")


@scenario("V321", "an image's nested VOLUMEs: each has the content of its own place", "outer\ninner")
def nested_content(side: Side) -> object:
    return side.sh("cat /o/f; echo; cat /o/i/f", image="s-deep")


@scenario("V322", "the outer of two nested volumes has a copy of the inner one's content below it",
          (["f", "i"], ["f"], ["f"]))
def nested_copies(side: Side) -> object:
    mounts = side.mounts(side.make(image="s-deep"))
    outer, inner = (mounts[path].source for path in ("/o", "/o/i"))
    return sorted(os.listdir(outer)), sorted(os.listdir(outer / "i")), sorted(os.listdir(inner))


@scenario("V323", "the same by flags, the inner one first", ("1\n2", ["c", "f"], ["f"]))
def nested_flags(side: Side) -> object:
    container = side.make("-v", "/p/c", "-v", "/p", image="s-nest")
    mounts = side.mounts(container)
    shown = side.sh("cat /p/f; echo; cat /p/c/f", "--volumes-from", container)
    return shown, sorted(os.listdir(mounts["/p"].source)), sorted(os.listdir(mounts["/p/c"].source))


@scenario("V324", "a parent volume shared without its child shows its own copy of the content", "2")
def parent_alone(side: Side) -> object:
    outer = side.make("-v", "/p", image="s-nest")
    return side.sh("cat /p/c/f", "--volumes-from", outer)


@scenario("V325", "a fresh volume is filled although a source brings another", ("A", "hello"))
def both(side: Side) -> object:
    source = side.ran("echo A > /d/x", "-v", "/d")
    return tuple(side.sh("cat /d/x; echo; cat /vol/f", "--volumes-from", source, image="s-vol").split())
