"""Docker's rules of ``rmi``, and its words."""

from __future__ import annotations

import pytest

from bireme.images._removal import Removal, Users, plan_removal
from bireme_actors import Conflict

IMAGE = "sha256:" + "0123456789ab" * 5 + "0123"
ONE, TWO, OTHER = "docker.io/library/a:1", "docker.io/library/a:2", "docker.io/other/b:1"
DIGEST = f"docker.io/library/a@{IMAGE}"
IDLE, STOPPED, RUNNING = Users(), Users(stopped="c" * 64), Users(running="d" * 64)


@pytest.mark.parametrize(
    ("ref", "names", "user", "force", "removal"),
    [
        ("a:1", [ONE], IDLE, False, Removal((ONE,), True)),
        ("a:1", [ONE, TWO], IDLE, False, Removal((ONE,), False)),
        ("a:1", [ONE, OTHER], STOPPED, False, Removal((ONE,), False)),
        ("a:1", [ONE, OTHER], RUNNING, True, Removal((ONE,), False)),
        ("a:1", [ONE], STOPPED, True, Removal((ONE,), True)),
        ("a:1", [ONE, DIGEST], IDLE, False, Removal((ONE, DIGEST), True)),
        ("a:1", [ONE, TWO, DIGEST], IDLE, False, Removal((ONE,), False)),
        (IMAGE, [ONE], IDLE, False, Removal((ONE,), True)),
        (IMAGE[7:19], [], IDLE, False, Removal((), True)),
        (IMAGE[:12], [ONE, DIGEST], IDLE, False, Removal((ONE, DIGEST), True)),
        (IMAGE, [ONE, OTHER], IDLE, True, Removal((ONE, OTHER), True)),
        (IMAGE, [], STOPPED, True, Removal((), True)),
    ],
)
def test_what_goes(ref: str, names: list[str], user: Users, force: bool, removal: Removal) -> None:
    assert plan_removal(ref, IMAGE, names, user, force=force) == removal


@pytest.mark.parametrize(
    ("ref", "names", "user", "force", "message"),
    [
        (
            "a:1", [ONE], STOPPED, False,
            ('conflict: unable to remove repository reference "a:1" (must force) - '
            "container cccccccccccc is using its referenced image 0123456789ab"),
        ),
        (
            "a:1", [ONE], RUNNING, True,
            ("conflict: unable to delete 0123456789ab (cannot be forced) - "
            "image is being used by running container dddddddddddd"),
        ),
        (
            IMAGE, [ONE, OTHER], IDLE, False,
            "conflict: unable to delete 0123456789ab (must be forced) - image is referenced in multiple repositories",
        ),
        (
            IMAGE, [ONE, TWO], IDLE, False,
            "conflict: unable to delete 0123456789ab (must be forced) - image is referenced in multiple repositories",
        ),
        (
            IMAGE, [ONE], STOPPED, False,
            ("conflict: unable to delete 0123456789ab (must be forced) - "
            "image is being used by stopped container cccccccccccc"),
        ),
        (
            IMAGE, [], RUNNING, True,
            ("conflict: unable to delete 0123456789ab (cannot be forced) - "
            "image is being used by running container dddddddddddd"),
        ),
    ],
)  # fmt: skip
def test_what_stays(ref: str, names: list[str], user: Users, force: bool, message: str) -> None:
    with pytest.raises(Conflict) as caught:
        plan_removal(ref, IMAGE, names, user, force=force)
    assert str(caught.value) == message


def test_a_name_that_looks_like_the_beginning_of_the_id_is_a_name() -> None:
    named = "docker.io/library/0123:latest"
    assert plan_removal("0123", IMAGE, [named, ONE], IDLE, force=False) == Removal((named,), False)
