"""Making volumes: ``-v PATH`` and an image's VOLUMEs."""

from __future__ import annotations

import io
import json
import tarfile

from tests.parity._catalogue import scenario
from tests.parity._side import Side

HEX = set("0123456789abcdef")


@scenario("V01", "-v /data gives a fresh writable directory that is a mount of its own", "hi\n1")
def fresh(side: Side) -> object:
    return side.sh("echo hi > /data/x && cat /data/x && grep -c ' /data ' /proc/mounts", "-v", "/data")


@scenario("V02", "two -v flags make two different volumes", (["/one", "/two/deep"], 2, 2))
def two_flags(side: Side) -> object:
    container = side.ok("run", "-d", "-v", "/one", "-v", "/two/deep", "s-base", "true")
    mounts = side.mounts(container)
    return sorted(mounts), len({seen.source for seen in mounts.values()}), len(side.volumes())


@scenario("V06", "an image's VOLUMEs are made without a flag, each a volume of its own", (["/a", "/b"], 2))
def image_volumes(side: Side) -> object:
    container = side.make(image="s-two")
    return side.destinations(container), len(side.volumes())


@scenario("V101", "a volume is known by 64 hexadecimal digits", [64])
def names(side: Side) -> object:
    container = side.make("-v", "/d")
    return [len(seen.name) for seen in side.mounts(container).values() if set(seen.name) <= HEX]


@scenario("V102", "the same path twice, in whatever spelling, is one volume", (["/d"], 1))
def same_path(side: Side) -> object:
    container = side.make("-v", "/d", "-v", "/d/", "-v", "//d/.")
    return side.destinations(container), len(side.volumes())


@scenario("V103", "a fresh volume at a new path is root's, 0755 and empty", "0:0:755\n0")
def fresh_mode(side: Side) -> object:
    return side.sh("stat -c %u:%g:%a /new/data; ls -A /new/data | wc -l", "-v", "/new/data")


@scenario("V104", "two containers of one image have different volumes", 4)
def apart(side: Side) -> object:
    containers = [side.make(image="s-two") for _ in range(2)]
    return len({seen.name for container in containers for seen in side.mounts(container).values()})


@scenario("V105", "-v at a path that the image declares is the same one volume", (["/a", "/b"], 2))
def flag_and_image(side: Side) -> object:
    container = side.make("-v", "/a/", image="s-two")
    return side.destinations(container), len(side.volumes())


@scenario("V106", "a volume takes programs, set-user-ID bits and devices, as the root does", "ran\nread\n0")
def no_restrictions(side: Side) -> object:
    script = (
        "printf '#!/bin/sh\\necho ran' > /d/p; chmod 755 /d/p; /d/p; mknod /d/null c 1 3 && cat /d/null && echo read;"
        "grep ' /d ' /proc/mounts | grep -Ec 'noexec|nosuid|nodev'"
    )
    return side.ok("run", "--rm", "-v", "/d", "s-base", "sh", "-c", f"{script}; true")


@scenario("V107", "--volume, --volume=, -v=, and -v with its path attached are the same flag", ["/a", "/b", "/c", "/d"])
def spellings(side: Side) -> object:
    return side.destinations(side.make("--volume", "/a", "--volume=/b", "-v/c", "-v=/d"))


@scenario("V108", "exec sees what the container has mounted", "1")
def seen_by_exec(side: Side) -> object:
    container = side.running("-v", "/d")
    side.ok("exec", container, "sh", "-c", "echo 1 > /d/x")
    return side.ok("exec", container, "cat", "/d/x")


@scenario("V109", "diff shows the place of a volume, never what is in it", ["A /d"])
def diff(side: Side) -> object:
    container = side.ran("echo 1 > /d/x", "-v", "/d")
    return [line for line in side.ok("diff", container).splitlines() if "/d" in line and "/dev" not in line]


@scenario("V110", "export has the place of a volume, never what is in it", ["d/"])
def export(side: Side) -> object:
    container = side.ran("echo 1 > /d/x", "-v", "/d")
    archive = side.ok("export", container).encode(errors="surrogateescape")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [f"{info.name}/" if info.isdir() else info.name for info in tar if info.name.split("/")[0] == "d"]


@scenario("V111", "cp reaches into the volumes of a container that runs, has exited, was never started", ["in\n"] * 3)
def copy(side: Side) -> object:
    shown = []
    for container in (side.running("-v", "/d"), side.ran("true", "-v", "/d"), side.make("-v", "/d")):
        with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as tar:
            info = tarfile.TarInfo("x")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"in\n"))
        side.ok("cp", "-", f"{container}:/d", stdin=buffer.getvalue())
        shown.append((side.volume(container, "/d") / "x").read_text())
    return shown


@scenario("V112", "under --read-only the volumes stay writable, also at a path that the image lacks", "w\nread-only")
def read_only_root(side: Side) -> object:
    script = "echo w > /new/d/x; cat /new/d/x; touch /y 2>/dev/null || echo read-only"
    return side.sh(script, "--read-only", "-v", "/new/d")


@scenario("V113", "thirty volumes in one container", "30")
def many(side: Side) -> object:
    flags = [word for number in range(30) for word in ("-v", f"/v/{number}")]
    return side.sh("for n in /v/*; do echo $n > $n/x; done; cat /v/*/x | sort -u | wc -l", *flags)


@scenario("V114", "a volume starts with a working directory in it, made for the container", "sub\n/d/sub")
def working_directory(side: Side) -> object:
    container = side.make("-w", "/d/sub", "-v", "/d")
    return side.sh("ls /d", "--volumes-from", container) + "\n" + side.sh("pwd", "-w", "/d/sub", "-v", "/d")


@scenario("V34", "-v NAME:/path is a volume with a name", (0, ""), bireme=(125, "volumes have no names"),
          why="volumes have no names (specification of 2013)")
def named(side: Side) -> object:
    return side("create", "-v", "name:/d", "s-base", "true").says("volumes have no names")


@scenario("V35", "-v /host:/path is a directory of the host", (0, ""),
          bireme=(125, "source of a volume cannot be chosen"),
          why="the user never chooses the source of a volume (specification of 2013)")
def host_directory(side: Side) -> object:
    return side("create", "-v", "/tmp:/d", "s-base", "true").says("source of a volume cannot be chosen")


@scenario("V116", "--mount type=volume,target=/d without a source is the same as -v /d", ["/d"])
def long_form(side: Side) -> object:
    return side.destinations(side.make("--mount", "type=volume,target=/d"))


@scenario("V117", "-v with a mode and no source is refused", (125, 0))
def mode_alone(side: Side) -> object:
    return side("run", "-v", "/d:ro", "s-base", "true").status, len(side.containers())


@scenario("V118", "a hundred volumes in one container", "100")
def hundred(side: Side) -> object:
    return side.sh("grep -c ' /v' /proc/mounts", *(f"-v/v{number}" for number in range(100)))


@scenario("V119", "an image tells the volumes that it declares", {"/a": {}, "/b": {}})
def declared(side: Side) -> object:
    found: dict[str, object] = json.loads(side.ok("image", "inspect", "s-two"))[0]["Config"]["Volumes"]
    return found


@scenario("V120", "under --read-only an image's VOLUME stays writable", "x\nhello")
def read_only_image(side: Side) -> object:
    return side.sh("echo x > /vol/n; cat /vol/n /vol/f", "--read-only", image="s-vol")
