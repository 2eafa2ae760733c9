"""Archives for the tests: tar files made of entries, the sources they are read from, images in the known layouts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio

from bireme.images import ImageStore

MOMENT = 1_700_000_000


class Source:
    """Bytes as a ``ByteSource``; ``piece`` bounds what one read gives."""

    def __init__(self, data: bytes, piece: int = 1 << 16) -> None:
        self._data = memoryview(data)
        self._piece = piece
        self.reads = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        size = min(max_bytes or self._piece, self._piece)
        piece, self._data = bytes(self._data[:size]), self._data[size:]
        self.reads += 1
        return piece

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class Stalling(Source):
    """Gives its bytes, then nothing more, and never an end; ``stalled`` is set when it is waited for."""

    def __init__(self, data: bytes, piece: int = 1 << 16) -> None:
        super().__init__(data, piece)
        self.stalled = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await super().receive_some(max_bytes)
        if not data:
            self.stalled.set()
            await trio.sleep_forever()
        return data


class Breaking(Source):
    """Gives its bytes, then breaks as a connection does."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await super().receive_some(max_bytes)
        if not data:
            raise trio.BrokenResourceError
        return data


Entry = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"", **fields: Any) -> Entry:
    member = _member(name, tarfile.REGTYPE, {"mode": 0o644, **fields})
    member.size = len(content)
    return member, content


def directory(name: str, **fields: Any) -> Entry:
    return _member(name, tarfile.DIRTYPE, {"mode": 0o755, **fields}), b""


def symlink(name: str, target: str, **fields: Any) -> Entry:
    return _member(name, tarfile.SYMTYPE, {"mode": 0o777, "linkname": target, **fields}), b""


def hard_link(name: str, target: str, **fields: Any) -> Entry:
    return _member(name, tarfile.LNKTYPE, {"mode": 0o644, "linkname": target, **fields}), b""


def device(name: str, major: int, minor: int, *, block: bool = False, **fields: Any) -> Entry:
    kind = tarfile.BLKTYPE if block else tarfile.CHRTYPE
    return _member(name, kind, {"mode": 0o600, "devmajor": major, "devminor": minor, **fields}), b""


def fifo(name: str, **fields: Any) -> Entry:
    return _member(name, tarfile.FIFOTYPE, {"mode": 0o600, **fields}), b""


def _member(name: str, kind: bytes, fields: Mapping[str, Any]) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mtime = kind, MOMENT
    for key, value in fields.items():
        setattr(member, key, value)
    return member


def tar(*entries: Entry, kind: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive. Names are written as they are: the library's own cleaning is not applied."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for member, content in entries:
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image_config(*layers: bytes, **config: object) -> bytes:
    """A configuration for these (uncompressed) layers."""
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2024-01-02T03:04:05.000000006Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
            "history": [{"created": "2024-01-02T03:04:05Z", "created_by": f"layer {n}"} for n in range(len(layers))],
        }
    ).encode()


def docker_archive(layers: Sequence[bytes], names: Sequence[str] = ("test:1",), **config: object) -> bytes:
    """What ``docker save`` made before it made OCI layouts: ``manifest.json`` at the end."""
    raw = image_config(*layers, **config)
    name = f"{sha256(raw)[7:]}.json"
    members = [f"{sha256(layer)[7:]}/layer.tar" for layer in layers]
    manifest = [{"Config": name, "RepoTags": list(names), "Layers": members}]
    blobs = [file(member, layer) for member, layer in zip(members, layers, strict=True)]
    return tar(*blobs, file(name, raw), file("manifest.json", json.dumps(manifest).encode()))


class OciLayout:
    """An OCI image layout that is put together piece by piece."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def add(self, data: bytes, kind: str = "", **more: object) -> dict[str, object]:
        """Store a blob; its descriptor."""
        self.blobs[sha256(data)] = data
        return {"mediaType": kind, "digest": sha256(data), "size": len(data), **more}

    def image(self, layers: Sequence[bytes], *, pack: Any = gzip.compress, **config: object) -> dict[str, object]:
        """Store an image; the descriptor of its manifest."""
        raw = image_config(*layers, **config)
        manifest = {
            "schemaVersion": 2,
            "config": self.add(raw, "application/vnd.oci.image.config.v1+json"),
            "layers": [self.add(pack(layer), "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers],
        }
        return self.add(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")

    def index(self, *descriptors: Mapping[str, object]) -> dict[str, object]:
        """Store an index of these; its descriptor."""
        data = json.dumps({"schemaVersion": 2, "manifests": list(descriptors)}).encode()
        return self.add(data, "application/vnd.oci.image.index.v1+json")

    def archive(self, *descriptors: Mapping[str, object]) -> bytes:
        index = json.dumps({"schemaVersion": 2, "manifests": list(descriptors)}).encode()
        blobs = [file(f"blobs/sha256/{digest[7:]}", data) for digest, data in self.blobs.items()]
        return tar(*blobs, file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), file("index.json", index))


def named(descriptor: Mapping[str, object], name: str) -> dict[str, object]:
    return {**descriptor, "annotations": {"io.containerd.image.name": name}}


async def saved(store: ImageStore, *refs: str) -> bytes:
    """The whole of what ``save`` gives."""
    async with aclosing(store.save(refs)) as pieces:
        return b"".join([piece async for piece in pieces])


def root_of(store: ImageStore, directory: Path, ref: str, layer: int = 0) -> Path:
    """The directory of one of an image's layers."""
    return directory / "layers" / store.get(ref).layers[layer]


def everything_below(path: Path) -> list[str]:
    """Every path below, sorted; nothing is followed."""
    found = [os.path.join(base, name) for base, names, files in os.walk(path) for name in (*names, *files)]
    return sorted(os.path.relpath(item, path) for item in found)


def leftovers(directory: Path) -> list[str]:
    """What a store of no image may not hold."""
    return [path for path in everything_below(directory) if path not in ("configs", "layers", "staging", "index.json")]


def run_child(script: str, *arguments: str) -> Any:
    """Run a script in a process of its own, with this project to import; the JSON that it prints."""
    root = Path(__file__).parents[3]
    path = ":".join(str(root / name) for name in ("actors", "runtime", ""))
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
