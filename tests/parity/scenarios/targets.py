"""Where a volume can be mounted: paths of every kind, links, files in the way, the kernel's own places."""

from __future__ import annotations

from tests.parity._catalogue import scenario
from tests.parity._side import Side


def mounted(side: Side, path: str, image: str = "s-lnvol", *more: str) -> tuple[int, str]:
    """Where ``-v PATH`` ends up: the exit status, and the mounts that no container has by itself."""
    own = "proc|sys|dev|etc/(hosts|hostname|resolv.conf)"
    script = f"cut -d' ' -f5 /proc/self/mountinfo | grep -Ev '^/({own})?(/|$)' || true"
    flags = [word for one in (path, *more) for word in ("-v", one)]
    done = side("run", "--rm", *flags, image, "sh", "-c", script)
    return done.seen


def refused(side: Side, path: str, image: str = "s-base") -> tuple[bool, int]:
    """Whether ``run -v PATH`` fails before anything runs; the volumes that are left once the container is removed."""
    done = side("run", "-v", path, image, "echo", "ran")
    for container in side.containers():
        side.ok("rm", "-v", container)
    return done.status >= 125 and not done.out, len(side.volumes())


@scenario("V26", "-v below a symlinked directory mounts inside its target", "x")
def below_link(side: Side) -> object:
    return side.sh("echo x > /real/new/y && cat /dir/ln/new/y", "-v", "/dir/ln/new", image="s-link")


@scenario("V27", "-v at a symlink to a directory mounts at what it points to",
          [(0, "/real"), (0, "/real"), (0, "/real")])
def at_links(side: Side) -> object:
    return [mounted(side, path, "s-link") for path in ("/link", "/rel", "/dir/ln")]


@scenario("V28", "-v at a symlink out of the root stays in the root", ("touched", "1", False))
def out_of_the_root(side: Side) -> object:
    script = "touch /etc/v28 && echo touched; cut -d' ' -f5 /proc/self/mountinfo | grep -c '^/etc$'"
    touched, count = side.sh(script, "-v", "/up", image="s-link").split()
    done = side("run", "--rm", "s-link", "ls", "/etc/v28")
    return touched, count, done.status == 0


@scenario("V29", "-v at an existing file of the image is refused",
          (125, "cannot mount volume over existing file", 0, 0))
def over_a_file(side: Side) -> object:
    done = side("run", "-v", "/plain", "s-file", "true")
    return *done.says("cannot mount volume over existing file"), len(side.containers()), len(side.volumes())


@scenario("V30", "paths are cleaned: //d/./e/../ is /d", ["/d"])
def cleaned(side: Side) -> object:
    return side.destinations(side.make("-v", "//d/./e/../"))


LETTERS = ("/a b", "/tab\there", "/ünï/☃", "/quo'te\"", "/new\nline", "/back\\slash", "/$HOME", "/*")


@scenario("V31", "spaces, other scripts, quotes and control characters in a path are letters like others", ["x"] * 8)
def letters(side: Side) -> object:
    script = 'echo x > "$0/f" && cat "$0/f"'
    return [side.ok("run", "--rm", "-v", path, "s-base", "sh", "-c", script, path) for path in LETTERS]


@scenario("V519", "inspect shows such paths as they are", sorted(LETTERS))
def letters_shown(side: Side) -> object:
    return side.destinations(side.make(*(word for path in LETTERS for word in ("-v", path))))


@scenario("V32", "-v / is refused", (127, 1), bireme=(125, 0),
          why="refused when it is asked for, not by an error of the runtime with a container left over")
def root(side: Side) -> object:
    return side("run", "-v", "/", "s-base", "true").status, len(side.containers())


@scenario("V33", "-v relative/path is not taken", (0, ["rel/path"]), bireme=(125, []),
          why="the place of a volume is an absolute path: a relative one is refused when it is asked for")
def relative(side: Side) -> object:
    done = side("run", "-v", "rel/path", "s-base", "true")
    return done.status, [path for container in side.containers() for path in side.destinations(container)]


@scenario("V501", "-v /a/../.. is the root, and refused as that", (127, 1), bireme=(125, 0),
          why="refused when it is asked for, as -v / is")
