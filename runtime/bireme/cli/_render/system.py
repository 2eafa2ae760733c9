"""``version`` and ``info`` as text. Pure."""

from __future__ import annotations

from bireme.cli._render.units import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_WIDTH = 19


def version_text(client: Mapping[str, Any], server: Mapping[str, Any] | None) -> str:
    """``server`` is None where none answered."""
    lines = ["Client: Bireme", *_version_lines(client, " ", str(client["ApiVersion"]))]
    if server is not None:
        name = (server.get("Platform") or {}).get("Name") or "Bireme"
        api = f"{server.get('ApiVersion', '')} (minimum version {server.get('MinAPIVersion', '')})"
        lines += ["", f"Server: {name}", " Engine:", *_version_lines(server, "  ", api)]
        for component in server.get("Components") or ():
            if component.get("Name") != "Engine":
                lines += [f" {component.get('Name')}:", _line("  ", "Version", component.get("Version"))]
    return "\n".join(lines) + "\n"


def _version_lines(facts: Mapping[str, Any], indent: str, api: str) -> list[str]:
    lines = [_line(indent, "Version", facts.get("Version")), _line(indent, "API version", api)]
    for title, key in (
        ("Python version", "PythonVersion"),
        ("Kernel version", "KernelVersion"),
        ("Built", "BuildTime"),
    ):
        if facts.get(key):
            lines.append(_line(indent, title, facts[key]))
    return [*lines, _line(indent, "OS/Arch", f"{facts.get('Os', '')}/{facts.get('Arch', '')}")]


def _line(indent: str, title: str, value: object) -> str:
    return f"{indent}{f'{title}:':<{_WIDTH - len(indent)}}{value}"


_INFO = (
    ("Storage Driver", "Driver"),
    ("Logging Driver", "LoggingDriver"),
    ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"),
    ("Default Runtime", "DefaultRuntime"),
    ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
    ("CPUs", "NCPU"),
    ("Total Memory", "MemTotal"),
    ("Name", "Name"),
    ("ID", "ID"),
    ("Bireme Root Dir", "DockerRootDir"),
    ("Engine PID", "EnginePid"),
    ("Launcher PID", "LauncherPid"),
)


_COUNTS = (
    (" Containers", "Containers"),
    ("  Running", "ContainersRunning"),
    ("  Paused", "ContainersPaused"),
    ("  Stopped", "ContainersStopped"),
    (" Images", "Images"),
)


def _runtime(item: tuple[str, Mapping[str, Any]]) -> str:
    """``name (version)``; Docker's engine tells no version here."""
    name, facts = item
    if not facts.get("installed", True):
        return f"{name} (not installed)"
    return f"{name} ({facts['version']})" if facts.get("version") else name


def info_text(client: Mapping[str, Any], server: Mapping[str, Any]) -> str:
    lines = ["Client: Bireme", f" Version:    {client['Version']}", f" Debug Mode: {_word(client['Debug'])}", ""]
    lines += ["Server:", *_counts(server)]
    for title, key in _INFO:
        value = server.get(key)
        if value not in (None, ""):
            lines.append(f" {title}: {binary_size(value) if key == 'MemTotal' else value}")
        if key == "DefaultRuntime" and server.get("Runtimes"):
            lines.insert(-1, f" Runtimes: {' '.join(map(_runtime, sorted(server['Runtimes'].items())))}")
        if key == "CgroupVersion":
            lines += _security(server.get("SecurityOptions") or ())
    if "Debug" in server:
        lines.append(f" Debug Mode: {_word(server['Debug'])}")
    return "\n".join(lines) + "\n"


def _counts(server: Mapping[str, Any]) -> list[str]:
    lines = [f"{title}: {server.get(key, 0)}" for title, key in _COUNTS]
    return [*lines, f" Server Version: {server.get('ServerVersion', '')}"]


def _security(options: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for option in options:
        name, *more = option.split(",")
        lines.append(f"  {name.removeprefix('name=')}")
        lines += [f"   {key.capitalize()}: {value}" for key, _, value in (item.partition("=") for item in more)]
    return [" Security Options:", *lines] if lines else []


def _word(value: object) -> str:
    return "true" if value else "false"
