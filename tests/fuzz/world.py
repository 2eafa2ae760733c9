"""What the requests of a fuzz meet: an engine that tells how many tasks it has, and a container of every kind."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from tests.runtime.server.served import Engine

PROGRAM = """
import logging, os, sys
import trio
from bireme.server import run
root, run_dir, ready, asking, answering = sys.argv[1:]

async def count():
    while True:
        await trio.lowlevel.wait_readable(int(asking))
        if not os.read(int(asking), 1):
            return
        os.write(int(answering), b"%d\\n" % trio.lowlevel.current_statistics().tasks_living)

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await run._run(run.EngineSettings(root=root, run_dir=run_dir, ready_fd=int(ready)))
        nursery.cancel_scope.cancel()

logging.basicConfig(level=logging.INFO)
trio.run(main)
"""

_SETTLED_SECONDS = 20.0


class World:
    """One engine, with containers that are made anew before each round."""

    def __init__(self, directory: Path) -> None:
        self._ask_read, self._ask_write = os.pipe()
        self._answer_read, self._answer_write = os.pipe()
        self.engine = Engine(directory, program=PROGRAM, extra=(self._ask_read, self._answer_write))
        os.close(self._ask_read)
        os.close(self._answer_write)
        self.names: Mapping[str, str] = {}
        self._make("first", ["true"], start=True, PidMode="host")  # its launcher stays
        self.clean()

    def close(self) -> None:
        self.clean()
        self.engine.shutdown()
        os.close(self._ask_write)
        os.close(self._answer_read)

    def renew(self) -> None:
        """Everything is removed and one of each kind is made."""
        self.clean()
        running = self._make("running", ["sleep", "600"], start=True)
        paused = self._make("paused", ["sleep", "600"], start=True, PidMode="host")
        self._ok("POST", f"/containers/{paused}/pause")
        exited = self._make("exited", ["sh", "-c", "echo out; echo err >&2; exit 3"], start=True)
        self._ok("POST", f"/containers/{exited}/wait")
        removed = self._make("removed", ["true"], start=False)
        self._ok("DELETE", f"/containers/{removed}?v=1")
        status, made = self.engine.ask("POST", f"/containers/{running}/exec", {"Cmd": ["cat"], "AttachStdin": True})
        assert status == 201, made
        created = self._make("created", ["true"], start=False)
        volume = self.engine.ask("GET", f"/containers/{created}/json")[1]["Mounts"][0]["Name"]
        self.names = {
            "running": running, "paused": paused, "exited": exited, "removed": removed, "created": created,
            "exec": made["Id"], "volume": volume,
        }  # fmt: skip

    def clean(self) -> None:
        """Remove every container and every volume."""
        for container in self.engine.ask("GET", "/containers/json?all=1")[1]:
            status, answer = self.engine.ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
            assert status in (204, 404), answer
        self._ok("POST", "/volumes/prune")

    def _make(self, name: str, command: list[str], *, start: bool, **host: str) -> str:
        body = {"Image": "busybox", "Cmd": command, "Volumes": {"/data": {}}, "Labels": {"kind": name}}
        body["HostConfig"] = host
        status, made = self.engine.ask("POST", f"/containers/create?name={name}", body)
        assert status == 201, made
        if start:
            self._ok("POST", f"/containers/{made['Id']}/start")
        return str(made["Id"])

    def _ok(self, method: str, path: str) -> None:
        status, answer = self.engine.ask(method, path)
        assert status < 300, (method, path, answer)

    def filled(self, text: str) -> str:
        """A target or a body with the ids put in, also where the names are quoted."""
        for kind, identifier in self.names.items():
            text = text.replace(f"{{{kind}}}", identifier).replace(quote(f"{{{kind}}}"), identifier)
        return re.sub(r"[{}]", lambda brace: quote(brace[0]), text)

    # What must not grow.

    def tasks(self) -> int:
        """Tasks that the engine has now."""
        os.write(self._ask_write, b"?")
        return int(os.read(self._answer_read, 100))

    def descriptors(self) -> int:
        """Descriptors of the engine and of its launcher."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self._processes())

    def _processes(self) -> tuple[int, int]:
        return self.engine.process.pid, int(self.engine.ask("GET", "/info")[1]["LauncherPid"])

    def children(self) -> list[int]:
        """Processes that the launcher has now."""
        launcher = self._processes()[1]
        found: list[int] = []
        with contextlib.suppress(FileNotFoundError):
            found = [int(pid) for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]
        return found

    def counts(self) -> tuple[int, int, int]:
        """Tasks, descriptors, children."""
        return self.tasks(), self.descriptors(), len(self.children())

    def quiet(self) -> tuple[int, int, int]:
        """The counts, once they have been the same five times in a row."""
        last, same = self.counts(), 1
        end = time.monotonic() + _SETTLED_SECONDS
        while same < 5:
            assert time.monotonic() < end, f"the engine does not come to rest: {last}"
            self.engine.ask("GET", "/_ping")
            counts = self.counts()
            last, same = counts, same + 1 if counts == last else 1
        return last

    def settled(self, most: tuple[int, int, int]) -> tuple[int, int, int]:
        """The counts, once they are no more than ``most``, or have not become so for long."""
        end = time.monotonic() + _SETTLED_SECONDS
        counts = self.counts()
        while any(now > bound for now, bound in zip(counts, most, strict=True)) and time.monotonic() < end:
            self.engine.ask("GET", "/_ping")
            counts = self.counts()
        return counts
