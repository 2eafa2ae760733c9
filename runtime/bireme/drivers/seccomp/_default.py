"""The system calls that containers may make where nothing else is said: Docker's default profile, ordered by subject.

Everything not named fails with EPERM. What depends on a capability is allowed to containers that hold it, so that
``--cap-add`` is enough to make something work. Differences to Docker's own table, each to be on the safe side:

- A socket family is compared by its low 32 bits only, for that is all the kernel looks at; a comparison of the whole
  register can be passed by setting a bit above them.
  (32-bit x86 programs can make sockets by socketcall(2) as well, whose arguments no filter can see; as under Docker.)
- Rules for machines that this runtime does not run on (s390, ppc64le, mips) are left out.
"""

from __future__ import annotations

import errno

from bireme.drivers.seccomp._profile import ALLOW, Compare, Profile, Rule, fail_with

_SOCKET_BLOCKS = ((0, 32), (32, 4), (36, 2), (39, 1), (41, 1), (42, 2), (44, 4), (48, 16))
"""Socket families below 64 as (first, how many), in blocks whose members share their upper bits. Two are kept away: 38,
AF_ALG (the kernel's cryptography, a large surface that hardly anything uses), and 40, AF_VSOCK (a way to the host of a
virtual machine)."""

_NEW_NAMESPACES = 0x7E020000
"""The flags of clone(2) that make namespaces: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""

_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, both with UNAME26, and the question which one it is."""

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
    fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents
    getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat
    name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2
    read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64
    statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink
    unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev listmount statmount
"""
_ATTRIBUTES = """
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
"""
_FILE_EVENTS = "fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch"
_ASYNCHRONOUS = """
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
    mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
"""
_PROCESSES = """
    execve execveat exit exit_group fork getpgid getpgrp getpid getppid getsid gettid pause pidfd_open
    pidfd_send_signal prctl process_mrelease restart_syscall setpgid setsid set_tid_address uretprobe vfork wait4
    waitid waitpid
"""
_THREADS = """
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area rseq
    set_robust_list set_thread_area
"""
_SIGNALS = """
    kill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill
"""
_SCHEDULING = """
    getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_getaffinity sched_getattr
    sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
    setpriority setrlimit ugetrlimit
"""
_IDENTITY = """
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32
    getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
"""
_CONFINEMENT = "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"
_TIME = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times
"""
_NETWORK = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
    recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_IPC = """
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
"""
_SYSTEM = "getrandom riscv_hwprobe sysinfo uname"
_DEBUGGING = "process_vm_readv process_vm_writev ptrace"

_ALWAYS = (
    *(_FILES, _ATTRIBUTES, _FILE_EVENTS, _ASYNCHRONOUS, _WAITING, _MEMORY, _PROCESSES, _THREADS, _SIGNALS),
    *(_SCHEDULING, _IDENTITY, _CONFINEMENT, _TIME, _NETWORK, _IPC, _SYSTEM),
)

_BY_CAPABILITY = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYSLOG": "syslog",
    "SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": f"kcmp pidfd_getfd process_madvise {_DEBUGGING}",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "SYS_TTY_CONFIG": "vhangup",
}

_BY_MACHINE = {
    ("amd64", "x32"): "arch_prctl",
    ("amd64", "x32", "x86"): "modify_ldt",
    ("arm", "arm64"): "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    ("riscv64",): "riscv_flush_icache",
}


def _allow(names: str, *compare: Compare) -> Rule:
    return Rule(names=tuple(names.split()), action=ALLOW, compare=compare)


def _allow_sockets(first: int, size: int) -> Rule:
    return _allow("socket", Compare(index=0, operator="MASKED_EQ", value=0x1_0000_0000 - size, other=first))


def _without_new_namespaces() -> tuple[Rule, ...]:
    """Without CAP_SYS_ADMIN: no namespace by clone, and no clone3, whose flags a filter cannot see.

    ENOSYS makes the C library fall back from clone3 to clone.
    """
    no_flag = Compare(index=0, operator="MASKED_EQ", value=_NEW_NAMESPACES, other=0)
    without = frozenset({"SYS_ADMIN"})
    return (
        Rule(names=("clone",), action=ALLOW, compare=(no_flag,), without_capabilities=without),
        Rule(names=("clone3",), action=fail_with(errno.ENOSYS), without_capabilities=without),
    )


DEFAULT = Profile(
    default=fail_with(errno.EPERM),
    architectures=None,
    rules=(
        *map(_allow, _ALWAYS),
        Rule(names=tuple(_DEBUGGING.split()), action=ALLOW, kernel=(4, 8)),
        *(_allow_sockets(first, size) for first, size in _SOCKET_BLOCKS),
        *(_allow("personality", Compare(index=0, operator="EQ", value=value)) for value in _PERSONALITIES),
        *(
            Rule(names=tuple(names.split()), action=ALLOW, machines=frozenset(machines))
            for machines, names in _BY_MACHINE.items()
        ),
        *(
            Rule(names=tuple(names.split()), action=ALLOW, with_capabilities=frozenset({capability}))
            for capability, names in _BY_CAPABILITY.items()
        ),
        *_without_new_namespaces(),
    ),
)
"""To be resolved against a container's capabilities (``Profile.resolve``)."""
