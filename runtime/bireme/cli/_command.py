"""What a verb is: its flags, how many arguments it takes, the function that does it. Pure."""

from __future__ import annotations

from bireme.cli._errors import ENGINE_ERROR, UsageError
from bireme.cli._flags import FlagError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bireme.cli._flags import Flag, Values
    from bireme.cli._session import Session

    Handler = Callable[[Session, Values, list[str]], int]


class Command:
    """One verb. ``name`` is all its words, ``least`` and ``most`` how many arguments it takes (None: no bound).

    ``flags_first``: the first argument ends the flags, the rest belongs to a container.
    """

    __slots__ = ("description", "flags", "flags_first", "handler", "least", "most", "name", "usage")

    def __init__(
        self,
        name: str,
        usage: str,
        description: str,
        handler: Handler,
        *,
        flags: Sequence[Flag] = (),
        least: int = 0,
        most: int | None = None,
        flags_first: bool = False,
    ) -> None:
        self.name = name
        self.usage = usage
        self.description = description
        self.handler = handler
        self.flags = tuple(flags)
        self.least = least
        self.most = most
        self.flags_first = flags_first

    @property
    def see_help(self) -> str:
        return f"See 'bireme {self.name} --help'."

    def parse(self, words: Sequence[str]) -> tuple[Values, list[str]]:
        """Raises UsageError (status 125 for flags, 1 for the number of arguments, as Docker's) and HelpWanted."""
        try:
            values, arguments = parse(self.flags, words, interspersed=not self.flags_first)
        except FlagError as error:
            raise UsageError(f"{error}\n{self.see_help}", ENGINE_ERROR) from None
        complaint = self._count(len(arguments))
        if complaint:
            raise UsageError(f"bireme: 'bireme {self.name}' {complaint}\n{self.see_help}")
        return values, arguments

    def _count(self, count: int) -> str:
        least, most = self.least, self.most
        if (most is not None and least <= count <= most) or (most is None and count >= least):
            return ""
        if most == 0:
            return "accepts no arguments"
        if most is None:
            return f"requires at least {least} {_arguments(least)}"
        if least == most:
            return f"requires {least} {_arguments(least)}"
        return f"requires {least} to {most} arguments"


def _arguments(count: int) -> str:
    return "argument" if count == 1 else "arguments"
