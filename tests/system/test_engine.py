"""The engine behind the command line: it comes when it is needed, goes when told, and loses nothing in between."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

import pytest

from tests.system._cli import PATIENCE, Cli, end, sh

pytestmark = [pytest.mark.root, pytest.mark.system]


def pids(cli: Cli) -> tuple[int, int]:
    info = json.loads(cli.ok("info", "--format", "json"))
    return info["EnginePid"], info["LauncherPid"]


def wait_for_end(pid: int) -> None:
    """Until a process that is no child of ours has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], PATIENCE)[0], f"process {pid} goes on"
    finally:
        os.close(fd)


def state(cli: Cli, container: str) -> str:
    return cli.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", container)


# Coming and going


def test_the_first_command_starts_it_and_says_so_only_when_asked(own: Cli) -> None:
    quiet = own("ps", "-q")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    engine, launcher = pids(own)
    own.ok("shutdown")
    wait_for_end(engine)
    wait_for_end(launcher)
    loud = own("--debug", "ps", "-q")
    assert (loud.status, loud.out) == (0, "")
    assert "starting one" in loud.err


def test_many_first_commands_start_one(own: Cli) -> None:
    clients = [own.popen("info", "--format", "{{.EnginePid}}") for _ in range(6)]
    answers = [end(client) for client in clients]
    assert {(status, err) for status, _, err in answers} == {(0, b"")}
    assert len({out for _, out, _ in answers}) == 1


def test_it_leaves_by_itself_when_idle(own: Cli) -> None:
    with own.popen("serve", "--idle", "1") as engine:
        assert engine.wait(timeout=PATIENCE) == 0


def test_it_stays_while_a_container_runs(own: Cli) -> None:
    container = own.ok("run", "-d", "-i", "busybox", "cat")
    engine, launcher = pids(own)
    own.ok("kill", container)
    assert pids(own) == (engine, launcher)


def test_the_socket_is_its_owners_alone(own: Cli) -> None:
    own.ok("ps")
    assert (own.run_dir / "bireme.sock").stat().st_mode & 0o777 == 0o600


def test_serve_in_the_foreground_ends_on_a_signal_and_leaves_its_containers_to_the_next(own: Cli) -> None:
    with own.popen("serve") as engine:
        wait_for_socket(own)
        container = own.ok("run", "-d", "busybox", "sleep", "60")
        assert pids(own)[0] == engine.pid
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(timeout=PATIENCE) == 0
    assert state(own, container) == "running 0"


def wait_for_socket(own: Cli) -> None:
    """A command in the background would start an engine of its own if it came first."""
    for _ in range(1000):
        if own("-H", f"unix://{own.run_dir}/bireme.sock", "version").status == 0:
            return
    pytest.fail("the engine does not listen")


# What outlives it


def test_shutdown_stops_the_containers_and_the_next_engine_knows_how_they_ended(own: Cli) -> None:
    container = own.ok("run", "-d", "busybox", *sh("trap 'exit 4' TERM; echo set; while :; do sleep 1 & wait $!; done"))
    own.wait_for_line(container, "set")
    own.ok("shutdown")
    assert state(own, container) == "exited 4"
    assert own.ok("logs", container) == "set"


def test_shutdown_detach_leaves_the_containers_to_the_next_engine(own: Cli) -> None:
    container = own.ok("run", "-d", "-i", "-v", "/data", "busybox", *sh("echo before; read x; echo after; exit 3"))
    engine, launcher = pids(own)
    own.ok("shutdown", "--detach")
    wait_for_end(engine)
    assert state(own, container) == "running 0"
    assert pids(own)[1] == launcher
    assert own.ok("exec", container, "cat", "/proc/1/comm") == "sh"
    own.ok("kill", container)
    assert own.ok("wait", container) == "137"
    assert own.ok("logs", container) == "before"


def test_what_is_in_memory_lasts_as_long_as_the_container_runs_whoever_is_its_engine(own: Cli) -> None:
    flags = ("--tmpfs", "/m:size=1m", "--mount", "type=tmpfs,target=/n,tmpfs-mode=700")
    container = own.ok("run", "-d", *flags, "busybox", *sh("trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"))
    own.ok("exec", container, "touch", "/m/x", "/n/x")
    engine, _ = pids(own)
    own.ok("shutdown", "--detach")
    wait_for_end(engine)
    template = "{{json .HostConfig.Tmpfs}} {{range .Mounts}}{{.Type}} {{.Destination}}{{end}}"
    shown = own.ok("inspect", "-f", template, container)
    assert shown == '{"/m":"size=1m"} tmpfs /n'
    assert own.ok("exec", container, *sh("ls /m /n; stat -c %a /m /n")).split() == [
        "/m:", "x", "/n:", "x", "1777", "700"
    ]  # fmt: skip
    own.ok("restart", container)
    assert own.ok("exec", container, *sh("ls /m /n; stat -c %a /m /n")).split() == ["/m:", "/n:", "1777", "700"]


def test_an_exit_while_no_engine_is_there_is_known_to_the_next(own: Cli) -> None:
    container = own.ok("run", "-d", "busybox", *sh("echo said; exec sleep 60"))
    pid = int(own.ok("inspect", "-f", "{{.State.Pid}}", container))
    engine, _ = pids(own)
    own.ok("shutdown", "--detach")
    wait_for_end(engine)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    assert own.ok("wait", container) == "137"
    assert own.ok("logs", container) == "said"


def test_a_killed_engine_loses_no_container(own: Cli) -> None:
    container = own.ok("run", "-d", "busybox", *sh("echo said; exec sleep 60"))
    engine, launcher = pids(own)
    os.kill(engine, signal.SIGKILL)
    wait_for_end(engine)
    assert state(own, container) == "running 0"
    assert pids(own)[1] == launcher
    assert own.ok("logs", container) == "said"


def test_a_killed_launcher_takes_the_containers_along_and_the_engine_says_so(own: Cli) -> None:
    container = own.ok("run", "-d", "busybox", "sleep", "60")
    pid = int(own.ok("inspect", "-f", "{{.State.Pid}}", container))
    _, launcher = pids(own)
    os.kill(launcher, signal.SIGKILL)
    wait_for_end(launcher)
    wait_for_end(pid)
    assert own.ok("wait", container) == "137"
    assert own.ok("rm", container) == container
    assert own.ok("run", "--rm", "busybox", "echo", "again") == "again"


# The client


def test_the_client_never_loads_trio(own: Cli) -> None:
    own.ok("ps")
    program = (
        "import sys; from bireme.cli import main; status = main(sys.argv[1:]); "
        "loaded = {name.partition('.')[0] for name in sys.modules}; "
        "print(status, *sorted(loaded - sys.stdlib_module_names - {'__main__'}))"
    )
    for words in (["ps"], ["run", "--rm", "busybox", "true"], ["images"], ["info", "--format", "{{.ID}}"]):
        command = [sys.executable, "-S", "-c", program, *words]
        done = subprocess.run(command, env=own.environ, capture_output=True, text=True, check=True, timeout=PATIENCE)
        assert done.stdout.splitlines()[-1] == "0 bireme", done.stdout
