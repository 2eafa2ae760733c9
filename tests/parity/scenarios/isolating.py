"""What a container's command finds around it: rights, environment, limits, network."""

from __future__ import annotations

import re

from tests.parity._catalogue import scenario
from tests.parity._side import Side

NONE, DEFAULT = "0" * 16, "00000000a80425fb"
WITH_TIME, WITHOUT_CHOWN, BIND = "00000000aa0425fb", "00000000a80425fa", "0000000000000400"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

FORBIDDEN = (
    "mount -t tmpfs x /tmp", "unshare -m true", "hostname x", "mknod /tmp/n b 8 0 && cat /tmp/n", "date -s 0",
    "sysctl -w kernel.msgmax=1", "swapoff -a", "umount /proc", "dmesg", "ip link set lo down",
    "echo 1 > /proc/sysrq-trigger", "mount -o remount,rw /sys", "nsenter -t 1 -m true",
)  # fmt: skip


@scenario("S01", "capabilities (permitted, effective, bounding): by default, dropped, added, of another user",
          [(DEFAULT,) * 3, (NONE,) * 3, (BIND,) * 3, (WITH_TIME,) * 3, (WITHOUT_CHOWN,) * 3, (NONE, NONE, DEFAULT)])
def capabilities(side: Side) -> object:
    flags = (
        (), ("--cap-drop", "ALL"), ("--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"), ("--cap-add", "SYS_TIME"),
        ("--cap-drop", "CHOWN"), ("-u", "1000"),
    )  # fmt: skip
    script = "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status"
    return [tuple(re.findall(r"[0-9a-f]{16}", side.sh(script, *one))) for one in flags]


@scenario("S02", "the environment: PATH, HOSTNAME, HOME of the user, TERM with a terminal",
          [["HOME=/root", "HOSTNAME=box", PATH], ["HOME=/home/ann", "HOSTNAME=box", PATH],
           ["HOME=/root", "HOSTNAME=box", PATH, "TERM=xterm"]])
def environment(side: Side) -> object:
    found = [side.sh("env | sort", "-h", "box", *flags) for flags in ((), ("-u", "ann"), ("-t",))]
    return [[line.strip() for line in out.splitlines() if not line.startswith(("SHLVL", "PWD"))] for out in found]


@scenario("S03", "umask, new privileges, seccomp, out-of-memory score, open files", "0022\n0\n2\n0\n4")
def process(side: Side) -> object:
    script = "awk '/^(NoNewPrivs|Seccomp):/ {print $2}' /proc/self/status; cat /proc/self/oom_score_adj"
    return side.sh(f"umask; {script}; ls /proc/self/fd | wc -l")


@scenario("S04", "no-new-privileges, an unconfined seccomp, a limit of open files", ("1", "0", "100\n200"))
def security(side: Side) -> object:
    return (
        side.sh("awk '/^NoNewPrivs:/ {print $2}' /proc/self/status", "--security-opt", "no-new-privileges"),
        side.sh("awk '/^Seccomp:/ {print $2}' /proc/self/status", "--security-opt", "seccomp=unconfined"),
        side.sh("ulimit -n; ulimit -Hn", "--ulimit", "nofile=100:200"),
    )


@scenario("S05", "what neither capabilities nor seccomp nor read-only places allow", [])
def forbidden(side: Side) -> object:
    script = ";".join(f"({command}) >/dev/null 2>&1 && echo '{number}'" for number, command in enumerate(FORBIDDEN))
    return [FORBIDDEN[int(number)] for number in side.sh(f"{script}; true").split()]


@scenario("S06", "supplementary groups", ["0", "1000", "1000 7", "5", "0 1000"])
def groups(side: Side) -> object:
    flags = ((), ("-u", "ann"), ("--group-add", "7", "-u", "ann"), ("-u", "1000:5"), ("--group-add", "ann"))
    return [side.sh("id -G", *one) for one in flags]


@scenario("S07", "without a network there is a loopback, and it is up", "lo\nup")
def network(side: Side) -> object:
    return side.sh("ls /sys/class/net; ping -c1 -W1 127.0.0.1 >/dev/null && echo up")


@scenario("S08", "--shm-size is the size of /dev/shm", "1024")
def shared_memory(side: Side) -> object:
    return side.sh("df -k /dev/shm | awk 'END {print $2}'", "--shm-size", "1m")


@scenario("S09", "process 1 is the command itself", "cat /proc/1/cmdline")
def first(side: Side) -> object:
    return side.ok("run", "--rm", "s-base", "cat", "/proc/1/cmdline").replace("\0", " ").strip()


@scenario("S10", "limits and rights are shown by inspect",
          {"Ulimits": [{"Name": "nofile", "Hard": 200, "Soft": 100}], "Memory": 64 << 20, "PidsLimit": 50,
           "NanoCpus": 1500000000, "ShmSize": 1 << 20, "CapDrop": ["ALL"], "CapAdd": ["CHOWN"],
           "ReadonlyRootfs": True, "Privileged": False, "GroupAdd": ["7"], "NetworkMode": "none", "Binds": None,
           "LogConfig": {"Type": "json-file", "Config": {}}})
def shown(side: Side) -> object:
    flags = (
        "--ulimit", "nofile=100:200", "--memory", "64m", "--pids-limit", "50", "--cpus", "1.5", "--shm-size", "1m",
        "--cap-drop", "ALL", "--cap-add", "CHOWN", "--read-only", "--group-add", "7",
    )  # fmt: skip
    names = (
        "Ulimits", "Memory", "PidsLimit", "NanoCpus", "ShmSize", "CapDrop", "CapAdd", "ReadonlyRootfs", "Privileged",
        "GroupAdd", "NetworkMode", "Binds", "LogConfig",
    )  # fmt: skip
    found = side.inspect(side.make(*flags))["HostConfig"]
    found["CapAdd"] = [name.removeprefix("CAP_") for name in found["CapAdd"]]  # as the command's version has them
    return {name: found[name] for name in names}
