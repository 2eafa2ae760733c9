"""``import``: an image of one layer from a root file system's archive."""

from __future__ import annotations

from collections.abc import Sequence

from bireme.images._config import build_config
from bireme.images._repository import NewImage, Repository
from bireme.images._streams import FromSource, Hashed, Reporter, decompressed
from bireme.images._tar import Stream
from bireme.images.changes import apply_changes, check_text
from bireme.images.model import Image, Progress
from bireme.images.references import parse
from bireme_actors import ByteSource, InvalidConfig

DEFAULT_MESSAGE = "Imported from -"


async def import_image(
    repository: Repository,
    source: ByteSource,
    *,
    reference: str,
    changes: Sequence[str],
    message: str,
    progress: Progress,
    total: int,
) -> Image:
    """Unpack the archive and commit the image. What is wrong with the request is found before a byte is read."""
    names = (new_name(reference),) if reference else ()
    config = apply_changes(changes)
    check_text(message, "the message")

    def archive() -> Stream:
        report = Reporter(progress, "Importing", total=total)
        return decompressed(_NotEmpty(Hashed(FromSource(source), report)))

    async with repository.hold() as hold:
        layer = await repository.add_layer(hold, archive)
        raw = build_config(
            config, diff_ids=[layer.diff_id], created=repository.clock(), comment=message or DEFAULT_MESSAGE
        )
        return (await repository.add_images([NewImage(raw, (layer,), names)]))[0]


def new_name(text: str) -> str:
    """The whole name that a text gives to an image. Raises InvalidConfig for what cannot be given."""
    reference = parse(text)
    if reference.digest:
        raise InvalidConfig(f"refusing to create a tag with a digest reference: {text}")
    if reference.familiar_name == "sha256":
        raise InvalidConfig("refusing to create an ambiguous tag using digest algorithm as name")
    return reference.key


class _NotEmpty:
    """A stream that must have at least one byte."""

    def __init__(self, stream: Hashed) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if not data and not self._stream.length:
            raise InvalidConfig("the archive is empty: a tar archive of a root file system is needed")
        return data
