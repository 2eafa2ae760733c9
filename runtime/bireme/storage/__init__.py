"""Containers, volumes and output on disk: everything below ROOT but the images.

``paths`` says where each thing is, ``durable`` how it gets there, ``recovery`` what becomes of what a crash left.
"""

from __future__ import annotations

from bireme.storage._live import LiveOutput, LiveReader, OutputLost, not_kept
from bireme.storage._log_lines import LogEntry
from bireme.storage._log_rotation import Rotation
from bireme.storage._names import check_names
from bireme.storage.containers import ContainerDirectories
from bireme.storage.durable import Disk, open_disk
from bireme.storage.logs import ContainerLog, JsonLogs, LogOptions, Position
from bireme.storage.paths import Layout, open_root
from bireme.storage.recovery import Recovered, empty_trash, recover
from bireme.storage.rootfs import OverlayRootfs
from bireme.storage.volumes import ImageContent, VolumeDirectories

__all__ = [
    "ContainerDirectories",
    "ContainerLog",
    "Disk",
    "ImageContent",
    "JsonLogs",
    "Layout",
    "LiveOutput",
    "LiveReader",
    "LogEntry",
    "LogOptions",
    "OutputLost",
    "OverlayRootfs",
    "Position",
    "Recovered",
    "Rotation",
    "VolumeDirectories",
    "check_names",
    "empty_trash",
    "not_kept",
    "open_disk",
    "open_root",
    "recover",
]
