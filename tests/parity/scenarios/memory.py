"""What is mounted in memory: ``--tmpfs`` and ``--mount type=tmpfs``, beside volumes and across the container's life."""

from __future__ import annotations

import io
import tarfile

from tests.parity._catalogue import scenario
from tests.parity._side import Side

STRICT = "rw,nosuid,nodev,noexec,relatime"
FLAGS = "awk '$2 == \"/t\" {print $4}' /proc/mounts"
KIND = "awk '$2 == \"/t\" {print $3}' /proc/mounts"
"""What is mounted at /t, a line each."""


def exported(side: Side, container: str) -> list[str]:
    """What ``export`` has of /t."""
    archive = side.ok("export", container).encode(errors="surrogateescape")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [f"{info.name}/" if info.isdir() else info.name for info in tar if info.name.split("/")[0] == "t"]


def refused(side: Side, *flags: str) -> tuple[bool, int]:
    """Whether ``run`` fails before anything runs; the containers that are left."""
    done = side("run", *flags, "s-file", "echo", "ran")
    left = len(side.containers())
    side.clear()
    return done.status >= 125 and not done.out, left


@scenario("T01", "--tmpfs /t is an empty tmpfs, nosuid, nodev, noexec, root's, writable to all",
          f"{STRICT}\n0:0:1777\n0")
def fresh(side: Side) -> object:
    return side.sh(f"{FLAGS}; stat -c %u:%g:%a /t; ls -A /t | wc -l", "--tmpfs", "/t")


OPTIONS = (
    "", "defaults", "size=1m", "size=1m,size=2m,ro,rw", "nr_inodes=10,nr_blocks=100", "ro,mode=700,uid=3,gid=4",
    "exec,suid", "noexec,exec", "noatime,nodiratime,sync", "noatime,strictatime", "atime,relatime,nomand,private",
    "mpol=interleave", "size=0x100000", "mode=77777",
)  # fmt: skip


@scenario("T02", "what the options of --tmpfs make of it",
          [STRICT, STRICT, f"{STRICT},size=1024k", f"{STRICT},size=2048k", f"{STRICT},size=400k,nr_inodes=10",
           "ro,nosuid,nodev,noexec,relatime,mode=700,uid=3,gid=4", "rw,nodev,relatime", "rw,nosuid,nodev,relatime",
           "rw,sync,nosuid,nodev,noexec,noatime,nodiratime", "rw,nosuid,nodev,noexec", STRICT,
           f"{STRICT},mpol=interleave:0", f"{STRICT},size=1024k", f"{STRICT},mode=7777"])
def options(side: Side) -> object:
    return [side.sh(FLAGS, "--tmpfs", f"/t:{text}") for text in OPTIONS]


WRONG = ("foo", "foo=1", "ro=1", "size", "RO", "ro, size=1m", ",", "tmpcopyup", "huge=never", "inode64", "remount",
         "size=", "size=1q", "size=1.5m", "mode=9", "mode=0x1", "uid=ann", "uid=-1", "gid=4294967295")  # fmt: skip


@scenario("T03", "options and values that there are not are refused", [(True, 1)] * len(WRONG),
          bireme=[(True, 0)] * len(WRONG),
          why="refused when they are asked for, not when the container, which is left over, starts")
def wrong_options(side: Side) -> object:
    return [refused(side, "--tmpfs", f"/t:{text}") for text in WRONG]


@scenario("T04", "a tmpfs at the root, in whatever spelling, or at a relative path is refused", [(True, 0)] * 8)
def wrong_paths(side: Side) -> object:
    short = [refused(side, "--tmpfs", path) for path in ("/", "/a/..", "rel", "", ":ro")]
    return short + [refused(side, "--mount", f"type=tmpfs,destination={path}") for path in ("/", "rel", "")]


@scenario("T05", "--tmpfs /proc, /dev, /sys and below", [(True, 1), (True, 1), (True, 1), (False, 1), (False, 1)],
          bireme=[(True, 0)] * 5, why="what every container needs, or is protected by, would be gone")
