"""What moves containers through their lives, several at once: from ``pause`` to ``rm``, and ``wait`` for the end."""

from __future__ import annotations

from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._errors import ApiError, CliError, Gone
from bireme.cli._flags import INT, STRING, Flag
from bireme.cli._session import say, warn
from bireme.cli._values import parse_bytes, parse_cpus, parse_restart, parse_swap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bireme.cli._flags import Values
    from bireme.cli._http import Response
    from bireme.cli._session import Session

_MANY = "CONTAINER [CONTAINER...]"
_SIGNAL = Flag("signal", "s", STRING, "Signal to send to the container")
_TIMEOUT = Flag("timeout", "t", INT, "Seconds to wait before killing the container")
_TIME = Flag("time", "", INT, "The same as --timeout")


def _post(action: str) -> Callable[[Session, Values, list[str]], int]:
    def act(session: Session, options: Values, arguments: list[str]) -> int:
        client = session.client
        return session.each(arguments, lambda name: client.call("POST", f"/containers/{quote(name)}/{action}"))

    return act


def _stop_like(action: str) -> Callable[[Session, Values, list[str]], int]:
    def act(session: Session, options: Values, arguments: list[str]) -> int:
        client = session.client
        grace = options.number("timeout" if options.given("timeout") else "time")
        query = {"signal": options.text("signal") or None, "t": grace}
        return session.each(arguments, lambda name: client.call("POST", f"/containers/{quote(name)}/{action}", query))

    return act


def kill(session: Session, options: Values, arguments: list[str]) -> int:
    client, query = session.client, {"signal": options.text("signal") or None}
    return session.each(arguments, lambda name: client.call("POST", f"/containers/{quote(name)}/kill", query))


def remove(session: Session, options: Values, arguments: list[str]) -> int:
    client = session.client
    query = {"force": options.on("force"), "v": options.on("volumes")}

    def act(name: str) -> None:
        if not name.strip("/"):
            raise CliError("Container name cannot be empty")
        try:
            client.call("DELETE", f"/containers/{quote(name)}", query)
        except ApiError as error:
            if error.code == 404 and options.on("force"):
                raise Gone(error.message) from error  # as was asked for
            raise

    return session.each(arguments, act)


def wait(session: Session, options: Values, arguments: list[str]) -> int:
    """Every wait is on the engine's books before the first is answered, so a container that goes is not missed."""
    from bireme.cli._foreground import exit_status

    status = 0
    answers: list[Response | CliError] = [_register(session, name) for name in arguments]
    for answer in answers:
        try:
            if isinstance(answer, CliError):
                raise answer
            say(str(exit_status(answer)))
        except CliError as error:
            warn(error.message)
            status = 1
    return status


def _register(session: Session, name: str) -> Response | CliError:
    try:
        return session.client.open("POST", f"/containers/{quote(name)}/wait")
    except ApiError as error:
        return error


def rename(session: Session, options: Values, arguments: list[str]) -> int:
    old, new = arguments
    if not old or not new:
        raise CliError("Error: Neither old nor new names may be empty")
    try:
        session.client.call("POST", f"/containers/{quote(old)}/rename", {"name": new})
    except ApiError as error:
        raise CliError(f"{error.message}\nError: failed to rename container named {old}") from error
    return 0


def update(session: Session, options: Values, arguments: list[str]) -> int:
    body = {
        "Memory": parse_bytes(options.text("memory") or "0") or None,
        "MemoryReservation": parse_bytes(options.text("memory-reservation") or "0") or None,
        "MemorySwap": parse_swap(options.text("memory-swap") or "0") or None,
        "NanoCpus": parse_cpus(options.text("cpus") or "0") or None,
        "CpuShares": options.number("cpu-shares"),
        "CpusetCpus": options.text("cpuset-cpus") or None,
        "CpusetMems": options.text("cpuset-mems") or None,
        "PidsLimit": options.number("pids-limit"),
        "RestartPolicy": parse_restart(options.text("restart")) if options.given("restart") else None,
    }
    body = {key: value for key, value in body.items() if value is not None}
    if not body:
        raise CliError("you must provide one or more flags when using this command")
    client = session.client
    return session.each(arguments, lambda name: client.call("POST", f"/containers/{quote(name)}/update", None, body))


_UPDATE_FLAGS = (
    Flag("cpu-shares", "c", INT, "CPU shares (relative weight)"),
    Flag("cpus", "", "decimal", "Number of CPUs", check=parse_cpus),
    Flag("cpuset-cpus", "", STRING, "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "", STRING, "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("memory", "m", "bytes", "Memory limit", check=parse_bytes),
    Flag("memory-reservation", "", "bytes", "Memory soft limit", check=parse_bytes),
    Flag("memory-swap", "", "bytes", "Swap limit equal to memory plus swap: -1 for unlimited swap", check=parse_swap),
    Flag("pids-limit", "", INT, "Tune container pids limit (set -1 for unlimited)"),
    Flag("restart", "", STRING, "Restart policy to apply when a container exits", check=parse_restart),
)

COMMANDS = {
    command.name: command
    for command in (
        Command(
            "stop",
            f"stop [OPTIONS] {_MANY}",
            "Stop one or more running containers",
            _stop_like("stop"),
            flags=(_SIGNAL, _TIMEOUT, _TIME),
            least=1,
        ),
        Command(
            "restart",
            f"restart [OPTIONS] {_MANY}",
            "Restart one or more containers",
            _stop_like("restart"),
            flags=(_SIGNAL, _TIMEOUT, _TIME),
            least=1,
        ),
        Command(
            "kill", f"kill [OPTIONS] {_MANY}", "Kill one or more running containers", kill, flags=(_SIGNAL,), least=1
        ),
        Command(
            "pause", f"pause {_MANY}", "Pause all processes within one or more containers", _post("pause"), least=1
        ),
        Command(
            "unpause",
            f"unpause {_MANY}",
            "Unpause all processes within one or more containers",
            _post("unpause"),
            least=1,
        ),
        Command(
            "rm",
            f"rm [OPTIONS] {_MANY}",
            "Remove one or more containers",
            remove,
            least=1,
            flags=(
                Flag("force", "f", summary="Force the removal of a running container (uses SIGKILL)"),
                Flag("volumes", "v", summary="Remove the volumes of the container that nobody else holds"),
            ),
        ),
        Command(
            "wait",
            f"wait {_MANY}",
            "Block until one or more containers stop, then print their exit codes",
            wait,
            least=1,
        ),
        Command("rename", "rename CONTAINER NEW_NAME", "Rename a container", rename, least=2, most=2),
        Command(
            "update",
            f"update [OPTIONS] {_MANY}",
            "Update configuration of one or more containers",
            update,
            flags=_UPDATE_FLAGS,
            least=1,
        ),
    )
}
