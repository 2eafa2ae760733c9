"""A real engine in a process of its own, the docker command as its client, and plain HTTP where bytes matter."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60.0
DOCKER = shutil.which("docker")

_PROGRAM = """
import sys
from bireme.server import EngineSettings, run_engine
root, run_dir, ready = sys.argv[1:]
sys.exit(run_engine(EngineSettings(root=root, run_dir=run_dir, ready_fd=int(ready))))
"""


class Engine:
    """One engine; ``directory`` keeps its root and its log from one to the next."""

    def __init__(self, directory: Path, *, program: str = _PROGRAM, extra: Sequence[int] = ()) -> None:
        """``program`` is told root, run directory, where to say that it is ready, and the descriptors ``extra``."""
        self.directory = directory
        self.socket = str(directory / "run" / "bireme.sock")
        ready, tell = os.pipe()
        with open(directory / "engine.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, f"{directory}/root", f"{directory}/run", *map(str, (tell, *extra))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=(tell, *extra),
            )
        os.close(tell)
        try:
            readable, _, _ = select.select([ready], [], [], PATIENCE)
            if not (readable and os.read(ready, 1)):
                self.kill()
                raise AssertionError(f"the engine did not start:\n{self.log()}")
        finally:
            os.close(ready)

    def log(self) -> str:
        return (self.directory / "engine.log").read_text()

    def end(self, signum: int = signal.SIGTERM) -> int:
        """Tell it to end, and wait for that; what runs goes on. Its exit status."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def shutdown(self) -> None:
        """Stop and remove everything, then end it."""
        if self.process.poll() is None:
            for container in self.ask("GET", "/containers/json?all=1")[1]:
                self.ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
            self.ask("POST", "/bireme/shutdown")
            self.process.wait(PATIENCE)

    def connect(self) -> socket.socket:
        """A connection of its own."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(self.socket)
        return sock

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """One request: the answer's status, and its body, decoded if it is JSON."""
        connection = http.client.HTTPConnection("docker")
        connection.sock = self.connect()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        target = path if path.startswith("/bireme") else f"/v1.41{path}"
        connection.request(method, target, data, {"Content-Type": kind})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.headers.get("Content-Type") == "application/json":
            return response.status, json.loads(content)
        return response.status, content


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode().strip()


class Docker:
    """The docker command, talking to one engine."""

    def __init__(self, engine: Engine) -> None:
        assert DOCKER is not None
        self._command = DOCKER
        home = engine.directory / "home"
        home.mkdir(exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DOCKER_HOST": f"unix://{engine.socket}",
            "DOCKER_CLI_HINTS": "false",
        }

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Begin a command; who calls waits for it."""
        return subprocess.Popen([self._command, *words], env=self.environ, **options)

    def __call__(self, *words: str, stdin: bytes = b"") -> Done:
        done = subprocess.run(
            [self._command, *words], input=stdin, capture_output=True, env=self.environ, timeout=PATIENCE, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        """The output of a command that must succeed."""
        done = self(*words, stdin=stdin)
        assert done.status == 0, f"docker {' '.join(words)}: {done.status}\n{done.err}{done.text}"
        return done.text


def frames(wire: bytes) -> Sequence[tuple[int, bytes]]:
    """A multiplexed stream taken apart; it must end with a whole frame."""
    found = []
    while wire:
        size = int.from_bytes(wire[4:8], "big")
        assert len(wire) >= 8 + size, "the stream ends in the middle of a frame"
        found.append((wire[0], wire[8 : 8 + size]))
        wire = wire[8 + size :]
    return found
