"""``--change``: the Dockerfile instructions that alter how an image runs. Pure.

The grammar is the Dockerfile's: words with quotes and backslashes, ``$NAME`` and ``${NAME:-word}`` replaced by what
``ENV`` has set so far, a JSON array or a line for the shell where a command is meant.
"""

from __future__ import annotations

import json
import posixpath
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bireme.images._words import expand, split_words
from bireme.images.model import ImageConfig
from bireme_actors import InvalidConfig

_CONTINUED = re.compile(r"\\[ \t]*\n")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII)
_SIGNAL = re.compile(r"([A-Z]+[0-9]?)([+-]\d{1,2})?", re.ASCII)
_HIGHEST_PORT = 65535
_SHELL = ("/bin/sh", "-c")


@dataclass(slots=True)
class _Draft:
    """A configuration while it is changed."""

    env: dict[str, str] = field(default_factory=dict)
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    working_dir: str = ""
    volumes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    ports: set[str] = field(default_factory=set)
    stop_signal: str = ""
    cmd_set: bool = False


def apply_changes(changes: Sequence[str]) -> ImageConfig:
    """The configuration that these instructions make of an empty one. Raises InvalidConfig naming the instruction."""
    draft = _Draft()
    for line in _lines(changes):
        word, _, rest = line.replace("\t", " ", 1).partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            known = ", ".join(_INSTRUCTIONS)
            raise InvalidConfig(f"{word.lower()} is not a valid change command: use one of {known}")
        if not rest.strip():
            raise InvalidConfig(f"{word.upper()} requires at least one argument")
        instruction(draft, rest.strip())
    return ImageConfig(
        env=tuple(f"{name}={value}" for name, value in draft.env.items()),
        cmd=draft.cmd,
        entrypoint=draft.entrypoint,
        user=draft.user,
        working_dir=draft.working_dir,
        volumes=tuple(draft.volumes),
        labels=draft.labels,
        exposed_ports=tuple(sorted(draft.ports)),
        stop_signal=draft.stop_signal,
    )


def check_text(text: str, what: str) -> None:
    """Refuse what no configuration can hold. Raises InvalidConfig."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidConfig(f"{what} is not valid UTF-8") from error
    if "\0" in text:
        raise InvalidConfig(f"{what} must not contain NUL")


def _lines(changes: Sequence[str]) -> list[str]:
    text = _CONTINUED.sub("", "\n".join(changes))
    check_text(text, "a change")
    lines = [line.strip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def _command(text: str) -> tuple[str, ...]:
    """A JSON array of strings is the command itself; anything else is a line for the shell."""
    if text.startswith("["):
        try:
            value = json.loads(text)
        except ValueError:
            return (*_SHELL, text)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise InvalidConfig("when using JSON array syntax, arrays must be comprised of strings only")
    return (*_SHELL, text)


def _cmd(draft: _Draft, text: str) -> None:
    draft.cmd = _command(text)
    draft.cmd_set = True


def _entrypoint(draft: _Draft, text: str) -> None:
    draft.entrypoint = _command(text) or None
    if not draft.cmd_set:
        draft.cmd = None


def _pairs(draft: _Draft, text: str, instruction: str) -> list[tuple[str, str]]:
    """``a=b c="d e"``, or the old form ``a b c`` in which the rest of the line is the value."""
    words = split_words(text)
    if "=" not in words[0]:
        name, *value = text.split(None, 1)
        if not value:
            raise InvalidConfig(f"{instruction} must have two arguments")
        return [(expand(name, draft.env), expand(value[0], draft.env))]
    for word in words:
        if "=" not in word:
            raise InvalidConfig(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
    split = [word.partition("=") for word in words]
    return [(expand(name, draft.env), expand(value, draft.env)) for name, _, value in split]


def _env(draft: _Draft, text: str) -> None:
    pairs = _pairs(draft, text, "ENV")
    if any(not name for name, _ in pairs):
        raise InvalidConfig("ENV names can not be blank")
    draft.env.update(pairs)


def _label(draft: _Draft, text: str) -> None:
    pairs = _pairs(draft, text, "LABEL")
    if any(not name for name, _ in pairs):
        raise InvalidConfig("LABEL names can not be blank")
    draft.labels.update(pairs)


def _user(draft: _Draft, text: str) -> None:
    draft.user = expand(text, draft.env)


def _working_dir(draft: _Draft, text: str) -> None:
    path = posixpath.join("/", draft.working_dir, expand(text, draft.env))
    draft.working_dir = "/" + posixpath.normpath(path).lstrip("/")


def _volume(draft: _Draft, text: str) -> None:
    listed = list(_command(text)) if text.startswith("[") else []
    paths = listed if listed and listed[:2] != list(_SHELL) else text.split()
    for path in (expand(path, draft.env).strip() for path in paths):
        if not path:
            raise InvalidConfig("VOLUME specified can not be an empty string")
        if path not in draft.volumes:
            draft.volumes.append(path)


def _expose(draft: _Draft, text: str) -> None:
    for word in text.split():
        spec = expand(word, draft.env)
        match = _PORT.fullmatch(spec.lower())
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else 0
        if match is None or not 0 < first <= last <= _HIGHEST_PORT:
            raise InvalidConfig(f"invalid containerPort: {spec}")
        draft.ports.update(f"{port}/{match[3] or 'tcp'}" for port in range(first, last + 1))


def _stop_signal(draft: _Draft, text: str) -> None:
    name = expand(text, draft.env)
    number = int(name) if re.fullmatch("[0-9]{1,3}", name) else _signal_number(name)
    if not 0 < number < signal.NSIG:
        raise InvalidConfig(f"invalid signal: {name}")
    draft.stop_signal = name


def _signal_number(name: str) -> int:
    """``SIGTERM``, ``term``, ``SIGRTMIN+3``; 0 for what is no signal."""
    match = _SIGNAL.fullmatch(name.upper().removeprefix("SIG"))
    if match is None:
        return 0
    base = signal.Signals.__members__.get(f"SIG{match[1]}", 0)
    return int(base) + int(match[2] or 0) if base else 0


_INSTRUCTIONS: dict[str, Callable[[_Draft, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _working_dir,
}
