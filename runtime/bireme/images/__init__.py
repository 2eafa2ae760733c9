"""Images: their names, their layers unpacked once and shared, and the ways they come and go."""

from __future__ import annotations

from bireme.images.commits import Commit
from bireme.images.model import HistoryEntry, Image, ImageConfig, Progress, ProgressEvent, silent
from bireme.images.store import ImageStore, open_images

__all__ = [
    "Commit",
    "HistoryEntry",
    "Image",
    "ImageConfig",
    "ImageStore",
    "Progress",
    "ProgressEvent",
    "open_images",
    "silent",
]
