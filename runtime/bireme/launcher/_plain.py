"""The fast one of two ways to set a container up: as a list of system calls that its first process makes by itself.

``sandbox`` goes step by step in a forked copy of the launcher, knows every option and can tell what went wrong. But a
fork copies the interpreter, which costs more than the container. This way is for what is *plain*, as nearly all are: no
terminal, no special rights, no volume inside another or over what is looked up here. What can be done from outside the
launcher does itself: it mounts the root where nobody sees it, takes hold of the volumes, and finds their places, the
user and the working directory in that root by descriptor. The rest is a list (``bireme._calls``): the same calls, with
the same arguments, in the same order as in ``sandbox``, whose rules hold here too. But for one: of its namespaces the
process is born in that of PIDs alone and makes the others itself, unless the launcher sleeps meanwhile anyway: while
a clone makes a network, the dearest of them, its parent can do nothing else.

Nothing is told of what goes wrong here: whatever is not plain, or fails on the way, is done again the other way. The
launcher does not wait for the list to be done: it goes on with the next container meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import struct

from bireme import _syscalls as sys_
from bireme._calls import Block, Calls, Own, Run, open_calls
from bireme.launcher import _identity, _mounts, _program, _resolve, sandbox
from bireme.launcher._protocol import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVarTuple

    from bireme.launcher._cgroups import Group
    from bireme.launcher.requests import RootRequest, StartRequest, TmpfsRequest

    Ts = TypeVarTuple("Ts")

_AT = sys_.AT_FDCWD
_LONGEST_OPTION = 255
_KERNELS_OWN = ("/proc/", "/sys/", "/dev/")
_LOOKED_UP = ("/etc", "/etc/passwd", "/etc/group")
_MOST_KNOWN = 256
_DETACHED, _ONTO = sys_.MOVE_MOUNT_F_EMPTY_PATH, sys_.MOVE_MOUNT_T_EMPTY_PATH
_IN_ROOT = sys_.RESOLVE_IN_ROOT | sys_.RESOLVE_NO_MAGICLINKS
_STRICT = sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_NOEXEC | sys_.MS_SILENT
_READ_ONLY = struct.pack("=4Q", sys_.MOUNT_ATTR_RDONLY, 0, 0, 0)


class NotPlain(Exception):
    """To be set up step by step."""


class View:
    """A container's root, mounted where nobody sees it, and what is to be mounted in it, all by descriptor."""

    def __init__(self, request: StartRequest, proc: int, *, nodev: bool) -> None:
        """``proc``: a descriptor of the launcher's ``/proc``. Raises NotPlain, Failure, OSError, ValueError."""
        self.attached: list[tuple[int, int]] = []
        """Detached mounts, each with the place that it is to cover."""
        self._proc = proc
        self._open: list[int] = []
        self._covered: tuple[str, ...] = _KERNELS_OWN
        """Where something comes to lie, also volumes: free of links, with a slash at the end."""
        before = os.umask(0)
        try:
            self.root = self._keep(_mount_root(request["root"], nodev=nodev))
            for name in ("proc", "dev", "sys"):
                _mounts.need_directory(name, self.root)
            self._hold(request, nodev=nodev)
        except BaseException:
            self.close()
            raise
        finally:
            os.umask(before)

    def close(self) -> None:
        """Let go of everything; what has been mounted in a container stays there."""
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    def _keep(self, fd: int) -> int:
        self._open.append(fd)
        return fd

    def _hold(self, request: StartRequest, *, nodev: bool) -> None:
        root = request["root"]
        for held in self._held(_mounts.hold(root["mounts"], nodev=nodev)):
            place = self._keep(_mounts.open_place(self.root, held))
            if held.tmpfs is not None:
                self._make(held, held.tmpfs, place)
            self._covered += (f"{self._attach(held, place)}/",)
        for held in self._held(_mounts.hold(root["files"], nodev=nodev)):
            self._attach(held, self._keep(_resolve.open_file(self.root, held.target)))
        if request["init"]:
            held = _mounts.Held(self._keep(sandbox.open_init(request["init"])), sandbox.INIT_PATH)
            self._attach(held, self._keep(_resolve.open_file(self.root, held.target)))

    def _held(self, mounts: list[_mounts.Held]) -> Iterator[_mounts.Held]:
        for held in mounts:
            if held.fd >= 0:
                self._keep(held.fd)
        return iter(mounts)

    def _make(self, held: _mounts.Held, tmpfs: TmpfsRequest, place: int) -> None:
        _mounts.make_tmpfs(held, tmpfs, place)
        self._keep(held.fd)
        _mounts.protect([held])

    def _attach(self, held: _mounts.Held, place: int) -> str:
        """Note what goes where. Raises NotPlain if the place is, or may lie, in something else that is mounted."""
        self.attached.append((held.fd, place))
        path = os.readlink(f"self/fd/{place}", dir_fd=self._proc)
        if path == "/" or f"{path}/".startswith(self._covered):
            raise NotPlain
        return path

    def may_cover(self, name: str) -> bool:
        """Whether a volume lies over something, as far as no link leads elsewhere."""
        return f"{name}/".startswith(self._covered)


