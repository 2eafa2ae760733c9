"""The engine: the parts put together, and the API a program embeds. The faces (``server``, ``cli``) stand on it."""

from __future__ import annotations

from bireme.engine._attach import Attachment
from bireme.engine._background import open_background
from bireme.engine._container import Completed, Container
from bireme.engine._events import EventsLost
from bireme.engine._execs import Exec
from bireme.engine._health import shown_health
from bireme.engine._info import API_VERSION, MIN_API_VERSION
from bireme.engine._inspect import format_time, mount_json, network_id, shown_status, tmpfs_json
from bireme.engine._open import open_engine, open_runtime
from bireme.engine._processes import Usage
from bireme.engine._request import CreateOptions, parse_network, parse_restart
from bireme.engine._runtime import Runtime
from bireme.engine._signals import parse_signal, signal_name
from bireme.engine._sources import open_file
from bireme.images import Image, ImageStore, ProgressEvent
from bireme.images.platforms import foreign_warning
from bireme.images.registry import Credentials, RegistryError, Unauthorized, read_auth_header, read_credentials
from bireme.storage import LogEntry

__all__ = [
    "API_VERSION",
    "MIN_API_VERSION",
    "Attachment",
    "Completed",
    "Container",
    "CreateOptions",
    "Credentials",
    "EventsLost",
    "Exec",
    "Image",
    "ImageStore",
    "LogEntry",
    "ProgressEvent",
    "RegistryError",
    "Runtime",
    "Unauthorized",
    "Usage",
    "foreign_warning",
    "format_time",
    "mount_json",
    "network_id",
    "open_background",
    "open_engine",
    "open_file",
    "open_runtime",
    "parse_network",
    "parse_restart",
    "parse_signal",
    "read_auth_header",
    "read_credentials",
    "shown_health",
    "shown_status",
    "signal_name",
    "tmpfs_json",
]
