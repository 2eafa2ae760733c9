"""``create``: a container that does not run yet; prints its ID."""

from __future__ import annotations

from bireme.cli._command import Command
from bireme.cli._config import CREATE_FLAGS, attached, check_options
from bireme.cli._create import create_container
from bireme.cli._session import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def create(session: Session, options: Values, arguments: list[str]) -> int:
    check_options(options)
    say(create_container(session, options, arguments, attached(options, False)))
    return 0


COMMANDS = {
    "create": Command(
        "create",
        "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create a new container",
        create,
        flags=CREATE_FLAGS,
        least=1,
        flags_first=True,
    )
}
