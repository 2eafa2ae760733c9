"""``system df``: what the disk is used for, and what of it could be had back."""

from __future__ import annotations

import sys
import time

from bireme.cli._command import Command
from bireme.cli._common_flags import list_format_flag
from bireme.cli._flags import Flag
from bireme.cli._render.containers import container_row
from bireme.cli._render.containers import titles as container_titles
from bireme.cli._render.df import CONTAINER_TABLE, IMAGE_TABLE, TABLE, TITLES, VOLUME_TABLE, usage_rows
from bireme.cli._render.images import TITLES as IMAGE_TITLES
from bireme.cli._render.images import image_rows
from bireme.cli._render.listing import Row, render, render_each
from bireme.cli._render.volumes import TITLES as VOLUME_TITLES
from bireme.cli._render.volumes import volume_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def df(session: Session, options: Values, arguments: list[str]) -> int:
    answer = session.client.json("GET", "/system/df") or {}
    if options.on("verbose"):
        sys.stdout.writelines(_verbose(options.text("format"), answer))
        return 0
    sys.stdout.write(render(options.text("format"), TABLE, TITLES, usage_rows(answer)))
    return 0


def _verbose(form: str, answer: dict[str, Any]) -> Iterable[str]:
    """Each thing by itself; a template sees all of them at once, as fields of one value."""
    now = time.time()
    images = [next(image_rows(item, now=now)) for item in answer.get("Images") or ()]
    containers = [container_row({**item, "SizeRootFs": 0}, now=now) for item in answer.get("Containers") or ()]
    volumes = [volume_row(item, now=now) for item in answer.get("Volumes") or ()]
    if form not in ("", "table"):
        return render_each(form, [Row(BuildCache=[], Containers=containers, Images=images, Volumes=volumes)])
    return (
        "Images space usage:\n\n",
        render("", IMAGE_TABLE, IMAGE_TITLES, images),
        "\nContainers space usage:\n\n",
        render("", CONTAINER_TABLE, container_titles(), containers),
        "\nLocal Volumes space usage:\n\n",
        render("", VOLUME_TABLE, VOLUME_TITLES, volumes),
    )


COMMANDS = {
    "system df": Command(
        "system df",
        "system df [OPTIONS]",
        "Show disk usage",
        df,
        flags=(
            list_format_flag(),
            Flag("verbose", "v", summary="Show detailed information on space usage"),
        ),
        most=0,
    )
}
