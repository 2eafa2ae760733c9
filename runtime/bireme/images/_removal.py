"""Which names go and whether the image goes, when one is asked to be removed: Docker's rules. Pure.

(moby, ``daemon/images/image_delete.go``.) A name is removed first; the image goes with its last name. By ID, an image
goes with all its names if they are of one repository. Containers forbid it, stopped ones unless it is forced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bireme.images.references import is_prefix, parse
from bireme_actors import Conflict, InvalidConfig

_SHORT = 12


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be done."""

    untag: tuple[str, ...]
    """Whole names."""
    delete: bool


@dataclass(frozen=True, slots=True)
class Users:
    """The containers of one image; empty where there is none."""

    running: str = ""
    stopped: str = ""

    @property
    def any(self) -> str:
        return self.running or self.stopped


def short(identifier: str) -> str:
    """An ID as it is shown."""
    return identifier.removeprefix("sha256:")[:_SHORT]


def users(image_id: str, used_by: Mapping[str, str], running: Mapping[str, str]) -> Users:
    """Who uses the image, of the maps from image to container."""
    active = running.get(image_id, "")
    user = used_by.get(image_id, "")
    return Users(active, "" if user == active else user)


def plan_removal(ref: str, image_id: str, names: Sequence[str], user: Users, *, force: bool) -> Removal:
    """Decide. Raises Conflict with Docker's words."""
    if is_prefix(ref, image_id) and parse_key(ref) not in names:
        return _by_id(image_id, names, user, force=force)
    return _by_name(parse_key(ref), image_id, names, user, force=force)


def parse_key(ref: str) -> str:
    """The whole name that a text stands for; empty if it cannot be a name."""
    try:
        return parse(ref).key
    except InvalidConfig:
        return ""


def _by_name(key: str, image_id: str, names: Sequence[str], user: Users, *, force: bool) -> Removal:
    if not force and _one_repository(names) and user.any:
        raise Conflict(
            f'conflict: unable to remove repository reference "{parse(key).familiar}" (must force) - '
            f"container {short(user.any)} is using its referenced image {short(image_id)}"
        )
    rest = [name for name in names if name != key]
    same = [name for name in rest if parse(name).name == parse(key).name]
    if same and all("@" in name for name in same):
        rest = [name for name in rest if name not in same]
    untag = tuple(name for name in names if name not in rest)
    if rest:
        return Removal(untag, delete=False)
    _check(image_id, rest, user, force=force)
    return Removal(untag, delete=True)


def _by_id(image_id: str, names: Sequence[str], user: Users, *, force: bool) -> Removal:
    single = _one_repository(names)
    _check(image_id, () if single else names, user, force=force)
    return Removal(tuple(names), delete=True)


def _check(image_id: str, names: Sequence[str], user: Users, *, force: bool) -> None:
    start = f"conflict: unable to delete {short(image_id)}"
    if user.running:
        raise Conflict(f"{start} (cannot be forced) - image is being used by running container {short(user.running)}")
    if force:
        return
    if len(names) > 1:
        raise Conflict(f"{start} (must be forced) - image is referenced in multiple repositories")
    if user.stopped:
        raise Conflict(f"{start} (must be forced) - image is being used by stopped container {short(user.stopped)}")


def _one_repository(names: Sequence[str]) -> bool:
    """At most one tag, and all names of one repository."""
    tags = [name for name in names if "@" not in name]
    return len(tags) <= 1 and len({parse(name).name for name in names}) <= 1
