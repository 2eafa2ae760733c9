"""Exit statuses, and what goes in and out of a container's command."""

from __future__ import annotations

import hashlib
import re

from tests.parity._catalogue import scenario
from tests.parity._side import Side

EVERY_BYTE = bytes(range(256)) * 64


@scenario("E01", "run returns the container's exit status", [23, 0, 255])
def status(side: Side) -> object:
    return [side("run", "--rm", "s-base", "sh", "-c", f"exit {code}").status for code in (23, 0, 255)]


@scenario("E02", "an engine error (unknown image, bad flag) is 125",
          [(125, "No such image: nosuch-image-zz:latest"), (125, "unknown flag: --no-such-flag")])
def engine_errors(side: Side) -> object:
    return [
        side("run", "--pull", "never", "nosuch-image-zz", "true").says("No such image: nosuch-image-zz:latest"),
        side("run", "--no-such-flag", "s-base", "true").says("unknown flag: --no-such-flag"),
    ]


@scenario("E03", "command not found is 127, not executable is 126",
          [(127, "executable file not found in $PATH"), (126, "permission denied"), (127, "no such file or directory")])
def not_found(side: Side) -> object:
    return [
        side("run", "--rm", "s-base", "nosuchcmd").says("executable file not found in $PATH"),
        side("run", "--rm", "s-base", "/etc/passwd").says("permission denied"),
        side("run", "--rm", "s-base", "/no/such").says("no such file or directory"),
    ]


@scenario("E04", "stdout and stderr arrive apart, in the foreground and from logs", [("o", "e"), ("o", "e")])
def apart(side: Side) -> object:
    script = ("s-base", "sh", "-c", "echo o; echo e >&2")
    foreground = side("run", *script)
    container = side.ok("run", "-d", *script)
    side.ok("wait", container)
    logs = side("logs", container)
    return [(done.out, done.err) for done in (foreground, logs)]


@scenario("E05", "run -i passes stdin and its end", "abc")
def stdin(side: Side) -> object:
    return side.ok("run", "--rm", "-i", "s-base", "cat", stdin=b"abc")


@scenario("E06", "without -i there is no stdin", "")
def no_stdin(side: Side) -> object:
    return side.ok("run", "--rm", "s-base", "cat", stdin=b"abc")


@scenario("E07", "every byte comes back as it went in", True)
def bytes_back(side: Side) -> object:
    out = side("run", "--rm", "-i", "s-base", "cat", stdin=EVERY_BYTE).out
    return out.encode(errors="surrogateescape") == EVERY_BYTE


@scenario("E08", "a long output is whole, in the foreground and in the logs", (True, True))
def long_output(side: Side) -> object:
    script = "seq 1 100000"
    expected = hashlib.sha256("\n".join(map(str, range(1, 100001))).encode()).hexdigest()
    container = side.ran(script)
    outputs = side.sh(script), side.ok("logs", container)
    return tuple(hashlib.sha256(out.encode()).hexdigest() == expected for out in outputs)


@scenario("E09", "an entrypoint takes the command as its arguments; --entrypoint replaces both",
          ["entry cmd", "entry own", "root", "own entry"])
def entrypoint(side: Side) -> object:
    return [
        side.ok("run", "--rm", "s-entry"),
        side.ok("run", "--rm", "s-entry", "own"),
        side.ok("run", "--rm", "--entrypoint", "whoami", "s-entry"),
        side.ok("run", "--rm", "--entrypoint", "echo", "s-entry", "own", "entry"),
    ]


@scenario("E10", "environment: the image's, over it -e; an empty value; the working directory",
          "image|mine|||/work/dir")
def environment(side: Side) -> object:
    return side.sh('echo "$A|$B|$C|$D|$(pwd)"', "-e", "B=mine", "-e", "C=", image="s-env")


@scenario("E11", "-u takes names, numbers and groups", ["1000:1000", "1000:1000", "5:0", "5:6", "0:1000"])
def users(side: Side) -> object:
    return [side.sh("echo $(id -u):$(id -g)", "-u", user) for user in ("ann", "1000", "5", "5:6", "root:ann")]


@scenario("E12", "an unknown user is refused", (125, True))
def unknown_user(side: Side) -> object:
    done = side("run", "--rm", "-u", "nosuch", "s-base", "true")
    return done.status, "nosuch" in done.err


@scenario("E13", "start -a returns the status and the output", (6, "out"))
def start_attached(side: Side) -> object:
    return side("start", "-a", side.make(command=["sh", "-c", "echo out; exit 6"])).seen


@scenario("E14", "start of an unknown container", (1, "No such container: nosuch"))
def start_unknown(side: Side) -> object:
    return side("start", "nosuch").says("No such container: nosuch")


@scenario("E15", "start of a running container is no error", 0)
def start_running(side: Side) -> object:
    return side("start", side.running()).status


@scenario("E16", "exec returns its command's status; 127 where there is none, 126 where it cannot be run",
          [5, 126, 126], bireme=[5, 127, 126],
          why="exec of an unknown command ends with 127, as run does and as later Docker versions do")
def exec_status(side: Side) -> object:
    container = side.running()
    commands = (("sh", "-c", "exit 5"), ("nosuchcmd",), ("/etc/passwd",))
    return [side("exec", container, *command).status for command in commands]


@scenario("E17", "exec in a container that does not run", (1, "is not running"))
def exec_idle(side: Side) -> object:
    return side("exec", side.ran("true"), "true").says("is not running")


