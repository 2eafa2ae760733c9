"""Where the engine is and how a new one is to run. Pure: the entry point hands the environment in."""

from __future__ import annotations

import os.path

from bireme.cli._errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from bireme.cli._flags import Values

DEFAULT_ROOT = "/var/lib/bireme"
DEFAULT_RUN = "/run/bireme"
DEFAULT_DRIVER = "native"


class Settings:
    """``host`` is the path of a socket named with ``-H``, at which no engine is ever started, or empty."""

    __slots__ = ("debug", "driver", "host", "root", "root_given", "run_dir")

    def __init__(self, *, root: str, run_dir: str, driver: str, host: str, debug: bool, root_given: bool) -> None:
        self.root = root
        self.run_dir = run_dir
        self.driver = driver
        self.host = host
        self.debug = debug
        self.root_given = root_given

    @property
    def socket_path(self) -> str:
        return self.host or os.path.join(self.run_dir, "bireme.sock")

    @property
    def log_path(self) -> str:
        return os.path.join(self.run_dir, "engine.log")


def read_settings(options: Values, environ: Mapping[str, str]) -> Settings:
    """An option wins over the environment, the environment over the default. Raises UsageError."""
    root = options.text("root") or environ.get("BIREME_ROOT", "")
    run_dir = options.text("run-dir") or environ.get("BIREME_RUN", "")
    return Settings(
        root=os.path.abspath(root or DEFAULT_ROOT),
        run_dir=os.path.abspath(run_dir or DEFAULT_RUN),
        driver=options.text("driver") or environ.get("BIREME_DRIVER", "") or DEFAULT_DRIVER,
        host=_socket_of(options.text("host")),
        debug=options.on("debug"),
        root_given=bool(root) and not run_dir,
    )


def _socket_of(host: str) -> str:
    if not host:
        return ""
    scheme, separator, path = host.partition("://")
    if not separator:
        scheme, path = "unix", host
    if scheme != "unix" or not path.startswith("/"):
        raise UsageError(f"bireme: the host must be a socket, unix:///path/to/bireme.sock, not {host!r}", 125)
    return path
