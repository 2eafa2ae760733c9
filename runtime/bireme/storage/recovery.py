"""What a crash left, put in order before an engine looks at it: file work on a locked root, nothing else.

After ``recover`` there are only containers with a record, and only volumes in their places; whatever was half made is
gone, whatever was half removed goes on being removed:

=============================================  =============================================================
found                                          becomes
=============================================  =============================================================
``config.json.new``, whole                     the record: it was durable, maybe answered
``config.json.new``, torn                      deleted: nobody was answered
a container's directory without a record       deleted: its creation had not come to the record
a staged volume that a record owns             put in its place
any other staged volume                        deleted; kept while a damaged record could be its owner
a record that cannot be read                   reported, left as it is, and everything of its container
the state ``removing``                         handed to the engine, which removes the container again
what lies in the trash                         deleted: on the side (``open_disk``), or by ``empty_trash``
=============================================  =============================================================
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

from bireme import _files
from bireme.storage import _format, _trash
from bireme.storage._errors import translated
from bireme.storage.paths import NEW, Layout, list_ids
from bireme.storage.records import list_containers, read, read_record
from bireme_actors import ContainerId, ContainerRecord, Status, VolumeId

_log = logging.getLogger("bireme")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What ``recover`` found and did."""

    records: tuple[ContainerRecord, ...] = ()
    """Every whole record."""
    damaged: tuple[ContainerId, ...] = ()
    """Containers whose record cannot be read."""
    dropped: tuple[ContainerId, ...] = ()
    """Containers that had not come to a record."""
    committed: tuple[VolumeId, ...] = ()
    """Volumes put in their places."""
    lost: tuple[VolumeId, ...] = ()
    """Volumes that a record mounts and that are nowhere."""

    @property
    def removing(self) -> tuple[ContainerRecord, ...]:
        """Those whose removal was under way; ``state.removing_volumes`` says whether their volumes go too."""
        return tuple(record for record in self.records if record.state.status is Status.REMOVING)


def recover(layout: Layout) -> Recovered:
    """Finish or undo what an earlier engine left half done. Idempotent; blocks on the disk. Raises StorageError."""
    with translated(f"put root {layout.root} in order"):
        for container in list_containers(layout):
            _settle_record(layout, container)
        dropped = tuple(_without_record(layout))
        for container in dropped:
            _throw_away(layout, container)
        whole, damaged = [], []
        for container in list_containers(layout):
            record = read_record(layout, container)
            if record is None:
                damaged.append(container)
            else:
                whole.append(record)
        committed = _settle_volumes(layout, whole, keep_others=bool(damaged))
        lost = tuple(_missing(layout, whole))
    return Recovered(records=tuple(whole), damaged=tuple(damaged), dropped=dropped, committed=committed, lost=lost)


def empty_trash(layout: Layout) -> None:
    """Delete what earlier engines threw away and had not deleted yet. Blocks for as long as that takes."""
    _trash.delete_all(_trash.leftovers(layout.trash))


def _settle_record(layout: Layout, container: ContainerId) -> None:
    """Put a whole new configuration in its place, delete a torn one."""
    path = layout.config(container)
    try:
        whole = _format.decode_config(read(path + NEW)).id == container
    except FileNotFoundError:
        return
    except _format.Damaged:
        whole = False
    if whole:
        os.rename(path + NEW, path)
        _files.sync_directory(layout.container(container))
    else:
        os.unlink(path + NEW)


def _without_record(layout: Layout) -> Iterable[ContainerId]:
    return [name for name in list_containers(layout) if not os.path.lexists(layout.config(name))]


def _throw_away(layout: Layout, container: ContainerId) -> None:
    _log.info("container %s had not been created whole: removed", container)
    _files.rename_any(layout.container(container), layout.container_trash(container))


def _settle_volumes(layout: Layout, records: Iterable[ContainerRecord], *, keep_others: bool) -> tuple[VolumeId, ...]:
    owned = {mount.volume for record in records for mount in record.config.mounts if mount.owned}
    committed = []
    for volume in map(VolumeId, sorted(list_ids(layout.staging))):
        if volume in owned:
            os.rename(layout.staged(volume), layout.volume(volume))
            committed.append(volume)
        elif keep_others:
            _log.warning("volume %s is kept in %s: a damaged record may own it", volume, layout.staging)
        else:
            _files.rename_any(layout.staged(volume), layout.volume_trash(volume))
    if committed:
        _files.sync_directory(layout.volumes)
    return tuple(committed)


def _missing(layout: Layout, records: Iterable[ContainerRecord]) -> Iterable[VolumeId]:
    for record in records:
        for mount in record.config.mounts:
            if record.state.status is not Status.REMOVING and not os.path.isdir(layout.volume(mount.volume)):
                _log.error(
                    "volume %s of container %s is not in %s: the container cannot start; remove it, or restore the "
                    "directory",
                    mount.volume,
                    record.config.id,
                    layout.volumes,
                )
                yield mount.volume
