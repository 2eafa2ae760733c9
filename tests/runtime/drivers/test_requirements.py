"""What is missing on a host is said all at once, each with the way out."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from bireme import _syscalls
from bireme.drivers import capabilities, requirements
from bireme.drivers.requirements import check_requirements, missing_requirements
from bireme_actors import MissingRequirement


def fail_with(number: int) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def fit_host(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A host that has it all, whatever this one has."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(_syscalls, "capget", lambda: (capabilities.ALL,) * 3)
    for name in ("clone3", "openat2", "mount_setattr"):
        monkeypatch.setattr(_syscalls, name, fail_with(errno.EBADF))
    return monkeypatch


@pytest.mark.root
def test_nothing_is_missing_here() -> None:
    assert missing_requirements() == ()
    check_requirements()


def test_nothing_is_missing_on_a_fit_host(fit_host: pytest.MonkeyPatch) -> None:
    assert missing_requirements() == ()


def test_without_root(fit_host: pytest.MonkeyPatch) -> None:
    fit_host.setattr(os, "geteuid", lambda: 1000)
    assert missing_requirements() == ("it needs root: run as root (sudo)",)


def test_a_root_without_rights(fit_host: pytest.MonkeyPatch) -> None:
    held = capabilities.DEFAULT
    fit_host.setattr(_syscalls, "capget", lambda: (held, held, 0))
    with pytest.raises(MissingRequirement, match=r"root lacks CAP_SYS_ADMIN here: .*privileged"):
        check_requirements()


def test_an_old_kernel(fit_host: pytest.MonkeyPatch) -> None:
    fit_host.setattr(_syscalls, "mount_setattr", fail_with(errno.ENOSYS))
    (line,) = missing_requirements()
    assert "has no mount_setattr (Linux 5.12)" in line
    assert "clone3" not in line


def test_no_overlay(fit_host: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file_systems, modules = tmp_path / "filesystems", tmp_path / "modules.dep"
    fit_host.setattr(requirements, "_FILE_SYSTEMS", str(file_systems))
    fit_host.setattr(requirements, "_MODULES", str(modules))
    file_systems.write_text("nodev\tproc\n\text4\n")
    assert "no overlay file system" in missing_requirements()[0]
    modules.write_text("kernel/fs/fat/fat.ko:\n")
    assert "no overlay file system" in missing_requirements()[0]
    modules.write_text("kernel/fs/overlayfs/overlay.ko.xz: kernel/fs/x.ko\n")
    assert missing_requirements() == ()
    modules.unlink()
    file_systems.write_text("nodev\tproc\nnodev\toverlay\n")
    assert missing_requirements() == ()


def test_all_that_is_missing_is_one_line(fit_host: pytest.MonkeyPatch) -> None:
    fit_host.setattr(os, "geteuid", lambda: 1000)
    fit_host.setattr(_syscalls, "clone3", fail_with(errno.ENOSYS))
    with pytest.raises(MissingRequirement) as caught:
        check_requirements()
    text = str(caught.value)
    assert "run as root" in text
    assert "clone3" in text
    assert "\n" not in text
