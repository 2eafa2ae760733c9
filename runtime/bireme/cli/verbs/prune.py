"""``prune`` of containers, images, volumes, and of all at once: what nobody needs any more, after a question."""

from __future__ import annotations

from bireme.cli._command import Command
from bireme.cli._common_flags import filter_flag, parse_filters
from bireme.cli._flags import Flag
from bireme.cli._render.units import human_size
from bireme.cli._session import confirm, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bireme.cli._flags import Values
    from bireme.cli._session import Session

    Filters = dict[str, dict[str, bool]]
    Pruned = tuple[str, list[str], int]
    """A title, what was removed, the bytes that are free now."""

_SURE = "Are you sure you want to continue?"


def containers(session: Session, options: Values, arguments: list[str]) -> int:
    filters = parse_filters(options.many("filter"))
    if not _agreed(options, "This will remove all stopped containers."):
        return 0
    _report(_prune_containers(session, filters))
    return 0


def images(session: Session, options: Values, arguments: list[str]) -> int:
    filters, everything = parse_filters(options.many("filter")), options.on("all")
    warning = "This will remove all dangling images."
    if everything:
        warning = "This will remove all images without at least one container associated to them."
    if not _agreed(options, warning):
        return 0
    _report(_prune_images(session, filters, everything))
    return 0


def volumes(session: Session, options: Values, arguments: list[str]) -> int:
    """No volume here has a name of its own, so with or without ``--all`` it is those that no container holds."""
    filters = parse_filters(options.many("filter"))
    if not _agreed(options, "This will remove all volumes not used by at least one container."):
        return 0
    _report(_prune_volumes(session, filters))
    return 0


def system(session: Session, options: Values, arguments: list[str]) -> int:
    """Containers first: what they hold is free then."""
    filters, everything, with_volumes = parse_filters(options.many("filter")), options.on("all"), options.on("volumes")
    kinds = ["all stopped containers"]
    if with_volumes:
        kinds.append("all volumes not used by at least one container")
    kinds.append("all images not used by at least one container" if everything else "all dangling images")
    if not _agreed(options, "This will remove:\n  - " + "\n  - ".join(kinds) + "\n"):
        return 0
    done = [_prune_containers(session, filters)]
    if with_volumes:
        done.append(_prune_volumes(session, filters))
    _report(*done, _prune_images(session, filters, everything))
    return 0


def _prune_containers(session: Session, filters: Filters) -> Pruned:
    answer = session.client.json("POST", "/containers/prune", {"filters": filters or None}) or {}
    return "Deleted Containers:", answer.get("ContainersDeleted") or [], _space(answer)


def _prune_images(session: Session, filters: Filters, everything: bool) -> Pruned:
    filters = {**filters, "dangling": {"false" if everything else "true": True}}
    answer = session.client.json("POST", "/images/prune", {"filters": filters}) or {}
    deeds = [f"{deed.lower()}: {what}" for item in answer.get("ImagesDeleted") or () for deed, what in item.items()]
    return "Deleted Images:", deeds, _space(answer)


def _prune_volumes(session: Session, filters: Filters) -> Pruned:
    answer = session.client.json("POST", "/volumes/prune", {"filters": filters or None}) or {}
    return "Deleted Volumes:", answer.get("VolumesDeleted") or [], _space(answer)


def _space(answer: dict[str, Any]) -> int:
    return int(answer.get("SpaceReclaimed") or 0)


def _agreed(options: Values, warning: str) -> bool:
    return options.on("force") or confirm(f"WARNING! {warning}\n{_SURE}")


def _report(*done: Pruned) -> None:
    for title, lines, _ in done:
        if lines:
            say("\n".join([title, *lines, ""]))
    say(f"Total reclaimed space: {human_size(sum(space for _, _, space in done))}")


def _command(name: str, summary: str, act: Any, *more: Flag, example: str) -> Command:
    return Command(
        name,
        f"{name} [OPTIONS]",
        summary,
        act,
        flags=(
            *more,
            filter_flag(summary=f"Provide filter values (e.g. {example})"),
            Flag("force", "f", summary="Do not prompt for confirmation"),
        ),
        most=0,
    )


COMMANDS = {
    "container prune": _command(
        "container prune", "Remove all stopped containers", containers, example='"until=<timestamp>"'
    ),
    "image prune": _command(
        "image prune",
        "Remove unused images",
        images,
        Flag("all", "a", summary="Remove all unused images, not just dangling ones"),
        example='"until=<timestamp>"',
    ),
    "system prune": _command(
        "system prune",
        "Remove what nobody uses any more",
        system,
        Flag("all", "a", summary="Remove all unused images, not just dangling ones"),
        Flag("volumes", summary="Remove volumes that no container holds, too"),
        example='"label=<key>=<value>"',
    ),
    "volume prune": _command(
        "volume prune",
        "Remove volumes that no container holds",
        volumes,
        Flag("all", "a", summary="Accepted as Docker's: volumes have no names here, so all are anonymous"),
        example='"label=<label>"',
    ),
}