def kernels_places(side: Side) -> object:
    return [refused(side, "--tmpfs", path) for path in ("/proc", "/proc/sys", "/dev", "/sys", "/sys/fs/cgroup")]


@scenario("T06", "inspect shows --tmpfs in HostConfig.Tmpfs, and --mount among the mounts",
          ({"/t": "ro,size=1m", "/u": ""},
           [{"Type": "tmpfs", "Target": "/m", "ReadOnly": True,
             "TmpfsOptions": {"SizeBytes": 64 << 20, "Mode": 0o1770}}],
           [{"Type": "tmpfs", "Source": "", "Destination": "/m", "Mode": "", "RW": False, "Propagation": ""}], None))
def shown(side: Side) -> object:
    mount = "type=tmpfs,destination=/m,tmpfs-size=64m,tmpfs-mode=1770,readonly"
    found = side.inspect(side.make("--tmpfs", "/t:ro,size=1m", "--tmpfs", "/u", "--mount", mount))
    return found["HostConfig"]["Tmpfs"], found["HostConfig"]["Mounts"], found["Mounts"], found["Config"]["Volumes"]


@scenario("T07", "the options of --mount type=tmpfs: size, mode, read-only",
          [f"{STRICT}\n1777", f"{STRICT},size=65536k,mode=1770\n1770", "ro,nosuid,nodev,noexec,relatime\n1777",
           f"{STRICT},size=4k\n1777"])
def long_form(side: Side) -> object:
    asked = ("", ",tmpfs-size=64m,tmpfs-mode=1770", ",ro", ",tmpfs-size=1500")
    return [side.sh(f"{FLAGS}; stat -c %a /t", "--mount", f"type=tmpfs,target=/t{more}") for more in asked]


@scenario("T08", "what --mount type=tmpfs does not take", [(True, 0)] * 5)
def wrong_long_form(side: Side) -> object:
    asked = ("source=x", "tmpfs-size=x", "tmpfs-mode=9", "nosuch=1", "tmpfs-size=-1")
    return [refused(side, "--mount", f"type=tmpfs,target=/t,{more}") for more in asked]


@scenario("T09", "over a directory of the image: its permissions, neither its owner nor what is in it, and no volume",
          [("0:0:750\n0", 0), ("0:0:750\n0", 0)])
def over_content(side: Side) -> object:
    found = []
    for flags in (("--tmpfs", "/vol"), ("--mount", "type=tmpfs,target=/vol")):
        out = side.ok("run", *flags, "s-vol", "sh", "-c", "stat -c %u:%g:%a /vol; ls -A /vol | wc -l")
        found.append((out, len(side.volumes())))
    return found


@scenario("T10", "a mode that is asked for over a directory of the image", ["755", "755"], bireme=["700", "1770"],
          why="what is asked for is what there is")
def mode_over_directory(side: Side) -> object:
    flags = (("--tmpfs", "/p:mode=700"), ("--mount", "type=tmpfs,target=/p,tmpfs-mode=1770"))
    return [side.sh("stat -c %a /p", *one, image="s-nest") for one in flags]


@scenario("T11", "a tmpfs and -v at the same path: the tmpfs alone, no volume",
          [("tmpfs", 0, ["/t"]), ("tmpfs", 0, ["/t"])])
def beside_volume(side: Side) -> object:
    found = []
    for flags in (("--tmpfs", "/t"), ("--mount", "type=tmpfs,target=/t")):
        container = side.ran(KIND, "-v", "/t", *flags)
        asked = list(side.inspect(container)["Config"]["Volumes"])
        found.append((side.ok("logs", container), len(side.volumes()), asked))
        side.clear()
    return found


@scenario("T12", "a tmpfs where a volume comes from another container, or by --mount",
          [("tmpfs", ["/t"], 1), ("tmpfs", ["/t"], 1)], bireme=[("tmpfs", [], 1), ("tmpfs", [], 0)],
          why="a volume that is not mounted is neither made, nor shown, nor held")
def beside_shared_volume(side: Side) -> object:
    source = side.make("-v", "/t")
    found = []
    for flags in (("--volumes-from", source), ("--mount", "type=volume,target=/t")):
        container = side.ran(KIND, "--tmpfs", "/t", *flags)
        found.append((side.ok("logs", container), side.destinations(container), len(side.volumes())))
        side.clear()
    return found


