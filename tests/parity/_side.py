"""The command line that a scenario plays on: Bireme's or Docker's, behind the same few words.

Besides commands, a side answers what ``inspect`` tells and shows a volume's directory on the host, and cleans up
through the engine's API, which both engines have in common.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 50
"""Seconds any one command may take."""

_PREFIX = re.compile(r"^(bireme|docker): ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def seen(self) -> tuple[int, str]:
        return self.status, self.out

    def says(self, *phrases: str) -> tuple[int, str]:
        """The status and the first of ``phrases`` that the errors hold, whatever the case; else all of the errors."""
        found = (phrase for phrase in phrases if phrase.lower() in self.err.lower())
        return self.status, next(found, self.err)


@dataclass(frozen=True, slots=True)
class Seen:
    """One mount of a container, as ``inspect`` shows it."""

    name: str
    source: Path
    writable: bool


class Refused(AssertionError):
    """The engine does not do what a scenario needs."""


class Side:
    """A command line over an engine; ``command`` is what comes before a verb."""

    name: str

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], api: Path) -> None:
        self.name = name
        self._command = tuple(command)
        self._environ = dict(environ)
        self._api = api

    def words(self, *words: str) -> list[str]:
        """The whole command; a container is made without a network on either side."""
        if words[0] in ("run", "create"):
            words = (words[0], "--network", "none", *words[1:])
        return [*self._command, *words]

    def __call__(self, *words: str, stdin: bytes = b"") -> Done:
        status, *outputs = self._run(self.words(*words), stdin)
        out, err = (output.decode(errors="surrogateescape") for output in outputs)
        return Done(status, out.removesuffix("\n"), _PREFIX.sub("", err).removesuffix("\n"))

    def _run(self, command: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            command, input=stdin, env=self._environ, capture_output=True, timeout=PATIENCE, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        """What a command that has to succeed prints."""
        done = self(*words, stdin=stdin)
        if done.status != 0:
            raise Refused(f"{self.name} {' '.join(words)}: {done.status}, {done.err}")
        return done.out

    def sh(self, script: str, *flags: str, image: str = "s-base") -> str:
        """What a shell script prints in a container of its own."""
        return self.ok("run", "--rm", *flags, image, "sh", "-c", script)

    def make(self, *flags: str, image: str = "s-base", command: Sequence[str] = ("true",)) -> str:
        """A container that is never started."""
        return self.ok("create", *flags, image, *command)

    def ran(self, script: str, *flags: str, image: str = "s-base") -> str:
        """A container that has run a script and exited."""
        container = self.ok("run", "-d", *flags, image, "sh", "-c", script)
        self.ok("wait", container)
        return container

    def running(self, *flags: str, image: str = "s-base") -> str:
        """A container that goes on."""
        return self.ok("run", "-d", *flags, image, "sleep", "60")

    @contextlib.contextmanager
    def beside(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on beside the scenario; it is waited for at the end, and killed if that fails."""
        pipe = subprocess.PIPE
        with subprocess.Popen(self.words(*words), stdin=pipe, stdout=pipe, stderr=pipe, env=self._environ) as process:
            try:
                yield process
                process.communicate(timeout=PATIENCE)
            finally:
                process.kill()

    def wait_for_line(self, container: str, text: str) -> None:
        """Read a container's log as it grows until a line has ``text``."""
        with self.beside("logs", "-f", container) as logs:
            assert logs.stdout is not None
            seen = []
            for line in logs.stdout:
                seen.append(line.decode(errors="replace"))
                if text in seen[-1]:
                    logs.terminate()
                    return
        raise AssertionError(f"the log ended without {text!r}: {''.join(seen)}")

    def inspect(self, container: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.ok("inspect", container))
        return found[0]

    def mounts(self, container: str) -> dict[str, Seen]:
        """The mounts of a container, by destination."""
        return {
            mount["Destination"]: Seen(mount["Name"], Path(mount["Source"]), mount["RW"])
            for mount in self.inspect(container)["Mounts"]
        }

    def destinations(self, container: str) -> list[str]:
        return sorted(self.mounts(container))

    def volume(self, container: str, destination: str) -> Path:
        """The volume's directory on the host."""
        return self.mounts(container)[destination].source

    def volume_name(self, container: str, destination: str) -> str:
        return self.mounts(container)[destination].name

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory of the host for the length of the block."""
        with tempfile.TemporaryDirectory(prefix="parity-") as directory:
            yield Path(directory)

    def containers(self) -> list[str]:
        return [container["Id"] for container in self.api("GET", "/containers/json?all=1")]

    def volumes(self) -> set[str]:
        return {volume["Name"] for volume in self.api("GET", "/volumes")["Volumes"] or ()}

    def clear(self) -> None:
        """Remove all containers and volumes; some may be on their way already."""
        for container in self.containers():
            with contextlib.suppress(Refused):
                self.api("DELETE", f"/containers/{container}?force=1&v=1")
            self.api("POST", f"/containers/{container}/wait?condition=removed", missing=True)
        for volume in self.volumes():
            self.api("DELETE", f"/volumes/{volume}")

    def api(self, method: str, path: str, *, missing: bool = False) -> Any:
        """One exchange with the engine; the JSON of the answer, None if it has no body.

        Raises Refused; not for what is not there, if ``missing`` says that it may be so.
        """
        connection = _UnixConnection(self._api)
        try:
            connection.request(method, f"/v1.41{path}")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status >= 400 and not (missing and answer.status == 404):
            raise Refused(f"{self.name} {method} {path}: {answer.status}, {body.decode()}")
        return json.loads(body) if body else None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))
