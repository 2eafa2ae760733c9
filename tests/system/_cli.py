"""The command line as a caller sees it: words in, status, output and errors out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.house import SOURCE_ROOTS

PATIENCE = 50
"""Seconds any one command may take."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


class Cli:
    """The command line, with the words that follow ``bireme``."""

    def __init__(self, root: Path, run_dir: Path) -> None:
        self.root = root
        self.run_dir = run_dir
        self.environ = {
            **os.environ,
            "BIREME_ROOT": str(root),
            "BIREME_RUN": str(run_dir),
            "PYTHONPATH": os.pathsep.join(map(str, SOURCE_ROOTS)),
        }

    @staticmethod
    def command(*words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "bireme", *words]

    def __call__(self, *words: str, stdin: bytes = b"") -> Done:
        done = subprocess.run(
            self.command(*words), input=stdin, env=self.environ, capture_output=True, timeout=PATIENCE, check=False
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        """What a command that has to succeed prints, without the last newline."""
        done = self(*words, stdin=stdin)
        assert done.status == 0, f"bireme {' '.join(words)}: {done.status}, {done.err}"
        return done.out.removesuffix("\n")

    def popen(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that goes on beside the test; the test ends it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*words), stdin=pipe, stdout=pipe, stderr=pipe, env=self.environ)

    def wait_for_line(self, container: str, text: str) -> None:
        """Read a container's log as it grows, until a line has ``text``."""
        command = self.command("logs", "-f", container)
        logs = subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with logs:
            assert logs.stdout is not None
            seen = []
            for line in logs.stdout:
                seen.append(line)
                if text in line:
                    logs.terminate()
                    return
        raise AssertionError(f"the log ended without {text!r}: {''.join(seen)}")

    def containers(self) -> list[str]:
        return self.ok("ps", "-a", "-q", "--no-trunc").split()

    def volumes(self) -> set[str]:
        """The volumes on the disk."""
        return {entry.name for entry in (self.root / "volumes").iterdir() if not entry.name.startswith(".")}

    def clear(self) -> None:
        """Remove all containers with their volumes."""
        containers = self.containers()
        if containers:
            self.ok("rm", "-f", "-v", *containers)


def sh(script: str) -> tuple[str, str, str]:
    """A command for a container: the shell with a script."""
    return ("sh", "-c", script)


def end(client: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Wait for a command's end: status, output, errors."""
    out, err = client.communicate(timeout=PATIENCE)
    return client.returncode, out, err
