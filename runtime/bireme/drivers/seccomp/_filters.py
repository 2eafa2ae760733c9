"""The filters a launcher holds: each distinct one is compiled once, kept on disk, and handed over once by each engine.

A filter's name says all that it was made from: the rules, the machine, libseccomp's version. So whatever is found under
a name in the cache is the right program. A launcher that an earlier engine started may hold it already; it is handed
over all the same, for whoever hands over a filter keeps it for the launcher that takes a dead one's place.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import sysconfig
from typing import Protocol

import trio

from bireme import _files
from bireme.drivers.seccomp import _compile
from bireme.drivers.seccomp._default import DEFAULT
from bireme.drivers.seccomp._document import parse
from bireme.drivers.seccomp._profile import Profile, Rules, this_host
from bireme_actors import Security

UNCONFINED = "unconfined"
_BUILT_IN = ("", "default", "builtin")
_DIGEST_BYTES = 32
_KEPT = 64
"""Files in the cache; of more, those that were made first are removed."""
_LIBRARY_PLACES = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")


class Holder(Protocol):
    """What takes the programs (the launcher)."""

    async def seccomp(self, name: str, program: bytes) -> None: ...


class Filters:
    """Finds, for a container, the name of the filter that the launcher is to install."""

    def __init__(self, holder: Holder, cache_dir: str) -> None:
        """``cache_dir`` is made when it is first needed."""
        self._holder = holder
        self._held: set[str] = set()
        self._cache_dir = cache_dir
        self._names: dict[tuple[str, int], str] = {}
        self._profiles: dict[str, Profile] = {}
        self._lock = trio.Lock()

    async def name(self, security: Security, capabilities: int) -> str:
        """The filter's name, "" for none. ``capabilities``: the mask of what the container may have.

        Raises InvalidConfig for a profile that is none, MissingRequirement without libseccomp. Cancelled: a compilation
        under way is abandoned, nothing is handed over.
        """
        text = _text(security)
        if text == UNCONFINED:
            return ""
        profile = self._profile(text)
        key = (text, capabilities & profile.relevant)
        if key not in self._names:
            async with self._lock:
                if key not in self._names:
                    self._names[key] = await self._hand_over(profile, capabilities)
        return self._names[key]

    def rules(self, security: Security, capabilities: int) -> Rules | None:
        """What the filter is made of, None for no filter. Raises InvalidConfig."""
        text = _text(security)
        return None if text == UNCONFINED else self._profile(text).resolve(capabilities, this_host())

    def _profile(self, text: str) -> Profile:
        if not text:
            return DEFAULT
        if text not in self._profiles:
            self._profiles[text] = parse(text)
        return self._profiles[text]

    async def _hand_over(self, profile: Profile, capabilities: int) -> str:
        host = this_host()
        rules = profile.resolve(capabilities, host)
        name = rules.digest(_compile.FORMAT, library_version())
        if name not in self._held:
            program = await trio.to_thread.run_sync(_find, self._cache_dir, name, rules, abandon_on_cancel=True)
            await self._holder.seccomp(name, program)
            self._held.add(name)
        return name


def _text(security: Security) -> str:
    """Of the profile: "" for Docker's, or that there is none."""
    text = "" if security.seccomp in _BUILT_IN else security.seccomp
    return UNCONFINED if security.privileged and not text else text


def library_version() -> str:
    """The full name of the installed library (``libseccomp.so.2.5.4``), "" if it is in none of the usual places.

    Asking the library itself would mean loading it, which takes longer than starting a container.
    """
    beside = sysconfig.get_config_var("MULTIARCH") or ""
    for directory in _LIBRARY_PLACES:
        for place in (os.path.join(directory, beside), directory):
            for path in glob.glob(os.path.join(place, "libseccomp.so.2")):
                return os.path.basename(os.path.realpath(path))
    return ""


def _find(cache_dir: str, name: str, rules: Rules) -> bytes:
    """From the cache, or compiled and put there. A full disk or a damaged file costs time, no more."""
    path = os.path.join(cache_dir, f"seccomp-{name}.bpf")
    with contextlib.suppress(OSError), open(path, "rb") as file:
        digest, program = file.read(_DIGEST_BYTES), file.read()
        if program and hashlib.sha256(program).digest() == digest:
            return program
    program = _compile.program(rules)
    with contextlib.suppress(OSError):
        os.makedirs(cache_dir, 0o700, exist_ok=True)
        _files.write_atomic(path, hashlib.sha256(program).digest() + program)
        _forget_oldest(cache_dir)
    return program


def _forget_oldest(cache_dir: str) -> None:
    paths = glob.glob(os.path.join(glob.escape(cache_dir), "seccomp-*.bpf"))
    for path in sorted(paths, key=os.path.getmtime)[:-_KEPT]:
        os.unlink(path)
