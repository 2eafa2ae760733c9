"""Where an engine keeps its things and how it runs: constants, and the settings an entry point reads once.

Without ``dataclasses``: the command line reads this module too, and it starts for every command.
"""

from __future__ import annotations

import os.path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ROOT = "/var/lib/bireme"
DEFAULT_RUN = "/run/bireme"
DEFAULT_DRIVER = "native"


class Settings:
    """``root``: what survives; ``run_dir``: sockets; ``driver``: what runs containers that name none. All absolute.

    ``insecure_registries``: hosts (with or without a port) and networks whose registries may be asked without https.
    """

    __slots__ = ("driver", "insecure_registries", "root", "run_dir")

    def __init__(
        self, *, root: str, run_dir: str, driver: str = DEFAULT_DRIVER, insecure_registries: tuple[str, ...] = ()
    ) -> None:
        self.root = os.path.realpath(root)
        self.run_dir = os.path.abspath(run_dir)
        self.driver = driver
        self.insecure_registries = insecure_registries

    def __repr__(self) -> str:
        return f"Settings(root={self.root!r}, run_dir={self.run_dir!r}, driver={self.driver!r})"

    @property
    def socket_path(self) -> str:
        """Of the API."""
        return os.path.join(self.run_dir, "bireme.sock")


def read_settings(
    environ: Mapping[str, str], *, root: str | None = None, run_dir: str | None = None, driver: str | None = None
) -> Settings:
    """An argument wins over ``BIREME_ROOT``, ``BIREME_RUN`` and ``BIREME_DRIVER``, those over the defaults.

    ``BIREME_INSECURE_REGISTRIES`` is a list with commas or blanks. A root of one's own brings its own run directory,
    ``ROOT/run``, unless that is named too.
    """
    chosen_root = root or environ.get("BIREME_ROOT") or DEFAULT_ROOT
    own = os.path.join(chosen_root, "run") if chosen_root != DEFAULT_ROOT else DEFAULT_RUN
    chosen_run = run_dir or environ.get("BIREME_RUN") or own
    chosen_driver = driver or environ.get("BIREME_DRIVER") or DEFAULT_DRIVER
    insecure = tuple(environ.get("BIREME_INSECURE_REGISTRIES", "").replace(",", " ").split())
    return Settings(root=chosen_root, run_dir=chosen_run, driver=chosen_driver, insecure_registries=insecure)
