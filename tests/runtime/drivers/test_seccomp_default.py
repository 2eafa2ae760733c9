"""What the default profile lets containers do, decided by the compiled programs themselves."""

from __future__ import annotations

import errno
import functools

import pyseccomp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.drivers import capabilities
from bireme.drivers.seccomp import _compile
from bireme.drivers.seccomp._default import DEFAULT
from bireme.drivers.seccomp._profile import ALLOW, Host, Machine, fail_with
from tests.runtime.drivers.bpf import AARCH64, ARM, X32_BIT, X86, X86_64, decide, steps_of

PC = Host(machine=Machine(name="amd64", native="X86_64", compatible=("X86", "X32")), kernel=(6, 1))
BOARD = Host(machine=Machine(name="arm64", native="AARCH64", compatible=("ARM",)), kernel=(6, 1))
EPERM, ENOSYS = fail_with(errno.EPERM), fail_with(errno.ENOSYS)

NEWER_THAN_LIBSECCOMP = """
    cachestat fchmodat2 futex_requeue futex_wait futex_wake getxattrat listmount listxattrat lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr map_shadow_stack mseal removexattrat riscv_hwprobe setxattrat statmount uretprobe
"""
"""Calls of the profile that the oldest libseccomp in use (2.5, Debian 12 and Ubuntu 22.04) may not know."""

CLONE_NEWUSER, CLONE_VM, SIGCHLD = 0x10000000, 0x100, 17


@functools.cache
def program(*added: str, host: Host = PC) -> bytes:
    held = capabilities.DEFAULT | capabilities.mask(added)
    return _compile.program(DEFAULT.resolve(held, host))


def number(name: str, architecture: int = pyseccomp.Arch.X86_64) -> int:
    found = pyseccomp.resolve_syscall(architecture, name)
    assert isinstance(found, int)
    assert found >= 0, f"{name} does not exist there"
    return found


def ask(name: str, *arguments: int, added: tuple[str, ...] = ()) -> int:
    return decide(program(*added), number(name), arguments)


def test_every_name_is_that_of_a_system_call() -> None:
    names = {name for rule in DEFAULT.rules for name in rule.names}
    unknown = {name for name in names if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) == -1}
    assert unknown <= set(NEWER_THAN_LIBSECCOMP.split())


@pytest.mark.parametrize(
    "name", ["read", "execve", "ptrace", "chroot", "io_setup", "memfd_create", "arch_prctl", "mknod", "openat2", "fork"]
)
def test_allowed(name: str) -> None:
    assert ask(name) == ALLOW


REFUSED = """
    keyctl add_key request_key io_uring_setup io_uring_enter userfaultfd unshare setns mount umount2 pivot_root bpf
    perf_event_open kexec_load reboot swapon syslog open_by_handle_at init_module iopl quotactl acct vhangup nfsservctl
    settimeofday clock_settime kcmp move_pages mbind uselib ustat sysfs _sysctl
"""


@pytest.mark.parametrize("name", REFUSED.split())
def test_refused(name: str) -> None:
    assert ask(name) == EPERM


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        (
            "SYS_ADMIN",
            "unshare setns mount umount2 bpf perf_event_open syslog quotactl move_mount fsopen clone3",
        ),
        ("SYS_BOOT", "reboot"),
        ("SYS_MODULE", "init_module finit_module delete_module"),
        ("SYS_NICE", "mbind set_mempolicy get_mempolicy"),
        ("SYS_PACCT", "acct"),
        ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("SYS_RAWIO", "iopl ioperm"),
        ("SYS_TIME", "settimeofday clock_settime"),
        ("SYS_TTY_CONFIG", "vhangup"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
        ("DAC_READ_SEARCH", "open_by_handle_at"),
    ],
)
def test_a_capability_allows_its_calls(capability: str, names: str) -> None:
    for name in names.split():
        assert ask(name) in (EPERM, ENOSYS), name
        assert ask(name, added=(capability,)) == ALLOW, name


def test_chroot_goes_with_its_capability() -> None:
    rules = DEFAULT.resolve(capabilities.DEFAULT & ~capabilities.mask(("SYS_CHROOT",)), PC)
    assert decide(_compile.program(rules), number("chroot")) == EPERM


