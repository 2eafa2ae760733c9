"""The start of the client: what it may import, and how it finds or starts an engine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from bireme.cli import _autostart
from bireme.cli._commands import VERBS
from bireme.cli._errors import Unreachable, UsageError
from bireme.cli._flags import parse
from bireme.cli._parser import GLOBAL_FLAGS
from bireme.cli._settings import Settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.cli.fake_engine import FakeEngine

HEAVY = {
    "anyio", "asyncio", "bireme.engine", "bireme_actors", "concurrent.futures", "dataclasses", "email", "h11", "http",
    "http.client", "inspect", "logging", "msgspec", "ssl", "tempfile", "trio", "typing", "urllib.parse",
}  # fmt: skip
"""What alone takes longer to import than the client should take to start."""

MOST_MODULES = 75
"""That ``version`` may load beyond what Python itself has loaded."""


def modules_after(*lines: str, environ: dict[str, str] | None = None) -> set[str]:
    """Names in ``sys.modules`` of a fresh Python after it has run these lines, without those it begins with."""
    program = "\n".join(["import sys", "before = set(sys.modules)", *lines, "import json", "sys.stdout.flush()"])
    program += "\nprint(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={**os.environ, **(environ or {})}, check=False
    )
    return set(json.loads(ran.stderr.splitlines()[-1]))


def test_version_loads_little(engine: FakeEngine) -> None:
    engine.on("GET /version", {"Version": "1"})
    words = ["-H", f"unix://{engine.path}", "version"]
    found = modules_after("from bireme.cli._main import run", f"assert run({words!r}, {{}}) == 0")
    assert engine.lines == ["GET /version"]
    assert not found & HEAVY
    assert len(found) <= MOST_MODULES, sorted(found)


@pytest.mark.parametrize("module", sorted({module for module, _ in VERBS.values()}))
def test_no_verb_leads_to_trio_or_what_is_slow(module: str) -> None:
    found = modules_after(f"import bireme.cli.verbs.{module}")
    assert not found & (HEAVY - {"typing"} if module == "cp" else HEAVY), sorted(found & HEAVY)


def test_help_loads_little() -> None:
    found = modules_after("from bireme.cli._main import run", "assert run(['run', '--help'], {}) == 0")
    assert not found & HEAVY


# --- settings


def settings_of(*words: str, **environ: str) -> Settings:
    return read_settings(parse(GLOBAL_FLAGS, words)[0], environ)


def test_where_the_engine_is() -> None:
    plain = settings_of()
    assert (plain.root, plain.socket_path, plain.driver) == ("/var/lib/bireme", "/run/bireme/bireme.sock", "native")
    moved = settings_of(BIREME_ROOT="/r", BIREME_RUN="/x", BIREME_DRIVER="crun")
    assert (moved.root, moved.socket_path, moved.driver) == ("/r", "/x/bireme.sock", "crun")
    flags = settings_of("--root", "/f", "--run-dir", "/g", "--driver", "lxc", BIREME_ROOT="/r", BIREME_RUN="/x")
    assert (flags.root, flags.run_dir, flags.driver) == ("/f", "/g", "lxc")
    assert settings_of("-H", "unix:///s").socket_path == "/s"
    assert settings_of("-H", "/s").socket_path == "/s"


def test_a_root_of_its_own_has_an_engine_of_its_own() -> None:
    assert settings_of("--root", "/r").socket_path == "/r/run/bireme.sock"


def test_a_host_that_is_no_socket() -> None:
    for host in ("tcp://localhost:1", "unix://relative"):
        with pytest.raises(UsageError, match="must be a socket"):
            settings_of("-H", host)


# --- starting an engine

ENGINE = """
    import os, socket, sys
    run, ready = sys.argv[1], int(sys.argv[2])
    with open(os.path.join(run, "started"), "a") as count:
        count.write(f"{os.getpid()}\\n")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(run, "bireme.sock"))
    listener.listen(64)
    os.write(ready, b"1")
    os.close(ready)
    sys.stdin.read()
    while (said := listener.accept()[0].recv(64)) != b"end":
        pass
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=str(tmp_path / "root"), run_dir=str(tmp_path / "run"), driver="native", host="", debug=False)


def use(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """A program of a few lines in the engine's place."""

    def command(settings: Settings, ready_fd: int) -> list[str]:
        return [sys.executable, "-c", textwrap.dedent(program), settings.run_dir, str(ready_fd)]

    monkeypatch.setattr(_autostart, "engine_command", command)


@pytest.mark.root
def test_many_who_start_at_once_start_one_engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ENGINE)
    failures: list[BaseException] = []

    def start() -> None:
        try:
            _autostart.connect_or_start(settings).close()
        except BaseException as error:  # noqa: BLE001 - told below, from the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open(os.path.join(settings.run_dir, "started"), encoding="ascii") as count:
        pids = count.read().split()
    assert failures == []
    assert len(pids) == 1
    with _autostart.connect_only(settings) as last:
        last.sendall(b"end")
    os.waitpid(int(pids[0]), 0)