def root_in_disguise(side: Side) -> object:
    return side("run", "-v", "/a/../..", "s-base", "true").status, len(side.containers())


@scenario("V502", ".. above the root stays at the root: /../d is /d", ["/d"])
def above_root(side: Side) -> object:
    return side.destinations(side.make("-v", "/../../d"))


@scenario("V503", "inspect shows a path that leads through a link as it was given", ["/dir/ln/new"])
def shown_as_given(side: Side) -> object:
    return side.destinations(side.make("-v", "/dir/ln/new", image="s-link"))


@scenario("V504", "links to links, absolute and with too many .., are followed in the root", [(0, "/store")] * 3)
def link_chains(side: Side) -> object:
    return [mounted(side, path) for path in ("/abs", "/dots", "/chain")]


@scenario("V505", "the content of what a link points to is copied", ["stored", "stored", "stored", "stored"])
def link_content(side: Side) -> object:
    return [side.sh(f"cat {path}/f", "-v", path, image="s-lnvol") for path in ("/abs", "/dots", "/chain", "/nest/up")]


@scenario("V506", "a link that dangles: what it points to is made", (0, "/nowhere/deep"))
def dangling(side: Side) -> object:
    return mounted(side, "/dang", "s-link")


@scenario("V507", "below a link that dangles: likewise", (0, "/nowhere/deep/sub"))
def below_dangling(side: Side) -> object:
    return mounted(side, "/dang/sub", "s-link")


@scenario("V508", "a link that dangles half-way", (0, "/store/missing/deep"))
def half_dangling(side: Side) -> object:
    return mounted(side, "/half")


@scenario("V509", "a link to itself is refused", (True, 0))
def self_link(side: Side) -> object:
    return refused(side, "/self", "s-lnvol")


@scenario("V510", "links in a circle are refused, at the target and above it", [(True, 0), (True, 0)])
def circle(side: Side) -> object:
    return [refused(side, path, "s-lnvol") for path in ("/ping", "/ping/x")]


@scenario("V511", "a link to a file is refused as the file is", (True, 0))
def link_to_file(side: Side) -> object:
    return refused(side, "/tofile", "s-lnvol")


@scenario("V512", "a path below a file is refused", (True, 0))
def below_file(side: Side) -> object:
    return refused(side, "/plain/x", "s-file")


@scenario("V513", "two paths that lead to one directory are two volumes, one over the other", (0, "/store\n/store"))
def one_place(side: Side) -> object:
    return mounted(side, "/store", "s-lnvol", "/abs")


@scenario("V514", "a volume below a link into another volume is mounted in that", "x")
def into_another(side: Side) -> object:
    return side.sh("echo x > /store/in/y; cat /abs/in/y", "-v", "/abs/in", "-v", "/store", image="s-lnvol")


@scenario("V515", "a name of 255 bytes is taken", (0, 255))
def longest_name(side: Side) -> object:
    status, out = mounted(side, "/" + "n" * 255, "s-base")
    return status, len(out) - 1


@scenario("V516", "a name of 256 bytes is refused", (True, 0))
def too_long_name(side: Side) -> object:
    return refused(side, "/" + "n" * 256)


@scenario("V517", "a path of 3000 bytes is taken", (0, 3000))
def long_path(side: Side) -> object:
    path = ("/" + "p" * 99) * 30
    done = side("run", "--rm", "-v", path, "s-base", "sh", "-c", f"echo x > {path}/f; grep -c ppp /proc/mounts")
    return done.status, len(path)


@scenario("V518", "a path of 5000 bytes is refused", (True, 0))
def too_long_path(side: Side) -> object:
    return refused(side, ("/" + "p" * 99) * 50)


@scenario("V520", "-v at /proc and /sys", [(True, 0), (False, 0)], bireme=[(True, 0), (True, 0)],
          why="a volume over the kernel's own file systems takes away their protection: refused")
def kernel_places(side: Side) -> object:
    return [refused(side, path) for path in ("/proc", "/sys")]


