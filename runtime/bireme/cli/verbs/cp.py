"""``cp``: files and directories between a container and here; ``-`` is a tar archive on standard input or output."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat

from bireme.cli import _terminal
from bireme.cli._attach import write_all
from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._copy.pack import pack
from bireme.cli._copy.plan import Place, asserts_directory, clean, follow, plan_copy, split_argument, split_path
from bireme.cli._copy.unpack import unpack
from bireme.cli._errors import ApiError, CliError
from bireme.cli._flags import Flag
from bireme.cli._session import warn
from bireme.cli._transfer import Meter, meter, source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

# Go's bits for a file's kind, as the API has them.
_DIRECTORY = 1 << 31
_SYMLINK = 1 << 27
_DEVICE = 1 << 26
_STAT_HEADER = "x-docker-container-path-stat"


def cp(session: Session, options: Values, arguments: list[str]) -> int:
    if not arguments[0]:
        raise CliError("source can not be empty")
    if not arguments[1]:
        raise CliError("destination can not be empty")
    (from_container, from_path), (to_container, to_path) = map(split_argument, arguments)
    if from_container and to_container:
        raise CliError("copying between containers is not supported")
    if not from_container and not to_container:
        raise CliError("must specify at least one container source")
    if from_container:
        _Download(session.client, from_container, options).run(from_path, to_path)
    else:
        _Upload(session.client, to_container, options).run(from_path, to_path)
    return 0


class _Copy:
    def __init__(self, client: Client, container: str, options: Values) -> None:
        self._client = client
        self._container = container
        self._path = f"/containers/{quote(container)}/archive"
        self._everything = options.on("archive")
        self._follow = options.on("follow-link")
        self._quiet = options.on("quiet") or not _terminal.is_terminal(_terminal.STDOUT)

    def stat(self, path: str) -> dict[str, object] | None:
        """What the container has there; None if nothing."""
        try:
            return decode_stat(self._client.head(self._path, {"path": path}))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def meter(self, what: str) -> Meter:
        return meter(what, quiet=self._quiet)

    def tell(self, counted: Meter, target: str) -> None:
        if not self._quiet:
            warn(f"Successfully copied {counted.total_text()} to {target}")


class _Download(_Copy):
    def run(self, path: str, target: str) -> None:
        goal = None if target == "-" else _local_target(target)  # before anything is fetched
        place = self._source(path)
        response = self._client.open("GET", self._path, {"path": place.path})
        counted = self.meter("Copying from container -")
        if goal is None:
            for piece in response:
                write_all(_terminal.STDOUT, piece)
            return
        facts = decode_stat(response.headers)
        place.is_directory = bool(int(str(facts["mode"])) & _DIRECTORY)
        directory, name = plan_copy(place, goal)
        left_out = unpack(counted.over(response), directory, name, everything=self._everything)
        if left_out:
            warn(f"WARNING: {left_out} device(s) left out: only -a copies what could reach the hardware")
        self.tell(counted, os.path.abspath(target))

    def _source(self, path: str) -> Place:
        facts = self.stat(path) if self._follow else None
        if facts is None or not int(str(facts["mode"])) & _SYMLINK:
            return Place(path)
        return follow(path, str(facts["linkTarget"]))


class _Upload(_Copy):
    def run(self, path: str, target: str) -> None:
        here = None if path == "-" else _local_source(path, self._follow)
        place = self._target(target)
        if here is None:
            if not place.is_directory:
                raise CliError(f'destination "{self._container}:{target}" must be a directory')
            with source("-", empty="requested cp from stdin, but stdin is empty", quiet=self._quiet) as pieces:
                self._send(place.path, pieces)
            return
        directory, name = plan_copy(here, place)
        counted = self.meter("Copying to container -")
        with contextlib.closing(counted.over(pack(here.path, name))) as pieces:
            self._send(directory, pieces)
        self.tell(counted, f"{self._container}:{target}")

    def _send(self, directory: str, pieces: Iterator[bytes]) -> None:
        query = {"path": directory, "noOverwriteDirNonDir": "true", "copyUIDGID": "true" if self._everything else None}
        self._client.open("PUT", self._path, query, upload=pieces).read()

    def _target(self, path: str) -> Place:
        facts, resolved = self.stat(path), path
        if facts is not None and int(str(facts["mode"])) & _SYMLINK:
            resolved = follow(path, str(facts["linkTarget"])).path
            facts = self.stat(resolved)
        if facts is None:
            return Place(resolved, exists=False)
        mode = int(str(facts["mode"]))
        if mode & _DEVICE:
            raise CliError(f'destination "{self._container}:{path}" must be a directory or regular file: got a device')
        return Place(resolved, is_directory=bool(mode & _DIRECTORY))


def decode_stat(headers: Mapping[str, str]) -> dict[str, object]:
    """What the API's header says of a path. Raises CliError if it says nothing."""
    try:
        facts: dict[str, object] = json.loads(base64.b64decode(headers[_STAT_HEADER]))
    except (KeyError, ValueError):
        raise CliError("unable to decode container path stat header") from None
    return facts


def _absolute(path: str) -> str:
    """Absolute, and still saying that it is a directory if it did."""
    whole = clean(os.path.join(os.getcwd(), path))
    if path == "." or path.endswith("/."):
        return f"{whole}/."
    return f"{whole}/" if path.endswith("/") and whole != "/" else whole


def _local_source(path: str, follow_link: bool) -> Place:
    """Links on the way are followed; the last part only where that is asked for, or where it must be a directory."""
    wanted = _absolute(path)
    resolved = os.path.realpath(wanted) if follow_link or asserts_directory(wanted) else wanted
    try:
        facts = os.lstat(resolved)
        if asserts_directory(wanted) and not stat.S_ISDIR(facts.st_mode):
            raise NotADirectoryError(20, "not a directory", wanted)
    except OSError as error:
        raise CliError(f"lstat {wanted}: {(error.strerror or str(error)).lower()}") from None
    return Place(resolved, is_directory=stat.S_ISDIR(facts.st_mode), name=split_path(wanted)[1])


def _local_target(path: str) -> Place:
    """Links are followed to the end. Raises CliError where nothing can be put."""
    wanted = _absolute(path)
    resolved = os.path.realpath(wanted)
    if not os.path.lexists(resolved):
        directory = os.path.dirname(resolved)
        if not os.path.isdir(directory):
            raise CliError(f'invalid output path: directory "{directory}" does not exist')
        return Place(resolved + "/" if asserts_directory(wanted) else resolved, exists=False)
    if not os.path.isdir(resolved) and not os.path.isfile(resolved):
        raise CliError(f'invalid output path: "{path}" must be a directory or a regular file')
    return Place(resolved, is_directory=os.path.isdir(resolved))


COMMANDS = {
    "cp": Command(
        "cp",
        "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\ncp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
        """Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.""",
        cp,
        flags=(
            Flag("archive", "a", summary="Archive mode (copy all uid/gid information)"),
            Flag("follow-link", "L", summary="Always follow symbol link in SRC_PATH"),
            Flag("quiet", "q", summary="Suppress progress output during copy"),
        ),
        least=2,
        most=2,
    )
}