@scenario("T13", "--volumes-from does not give a tmpfs", "volume\n0")
def not_shared(side: Side) -> object:
    source = side.running("--tmpfs", "/t", "-v", "/v")
    side.ok("exec", source, "touch", "/t/x", "/v/volume")
    return side.sh("ls /v; ls -A /t 2>/dev/null | wc -l", "--volumes-from", source)


@scenario("T14", "--volumes-from a container with --mount type=tmpfs", (125, ""), bireme=(0, "/v"),
          why="its volumes are shared, its tmpfs is not: Docker looks for a volume without a name, and finds none")
def source_with_mount(side: Side) -> object:
    source = side.make("--mount", "type=tmpfs,target=/t", "-v", "/v")
    script = "cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/[tv]$'"
    return side("run", "--rm", "--volumes-from", source, "s-base", "sh", "-c", script).seen


NESTED = "awk '$5 ~ /^\\/a/ {print $5, $4 == \"/\"}' /proc/self/mountinfo | sort"
"""Each place with whether it is the root of its file system: 1 for a tmpfs, 0 for a volume."""


@scenario("T15", "volumes and tmpfs in each other, parents first whatever the order",
          ["/a 1\n/a/b 0\n/a/b/c 1\n/a/b/c/d 0"] * 2)
def nested(side: Side) -> object:
    flags = ("--tmpfs", "/a/b/c", "-v", "/a/b/c/d", "--tmpfs", "/a", "-v", "/a/b")
    return [side.sh(NESTED, *flags), side.sh(NESTED, *flags[6:], *flags[4:6], *flags[2:4], *flags[:2])]


@scenario("T16", "one that is read-only takes what lies in it, and the working directory",
          ("/a 1\n/a/b 0\n/a/c 1\n/a/w", "ro"))
def nested_in_read_only(side: Side) -> object:
    flags = ("--tmpfs", "/a:ro", "-v", "/a/b", "--tmpfs", "/a/c", "-w", "/a/w")
    return side.sh(f"{NESTED}; pwd", *flags), side.sh("touch /a/x 2>/dev/null || echo ro", *flags)


@scenario("T17", "links of the image on the way stay in the container", ["/real", "/etc", "/nowhere/deep", "/real/new"])
def links(side: Side) -> object:
    script = "awk '$5 !~ \"^/(proc|sys|dev|etc/.*)?(/|$)\" {print $5}' /proc/self/mountinfo"
    return [side.sh(script, "--tmpfs", path, image="s-link") for path in ("/link", "/up", "/dang", "/dir/ln/new")]


@scenario("T18", "over a file of the image, or one of the container's own", [True, True])
def over_files(side: Side) -> object:
    return [refused(side, "--tmpfs", path)[0] for path in ("/plain", "/etc/hosts")]


@scenario("T19", "a container that starts again has a new, empty one", "0\n0")
def fresh_again(side: Side) -> object:
    container = side.make("--tmpfs", "/t", command=("sh", "-c", "ls -A /t | wc -l; touch /t/x"))
    for _ in range(2):
        side.ok("start", container)
        side.ok("wait", container)
    return side.ok("logs", container)


@scenario("T20", "its permissions at the second start, where the image has no such directory", "1777\n755",
          bireme="1777\n1777", why="the place made for it has its permissions, so that each start finds the same")
def mode_again(side: Side) -> object:
    container = side.make("--tmpfs", "/t", command=("stat", "-c", "%a", "/t"))
    for _ in range(2):
        side.ok("start", container)
        side.ok("wait", container)
    return side.ok("logs", container)


@scenario("T21", "cp into and out of one while its container runs", ("hidden", (1, "")), bireme=("there", (0, "made")),
          why="what the container sees is what is read and written; with Docker it is what the tmpfs hides")