@scenario("V521", "-v below /proc and /sys", [(True, 0), (True, 0), (True, 0)])
def in_kernel_places(side: Side) -> object:
    return [refused(side, path) for path in ("/proc/x", "/sys/x", "/proc/sys")]


@scenario("V522", "-v below /proc by way of a link", (True, 0))
def linked_kernel_place(side: Side) -> object:
    return refused(side, "/proc-link/x", "s-lnvol")


@scenario("V523", "-v at a new directory of /dev", "x")
def in_dev(side: Side) -> object:
    return side.sh("echo x > /dev/own/f; cat /dev/own/f", "-v", "/dev/own")


@scenario("V524", "-v at a new directory of /dev by way of a link", "x")
def in_dev_linked(side: Side) -> object:
    return side.sh("echo x > /dev/own/f; cat /dev/own/f", "-v", "/dev-link/own", image="s-lnvol")


@scenario("V525", "-v at /dev/shm takes the place of the one that a container has", "x\n1")
def shared_memory(side: Side) -> object:
    return side.sh("echo x > /dev/shm/f; cat /dev/shm/f; grep -c ' /dev/shm ' /proc/mounts", "-v", "/dev/shm")


@scenario("V526", "-v at a link to the root is refused", (True, 0))
def linked_root(side: Side) -> object:
    return refused(side, "/root-link", "s-lnvol")


@scenario("V527", "-v below a link to the root is mounted in the root", (0, "/fresh"))
def below_linked_root(side: Side) -> object:
    return mounted(side, "/root-link/fresh")


@scenario("V528", "-v through a link and back out of it by .. is cleaned before any link is followed", ["/x"])
def cleaned_first(side: Side) -> object:
    return side.destinations(side.make("-v", "/nest/up/../../x", image="s-lnvol"))


@scenario("V529", "an image's VOLUMEs with spaces, other letters and .. are taken as they are meant",
          ["/a b", "/c2", "/d:e", "/☃"])
def odd_image(side: Side) -> object:
    return side.destinations(side.make(image="s-odd"))


@scenario("V530", "-v at a file that the engine itself puts into a container", (True, 0))
def engine_file(side: Side) -> object:
    return refused(side, "/etc/hosts")


@scenario("V531", "-v at the directory of a user", (0, "/root"))
def home(side: Side) -> object:
    return mounted(side, "/root", "s-base")


@scenario("V532", "a path with a colon cannot be said with -v", (125, 0))
def colon(side: Side) -> object:
    return side("run", "-v", "/a:b", "s-base", "true").status, len(side.containers())


@scenario("V535", "a path with a colon can be said with --mount", (0, ["/a:b"]), bireme=(125, []),
          why="a colon in a path would make a container that -v cannot tell of; only an image can declare one")
def colon_mount(side: Side) -> object:
    done = side("create", "--mount", "type=volume,target=/a:b", "s-base", "true")
    return done.status, side.destinations(done.out) if done.out else []


@scenario("V536", "an image's VOLUME with a colon in its path is mounted there", "x")
def colon_image(side: Side) -> object:
    return side.sh("echo x > /d:e/f; cat /d:e/f", image="s-odd")


@scenario("V533", "a container with a refused target is not left in the way of its name", "again")
def name_free(side: Side) -> object:
    side("run", "--name", "v533", "-v", "/plain", "s-file", "true")
    return side.ok("run", "--rm", "--name", "v533", "s-base", "echo", "again")


@scenario("V534", "-v at a directory without a right to enter it, for another user", (0, "/data"))
def closed_directory(side: Side) -> object:
    return mounted(side, "/data", "s-user")


@scenario("V537", "links inside of a shared volume are followed in the sharer's root, wherever they lead",
          [["/etc/x", "/s"], ["/s", "/y"], ["/s", "/s/real/z"]])
def shared_links(side: Side) -> object:
    source = side.ran("ln -s /etc /s/out; ln -s ../../../.. /s/up; ln -s /s/real /s/in; mkdir /s/real", "-v", "/s")
    script = "cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/(etc/x|y|s)(/|$)' | sort"
    places = ("/s/out/x", "/s/up/y", "/s/in/z")
    return [side.sh(script, "--volumes-from", source, "-v", place).split() for place in places]
