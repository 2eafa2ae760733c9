"""Bireme: containers with data volumes, embedded in a Python program.

    async with bireme.open_runtime(root=...) as runtime:
        done = await runtime.run("busybox", ["sh", "-c", "echo hi > /data/x"], volumes=["/data"])

``bireme.blocking`` and ``bireme.aio`` offer the same to synchronous and asyncio programs. Everything here is imported
when it is first used: the command line and the launcher are part of this package and never load trio.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme import aio, blocking
    from bireme.engine import Completed, Container, Credentials, LogEntry, RegistryError, Runtime, open_runtime
    from bireme_actors import (
        ActorStopped,
        BiremeError,
        CommandNotExecutable,
        CommandNotFound,
        Conflict,
        ContainerFailed,
        DependencyFailed,
        DriverError,
        Event,
        ExitStatus,
        ImageNotFound,
        InvalidConfig,
        Limits,
        MissingRequirement,
        NotFound,
        NotModified,
        OnExit,
        OutputNotKept,
        RestartPolicy,
        Security,
        Status,
        StorageError,
        Unsupported,
        VolumesFrom,
        VolumeView,
        WaitCondition,
    )

__version__ = "0.1.0"

__all__ = [
    "ActorStopped",
    "BiremeError",
    "CommandNotExecutable",
    "CommandNotFound",
    "Completed",
    "Conflict",
    "Container",
    "ContainerFailed",
    "Credentials",
    "DependencyFailed",
    "DriverError",
    "Event",
    "ExitStatus",
    "ImageNotFound",
    "InvalidConfig",
    "Limits",
    "LogEntry",
    "MissingRequirement",
    "NotFound",
    "NotModified",
    "OnExit",
    "OutputNotKept",
    "RegistryError",
    "RestartPolicy",
    "Runtime",
    "Security",
    "Status",
    "StorageError",
    "Unsupported",
    "VolumeView",
    "VolumesFrom",
    "WaitCondition",
    "aio",
    "blocking",
    "open_runtime",
]

_HOMES = {
    "Completed": "bireme.engine",
    "Container": "bireme.engine",
    "Credentials": "bireme.engine",
    "LogEntry": "bireme.engine",
    "RegistryError": "bireme.engine",
    "Runtime": "bireme.engine",
    "open_runtime": "bireme.engine",
}
_SUBMODULES = ("aio", "blocking")


def __getattr__(name: str) -> object:
    import importlib

    if name in _SUBMODULES:
        return importlib.import_module(f"bireme.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'bireme' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES.get(name, "bireme_actors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
