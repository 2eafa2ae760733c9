"""The three uses of data volumes that the specification gives, as it gives them, then the same from Python.

Everything happens in a temporary root with an engine of its own; nothing of it is left at the end. The images
``postgres`` and ``shykes/backuper`` are made on the spot from the host's busybox: shell scripts stand for the
specification's programs. (A real PostgreSQL is in ``docs/examples/postgres.sh``.)
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TEN_LINES = Path(__file__).parent / "examples" / "ten_lines.py"

# What a database does, in five lines: it keeps its rows in one place, its log in another, and ends when it is told to.
DATABASE = """\
#!/bin/sh
trap 'exit 0' TERM
for row in one two three; do echo "$row" >> /var/lib/postgres/rows; done
echo "ready" | tee /var/log/postgres.log
while :; do sleep 1 & wait $!; done
"""

BACKUP_INSIDE = """\
#!/bin/sh
cp /var/lib/postgres/rows /var/lib/postgres/rows.backup
echo "$(wc -l < /var/lib/postgres/rows) rows backed up; the log says: $(cat /var/log/postgres.log)"
"""

BACKUP_AWAY = """\
#!/bin/sh
tar -C /var/lib/postgres -cf /backup/postgres.tar .
echo "sent with $1"
"""

IMAGES: Mapping[str, Mapping[str, str]] = {
    "postgres": {"usr/bin/postgres": DATABASE, "usr/local/bin/postgres-backup": BACKUP_INSIDE},
    "shykes/backuper": {"usr/local/bin/backup-postgres": BACKUP_AWAY},
}

APPLETS = ("cat", "cp", "ls", "sh", "sleep", "tar", "tee", "wc")


class Demo:
    """Shows each command before it runs it, as one would type it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environ = {
            **os.environ,
            "BIREME_ROOT": str(directory / "root"),
            "BIREME_RUN": str(directory / "run"),
            "PATH": f"{directory}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        write_command(directory / "bin" / "bireme")

    def say(self, text: str) -> None:
        print("\n" + textwrap.fill(f"# {text}", 110, subsequent_indent="# "), flush=True)

    def run(self, command: str) -> str:
        """Run a command of the shell; its output is shown and returned."""
        print(f"$ {command}", flush=True)
        done = self._execute(command)
        print(done, end="", flush=True)
        return done

    def remember(self, name: str, command: str) -> str:
        """``NAME=$(command)``."""
        print(f"$ {name}=$({command})", flush=True)
        self._environ[name] = self._execute(command).strip()
        return self._environ[name]

    def wait_for(self, word: str, command: str) -> None:
        """Until a command says a word; not shown."""
        for _ in range(500):
            if word in self._execute(command):
                return
        raise SystemExit(f"the demo failed: {command!r} does not say {word!r}")

    def _execute(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", f"exec 2>&1; {command}"],
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise SystemExit(f"{done.stdout}\nthe demo failed: exit status {done.returncode} of: {command}")
        return done.stdout

    def end(self) -> None:
        """Stop the engine, quietly."""
        command = [sys.executable, "-m", "bireme", "shutdown"]
        subprocess.run(command, env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def write_command(path: Path) -> None:
    """``bireme``, of this very project and interpreter."""
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m bireme "$@"\n')
    path.chmod(0o755)


def write_image(path: Path, scripts: Mapping[str, str]) -> None:
    """A root filesystem as a tar: busybox, its links, the scripts, and places for volumes."""
    with tarfile.open(path, "w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, text in scripts.items():
            script = tarfile.TarInfo(name)
            script.mode, script.size = 0o755, len(text)
            tar.addfile(script, io.BytesIO(text.encode()))


@contextmanager
def open_demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="bireme-demo-") as directory:
        for name, scripts in IMAGES.items():
            write_image(Path(directory) / f"{name.replace('/', '-')}.tar", scripts)
        demo = Demo(Path(directory))
        try:
            yield demo
        finally:
            demo.end()


def show_images(demo: Demo) -> None:
    demo.say("First the two images of the specification's examples; shell scripts stand for its programs.")
    demo.run("bireme import postgres.tar postgres")
    demo.run("bireme import shykes-backuper.tar shykes/backuper")


def show_creating(demo: Demo) -> None:
    demo.say("1. Creating data volumes: a new container, and with it one new volume for each -v. They have no names.")
    demo.remember("DB", "bireme run -d -v /var/lib/postgres -v /var/log postgres /usr/bin/postgres")
    demo.run("bireme ps")
    demo.run("bireme inspect -f '{{range .Mounts}}{{.Destination}} is {{.Source}}{{println}}{{end}}' $DB")
    demo.wait_for("ready", "bireme logs $DB")
    demo.run("bireme exec $DB cat /var/lib/postgres/rows")


def show_sharing(demo: Demo) -> None:
    demo.say("2. Sharing data volumes: another container gets the same two volumes, at the same paths.")
    demo.run("bireme run --rm --volumes-from $DB postgres /usr/local/bin/postgres-backup")
    demo.run("bireme exec $DB ls /var/lib/postgres")


def show_handling(demo: Demo) -> None:
    demo.say("3. A custom volume handler: any code, run on another container's volumes, and waited for.")
    job = "bireme run -d --volumes-from $DB -v /backup shykes/backuper /usr/local/bin/backup-postgres"
    demo.remember("BACKUP_JOB", f"{job} --s3creds=secret")
    demo.run("bireme wait $BACKUP_JOB")
    demo.run("bireme logs $BACKUP_JOB")
    demo.run("bireme cp $BACKUP_JOB:/backup/postgres.tar . && tar -tvf postgres.tar")


def show_end(demo: Demo) -> None:
    demo.say("The volumes go with the last container that holds them, if that is asked for.")
    demo.run("bireme rm -f -v $BACKUP_JOB $DB")
    demo.run("ls -A $BIREME_ROOT/volumes | grep -v '^[.]' | wc -l")
    demo.run("bireme shutdown")


def show_library(demo: Demo) -> None:
    demo.say("The same from Python, without any engine in the background. The program:")
    source = TEN_LINES.read_text()
    print(textwrap.indent(re.sub(r"\n{2,}", "\n\n", source), "    "), end="")
    demo.say("It says:")
    demo.run(f"python {TEN_LINES}")


def main() -> None:
    if os.geteuid() != 0:
        raise SystemExit("the demo makes containers, which needs root: sudo make demo")
    begin = time.monotonic()
    with open_demo() as demo:
        for show in (show_images, show_creating, show_sharing, show_handling, show_end, show_library):
            show(demo)
    print(f"\nDone in {time.monotonic() - begin:.1f} seconds; all of it is removed again.")


if __name__ == "__main__":
    main()
