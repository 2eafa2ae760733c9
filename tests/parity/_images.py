"""The images of the scenarios, built of the host's static busybox: the same archives are imported on both sides."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from functools import cache

from tests.parity._side import Side
from tests.system._images import GROUP, IMAGES, PASSWD, Entry

STAMP = "1234567890.987654321"
"""A time with nanoseconds, in seconds since the epoch."""

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object) -> Member:
    """One entry of an archive; ``fields`` are ``TarInfo``'s."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def _rich() -> list[Member]:
    """A directory with everything that a file system can hold."""
    attribute = {"SCHILY.xattr.user.colour": "blue"}
    directory = tarfile.DIRTYPE
    return [
        member("rich/", directory, mode=0o3751, uid=1000, gid=1001, pax_headers={"mtime": STAMP, **attribute}),
        member("rich/first", content=b"thrice", pax_headers=attribute),
        member("rich/second", tarfile.LNKTYPE, linkname="rich/first"),
        member("rich/sub/", directory, uid=7, gid=8, mode=0o710),
        member("rich/sub/third", tarfile.LNKTYPE, linkname="rich/first"),
        member("rich/setuid", content=b"x", mode=0o4755, uid=3, gid=4),
        member("rich/link", tarfile.SYMTYPE, linkname="/no/where", uid=5, gid=6),
        member("rich/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        member("rich/pipe", tarfile.FIFOTYPE, mode=0o622),
        member("rich/alone", content=b"a", pax_headers={"mtime": STAMP}),
        member("rich/.hidden", content=b"h"),
        member("rich/empty/", directory, mode=0o700),
        member("rich/unicode ☃ space", content=b"u"),
        member("rich/sparse", content=bytes(1 << 20)),
    ]


_RECIPES: dict[str, tuple[Sequence[Member], Sequence[str]]] = {
    "s-rich": (_rich(), ["VOLUME /rich"]),
    "s-deep": (
        [
            member("o/", tarfile.DIRTYPE),
            member("o/f", content=b"outer"),
            member("o/i/", tarfile.DIRTYPE),
            member("o/i/f", content=b"inner"),
        ],
        ['VOLUME ["/o/i", "/o"]'],
    ),
    "s-lnvol": (
        [
            member("store/", tarfile.DIRTYPE),
            member("store/f", content=b"stored"),
            member("abs", tarfile.SYMTYPE, linkname="/store"),
            member("dots", tarfile.SYMTYPE, linkname="../../store"),
            member("self", tarfile.SYMTYPE, linkname="self"),
            member("ping", tarfile.SYMTYPE, linkname="pong"),
            member("pong", tarfile.SYMTYPE, linkname="/ping"),
            member("chain", tarfile.SYMTYPE, linkname="abs"),
            member("tofile", tarfile.SYMTYPE, linkname="/store/f"),
            member("half", tarfile.SYMTYPE, linkname="/store/missing/deep"),
            member("par", tarfile.SYMTYPE, linkname="nest/.."),
            member("nest/", tarfile.DIRTYPE),
            member("nest/up", tarfile.SYMTYPE, linkname="../store"),
            member("nest/back", tarfile.SYMTYPE, linkname="/nest"),
            member("proc-link", tarfile.SYMTYPE, linkname="/proc"),
            member("dev-link", tarfile.SYMTYPE, linkname="/dev"),
            member("root-link", tarfile.SYMTYPE, linkname="/"),
        ],
        [],
    ),
    "s-file": ([member("plain", content=b"text"), member("dir/", tarfile.DIRTYPE), member("dir/f", content=b"t")], []),
    "s-filevol": ([member("plain", content=b"text")], ["VOLUME /plain"]),
    "s-entry": ([], ['ENTRYPOINT ["echo", "entry"]', 'CMD ["cmd"]']),
    "s-env": ([], ["ENV A=image B=image", "WORKDIR /work/dir", "LABEL l=image"]),
    "s-odd": ([], ['VOLUME ["/a b", "/☃", "/c/../c2", "/d:e"]']),
}

_LAYERS: Sequence[Sequence[Member]] = (
    [
        member("vol/", tarfile.DIRTYPE),
        member("vol/low", content=b"low"),
        member("vol/gone", content=b"gone"),
        member("vol/both", content=b"low"),
        member("vol/dir/", tarfile.DIRTYPE),
        member("vol/dir/hidden", content=b"hidden"),
    ],
    [
        member("vol/.wh.gone"),
        member("vol/both", content=b"high"),
        member("vol/dir/", tarfile.DIRTYPE),
        member("vol/dir/.wh..wh..opq"),
        member("vol/dir/seen", content=b"seen"),
    ],
)
"""What the layers of s-layers hold above the base, lowest first."""

NAMES = tuple(dict.fromkeys([*IMAGES, *_RECIPES, "s-layers"]))


@cache
def _base() -> tuple[Member, ...]:
    with open("/bin/busybox", "rb") as busybox:
        program = busybox.read()
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    links = (member(f"bin/{name}", tarfile.SYMTYPE, linkname="busybox") for name in applets if name != "busybox")
    directories = [member(f"{name}/", tarfile.DIRTYPE) for name in ("bin", "etc", "root")]
    return (
        *directories,
        member("tmp/", tarfile.DIRTYPE, mode=0o1777),
        member("bin/busybox", content=program, mode=0o755),
        *links,
        *_members([PASSWD, GROUP]),
    )


def _members(entries: Iterable[Entry]) -> list[Member]:
    return [(entry.info(), entry.text.encode()) for entry in entries]


def _archive(members: Iterable[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _image_archive(reference: str, layers: Sequence[bytes], config: dict[str, object]) -> bytes:
    """What ``docker save`` writes of an image."""
    diffs = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    image = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": diffs}}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": names}]
    files = [("config.json", json.dumps(image).encode()), ("manifest.json", json.dumps(manifest).encode())]
    return _archive(member(name, content=content) for name, content in [*files, *zip(names, layers, strict=True)])


def plain_archive() -> bytes:
    """A root file system with busybox and nothing else of use."""
    return _archive(_base())


def make_images(side: Side) -> None:
    """Bring all images of the scenarios to a side."""
    system = {name: (_members(entries), changes) for name, (entries, changes) in IMAGES.items()}
    for name, (members, changes) in {**system, **_RECIPES}.items():
        options = [word for change in changes for word in ("--change", change)]
        side.ok("import", *options, "-", name, stdin=_archive([*_base(), *members]))
    layers = [_archive(_base()), *map(_archive, _LAYERS)]
    side.ok("load", stdin=_image_archive("s-layers:latest", layers, {"Volumes": {"/vol": {}}, "Cmd": ["sh"]}))
