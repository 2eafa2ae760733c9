"""Filters are compiled once, kept on disk, handed over once; damage and a full disk cost time, no more."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from bireme.drivers import capabilities
from bireme.drivers.seccomp import Filters, Rules, _compile, _filters
from bireme_actors import InvalidConfig, MissingRequirement, Security

DEFAULT = capabilities.DEFAULT


class Holder:
    """A launcher, as far as filters go."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.failure: Exception | None = None

    async def seccomp(self, name: str, program: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        assert name not in self.held, "handed over twice"
        self.held[name] = program


class Compiler:
    """Counts, and instead of compiling returns the rules' size; ``gate`` holds it up."""

    def __init__(self) -> None:
        self.calls = 0
        self.gate: threading.Event | None = None

    def __call__(self, rules: Rules) -> bytes:
        self.calls += 1
        if self.gate is not None:
            assert self.gate.wait(20)
        return b"12345678" * len(rules.calls)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr(_compile, "program", made)
    return made


def custom(number: int = 1) -> Security:
    rule = {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": number}
    return Security(seccomp=json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))


def cached(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*")) if cache.exists() else []


async def test_the_default_filter_is_compiled_kept_and_handed_over(tmp_path: Path) -> None:
    holder, cache = Holder(), tmp_path / "made/here"
    name = await Filters(holder, str(cache)).name(Security(), DEFAULT)
    assert cached(cache) == [f"seccomp-{name}.bpf"]
    assert os.stat(cache).st_mode & 0o777 == 0o700
    assert len(holder.held[name]) % 8 == 0


async def test_each_filter_is_made_once_however_many_ask(tmp_path: Path, compiler: Compiler) -> None:
    holder = Holder()
    filters = Filters(holder, str(tmp_path))
    names: set[str] = set()

    async def ask() -> None:
        names.add(await filters.name(Security(), DEFAULT))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask)
    assert (len(names), compiler.calls, len(holder.held)) == (1, 1, 1)


async def test_the_next_engine_takes_it_from_the_cache(tmp_path: Path, compiler: Compiler) -> None:
    first, second = Holder(), Holder()
    await Filters(first, str(tmp_path)).name(Security(), DEFAULT)
    await Filters(second, str(tmp_path)).name(Security(), DEFAULT)
    assert compiler.calls == 1
    assert first.held == second.held


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 200])
async def test_a_damaged_file_is_made_anew(tmp_path: Path, compiler: Compiler, damage: bytes) -> None:
    first, second, third = Holder(), Holder(), Holder()
    name = await Filters(first, str(tmp_path)).name(Security(), DEFAULT)
    (tmp_path / f"seccomp-{name}.bpf").write_bytes(damage)
    await Filters(second, str(tmp_path)).name(Security(), DEFAULT)
    await Filters(third, str(tmp_path)).name(Security(), DEFAULT)
    assert compiler.calls == 2
    assert first.held == second.held == third.held


async def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, compiler: Compiler) -> None:
    (tmp_path / "cache").write_text("a file")
    holder = Holder()
    assert await Filters(holder, str(tmp_path / "cache")).name(Security(), DEFAULT) in holder.held


async def test_only_capabilities_that_matter_make_another_filter(tmp_path: Path, compiler: Compiler) -> None:
    filters = Filters(Holder(), str(tmp_path))
    usual = await filters.name(Security(), DEFAULT)
    assert await filters.name(Security(), DEFAULT | capabilities.mask(("NET_ADMIN",))) == usual
    assert await filters.name(Security(), DEFAULT | capabilities.mask(("SYS_ADMIN",))) != usual
    assert compiler.calls == 2


@pytest.mark.parametrize("word", ["default", "builtin", ""])
async def test_words_for_the_default(tmp_path: Path, compiler: Compiler, word: str) -> None:
    filters = Filters(Holder(), str(tmp_path))
    assert await filters.name(Security(seccomp=word), DEFAULT) == await filters.name(Security(), DEFAULT)


async def test_unconfined_and_privileged_have_none(tmp_path: Path, compiler: Compiler) -> None:
    filters = Filters(Holder(), str(tmp_path))
    assert await filters.name(Security(seccomp="unconfined"), DEFAULT) == ""
    assert await filters.name(Security(privileged=True), capabilities.ALL) == ""
    assert compiler.calls == 0
    privileged = Security(privileged=True, seccomp=custom().seccomp)
    assert await filters.name(privileged, capabilities.ALL) != ""


async def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    holder = Holder()
    filters = Filters(holder, str(tmp_path))
    names = {await filters.name(custom(number), DEFAULT) for number in (1, 2, 1)}
    assert names == set(holder.held)
    assert len(names) == 2


async def test_a_broken_profile_is_refused_each_time(tmp_path: Path) -> None:
    filters = Filters(Holder(), str(tmp_path))
    for _ in range(2):
        with pytest.raises(InvalidConfig):
            await filters.name(Security(seccomp="{}"), DEFAULT)
    assert cached(tmp_path) == []


async def test_a_failed_handing_over_is_tried_again(tmp_path: Path, compiler: Compiler) -> None:
    holder = Holder()
    holder.failure = MissingRequirement("gone")
    filters = Filters(holder, str(tmp_path))
    with pytest.raises(MissingRequirement):
        await filters.name(Security(), DEFAULT)
    holder.failure = None
    assert await filters.name(Security(), DEFAULT) in holder.held


async def test_cancelled_while_compiling_nothing_is_handed_over(tmp_path: Path, compiler: Compiler) -> None:
    holder = Holder()
    compiler.gate = threading.Event()
    filters = Filters(holder, str(tmp_path))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(filters.name, Security(), DEFAULT)
            with trio.fail_after(20):
                while not compiler.calls:
                    await trio.lowlevel.checkpoint()
            scope.cancel()
    assert holder.held == {}
    compiler.gate.set()
    assert await filters.name(Security(), DEFAULT) in holder.held


async def test_the_cache_does_not_grow_for_ever(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_filters, "_KEPT", 3)
    filters = Filters(Holder(), str(tmp_path))
    names = []
    for number in range(1, 6):
        names.append(await filters.name(custom(number), DEFAULT))
        os.utime(tmp_path / f"seccomp-{names[-1]}.bpf", (number, number))
    assert cached(tmp_path) == sorted(f"seccomp-{name}.bpf" for name in names[-3:])


def test_without_libseccomp_the_error_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pyseccomp":
            raise RuntimeError("Unable to find libseccomp")
        return original(name, *args, **kwargs)

    original = __import__
    monkeypatch.setattr("builtins.__import__", refuse)
    with pytest.raises(MissingRequirement, match="package libseccomp2"):
        _compile.program(Rules(default=0, architectures=("X86_64",), calls=()))


def test_the_librarys_version_is_found_without_loading_it() -> None:
    assert _filters.library_version().startswith("libseccomp.so.2.")
