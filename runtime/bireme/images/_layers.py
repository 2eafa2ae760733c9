"""Layers on disk: each by its digest, unpacked once, committed by one rename.

``layers/<24 digits>/`` holds ``fs`` (what overlayfs mounts), ``recipe`` and ``aside`` (how its archive is put together
again) and ``layer.json``. What is under way lies below ``staging`` on the same file system; what is found there at a
start was left by a crash. Every function blocks.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator

import msgspec

from bireme import _syscalls
from bireme._files import remove_tree, sync_directory, write_atomic
from bireme.images._faults import reason, storage_faults
from bireme.images._recipe import Replaced, assemble
from bireme.images._streams import Hashed
from bireme.images._tar import Stream
from bireme.images.extract import unpack
from bireme_actors import InvalidConfig, StorageError

_NAME_DIGITS = 24
_SYNCED_ONE_BY_ONE = 32
"""Up to so many files are synced each for itself; beyond, the whole file system at once is cheaper."""


class Layer(msgspec.Struct, frozen=True):
    """What ``layer.json`` holds."""

    diff_id: str
    size: int
    """Bytes of its files."""
    archive_size: int
    """Bytes of its archive, uncompressed."""
    replaced: list[Replaced] = []

    @property
    def name(self) -> str:
        return layer_name(self.diff_id)

    @property
    def directory(self) -> str:
        """What to mount, below ``layers``."""
        return f"{self.name}/fs"


def layer_name(diff_id: str) -> str:
    """A layer's directory. 96 bits of the digest: short, and nobody can make a second layer fit the first."""
    return diff_id.removeprefix("sha256:")[:_NAME_DIGITS]


class LayerDirectory:
    """The ``layers`` of a store."""

    def __init__(self, directory: str, staging: str) -> None:
        self._directory = directory
        self._staging = staging

    def names(self) -> list[str]:
        """Every layer's name."""
        return os.listdir(self._directory)

    def path(self, layer: Layer) -> str:
        """A layer's own directory, in which others may keep notes on it."""
        return os.path.join(self._directory, layer.name)

    def find(self, diff_id: str) -> Layer | None:
        """The layer if it is here. Raises StorageError if what is here is not it."""
        path = os.path.join(self._directory, layer_name(diff_id), "layer.json")
        try:
            with open(path, "rb") as file:
                layer = msgspec.json.decode(file.read(), type=Layer)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, OSError) as error:
            raise StorageError(f"the stored layer {os.path.dirname(path)} is damaged: {error}") from error
        if layer.diff_id != diff_id:
            raise StorageError(f"the stored layer {os.path.dirname(path)} is {layer.diff_id}, not {diff_id}")
        return layer

    def stage(self, stream: Stream, expected: str = "") -> tuple[str, Layer]:
        """Unpack an archive; the staged directory, to ``commit`` or ``discard``, and what is in it.

        ``expected``: the digest it must have. Raises InvalidConfig, StorageError; nothing is then left.
        """
        staged = os.path.join(self._staging, secrets.token_hex(8))
        with storage_faults("the image cannot be stored"):
            os.mkdir(staged, 0o700)
        try:
            unpacked = unpack(stream, staged)
            if expected and unpacked.diff_id != expected:
                raise InvalidConfig(f'invalid diffID for a layer: expected "{expected}", got "{unpacked.diff_id}"')
            layer = Layer(unpacked.diff_id, unpacked.size, unpacked.archive_size, unpacked.replaced)
            with storage_faults("the image cannot be stored"):
                write_atomic(os.path.join(staged, "layer.json"), msgspec.json.encode(layer), durable=False)
                _sync(staged)
            return staged, layer
        except BaseException:
            self.discard(staged)
            raise

    def commit(self, staged: str, layer: Layer) -> None:
        """Put a staged layer in its place, durably; if it is there already, the staged one goes."""
        with storage_faults("the image cannot be stored"):
            try:
                os.rename(staged, os.path.join(self._directory, layer.name))
            except OSError:
                if self.find(layer.diff_id) is None:
                    raise
                self.discard(staged)
            sync_directory(self._directory)

    def discard(self, staged: str) -> None:
        """Remove what was staged. Idempotent."""
        with storage_faults("what is left of an image cannot be removed"):
            remove_tree(staged)

    def retire(self, names: Iterable[str]) -> list[str]:
        """Take layers out of the store by one rename each; the directories to ``discard`` when there is time."""
        retired = []
        with storage_faults("a layer cannot be removed"):
            for name in names:
                aside = os.path.join(self._staging, secrets.token_hex(8))
                try:
                    os.rename(os.path.join(self._directory, name), aside)
                except FileNotFoundError:
                    continue
                retired.append(aside)
        return retired

    def archive(self, layer: Layer) -> Iterator[bytes]:
        """The layer's archive, as it came. Raises StorageError, at the end too, if the layer has been changed."""
        base = os.path.join(self._directory, layer.name)
        try:
            tree = os.open(os.path.join(base, "fs"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"the stored layer {base} cannot be read: {reason(error)}") from error
        try:
            source = _Pieces(assemble(os.path.join(base, "recipe"), tree, os.path.join(base, "aside"), layer.replaced))
            hashed = Hashed(source)
            while data := hashed.read(0):
                yield data
        finally:
            os.close(tree)
        if hashed.digest != layer.diff_id:
            raise StorageError(f"the stored layer {base} has been changed: load or import its image again")


class _Pieces:
    """An iterator of bytes as a stream that gives them out piece by piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int) -> bytes:
        return next(self._pieces, b"")


def _sync(staged: str) -> None:
    """Everything below is on the disk when this returns."""
    files = []
    directories = []
    for directory, _, names in os.walk(staged):
        directories.append(directory)
        files += [path for name in names if stat.S_ISREG(os.lstat(path := os.path.join(directory, name)).st_mode)]
        if len(files) > _SYNCED_ONE_BY_ONE:
            _sync_file_system(staged)
            return
    try:
        for path in (*files, *reversed(directories)):
            _sync_one(path)
    except PermissionError:  # without root, a file that its own mode hides
        _sync_file_system(staged)


def _sync_one(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_file_system(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _syscalls.syncfs(fd)
    finally:
        os.close(fd)
