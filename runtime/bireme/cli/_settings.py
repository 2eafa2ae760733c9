"""Where the engine is and how a new one is to run. Pure: the entry point hands the environment in."""

from __future__ import annotations

import os.path

from bireme.cli._errors import UsageError
from bireme.config import read_settings as read_engine_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from bireme.cli._flags import Values


class Settings:
    """``host`` is the path of a socket named with ``-H``, at which no engine is ever started, or empty."""

    __slots__ = ("debug", "driver", "host", "insecure_registries", "root", "run_dir")

    def __init__(
        self,
        *,
        root: str,
        run_dir: str,
        driver: str,
        host: str,
        debug: bool,
        insecure_registries: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        self.run_dir = run_dir
        self.driver = driver
        self.host = host
        self.debug = debug
        self.insecure_registries = insecure_registries

    @property
    def socket_path(self) -> str:
        return self.host or os.path.join(self.run_dir, "bireme.sock")

    @property
    def log_path(self) -> str:
        return os.path.join(self.run_dir, "engine.log")


def read_settings(options: Values, environ: Mapping[str, str]) -> Settings:
    """An option wins over the environment, the environment over the default. Raises UsageError."""
    given = {name: options.text(name.replace("_", "-")) or None for name in ("root", "run_dir", "driver")}
    engine = read_engine_settings(environ, root=given["root"], run_dir=given["run_dir"], driver=given["driver"])
    return Settings(
        root=engine.root,
        run_dir=engine.run_dir,
        driver=engine.driver,
        host=_socket_of(options.text("host")),
        debug=options.on("debug"),
        insecure_registries=engine.insecure_registries,
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
