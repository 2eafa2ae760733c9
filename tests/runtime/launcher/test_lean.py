"""What the launcher's process loads: every module of it is copied by every clone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "runtime"
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from bireme.launcher import _boot, _cgroups, _hierarchies, _plain, _server, sandbox
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = ("asyncio", "dataclasses", "inspect", "logging", "subprocess", "tarfile", "tempfile", "threading", "typing")


def test_the_launcher_loads_little() -> None:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(SOURCE)]
    loaded = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    ours = {name for name in loaded if name.partition(".")[0] in ("bireme", "bireme_actors")}
    others = {name for name in ours if not name.startswith("bireme.launcher")}
    assert others <= {"bireme", "bireme._calls", "bireme._syscalls"}
    assert not ours & {"bireme.launcher.client", "bireme.launcher.requests", "bireme.launcher.archive"}
    assert not {name.partition(".")[0] for name in loaded} & {"trio", "anyio", "msgspec", "h11"}
    assert not set(HEAVY) & set(loaded)
