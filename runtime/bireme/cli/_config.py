"""The flags of ``run`` and ``create``, and the request body they make. Pure, but for the files they name."""

from __future__ import annotations

from bireme.cli._errors import ENGINE_ERROR, CliError, UsageError
from bireme.cli._flags import INT, LIST, STRING, Flag
from bireme.cli._refused import REFUSED_FLAGS
from bireme.cli._values import (
    check_address,
    check_environment,
    check_hardware_address,
    check_host,
    check_label,
    environment,
    host_entry,
    labels,
    parse_bytes,
    parse_cpus,
    parse_duration,
    parse_restart,
    parse_swap,
    parse_ulimit,
)
from bireme.cli._volumes import check_tmpfs, check_volume, check_volumes_from, parse_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bireme.cli._flags import Values

PULL = ("always", "missing", "never")
_UTS = ("", "host")
_PID = (("", False, False), ("host", False, False), ("container", True, True))
"""A kind, whether there is a colon, and whether something is behind it."""
_STREAMS = ("stdin", "stdout", "stderr")


_HEALTH_SPANS = {
    "Interval": "health-interval",
    "Timeout": "health-timeout",
    "StartPeriod": "health-start-period",
    "StartInterval": "health-start-interval",
}


def _check_stream(text: str) -> None:
    if text.lower() not in _STREAMS:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")


def _check_pair(text: str) -> None:
    if "=" not in text:
        raise ValueError("write it as NAME=VALUE")


def _check_security(text: str) -> None:
    name = text.partition("=")[0].partition(":")[0]
    if name not in ("no-new-privileges", "seccomp", "apparmor", "label", "systempaths", "writable-cgroups"):
        raise ValueError(f"invalid --security-opt: {text!r}")