@pytest.mark.parametrize("bit", [7, 17, 25, 26, 27, 28, 29, 30])
def test_clone_makes_no_namespaces(bit: int) -> None:
    flags = SIGCHLD | 1 << bit
    makes_one = bit in (17, 25, 26, 27, 28, 29, 30)
    assert ask("clone", flags) == (EPERM if makes_one else ALLOW)
    assert ask("clone", flags | CLONE_VM | 1 << 40) == (EPERM if makes_one else ALLOW)
    assert ask("clone", flags, added=("SYS_ADMIN",)) == ALLOW


def test_clone3_looks_as_if_it_did_not_exist() -> None:
    assert ask("clone3", 0x7FFF0000, 88) == ENOSYS


@pytest.mark.parametrize(
    ("value", "action"),
    [(0, ALLOW), (8, ALLOW), (0x20000, ALLOW), (0x20008, ALLOW), (0xFFFFFFFF, ALLOW), (0x40000, EPERM), (1, EPERM)],
)
def test_personalities(value: int, action: int) -> None:
    assert ask("personality", value) == action


@given(st.integers(0, 63), st.integers(0, 0xFFFFFFFF))
def test_the_kernels_crypto_and_the_hypervisor_are_no_sockets(family: int, above: int) -> None:
    wanted = EPERM if family in (38, 40) else ALLOW
    assert ask("socket", family | above << 32) == wanted, "the kernel looks at the low 32 bits only"


@given(st.integers(64, 0xFFFFFFFF))
def test_socket_families_that_do_not_exist_are_refused(family: int) -> None:
    assert ask("socket", family) == EPERM


@given(st.integers(500, X32_BIT - 1))
def test_calls_newer_than_the_profile_look_as_if_they_did_not_exist(unknown: int) -> None:
    assert decide(program(), unknown) == ENOSYS
    assert decide(program(), unknown, architecture=X86) == ENOSYS


def test_32_bit_programs_are_held_to_the_same_rules() -> None:
    arch = pyseccomp.Arch.X86
    assert decide(program(), number("read", arch), architecture=X86) == ALLOW
    assert decide(program(), number("_llseek", arch), architecture=X86) == ALLOW
    assert decide(program(), number("keyctl", arch), architecture=X86) == EPERM
    assert decide(program(), number("clone", arch), (CLONE_NEWUSER,), X86) == EPERM
    assert decide(program(), number("clone3", arch), architecture=X86) == ENOSYS


def test_x32_programs_are_held_to_the_same_rules() -> None:
    arch = pyseccomp.Arch.X32
    assert number("read", arch) & X32_BIT
    assert decide(program(), number("read", arch)) == ALLOW
    assert decide(program(), number("keyctl", arch)) == EPERM
    assert decide(program(), number("clone", arch), (CLONE_NEWUSER,)) == EPERM
    assert decide(program(), X32_BIT | 1000) == ENOSYS


def test_another_architecture_is_fatal() -> None:
    assert decide(program(), 0, architecture=AARCH64) in (0, 0x80000000)


def test_on_arm() -> None:
    code = program(host=BOARD)
    native, small = pyseccomp.Arch.AARCH64, pyseccomp.Arch.ARM
    assert decide(code, number("read", native), architecture=AARCH64) == ALLOW
    assert decide(code, number("keyctl", native), architecture=AARCH64) == EPERM
    assert decide(code, number("clone", native), (CLONE_NEWUSER,), AARCH64) == EPERM
    assert decide(code, 1000, architecture=AARCH64) == ENOSYS
    assert decide(code, number("set_tls", small), architecture=ARM) == ALLOW
    assert decide(code, number("arm_fadvise64_64", small), architecture=ARM) == ALLOW
    assert decide(code, number("read"), architecture=X86_64) in (0, 0x80000000)


def test_what_every_call_costs_is_bounded() -> None:
    """The calls are found in a tree: nowhere near as many steps as there are rules."""
    steps = {name: steps_of(program(), number(name)) for name in ("read", "write", "futex", "epoll_wait", "openat")}
    assert max(steps.values()) < 40, steps
