"""Running, waiting and exit statuses from the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.system._cli import Cli, end, sh

pytestmark = [pytest.mark.root, pytest.mark.system]


TRAP = "trap 'exit 9' TERM; echo set; while :; do sleep 1 & wait $!; done"
"""Ends with 9 when it is asked to end."""

SERVERS = "grep -E '^(search|nameserver)' /etc/resolv.conf"

# Exit statuses


def test_run_answers_with_the_containers_own_status(bireme: Cli) -> None:
    assert bireme("run", "--rm", "s-base", *sh("exit 23")).status == 23


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--pull", "never", "nosuch-image-zz", "true"), 125, "No such image: nosuch-image-zz:latest"),
        (("--no-such-flag", "s-base", "true"), 125, "unknown flag: --no-such-flag"),
        (("s-base", "nosuchcmd"), 127, 'exec: "nosuchcmd": executable file not found in $PATH'),
        (("s-base", "/no/such"), 127, 'exec: "/no/such": no such file or directory'),
        (("s-base", "/etc/passwd"), 126, 'exec: "/etc/passwd": permission denied'),
        (("s-base", "/etc"), 126, 'exec: "/etc": '),
    ],
)
def test_what_does_not_start_has_dockers_status(bireme: Cli, words: tuple[str, ...], status: int, message: str) -> None:
    done = bireme("run", "--rm", *words)
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert bireme.containers() == []


def test_an_end_by_signal_is_128_and_the_signal(bireme: Cli) -> None:
    assert bireme("run", "--rm", "s-base", *sh("kill -KILL $$")).status == 0  # a PID namespace's init ignores its own
    container = bireme.ok("run", "-d", "s-base", "sleep", "60")
    assert bireme.ok("kill", container) == container
    assert bireme.ok("wait", container) == "137"
    state = json.loads(bireme.ok("inspect", container))[0]["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 137, False)


def test_a_trapped_signal_ends_with_the_commands_own_status(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "s-base", *sh(TRAP))
    bireme.wait_for_line(container, "set")
    bireme.ok("stop", container)
    assert bireme.ok("wait", container) == "9"


def test_stop_without_grace_kills(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "s-base", "sleep", "60")
    assert bireme.ok("stop", "-t", "0", container) == container
    assert bireme.ok("wait", container) == "137"


# Waiting


def test_wait_answers_again_and_again(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "s-base", *sh("exit 7"))
    assert [bireme.ok("wait", container) for _ in range(2)] == ["7", "7"]


def test_wait_blocks_until_the_exit_and_answers_every_waiter(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "-i", "s-base", *sh("read line; exit 3"))
    waiters = [bireme.popen("wait", container) for _ in range(3)]
    bireme.ok("kill", "-s", "KILL", container)
    assert [end(waiter) for waiter in waiters] == [(0, b"137\n", b"")] * 3


def test_wait_prints_the_statuses_in_the_order_asked_for(bireme: Cli) -> None:
    containers = [bireme.ok("run", "-d", "s-base", *sh(f"exit {status}")) for status in (1, 2)]
    assert bireme.ok("wait", *containers) == "1\n2"


def test_waiters_for_a_container_removed_by_force_are_told_137(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "s-base", "sleep", "60")
    waiter = bireme.popen("wait", container)
    bireme.ok("rm", "-f", container)
    status, out, err = end(waiter)
    assert (status, out) in ((0, b"137\n"), (1, b"")), err  # asked before the removal, or after it


# Streams


def test_output_and_errors_arrive_apart(bireme: Cli) -> None:
    done = bireme("run", "--rm", "s-base", *sh("echo o; echo e >&2"))
    assert (done.out, done.err) == ("o\n", "e\n")
    container = bireme.ok("run", "-d", "s-base", *sh("echo o; echo e >&2"))
    bireme.ok("wait", container)
    logs = bireme("logs", container)
    assert (logs.out, logs.err) == ("o\n", "e\n")


def test_standard_input_and_its_end_are_passed(bireme: Cli) -> None:
    assert bireme.ok("run", "--rm", "-i", "s-base", "cat", stdin=b"abc") == "abc"


def test_a_megabyte_goes_through_whole(bireme: Cli) -> None:
    data = bytes(range(256)).replace(b"\n", b"") * 4000
    done = bireme("run", "--rm", "-i", "s-base", "wc", "-c", stdin=data)
    assert done.out.strip() == str(len(data))


def test_a_signal_to_run_reaches_the_container(bireme: Cli) -> None:
    client = bireme.popen("run", "--rm", "s-base", *sh(TRAP))
    assert client.stdout is not None
    assert client.stdout.readline() == b"set\n"
    client.send_signal(signal.SIGTERM)
    assert end(client)[0] == 9


def test_exec_runs_in_the_container_and_answers_with_its_status(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "-h", "inside", "s-base", "sleep", "60")
    assert bireme("exec", container, *sh("cat /etc/hostname; exit 4")).out == "inside\n"
    assert bireme("exec", container, *sh("exit 4")).status == 4
    assert bireme("exec", container, "nosuch").status == 127
    assert bireme.ok("exec", "-i", container, "cat", stdin=b"in") == "in"


# What run makes of its flags


@pytest.mark.parametrize(
    ("flags", "script", "out"),
    [
        (("-h", "anna"), "cat /etc/hostname; cat /proc/sys/kernel/hostname", "anna\nanna"),
        (("-e", "A=1", "-e", "B=two words"), 'echo "$A $B"', "1 two words"),
        (("-u", "1000:1000"), "id -u; id -g", "1000\n1000"),
        (("-u", "ann"), 'id -u; echo "$HOME"', "1000\n/home/ann"),
        (("-w", "/some/where"), "pwd", "/some/where"),
        (("--read-only",), "touch /x 2>&1", "touch: /x: Read-only file system"),
        (("--network", "none"), "ls /sys/class/net", "lo"),
        (("--add-host", "db:10.0.0.5"), "grep db /etc/hosts; grep -c localhost /etc/hosts", "10.0.0.5\tdb\n2"),
        (("--dns", "10.0.0.1", "--dns-search", "a.b"), SERVERS, "search a.b\nnameserver 10.0.0.1"),
        (("--log-driver", "none"), "echo here", "here"),
        (("--entrypoint", "echo"), "x", "-c x"),
        ((), "echo $$; cut -d' ' -f1 /proc/1/stat", "1\n1"),
        ((), "grep ^CapEff /proc/1/status | cut -f2", "00000000a80425fb"),
        ((), "grep ^Seccomp: /proc/1/status | cut -f2", "2"),
        ((), "ls /proc/self/fd | wc -l", "4"),
    ],
)
def test_a_flag_does_what_it_says(bireme: Cli, flags: tuple[str, ...], script: str, out: str) -> None:
    command = ("-c", script) if "--entrypoint" in flags else sh(script)
    assert bireme("run", "--rm", *flags, "s-base", *command).out.removesuffix("\n") == out


def test_env_file_label_cidfile_and_name(bireme: Cli, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nA=from file\n\nB=2\n")
    cidfile = tmp_path / "cid"
    flags = ("--env-file", str(tmp_path / "env"), "-l", "team=oars", "--cidfile", str(cidfile), "--name", "rower")
    assert bireme.ok("run", *flags, "s-base", *sh('echo "$A $B"')) == "from file 2"
    view = json.loads(bireme.ok("inspect", "rower"))[0]
    assert (view["Id"], view["Name"], view["Config"]["Labels"]) == (cidfile.read_text(), "/rower", {"team": "oars"})


def test_a_terminal_is_one(bireme: Cli) -> None:
    out = bireme.ok("run", "--rm", "-t", "s-base", *sh("tty; test -t 1 && echo yes"))
    assert out.split() == ["/dev/pts/0", "yes"]


def test_init_reaps_and_forwards(bireme: Cli) -> None:
    script = "cut -d' ' -f2 /proc/1/stat; exit 6"
    done = bireme("run", "--rm", "--init", "s-base", *sh(script))
    assert done.status == 6
    assert done.out != "(sh)\n"


def test_pause_holds_and_unpause_lets_go(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "s-base", "sleep", "60")
    bireme.ok("pause", container)
    assert bireme.ok("inspect", "-f", "{{.State.Status}}", container) == "paused"
    bireme.ok("unpause", container)
    assert bireme.ok("inspect", "-f", "{{.State.Status}}", container) == "running"


def test_names_prefixes_and_listing(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "--name", "first", "s-base", "sleep", "60")
    bireme.ok("rename", "first", "second")
    assert bireme.ok("ps", "-q") == container[:12]
    assert bireme.ok("ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}") == f"{container} second s-base"
    assert bireme.ok("ps", "-q", "-f", "name=nosuch") == ""
    assert bireme.ok("inspect", "-f", "{{.Name}}", container[:6]) == "/second"


def test_cp_goes_both_ways_also_where_nothing_runs(bireme: Cli, tmp_path: Path) -> None:
    container = bireme.ok("create", "-v", "/data", "s-base", "cat", "/data/in")
    (tmp_path / "in").write_text("carried in\n")
    bireme.ok("cp", str(tmp_path / "in"), f"{container}:/data/in")
    assert bireme.ok("start", "-a", container) == "carried in"
    bireme.ok("cp", f"{container}:/data/in", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "carried in\n"