CREATE_FLAGS = (
    *REFUSED_FLAGS,
    Flag("add-host", "", LIST, "Add a custom host-to-IP mapping (host:ip)", check=check_host),
    Flag("annotation", "", LIST, "Add an annotation to the container", check=_check_pair),
    Flag("attach", "a", LIST, "Attach to STDIN, STDOUT or STDERR", check=_check_stream),
    Flag("cap-add", "", LIST, "Add Linux capabilities"),
    Flag("cap-drop", "", LIST, "Drop Linux capabilities"),
    Flag("cgroupns", "", STRING, "Cgroup namespace to use: private"),
    Flag("cidfile", "", STRING, "Write the container ID to the file"),
    Flag("cpu-period", "", INT, "Limit CPU CFS (Completely Fair Scheduler) period"),
    Flag("cpu-quota", "", INT, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    Flag("cpu-shares", "c", INT, "CPU shares (relative weight)"),
    Flag("cpus", "", "decimal", "Number of CPUs", check=parse_cpus),
    Flag("cpuset-cpus", "", STRING, "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "", STRING, "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("dns", "", LIST, "Set custom DNS servers", check=check_address),
    Flag("dns-option", "", LIST, "Set DNS options", old="dns-opt"),
    Flag("dns-search", "", LIST, "Set custom DNS search domains"),
    Flag("domainname", "", STRING, "Container NIS domain name"),
    Flag("entrypoint", "", STRING, "Overwrite the default ENTRYPOINT of the image"),
    Flag("env", "e", LIST, "Set environment variables", check=check_environment),
    Flag("env-file", "", LIST, "Read in a file of environment variables"),
    Flag("expose", "", LIST, "Expose a port or a range of ports"),
    Flag("group-add", "", LIST, "Add additional groups to join"),
    Flag("health-cmd", "", STRING, "Command to run to check health"),
    Flag("health-interval", "", "duration", "Time between running the check (ms|s|m|h)", check=parse_duration),
    Flag("health-retries", "", INT, "Consecutive failures needed to report unhealthy"),
    Flag("health-start-interval", "", "duration", "Time between checks in the start period", check=parse_duration),
    Flag("health-start-period", "", "duration", "Time in which failures do not count yet", check=parse_duration),
    Flag("health-timeout", "", "duration", "Maximum time to allow one check to run", check=parse_duration),
    Flag("hostname", "h", STRING, "Container host name"),
    Flag("init", "", summary="Run an init inside the container that forwards signals and reaps processes"),
    Flag("interactive", "i", summary="Keep STDIN open even if not attached"),
    Flag("ipc", "", STRING, "IPC mode to use: private, shareable or none"),
    Flag("isolation", "", STRING, "Container isolation technology: default"),
    Flag("label", "l", LIST, "Set meta data on a container", check=check_label),
    Flag("label-file", "", LIST, "Read in a line delimited file of labels"),
    Flag("log-driver", "", STRING, "Logging driver for the container: json-file, local or none"),
    Flag("log-opt", "", LIST, "Log driver options: max-size=10m, max-file=3", check=_check_pair),
    Flag("mac-address", "", STRING, "Container MAC address, which is not used", check=check_hardware_address),
    Flag("memory", "m", "bytes", "Memory limit", check=parse_bytes),
    Flag("memory-reservation", "", "bytes", "Memory soft limit", check=parse_bytes),
    Flag("memory-swap", "", "bytes", "Swap limit equal to memory plus swap: -1 for unlimited swap", check=parse_swap),
    Flag("mount", "", "mount", "Make a volume or a tmpfs (type=TYPE,target=PATH)", repeatable=True, check=parse_mount),
    Flag("name", "", STRING, "Assign a name to the container"),
    Flag("network", "", LIST, "Connect the container to a network: none (loopback only) or host", old="net"),
    Flag("no-healthcheck", "", summary="Disable any container-specified HEALTHCHECK"),
    Flag("oom-score-adj", "", INT, "Tune host's OOM preferences (-1000 to 1000)"),
    Flag("pid", "", STRING, "PID namespace to use: host"),
    Flag("pids-limit", "", INT, "Tune container pids limit (set -1 for unlimited)"),
    Flag("platform", "", STRING, "Platform of the image, os/arch[/variant]"),
    Flag("privileged", "", summary="Give extended privileges to this container"),
    Flag(
        "pull",
        "",
        STRING,
        'Pull image before running ("always", "missing", "never") (default "missing")',
        default="missing",
    ),
    Flag("quiet", "q", summary="Suppress the pull output"),
    Flag("read-only", "", summary="Mount the container's root filesystem as read only"),
    Flag("restart", "", STRING, 'Restart policy to apply when a container exits (default "no")', check=parse_restart),
    Flag("rm", "", summary="Automatically remove the container and its volumes when it exits"),
    Flag("runtime", "", STRING, "Driver to use for this container"),
    Flag("security-opt", "", LIST, "Security Options", check=_check_security),
    Flag("shm-size", "", "bytes", "Size of /dev/shm", check=parse_bytes),
    Flag("stop-signal", "", STRING, "Signal to stop the container"),
    Flag("stop-timeout", "", INT, "Timeout (in seconds) to stop a container"),
    Flag("tmpfs", "", LIST, "Mount a tmpfs directory, PATH[:OPTIONS]", check=check_tmpfs),
    Flag("tty", "t", summary="Allocate a pseudo-TTY"),
    Flag("ulimit", "", "ulimit", "Ulimit options", repeatable=True, check=parse_ulimit),
    Flag("user", "u", STRING, "Username or UID (format: <name|uid>[:<group|gid>])"),
    Flag("userns", "", STRING, "User namespace to use: host"),
    Flag("uts", "", STRING, "UTS namespace to use: host"),
    Flag("volume", "v", LIST, "Make a volume at a path of the container", check=check_volume),
    Flag("volume-driver", "", STRING, "Volume driver for the container: local"),
    Flag(
        "volumes-from",
        "",
        LIST,
        "Mount volumes from the specified container(s), CONTAINER[:ro|rw]",
        check=check_volumes_from,
    ),
    Flag("workdir", "w", STRING, "Working directory inside the container"),
)

RUN_FLAGS = (
    *CREATE_FLAGS,
    Flag("detach", "d", summary="Run container in background and print container ID"),
    Flag("detach-keys", "", STRING, "Override the key sequence for detaching a container"),
    Flag("sig-proxy", "", summary="Proxy received signals to the process (default true)", default="true"),
)


def check_options(options: Values) -> None:
    """Raises UsageError where flags contradict each other or a word is none of those allowed."""
    if options.text("pull") not in PULL:
        raise UsageError(
            f'bireme: invalid pull option: \'{options.text("pull")}\': must be one of "always", "missing" or "never"',
            ENGINE_ERROR,
        )
    _check_modes(options)
    if options.on("rm") and parse_restart(options.text("restart"))["Name"] != "no":
        raise UsageError("bireme: conflicting options: cannot specify both --restart and --rm", ENGINE_ERROR)


def _check_modes(options: Values) -> None:
    """As far as Docker's command does; the engine does the rest."""
    kind, colon, container = options.text("pid").partition(":")
    if (kind, bool(colon), bool(container)) not in _PID:
        raise UsageError("bireme: --pid: invalid PID mode", ENGINE_ERROR)
    if options.text("uts") not in _UTS:
        raise UsageError("bireme: --uts: invalid UTS mode", ENGINE_ERROR)


def attached(options: Values, detach: bool) -> dict[str, bool]:
    """Which of the three streams this client takes part in."""
    if detach:
        return dict.fromkeys(_STREAMS, False)
    named = {stream.lower() for stream in options.many("attach")}
    if named:
        return {stream: stream in named for stream in _STREAMS}
    return {"stdin": options.on("interactive"), "stdout": True, "stderr": True}


def create_body(
    options: Values,
    image: str,
    words: list[str],
    *,
    streams: Mapping[str, bool],
    environ: Mapping[str, str],
    console: tuple[int, int] = (0, 0),
) -> dict[str, Any]:
    """The body of ``POST /containers/create``. Raises CliError for a file that cannot be read."""
    try:
        body = _container(options, image, words, streams, environ)
    except OSError as error:
        raise CliError(f"bireme: open {error.filename}: {(error.strerror or '').lower()}", ENGINE_ERROR) from None
    except ValueError as error:
        raise CliError(f"bireme: {error}", ENGINE_ERROR) from None
    host = _host(options)
    if console != (0, 0):
        host["ConsoleSize"] = list(console)
    return {**body, "HostConfig": host}


def _container(
    options: Values, image: str, words: list[str], streams: Mapping[str, bool], environ: Mapping[str, str]
) -> dict[str, Any]:
    stdin_open = options.on("interactive") or streams["stdin"]
    body: dict[str, Any] = {
        "Image": image,
        "Cmd": words or None,
        "Env": environment(options.many("env-file"), options.many("env"), environ),
        "Labels": labels(options.many("label-file"), options.many("label")),
        "Volumes": {path: {} for path in options.many("volume")},
        "ExposedPorts": {_port(text): {} for text in options.many("expose")},
        "AttachStdin": streams["stdin"],
        "AttachStdout": streams["stdout"],
        "AttachStderr": streams["stderr"],
        "Tty": options.on("tty"),
        "OpenStdin": stdin_open,
        "StdinOnce": stdin_open and streams["stdin"],
        "Hostname": options.text("hostname"),
        "MacAddress": options.text("mac-address"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        "WorkingDir": options.text("workdir"),
        "StopSignal": options.text("stop-signal"),
        "StopTimeout": options.number("stop-timeout"),
    }
    body["Healthcheck"] = _health(options)
    body = {key: value for key, value in body.items() if value not in (None, "", False, [], {})}
    if options.given("stop-timeout"):
        body["StopTimeout"] = options.number("stop-timeout")
    if options.given("entrypoint"):
        # An empty text takes the image's entrypoint away; as a list of one empty text the API can say so.
        body["Entrypoint"] = [options.text("entrypoint")]
    return body


def _health(options: Values) -> dict[str, Any]:
    """Raises CliError where a check is given and taken away at once."""
    command = options.text("health-cmd")
    check = {
        "Test": ["CMD-SHELL", command] if command else None,
        "Retries": options.number("health-retries"),
        **{key: round(parse_duration(options.text(flag) or "0s") * 1e9) for key, flag in _HEALTH_SPANS.items()},
    }
    check = {key: value for key, value in check.items() if value}
    if not options.on("no-healthcheck"):
        return check
    if check:
        raise CliError("bireme: --no-healthcheck conflicts with --health-* options", ENGINE_ERROR)
    return {"Test": ["NONE"]}


def _port(text: str) -> str:
    return text if "/" in text else f"{text}/tcp"


def _host(options: Values) -> dict[str, Any]:
    host: dict[str, Any] = {
        "Annotations": labels((), options.many("annotation")),
        "AutoRemove": options.on("rm"),
        "CapAdd": options.many("cap-add"),
        "CapDrop": options.many("cap-drop"),
        "CgroupnsMode": options.text("cgroupns"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "Dns": options.many("dns"),
        "DnsOptions": options.many("dns-option"),
        "DnsSearch": options.many("dns-search"),
        "ExtraHosts": [host_entry(text) for text in options.many("add-host")],
        "GroupAdd": options.many("group-add"),
        "Init": options.on("init"),
        "IpcMode": options.text("ipc"),
        "Isolation": options.text("isolation"),
        "LogConfig": _log_config(options),
        "Memory": parse_bytes(options.text("memory") or "0"),
        "MemoryReservation": parse_bytes(options.text("memory-reservation") or "0"),
        "MemorySwap": parse_swap(options.text("memory-swap") or "0"),
        "CpuShares": options.number("cpu-shares"),
        "CpusetCpus": options.text("cpuset-cpus") or None,
        "CpusetMems": options.text("cpuset-mems") or None,
        "Mounts": [parse_mount(text) for text in options.many("mount")],
        "NanoCpus": parse_cpus(options.text("cpus") or "0"),
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidMode": options.text("pid") or None,
        "PidsLimit": options.number("pids-limit"),
        "Privileged": options.on("privileged"),
        "ReadonlyRootfs": options.on("read-only"),
        "Runtime": options.text("runtime") or None,
        "SecurityOpt": _security(options.many("security-opt")),
        "ShmSize": parse_bytes(options.text("shm-size") or "0"),
        "Tmpfs": {path: rest for path, _, rest in (text.partition(":") for text in options.many("tmpfs"))},
        "UTSMode": options.text("uts") or None,
        "Ulimits": [parse_ulimit(text) for text in options.many("ulimit")],
        "UsernsMode": options.text("userns"),
        "VolumeDriver": options.text("volume-driver"),
        "VolumesFrom": options.many("volumes-from"),
    }
    host = {key: value for key, value in host.items() if value not in (None, "", 0, False, [], {})}
    host["NetworkMode"] = _network(options.many("network"))
    host["RestartPolicy"] = parse_restart(options.text("restart"))
    return host


def _network(names: list[str]) -> str:
    """Raises CliError where there is more than one, or more than a name."""
    if len(names) > 1:
        raise CliError(f"bireme: a container cannot be on several networks: {', '.join(names)}", ENGINE_ERROR)
    name = (names or ["default"])[0].removeprefix("name=")
    if not name:
        raise CliError("bireme: no name set for network", ENGINE_ERROR)
    if "=" in name:
        raise CliError(f"bireme: invalid network {name!r}: a name is all that can be said: none, or host", ENGINE_ERROR)
    return name


def _log_config(options: Values) -> dict[str, Any]:
    """Raises CliError for options of a log that is not kept."""
    if options.text("log-driver") == "none" and options.many("log-opt"):
        raise CliError("bireme: invalid logging opts for driver none", ENGINE_ERROR)
    given = dict(text.split("=", 1) for text in options.many("log-opt"))
    config = {"Type": options.text("log-driver"), "Config": given}
    return {key: value for key, value in config.items() if value}


def _security(texts: list[str]) -> list[str]:
    """A seccomp profile goes as its content. Raises CliError if its file cannot be read."""
    result: list[str] = []
    for text in texts:
        name, _, value = text.partition("=")
        if name == "seccomp" and value not in ("unconfined", "builtin", "default", ""):
            try:
                with open(value, encoding="utf-8") as file:
                    text = f"seccomp={file.read()}"
            except (OSError, UnicodeDecodeError) as error:
                raise CliError(f"bireme: opening seccomp profile ({value}) failed: {error}", ENGINE_ERROR) from None
        result.append(text)
    return result
