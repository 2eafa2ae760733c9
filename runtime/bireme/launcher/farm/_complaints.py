"""What runtimes say when they fail, and which kind of error that is: a table each, one for those not known. Pure."""

from __future__ import annotations

import json
import os
import re

from bireme.launcher._protocol import DRIVER, INVALID, NOT_EXECUTABLE, NOT_FOUND, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ABSENT_IN_PATH = "executable file not found in $PATH"
_ABSENT, _DENIED = "no such file or directory", "permission denied"

Rule = tuple[str, str, str]
"""A regular expression, the kind of error, what is said of the command; "" for the runtime's own words."""

CRUN: Sequence[Rule] = (
    (r"executable file .* not found in \$PATH", NOT_FOUND, _ABSENT_IN_PATH),
    (r"executable file .* not found|stat .*No such file|open executable: (No such|Not a dir)", NOT_FOUND, _ABSENT),
    (r"open executable: Permission denied|cannot find .* in \$PATH|exec.*: Permission denied", NOT_EXECUTABLE, _DENIED),
    (r"(chdir|cwd).*", INVALID, ""),
)
RUNC: Sequence[Rule] = (
    (r"executable file not found in \$PATH", NOT_FOUND, _ABSENT_IN_PATH),
    (r"(exec: |stat ).*no such file or directory", NOT_FOUND, _ABSENT),
    (r"exec: .*(permission denied|is a directory)", NOT_EXECUTABLE, _DENIED),
    (r"chdir to cwd", INVALID, ""),
)
LXC: Sequence[Rule] = (
    (r'No such file or directory - Failed to exec "[^/]*"$', NOT_FOUND, _ABSENT_IN_PATH),
    (r"(No such file or directory|Not a directory|Too many levels .*) - Failed to exec", NOT_FOUND, _ABSENT),
    (r"(Permission denied|Is a directory) - Failed to exec", NOT_EXECUTABLE, _DENIED),
    (r"Exec format error - Failed to exec", NOT_EXECUTABLE, "exec format error"),
)
TABLES: Mapping[str, Sequence[Rule]] = {"crun": CRUN, "runc": RUNC, "lxc-start": LXC}
_ANY = (*RUNC, *CRUN)


def failure(runtime: str, program: str, command: str, said: str) -> Failure:
    """The error for a complaint; what no table knows is the driver's."""
    for pattern, kind, words in TABLES.get(os.path.basename(program), _ANY):
        if re.search(pattern, said):
            if words == _ABSENT_IN_PATH and "/" in command:
                words = _ABSENT
            return Failure(kind, f'exec: "{command}": {words}' if words else said)
    return Failure(DRIVER, f"{runtime}: {said}")


def last_of_json(log: str) -> str:
    """The last error of a log of JSON lines; "" for none."""
    for line in reversed(log.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            return str(entry.get("msg", "")).strip()
    return ""


def first_of_lxc(log: str) -> str:
    """The first error of LXC's log, which is the cause of the others; with what the system said in front."""
    for line in log.splitlines():
        _, found, said = line.partition(" ERROR ")
        if found:
            return said.strip().split(" - ", 2)[-1]
    return "it ended without a reason"