def copied(side: Side) -> object:
    container = side.running("--tmpfs", "/t")
    with side.scratch() as directory:
        (directory / "given").write_text("given")
        side.ok("cp", str(directory / "given"), f"{container}:/t/given")
        there = side("exec", container, "cat", "/t/given").status == 0
        side.ok("exec", container, "sh", "-c", "printf made > /t/made")
        status = side("cp", f"{container}:/t/made", str(directory / "made")).status
        made = (directory / "made").read_text() if (directory / "made").exists() else ""
    return "there" if there else "hidden", (status, made)


@scenario("T22", "cp to its place once the container has ended: hidden while it runs, a part of the root file system",
          ("given", "0", ["t/", "t/given"]))
def copied_when_ended(side: Side) -> object:
    container = side.make("--tmpfs", "/t", command=("sh", "-c", "ls -A /t | wc -l"))
    side.ok("start", "-a", container)
    with side.scratch() as directory:
        (directory / "given").write_text("given")
        side.ok("cp", str(directory / "given"), f"{container}:/t/given")
        side.ok("cp", f"{container}:/t/given", str(directory / "back"))
        back = (directory / "back").read_text()
    return back, side.ok("start", "-a", container), exported(side, container)


@scenario("T23", "diff and export have its place, not what is in it", (["A /t"], ["t/"]))
def left_out(side: Side) -> object:
    container = side.running("--tmpfs", "/t")
    side.ok("exec", container, "touch", "/t/x")
    changed = [line for line in side.ok("diff", container).splitlines() if "/t" in line]
    return changed, exported(side, container)


@scenario("T24", "with --read-only it can be written to", ("", 1))
def in_read_only_root(side: Side) -> object:
    done = side("run", "--rm", "--read-only", "--tmpfs", "/t", "s-base", "sh", "-c", "touch /t/x && touch /y")
    return done.out, done.status


@scenario("T25", "what is in it is bounded by its size", "1048576")
def bounded(side: Side) -> object:
    return side.sh("head -c 2000000 /dev/zero > /t/x 2>/dev/null; stat -c %s /t/x", "--tmpfs", "/t:size=1m")


@scenario("T26", "the same path twice: the last --tmpfs, above it the --mount; two --mount are refused",
          ("ro,nosuid,nodev,noexec,relatime", "1024", (True, 0)))
def twice(side: Side) -> object:
    mount = "type=tmpfs,target=/t,tmpfs-size=1m"
    size = side.sh("df -k /t | awk 'END {print $2}'", "--mount", mount, "--tmpfs", "/t:size=2m")
    return side.sh(FLAGS, "--tmpfs", "/t", "--tmpfs", "/t:ro"), size, refused(side, "--mount", mount, "--mount", mount)


@scenario("T27", "--tmpfs /dev/shm takes the place of the usual one", "1\n1024\n1777")
def shared_memory(side: Side) -> object:
    script = "grep -c ' /dev/shm ' /proc/mounts; df -k /dev/shm | awk 'END {print $2}'; stat -c %a /dev/shm"
    return side.sh(script, "--tmpfs", "/dev/shm:size=1m")


@scenario("T28", "ps --filter volume finds a tmpfs by --mount, by its path", [True, False])
def filtered(side: Side) -> object:
    container = side.running("--tmpfs", "/t", "--mount", "type=tmpfs,target=/m")
    found = [side.ok("ps", "-q", "--no-trunc", "--filter", f"volume={path}") for path in ("/m", "/t")]
    return [one == container for one in found]


@scenario("T29", "whoever runs in the container can write to it, and to one of its own", "touched\n1000:1000:700")
def of_a_user(side: Side) -> object:
    script = "touch /t/x /own/x && echo touched; stat -c %u:%g:%a /own"
    return side.sh(script, "-u", "1000:1000", "--tmpfs", "/t", "--tmpfs", "/own:uid=1000,gid=1000,mode=700")


@scenario("T30", "programs in it are run with exec alone", [(126, ""), (0, "ran")])
def executed(side: Side) -> object:
    script = "printf '#!/bin/sh\\necho ran\\n' > /t/x; chmod +x /t/x; /t/x"
    return [side("run", "--rm", "--tmpfs", path, "s-base", "sh", "-c", script).seen for path in ("/t", "/t:exec")]