def _is_link(name: str, root: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=root, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _mount_root(root: RootRequest, *, nodev: bool) -> int:
    """The root file system as a mount that is nowhere yet."""
    before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(root["layers_directory"])
        _mounts.forget_volatile(root)
        options = [("source", "overlay"), *_mounts.overlay_options(root)]
        if any(value is not None and len(value) > _LONGEST_OPTION for _, value in options):
            raise NotPlain
        return sys_.detached_mount("overlay", options, sys_.MOUNT_ATTR_NODEV if nodev else 0)
    finally:
        os.fchdir(before)
        os.close(before)


class Identities:
    """Looks users up in the root, since no volume covers what is read; those of an image itself only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], _identity.Identity] = {}

    def find(self, view: View, request: StartRequest) -> _identity.Identity:
        """Raises NotPlain where a volume may cover what is read, Failure."""
        if any(view.may_cover(name) for name in _LOOKED_UP):
            raise NotPlain
        root, process = request["root"], request["process"]
        key = (root["layers_directory"], *root["layers"], process["user"], *process["groups"])
        known = self._known.get(key)
        if known is not None and _has_no_etc(root):
            return known
        return self._look_up(view, request, key)

    def _look_up(self, view: View, request: StartRequest, key: tuple[object, ...]) -> _identity.Identity:
        process = request["process"]
        links = any(_is_link(name[1:], view.root) for name in _LOOKED_UP)
        if links and request["root"]["mounts"]:
            raise NotPlain
        found = _identity.find(process["user"], process["groups"], view.root)
        if not links and _has_no_etc(request["root"]):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found


def _has_no_etc(root: RootRequest) -> bool:
    """Whether the container has written nothing of its own there."""
    return not os.path.lexists(f"{root['layers_directory']}/{root['upper']}/etc")


class Attempt:
    """A container that is being set up; ``told`` is readable once that is over, one way or the other."""

    __slots__ = ("_calls", "_first", "_run", "pid", "pidfd", "told")

    def __init__(self, calls: Calls, run: Run, first: int, told: int) -> None:
        self._calls = calls
        self._run = run
        self._first = first
        self.pid = run.pid
        self.pidfd = run.pidfd
        self.told = told

    def succeeded(self) -> bool:
        """Whether the command is executed; to be asked once, when it is over. What was needed for it is given back."""
        os.close(self.told)
        return self._first <= self._calls.finish(self._run) < self._run.count - 1


class PlainSetup:
    """Sets plain containers up, one after the other; made once."""

    def __init__(self, host: sandbox.Host, proc: int, calls: Calls) -> None:
        self._host = host
        self._proc = proc
        self._calls = calls
        self._permitted = sys_.capget()[1]
        self._bounding = _mask(number for number in range(_program.LAST_CAPABILITY + 1) if _may_be_had(number))
        self._blocks: dict[tuple[object, ...], Block] = {}
        self._filters: dict[bytes, int] = {}
        self._identities = Identities()

    def start(
        self, request: StartRequest, flags: int, group: Group, stdio: tuple[int, int, int], seccomp: bytes | None
    ) -> Attempt:
        """Begin to make the container and to execute its command. Raises NotPlain, nothing being left then.

        ``flags``: its namespaces.
        """
        if not _looks_plain(request):
            raise NotPlain
        sleep = _sleep(request)
        born = -1 if sleep else sys_.CLONE_NEWPID
        told, telling = os.pipe()
        try:
            with contextlib.closing(View(request, self._proc, nodev=not self._host.devices_guarded)) as view:
                first = self._lay_out(view, request, group, stdio, seccomp, telling, flags & ~born)
                run = self._calls.start(flags & born | sleep, cgroup=group.fd if group.fd >= 0 else None)
        except BaseException as error:
            os.close(told)
            if isinstance(error, Failure | OSError | ValueError):
                raise NotPlain from None
            raise
        finally:
            os.close(telling)
        return Attempt(self._calls, run, first, told)

    def _lay_out(
        self,
        view: View,
        request: StartRequest,
        group: Group,
        stdio: tuple[int, int, int],
        seccomp: bytes | None,
        telling: int,
        namespaces: int,
    ) -> int:
        """The whole list; the number of the first of the calls that execute the command."""
        calls, process = self._calls, request["process"]
        identity = self._identities.find(view, request)
        calls.clear()
        mounts = [fd for pair in view.attached for fd in pair]
        own = (*group.entered, view.root, *mounts)
        self._once(self._enter, own, len(group.entered), namespaces, request["shm_size"], stdio[0] >= 0)
        self._network(request)
        self._stdio(stdio, identity.uid)
        self._directory(process["cwd"])
        if request["read_only"]:
            self._once(self._protect, (view.root,))
        self._limits(process["rlimits"])
        self._become(process["capabilities"], identity, seccomp, telling, late=process["no_new_privileges"])
        return self._execute(request, identity.home)

    def _once(self, add: Callable[[list[Own], *Ts], None], own: Sequence[int], *arguments: *Ts) -> None:
        """Add calls that are the same for all containers with the same ``arguments``, but for their ``own``."""
        key = (add.__name__, len(own), *arguments)
        block = self._blocks.get(key)
        if block is None:
            if len(self._blocks) >= _MOST_KNOWN:
                self._blocks.clear()
            first = len(self._calls)
            add([Own(number) for number in range(len(own))], *arguments)
            block = self._blocks[key] = self._calls.block(first)
        self._calls.add_block(block, own)

    def _enter(self, own: list[Own], entered: int, namespaces: int, shm_size: int, stdin: bool) -> None:
        calls, text = self._calls, self._calls.constant
        calls.add("rt_sigprocmask", signal.SIG_SETMASK, text(bytes(8)), 0, 8)
        calls.add("setsid")
        calls.add("umask", 0)
        for fd in own[:entered]:
            calls.add("write", fd, text("0"), 1)
        calls.add("unshare", sys_.CLONE_NEWCGROUP | namespaces)
        self._enter_root(own[entered])
        self._kernels_own(shm_size, bool(entered) or self._host.devices_guarded, stdin)
        mounts = own[entered + 1 :]
        for held, place in zip(mounts[::2], mounts[1::2], strict=True):
            calls.add("move_mount", held, text(""), place, text(""), _DETACHED | _ONTO)

    def _enter_root(self, root: Own) -> None:
        calls, text = self._calls, self._calls.constant
        calls.add("move_mount", root, text(""), _AT, text(self._host.mount_place), _DETACHED)
        calls.add("fchdir", root)
        calls.add("pivot_root", text("."), text("."))
        calls.add("umount2", text("."), sys_.MNT_DETACH | sys_.UMOUNT_NOFOLLOW)
        calls.add("chdir", text("/"))

    def _kernels_own(self, shm_size: int, cgroups: bool, stdin: bool) -> None:
        mount = self._mount
        mount("proc", "/proc", "proc", _STRICT)
        mount("tmpfs", "/dev", "tmpfs", sys_.MS_NOSUID | sys_.MS_STRICTATIME | sys_.MS_SILENT, _mounts.DEV_OPTIONS)
        self._fill_dev(shm_size)
        mount("sysfs", "/sys", "sysfs", _STRICT | sys_.MS_RDONLY)
        if cgroups:
            mount("cgroup", "/sys/fs/cgroup", "cgroup2", _STRICT | sys_.MS_RDONLY)
        self._mask()
        if not stdin:
            # Nothing but what was made just now can be there yet.
            null = self._calls.add("openat", _AT, self._calls.constant("/dev/null"), os.O_RDWR | os.O_NOFOLLOW, 0)
            self._calls.add("dup3", null, 0, 0)

    def _mount(self, source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        text = self._calls.constant
        self._calls.add("mount", text(source), text(target), text(kind), flags, text(data) if data else 0)

    def _fill_dev(self, shm_size: int) -> None:
        calls, text = self._calls, self._calls.constant
        for name, minor in _mounts.DEVICES:
            calls.add("mknodat", _AT, text(f"/dev/{name}"), stat.S_IFCHR | 0o666, os.makedev(1, minor))
        calls.add("mknodat", _AT, text("/dev/tty"), stat.S_IFCHR | 0o666, os.makedev(5, 0))
        for target, name in _mounts.LINKS:
            calls.add("symlinkat", text(target), _AT, text(name))
        for name in ("pts", "shm", "mqueue"):
            calls.add("mkdirat", _AT, text(f"/dev/{name}"), 0o755)
        nosuid, noexec = sys_.MS_NOSUID, sys_.MS_NOEXEC
        self._mount("devpts", "/dev/pts", "devpts", nosuid | noexec | sys_.MS_SILENT, _mounts.PTS_OPTIONS)
        self._mount("shm", "/dev/shm", "tmpfs", _STRICT, _mounts.shm_options(shm_size))
        self._mount("mqueue", "/dev/mqueue", "mqueue", _STRICT)

    def _mask(self) -> None:
        calls, host, text = self._calls, self._host, self._calls.constant
        for path in host.masked_directories[:1]:
            self._mount("tmpfs", path, "tmpfs", _STRICT | sys_.MS_RDONLY, _mounts.MASK_OPTIONS)
        for path in host.masked_directories[1:]:
            calls.add("mount", text(host.masked_directories[0]), text(path), 0, sys_.MS_BIND, 0)
        for path in host.masked_files:
            calls.add("mount", text("/dev/null"), text(path), 0, sys_.MS_BIND, 0)
        again = sys_.MS_BIND | sys_.MS_REMOUNT | sys_.MS_RDONLY | sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_NOEXEC
        for path in host.read_only:
            calls.add("mount", text(path), text(path), 0, sys_.MS_BIND | sys_.MS_REC, 0)
            calls.add("mount", 0, text(path), 0, again, 0)

    def _network(self, request: StartRequest) -> None:
        if not request["host_uts"]:
            name = os.fsencode(request["hostname"])
            self._once(self._set_hostname, (self._calls.data(name), len(name)))
        if not request["host_network"]:
            self._once(self._loopback, ())

    def _set_hostname(self, own: list[Own]) -> None:
        self._calls.add("sethostname", *own)

    def _loopback(self, own: list[Own]) -> None:
        sock = self._calls.add("socket", *sandbox.LOOPBACK_SOCKET)
        self._calls.add("ioctl", sock, sandbox.SIOCSIFFLAGS, self._calls.constant(sandbox.LOOPBACK_UP))

    def _stdio(self, stdio: tuple[int, int, int], uid: int) -> None:
        given = tuple(target for target in range(3) if stdio[target] >= 0)
        if uid:
            own = [number for target in given for number in (stdio[target], uid)]
            self._once(self._take_stdio_as_another, own, given)
        else:
            self._once(self._take_stdio, [stdio[target] for target in given], given)

    def _take_stdio(self, own: list[Own], targets: tuple[int, ...]) -> None:
        self._calls.add("umask", 0o022)
        for target, fd in zip(targets, own, strict=True):
            self._calls.add("dup3", fd, target, 0)

    def _take_stdio_as_another(self, own: list[Own], targets: tuple[int, ...]) -> None:
        self._calls.add("umask", 0o022)
        for target, fd, uid in zip(targets, own[::2], own[1::2], strict=True):
            self._calls.add("dup3", fd, target, 0)
            self._calls.add("fchown", target, uid, -1)

    def _directory(self, path: str) -> None:
        """Opened below the root rather than by its path, so that it cannot lie outside (CVE-2024-21626)."""
        if path == "/":
            return
        calls = self._calls
        how = calls.data(struct.pack("=3Q", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _IN_ROOT))
        calls.add("fchdir", calls.add("openat2", _AT, calls.text(path), how, 24))

    def _protect(self, own: list[Own]) -> None:
        text = self._calls.constant
        self._calls.add("mount_setattr", *own, text(""), sys_.AT_EMPTY_PATH, text(_READ_ONLY), len(_READ_ONLY))

    def _limits(self, limits: list[tuple[int, int, int]]) -> None:
        self._once(self._set_limits, (), (resource.RLIMIT_NOFILE, *self._host.open_files), *map(tuple, limits))

    def _set_limits(self, own: list[Own], *limits: tuple[int, ...]) -> None:
        for which, soft, hard in limits:
            both = struct.pack("=2q", *_program.possible(which, soft, hard))
            self._calls.add("prlimit64", 0, which, self._calls.constant(both), 0)

    def _become(
        self, capabilities: int, identity: _identity.Identity, seccomp: bytes | None, telling: int, *, late: bool
    ) -> None:
        """As ``_program.become``: without ``no_new_privs`` the filter comes while CAP_SYS_ADMIN is held.

        Of the descriptors one stays, which closes when the command is executed.
        """
        code = self._filter(seccomp) if seccomp is not None else 0
        if late or code:
            self._once(self._confine, (), 0 if late else code, late)
        self._once(self._close_all, (telling + 1, telling - 1) if telling > 3 else (telling + 1,))
        uid, gid, groups = identity.uid, identity.gid, identity.groups
        kept = self._calls.data(struct.pack(f"={len(groups)}I", *groups))
        self._once(self._give_up, (len(groups), kept, gid, gid, gid, *(uid, uid, uid) * bool(uid)), capabilities)
        if late and code:
            self._once(self._confine, (), code, False)

    def _close_all(self, own: list[Own]) -> None:
        behind, *before = own
        for last in before:
            self._calls.add("close_range", 3, last, 0)
        self._calls.add("close_range", behind, 0x7FFFFFFF, 0)

    def _give_up(self, own: list[Own], capabilities: int) -> None:
        calls, user = self._calls, own[5:]
        self._drop_bounding(capabilities)
        calls.add("setgroups", *own[:2])
        calls.add("setresgid", *own[2:5])
        if user:
            calls.add("setresuid", *user)
            # Another user's process, in the launcher's memory: never to be looked into, whatever fs.suid_dumpable says.
            calls.add("prctl", sys_.PR_SET_DUMPABLE, 0, 0, 0, 0)
        held = 0 if user else capabilities & self._permitted
        calls.add("capset", *(calls.constant(words) for words in sys_.capability_words(held, held, 0)))
        if self._host.host_pids:
            calls.add("prctl", sys_.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def _drop_bounding(self, capabilities: int) -> None:
        for number in range(_program.LAST_CAPABILITY + 1):
            if self._bounding & ~capabilities & 1 << number:
                self._calls.add("prctl", sys_.PR_CAPBSET_DROP, number, 0, 0, 0)

    def _filter(self, program: bytes) -> int:
        """The address of what seccomp(2) takes."""
        calls = self._calls
        if program not in self._filters:
            code = calls.constant(program)
            self._filters[program] = calls.constant(struct.pack("@HP", len(program) // 8, code))
        return self._filters[program]

    def _confine(self, own: list[Own], code: int, no_new_privileges: bool) -> None:
        if no_new_privileges:
            self._calls.add("prctl", sys_.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if code:
            self._calls.add("seccomp", sys_.SECCOMP_SET_MODE_FILTER, 0, code)

    def _execute(self, request: StartRequest, home: str) -> int:
        """All places where the command may be, in turn; the number of the first of these calls."""
        calls, process = self._calls, request["process"]
        variables = _program.environment(process, home)
        arguments = [sandbox.INIT_PATH, "--", *process["args"]] if request["init"] else process["args"]
        name, first = arguments[0], len(calls)
        argv = calls.vector(arguments)
        envp = calls.vector([f"{key}={value}" for key, value in variables.items()])
        places = [name] if "/" in name else [f"{place or '.'}/{name}" for place in variables["PATH"].split(":")]
        self._once(self._try_all, [word for path in calls.texts(places) for word in (path, argv, envp)])
        return first

    def _try_all(self, own: list[Own]) -> None:
        for at in range(0, len(own), 3):
            self._calls.add("execve", *own[at : at + 3], may_fail=True)


def _sleep(request: StartRequest) -> int:
    """A process that may run out of its memory bound is safe, and with it the launcher, only while its parent sleeps.

    The kernel kills all who share the memory of the one that it has chosen, but it does not choose in the middle of a
    vfork (``in_vfork`` in its ``oom_badness``).
    """
    return sys_.CLONE_VFORK if request["limits"]["memory"] else 0


def _looks_plain(request: StartRequest) -> bool:
    process = request["process"]
    unusual = request["privileged"] or process["tty"] or process["oom_score_adj"]
    return not unusual and bool(request["root"]["upper"] and process["args"] and process["args"][0])


def _mask(numbers: Iterator[int]) -> int:
    return sum(1 << number for number in numbers)


def _may_be_had(number: int) -> bool:
    try:
        return bool(sys_.prctl(sys_.PR_CAPBSET_READ, number))
    except OSError:
        return False


def open_setup(host: sandbox.Host, proc: int) -> PlainSetup | None:
    """None where the machine has no way to run a list of system calls: every container is set up step by step then."""
    calls = open_calls()
    return PlainSetup(host, proc, calls) if calls is not None else None
