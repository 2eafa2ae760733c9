"""A root filesystem with PostgreSQL, made of the host distribution's own packages and kept for the next time.

The packages' installation makes the cluster ``main`` below ``/var/lib/postgresql``, owned by ``postgres``: a fresh
volume at that path receives it by copy-up, so a new container is a new database.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("postgresql", "zstd")

_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/i18n/*")

_HOOKS = (
    'rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/log/dpkg.log',
    'rm -rf "$1"/var/log/postgresql/* "$1"/run/*',
    'chroot "$1" install -d -o postgres -g postgres -m 2775 /run/postgresql',
    'chroot "$1" install -d -o postgres -g postgres -m 0700 /backup',
)

_VERSIONS = {"bookworm": "15", "trixie": "17", "noble": "16"}


@dataclass(frozen=True, slots=True)
class PostgresImage:
    """``archive`` is a compressed tar of the root filesystem; ``version`` PostgreSQL's major version in it."""

    archive: Path
    version: str

    def changes(self) -> tuple[str, ...]:
        """What ``bireme import --change`` adds: the user, the path, and the server as the command."""
        programs = f"/usr/lib/postgresql/{self.version}/bin"
        server = (
            f'["{programs}/postgres", "-D", "/var/lib/postgresql/{self.version}/main", '
            f'"-c", "config_file=/etc/postgresql/{self.version}/main/postgresql.conf"]'
        )
        return (f"ENV PATH={programs}:/usr/bin:/bin", "ENV LANG=C.UTF-8", "USER postgres", f"CMD {server}")


def missing_requirement() -> str | None:
    """Why the image cannot be made here, in words; None if it can."""
    suite = _suite()
    if suite not in _VERSIONS:
        return f"no known PostgreSQL package for the distribution release {suite!r}"
    if _archive_path(suite).exists():
        return None
    if os.geteuid() != 0:
        return "building the image needs root"
    for program in ("mmdebstrap", "zstd"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def postgres_image() -> PostgresImage:
    """The image, from the cache or built now (a minute or two). Raises CalledProcessError with what the build said."""
    suite = _suite()
    archive = _archive_path(suite)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with _locked(archive.with_suffix(".lock")):
        if not archive.exists():
            _build(suite, archive)
    return PostgresImage(archive, _VERSIONS[suite])


def _suite() -> str:
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def _archive_path(suite: str) -> Path:
    recipe = "\n".join((suite, platform.machine(), *PACKAGES, *_EXCLUDED, *_HOOKS, "run kept"))
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "bireme" / f"postgres-{suite}-{key}.tar.zst"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(suite: str, archive: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bireme-postgres-") as scratch:
        options = Path(scratch) / "apt.conf"
        options.write_text(_host_acquire_options())
        partial = archive.with_name(f".{archive.name.removesuffix('.tar.zst')}.partial.tar.zst")
        try:
            _mmdebstrap(suite, partial, options, Path(scratch))
            partial.rename(archive)
        finally:
            partial.unlink(missing_ok=True)


def _mmdebstrap(suite: str, target: Path, options: Path, scratch: Path) -> None:
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--aptopt={options}", '--aptopt=APT::Install-Recommends "false"']
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    command += [f"--customize-hook={hook}" for hook in _HOOKS]
    command += ["--skip=cleanup/run"]  # the socket's directory is to stay
    command += [suite, str(target), *_host_sources(suite)]
    environment = {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TMPDIR": str(scratch)}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=900)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"mmdebstrap could not build the image: {error.stderr[-2000:]}") from error


def _host_sources(suite: str) -> list[str]:
    """The distribution's own entries among the host's package sources, so that a configured mirror is used here too."""
    candidates = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found = []
    for path in candidates:
        if path.suffix not in {".list", ".sources"} or not path.is_file():
            continue
        text = re.sub(r"#.*", "", path.read_text())
        if re.search(rf"\b{suite}\b", text) and "main" in text:
            found.append(str(path))
    return found


def _host_acquire_options() -> str:
    """How the host reaches its mirrors (proxy, certificates, retries): needed for the build, not kept in the image."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True).stdout
    kept = re.compile(r"Acquire::(https?|ftp|Retries|Check-\S+|ForceIPv[46]|Queue-Mode)\b", re.IGNORECASE)
    return "".join(f"{line}\n" for line in dump.splitlines() if kept.match(line))