@scenario("E18", "exec -i passes stdin; -e, -u and -w are its own", ("abc", "1|5|/tmp"))
def exec_flags(side: Side) -> object:
    container = side.running()
    out = side.ok("exec", "-e", "E=1", "-u", "5", "-w", "/tmp", container, "sh", "-c", 'echo "$E|$(id -u)|$(pwd)"')
    return side.ok("exec", "-i", container, "cat", stdin=b"abc"), out


@scenario("E19", "logs --tail and of several runs", ("2\n3", "1\n2\n3\n1\n2\n3"))
def logs(side: Side) -> object:
    container = side.ran("seq 3")
    tail = side.ok("logs", "--tail", "2", container)
    side.ok("start", container)
    side.ok("wait", container)
    return tail, side.ok("logs", container)


@scenario("E20", "-t joins stdout and stderr, with carriage returns", "o\r\ne\r")
def terminal(side: Side) -> object:
    return side.ok("run", "--rm", "-t", "s-base", "sh", "-c", "echo o; echo e >&2")


@scenario("E21", "the hostname is the id's first twelve digits, or what -h says", (True, "mine"))
def hostname(side: Side) -> object:
    container = side.ran("hostname")
    return side.ok("logs", container) == container[:12], side.sh("hostname", "-h", "mine")


@scenario("E22", "an image without a command needs one", (125, "no command specified"))
def no_command(side: Side) -> object:
    return side("run", "--rm", "s-base").says("no command specified")


@scenario("E23", "a relative working directory is refused", (125, 0))
def relative_directory(side: Side) -> object:
    return side("run", "-w", "rel", "s-base", "pwd").status, len(side.containers())


@scenario("E24", "a working directory that is not there is made", "/made/here")
def made_directory(side: Side) -> object:
    return side.sh("pwd", "-w", "/made/here")


@scenario("E25", "run -d prints the id, 64 digits, and nothing else", (64, ""))
def detached(side: Side) -> object:
    done = side("run", "-d", "s-base", "true")
    return len(done.out), done.err


@scenario("E26", "--cidfile holds the id, and an old one is not overwritten", (True, 125))
def cidfile(side: Side) -> object:
    with side.scratch() as directory:
        file = directory / "cid"
        container = side.ok("run", "-d", "--cidfile", str(file), "s-base", "true")
        return file.read_text() == container, side("run", "--cidfile", str(file), "s-base", "true").status


@scenario("E27", "logs -t, --since, --until, --tail", ([True, True], "b", "a", "", "a\nb"))
def log_times(side: Side) -> object:
    container = side.ran("echo a; sleep 1.2; echo b")
    lines = side.ok("logs", "-t", container).splitlines()
    first, second = (line.split()[0] for line in lines)
    return (
        [bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z [ab]", line)) for line in lines],
        side.ok("logs", "--since", second, container),
        side.ok("logs", "--until", first, container),
        side.ok("logs", "--tail", "0", container),
        side.ok("logs", "--tail", "all", container),
    )


@scenario("E28", "-a takes part in the streams that it names", [("o", ""), ("", "e"), ("o", "e")])
def attach(side: Side) -> object:
    flags = (("-a", "stdout"), ("-a", "stderr"), ("-a", "stdout", "-a", "stderr"))
    done = [side("run", "--rm", *one, "s-base", "sh", "-c", "echo o; echo e >&2") for one in flags]
    return [(one.out, one.err) for one in done]


@scenario("E29", "--env-file, and -e over it", "1|two words||4")
def env_file(side: Side) -> object:
    with side.scratch() as directory:
        file = directory / "env"
        file.write_text("# comment\nA=1\nB=two words\n\nC=\nD=file\n")
        return side.sh('echo "$A|$B|$C|$D"', "--env-file", str(file), "-e", "D=4")


@scenario("E30", "with --log-driver none everything arrives in the foreground, byte for byte", (True, "e", 3))
def none_foreground(side: Side) -> object:
    script = "cat; echo e >&2; exit 3"
    done = side("run", "--rm", "-i", "--log-driver", "none", "s-base", "sh", "-c", script, stdin=EVERY_BYTE)
    return done.out.encode(errors="surrogateescape") == EVERY_BYTE, done.err, done.status


@scenario("E31", "with --log-driver none logs are refused, before, while and after it runs, and there is no file",
          ([(1, "configured logging driver does not support reading")] * 3, "", {"Type": "none", "Config": {}}))
def none_logs(side: Side) -> object:
    phrase = "configured logging driver does not support reading"
    made = side.make("--log-driver", "none")
    running = side.running("--log-driver", "none")
    seen = [side("logs", made).says(phrase), side("logs", "-f", running).says(phrase)]
    side.ok("kill", running)
    seen.append(side("logs", running).says(phrase))
    facts = side.inspect(running)
    return seen, facts["LogPath"], facts["HostConfig"]["LogConfig"]


@scenario("E32", "--log-driver none takes no options, and an unknown driver is refused",
          [(125, "invalid logging opts for driver none"), (125, "nosuch")])
def none_options(side: Side) -> object:
    return [
        side("run", "--log-driver", "none", "--log-opt", "max-size=1m", "s-base", "true").says(
            "invalid logging opts for driver none"
        ),
        side("run", "--log-driver", "nosuch", "s-base", "true").says("nosuch"),
    ]


@scenario("E33", "attach takes part in what is not kept from its coming on", "after")
def none_attach(side: Side) -> object:
    script = "echo before; sleep 2; echo after"
    container = side.ok("run", "-d", "--log-driver", "none", "s-base", "sh", "-c", script)
    return side("attach", "--no-stdin", container).out