@pytest.mark.root
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; print('noise', file=sys.stderr); sys.exit('bireme: no cgroups here')", "no cgroups here"),
        ("import sys; sys.exit(7)", r"it exited with status 7 and left no word in .*engine\.log"),
    ],
)
def test_an_engine_that_does_not_start_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    use(monkeypatch, program)
    with pytest.raises(Unreachable, match=f"^the engine did not start: {reason}$"):
        _autostart.connect_or_start(settings)
    assert stat.S_IMODE(os.stat(settings.log_path).st_mode) == 0o600


@pytest.mark.root
def test_an_engine_that_never_gets_ready_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "import os, signal, sys; print(os.getpid(), file=sys.stderr, flush=True); signal.pause()")
    monkeypatch.setattr(_autostart, "READY_SECONDS", 1)
    monkeypatch.setattr(_autostart, "_LAST_SECONDS", 0)
    with pytest.raises(Unreachable) as caught:
        _autostart.connect_or_start(settings)
    pid = int(caught.value.message.split()[-1])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.root
def test_a_stale_socket_is_no_engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    os.makedirs(settings.run_dir)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(settings.socket_path)
    use(monkeypatch, "import sys; sys.exit('bireme: asked to start')")
    with pytest.raises(Unreachable, match="asked to start"):
        _autostart.connect_or_start(settings)


def test_nobody_but_root_starts_an_engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unreachable, match=r"starting one needs root: run this as root") as caught:
        _autostart.connect_or_start(settings)
    assert "\n" not in caught.value.message
    assert not os.path.exists(settings.run_dir)


def test_a_socket_that_may_not_be_used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_autostart, "connect", refuse)
    with pytest.raises(Unreachable, match=r"permission denied while trying to connect .* run this as root"):
        _autostart.connect_or_start(settings)


def test_no_engine_is_started_at_a_named_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "raise SystemExit('started')")
    named = Settings(root="/r", run_dir=str(tmp_path / "run"), driver="native", host=str(tmp_path / "s"), debug=False)
    with pytest.raises(Unreachable, match="Cannot connect"):
        _autostart.connect_or_start(named)
    assert not (tmp_path / "run").exists()


def test_the_engine_is_told_where_it_belongs(settings: Settings) -> None:
    command = _autostart.engine_command(settings, 7)
    assert command[:4] == [sys.executable, "-P", "-m", "bireme"]
    assert command[4:] == [
        *("--root", settings.root, "--run-dir", settings.run_dir, "--driver", "native"),
        *("serve", "--idle", "300", "--ready-fd", "7"),
    ]


def client(engine: FakeEngine, *words: str, redirect: str) -> subprocess.CompletedProcess[bytes]:
    """The client as a shell starts it with its standard streams redirected."""
    line = f'exec "$0" -m bireme "$@" {redirect}'
    given = [sys.executable, "-H", f"unix://{engine.path}", *words]
    return subprocess.run(["bash", "-c", line, *given], capture_output=True, timeout=60, check=False)


def test_the_client_runs_without_standard_streams(engine: FakeEngine) -> None:
    engine.on("GET /containers/json", [])
    for redirect in (">&-", "<&- >&-", "<&- >&- 2>&-"):
        ran = client(engine, "ps", redirect=redirect)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b""), redirect


def test_input_that_was_closed_ends_at_once(engine: FakeEngine) -> None:
    """Descriptor 0 belongs to nobody then: the client's own sockets must not get it, and be read as the input."""
    program = "import bireme.cli._main as m; m._open_standard_streams(); import os; print(os.pipe())"
    ran = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" <&-', sys.executable, program], capture_output=True, timeout=60, check=False
    )
    assert ran.stderr == b""
    assert all(int(number) > 2 for number in ran.stdout.strip(b"()\n").split(b", "))


@pytest.mark.parametrize("words", [("ps",), ("--version",), ("run", "--help")])
def test_output_that_cannot_be_written_is_one_line(engine: FakeEngine, words: tuple[str, ...]) -> None:
    engine.on("GET /containers/json", [])
    ran = client(engine, *words, redirect=">/dev/full")
    assert ran.stderr == b"cannot write the output: No space left on device\n"
    assert ran.returncode == 1
