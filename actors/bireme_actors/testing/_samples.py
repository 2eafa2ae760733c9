"""Sample configurations and states, and the clock that stamps them."""

from __future__ import annotations

import signal
from dataclasses import replace

import trio

from bireme_actors._model import (
    ContainerConfig,
    ContainerId,
    ContainerState,
    Limits,
    Mount,
    Nanoseconds,
    RestartPolicy,
    Security,
    Status,
    Tmpfs,
    VolumeId,
    VolumesFrom,
    new_id,
)

EPOCH = 1_700_000_000_000_000_000
"""Wall-clock time at zero of trio's clock, in nanoseconds."""


def virtual_time() -> Nanoseconds:
    """A ``Clock`` that goes as trio's clock does, so that it is virtual where that is."""
    return EPOCH + int(trio.current_time() * 1e9)


def sample_config(*args: str, name: str = "", **changes: object) -> ContainerConfig:
    """A container's configuration, with a fresh identifier, that runs ``args`` (default ``app``)."""
    container = ContainerId(new_id())
    config = ContainerConfig(
        id=container,
        name=name or f"c-{container[:12]}",
        created=virtual_time(),
        image="busybox:latest",
        image_id="sha256:" + "0" * 64,
        args=args or ("app",),
    )
    return replace(config, **changes)  # type: ignore[arg-type]  # by field name


def rich_config() -> ContainerConfig:
    """A configuration in which every field differs from its default, with bytes and characters that hurt."""
    return sample_config(
        "sh", "-c", "echo 'a\tb\n' \udcff ü \x7f",
        driver="crun", entrypoint=("sh",), command=("-c", ""), env=("A=b", "EMPTY=", "U=\u20ac \U0001f6a2"),
        user="ann:wheel", working_dir="/w", hostname="h", labels={"a.b": "c", "": ""}, tty=True, open_stdin=True,
        stdin_once=True, stop_signal=int(signal.SIGINT), stop_timeout=-1, volumes=("/a", "/a/b"),
        volumes_from=(VolumesFrom("x"), VolumesFrom("y", True), VolumesFrom("z", False)),
        mounts=(Mount(VolumeId(new_id()), "/a"), Mount(VolumeId(new_id()), "/a/b", True, False)),
        tmpfs=(Tmpfs("/t", "size=1m,ro"), Tmpfs("/u", listed=True)),
        network="host", pid_mode="host", uts_mode="host", read_only=True, init=True, auto_remove=True, ephemeral=True,
        restart=RestartPolicy(name="on-failure", maximum_retries=3),
        security=Security(cap_add=("NET_ADMIN",), cap_drop=("ALL",), no_new_privileges=True, seccomp="unconfined",
                          privileged=True, group_add=("7",)),
        limits=Limits(memory=1, nano_cpus=2, pids=3, rlimits={"nofile": (4, 5)}, shm_size=6, oom_score_adj=-7),
        extra={"list": [1, None, {"k": "v"}], "flag": True, "number": 1.5},
    )  # fmt: skip


def rich_state() -> ContainerState:
    """A state in which every field differs from its default."""
    return ContainerState(
        status=Status.REMOVING, pid=1, exit_code=137, exit_signal=9, oom_killed=True, error="it broke", started=1 << 60,
        finished=(1 << 60) + 1, restart_count=2, stopped_by_user=True, removing_volumes=True,
    )  # fmt: skip
