"""``pull``, ``push``, ``login`` and ``logout``: what the engine is asked and shown, what is kept, what is drawn."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from bireme.cli._board import Board
from bireme.cli._images import registry_of, whole_name

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.cli.fake_engine import CommandLine, FakeEngine

PULL = "POST /images/create?fromImage=host%3A5000%2Fbox&tag=1"
PUSH = "POST /images/host:5000/box/push?tag=1"
DONE = b'{"status":"Pulling from box","id":"1"}\n{"status":"Status: done"}\n'


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path / "docker"), "HOME": str(tmp_path / "home")}


def shown(engine: FakeEngine, start: str) -> dict[str, Any]:
    """The credentials that went along with a request."""
    return dict(json.loads(base64.urlsafe_b64decode(engine.last(start).headers["x-registry-auth"])))


def test_a_pull_prints_the_whole_name(engine: FakeEngine, bireme: CommandLine, environ: dict[str, str]) -> None:
    engine.on("POST /images/create?fromImage=box&tag=latest", body=DONE)
    ran = bireme("pull", "box", environ=environ)
    assert ran.out == (
        "Using default tag: latest\n1: Pulling from box\nStatus: done\ndocker.io/library/box:latest\n"
    )
    assert bireme("pull", "-q", "box", environ=environ).out == "docker.io/library/box:latest\n"
    assert "x-registry-auth" not in engine.last("POST").headers


def test_flags_of_a_pull(engine: FakeEngine, bireme: CommandLine, environ: dict[str, str]) -> None:
    engine.on("POST /images/create?fromImage=box", body=DONE)
    assert bireme("pull", "-a", "-q", "box", environ=environ).out == "docker.io/library/box\n"
    engine.on("POST /images/create?fromImage=box&tag=sha256%3A12&platform=linux%2Farm64", body=DONE)
    assert bireme("pull", "--platform", "linux/arm64", "box@sha256:12", environ=environ).status == 0
    assert bireme("pull", "-a", "box:1", environ=environ).err == "tag can't be used with --all-tags/-a\n"


def test_run_hands_platform_and_credentials_on(
    engine: FakeEngine, bireme: CommandLine, environ: dict[str, str], tmp_path: Path
) -> None:
    keep(tmp_path, {"auths": {"host:5000": {"auth": base64.b64encode(b"me:secret").decode()}}})
    create = "POST /containers/create?platform=linux%2Farm64"
    engine.error(create, 404, "No such image: host:5000/box:1")
    engine.on(create, {"Id": "1" * 64, "Warnings": []}, status=201)
    engine.on(f"{PULL}&platform=linux%2Farm64", body=DONE)
    assert bireme("create", "--platform", "linux/arm64", "-q", "host:5000/box:1", environ=environ).status == 0
    expected = {"username": "me", "password": "secret", "serveraddress": "host:5000"}
    assert shown(engine, "POST /images") == expected


def keep(tmp_path: Path, document: dict[str, Any]) -> Path:
    path = tmp_path / "docker" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_a_push(engine: FakeEngine, bireme: CommandLine, environ: dict[str, str], tmp_path: Path) -> None:
    keep(tmp_path, {"auths": {"https://host:5000/v1/": {"auth": base64.b64encode(b"me:se:cret\0").decode()}}})
    steps = [{"status": "The push refers to repository [x]"}, {"progressDetail": {}, "aux": {"Tag": "1"}}]
    engine.on(PUSH, body=b"".join(json.dumps(step).encode() + b"\n" for step in steps))
    assert bireme("push", "host:5000/box:1", environ=environ).out == "The push refers to repository [x]\n"
    assert shown(engine, "POST /images")["password"] == "se:cret"
    assert bireme("push", "-q", "host:5000/box:1", environ=environ).out == "host:5000/box:1\n"
    engine.on("POST /images/host:5000/box/push", body=DONE)
    assert bireme("push", "-a", "host:5000/box", environ=environ).status == 0
    assert bireme("push", "box@sha256:12", environ=environ).err == "cannot push a digest reference\n"
    engine.on("POST /images/box/push?tag=latest", body=b'{"error":"denied","errorDetail":{"message":"denied"}}\n')
    assert bireme("push", "box", environ=environ) == (
        1,
        "Using default tag: latest\n",
        "Error response from daemon: denied\n",
    )


def test_logging_in_and_out(engine: FakeEngine, bireme: CommandLine, environ: dict[str, str], tmp_path: Path) -> None:
    engine.on("POST /auth", {"Status": "Login Succeeded", "IdentityToken": ""})
    path = keep(tmp_path, {"other": 1, "auths": {"elsewhere": {"auth": "eDp5"}}})
    ran = bireme("login", "-u", "me", "--password-stdin", "host:5000", stdin=b"secret\n", environ=environ)
    assert (ran.status, ran.out) == (0, "Login Succeeded\n")
    assert f"stored unencrypted in '{path}'" in ran.err
    assert engine.last("POST").json == {"username": "me", "password": "secret", "serveraddress": "host:5000"}
    kept = json.loads(path.read_text())
    assert kept == {"other": 1, "auths": {"elsewhere": {"auth": "eDp5"}, "host:5000": {"auth": "bWU6c2VjcmV0"}}}
    assert path.stat().st_mode & 0o777 == 0o600
    assert bireme("login", "host:5000", environ=environ).out == (
        "Authenticating with existing credentials... [Username: me]\nLogin Succeeded\n"
    )
    ran = bireme("logout", "https://host:5000/v2/", environ=environ)
    assert ran.out == "Removing login credentials for host:5000\n"
    assert json.loads(path.read_text()) == {"other": 1, "auths": {"elsewhere": {"auth": "eDp5"}}}


def test_a_token_is_kept_in_place_of_the_password(
    engine: FakeEngine, bireme: CommandLine, environ: dict[str, str], tmp_path: Path
) -> None:
    engine.on("POST /auth", {"Status": "Login Succeeded", "IdentityToken": "long"})
    assert bireme("login", "-u", "me", "-p", "secret", environ=environ).status == 0
    kept = json.loads((tmp_path / "docker" / "config.json").read_text())
    assert kept["auths"] == {"https://index.docker.io/v1/": {"auth": "bWU6", "identitytoken": "long"}}
    engine.on("POST /images/create?fromImage=box&tag=1", body=DONE)
    bireme("pull", "box:1", environ=environ)
    assert shown(engine, "POST /images")["identitytoken"] == "long"


def test_a_login_that_fails_keeps_nothing(
    engine: FakeEngine, bireme: CommandLine, environ: dict[str, str], tmp_path: Path
) -> None:
    engine.error("POST /auth", 401, "login attempt failed")
    ran = bireme("login", "-u", "me", "--password-stdin", "host:5000", stdin=b"bad", environ=environ)
    assert (ran.status, ran.err) == (1, "Error response from daemon: login attempt failed\n")
    assert not (tmp_path / "docker").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--password-stdin",), "Must provide --username with --password-stdin"),
        (("-u", "me", "-p", "x", "--password-stdin"), "mutually exclusive"),
        (("-u", "me"), "Cannot perform an interactive login from a non TTY device"),
        ((), "Cannot perform an interactive login from a non TTY device"),
    ],
)
def test_logins_that_lack_something(
    engine: FakeEngine, bireme: CommandLine, environ: dict[str, str], words: tuple[str, ...], reason: str
) -> None:
    ran = bireme("login", *words, "host:5000", environ=environ)
    assert (ran.status, reason in ran.err) == (1, True)


def test_kept_credentials_that_cannot_be_read(
    engine: FakeEngine, bireme: CommandLine, environ: dict[str, str], tmp_path: Path
) -> None:
    keep(tmp_path, {}).write_text("{")
    ran = bireme("pull", "box:1", environ=environ)
    assert (ran.status, "config.json cannot be read" in ran.err) == (1, True)
    keep(tmp_path, {"auths": {"host:5000": {"auth": "%%"}}})
    assert "its field auth is not base64" in bireme("pull", "host:5000/box:1", environ=environ).err
    keep(tmp_path, {"credsStore": "../../evil"})
    assert "invalid credential helper" in bireme("pull", "box:1", environ=environ).err
    keep(tmp_path, {"credsStore": "not-there"})
    assert "docker-credential-not-there: No such file" in bireme("pull", "box:1", environ=environ).err


@pytest.mark.parametrize(
    ("name", "registry", "whole"),
    [
        ("box", "docker.io", "docker.io/library/box"),
        ("team/box:1", "docker.io", "docker.io/team/box:1"),
        ("docker.io/box", "docker.io", "docker.io/library/box"),
        ("index.docker.io/team/box", "docker.io", "docker.io/team/box"),
        ("localhost/box", "localhost", "localhost/box"),
        ("host:5000/box:1", "host:5000", "host:5000/box:1"),
        ("example.com/a/b@sha256:1", "example.com", "example.com/a/b@sha256:1"),
    ],
)
def test_names_lead_to_registries(name: str, registry: str, whole: str) -> None:
    assert (registry_of(name), whole_name(name)) == (registry, whole)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(text: str) -> list[str]:
    """What a terminal shows of it, line by line."""
    rows, row, at = [""], 0, 0
    while at < len(text):
        if text.startswith("\x1b[", at):
            end = next(index for index in range(at + 2, len(text)) if text[index].isalpha())
            count, what = text[at + 2 : end], text[end]
            row += {"A": -int(count), "B": int(count)}.get(what, 0)
            rows += [""] * (row + 1 - len(rows))
            if what == "K":
                rows[row] = ""
            at = end
        elif text[at] == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif text[at] != "\r":
            rows[row] += text[at]
        at += 1
    return rows


def test_a_terminal_shows_a_line_for_each_layer() -> None:
    out = Terminal()
    board = Board(out, columns=80)
    board.show({"status": "Pulling from box", "id": "1"})
    board.show({"status": "Pulling fs layer", "id": "aaa", "progressDetail": {}})
    board.show({"status": "Pulling fs layer", "id": "bbb", "progressDetail": {}})
    board.show({"status": "Downloading", "id": "aaa", "progressDetail": {"current": 1000, "total": 4000}})
    assert screen(out.getvalue()) == ["1: Pulling from box", "aaa: Downloading 1kB/4kB", "bbb: Pulling fs layer", ""]
    board.show({"status": "Pull complete", "id": "aaa", "progressDetail": {}})
    board.show({"status": "Extracting", "id": "bbb", "progressDetail": {"current": 5}})
    board.show({"status": "Status: done"})
    board.show({"status": "Pulling fs layer", "id": "aaa", "progressDetail": {}})
    board.end()
    assert screen(out.getvalue()) == [
        "1: Pulling from box",
        "aaa: Pull complete",
        "bbb: Extracting 5B",
        "Status: done",
        "aaa: Pulling fs layer",
        "",
    ]


def test_a_wide_terminal_shows_bars() -> None:
    out = Terminal()
    board = Board(out, columns=120)
    board.show({"status": "Downloading", "id": "a", "progressDetail": {"current": 50, "total": 100}})
    assert screen(out.getvalue())[0] == f"a: Downloading [{'=' * 25}>{' ' * 25}]        50B/100B"
    board.show({"status": "Pushing", "id": "a", "progressDetail": {"current": 200, "total": 100}})
    assert screen(out.getvalue())[0] == f"a: Pushing [{'=' * 50}>]            200B"
