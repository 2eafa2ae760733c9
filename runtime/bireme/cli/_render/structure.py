"""The JSON of ``inspect``, ``info``, ``version`` and ``events`` as templates see it: structs, maps, lists. Pure.

Docker's templates run over Go's values: an object with fixed fields is a struct, where an unknown field is an error;
labels and the like are maps, where it is no value; and ``null`` in a list's or a map's place is an empty one.
"""

from __future__ import annotations

from bireme.cli._format import NilList, NilMap, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAPS = (
    "Annotations Attributes Data DriverOpts ExposedPorts LabelFilters Labels Metadata Networks Options PortBindings "
    "Ports Status StorageOpt Sysctls Tmpfs Volumes"
)
MAPS = frozenset(_MAPS.split())
"""Fields whose keys are data, not names of fields."""

_LISTS = (
    "Aliases Args Binds CapAdd CapDrop Cmd DNSNames DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch "
    "Entrypoint Env ExecIDs ExtraHosts GroupAdd Layers Links MaskedPaths Mounts OnBuild ReadonlyPaths RepoDigests "
    "RepoTags SecurityOpt Shell Test Ulimits VolumesFrom Warnings"
)
LISTS = frozenset(_LISTS.split())
"""Fields that are lists even where the API says null."""

_OTHER_NAMES = {
    "ID": ("Id", "id"),
    "APIVersion": ("ApiVersion",),
    "NanoCPUs": ("NanoCpus",),
    **{name: (name[0].lower() + name[1:],) for name in ("From", "Scope", "Status", "Time", "TimeNano")},
}


class Object(Struct):
    """Knows Go's name for a field whose JSON is written differently."""

    def __contains__(self, name: object) -> bool:
        return any(super(Object, self).__contains__(key) for key in (name, *_OTHER_NAMES.get(str(name), ())))

    def __missing__(self, name: str) -> Any:
        return next(self[key] for key in _OTHER_NAMES[name] if super(Object, self).__contains__(key))


def structured(value: Any) -> Any:
    """A decoded JSON value with its objects as structs, except those that are maps in Docker's own types."""
    if isinstance(value, dict):
        return Object({key: _field(key, item) for key, item in value.items()})
    if isinstance(value, list):
        return [structured(item) for item in value]
    return value


def _field(name: str, value: Any) -> Any:
    if value is None:
        return NilMap() if name in MAPS else NilList() if name in LISTS else None
    # What is below a map's keys is structs again; a volume's ``Status`` is a map, a container's is a text.
    if name in MAPS and isinstance(value, dict):
        return {key: structured(item) for key, item in value.items()}
    return structured(value)
