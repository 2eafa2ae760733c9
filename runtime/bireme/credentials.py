"""Credentials for registries where Docker keeps them: ``config.json``, by default in ``~/.docker``, and helpers.

A *helper* is a program ``docker-credential-NAME`` that knows a keychain (github.com/docker/docker-credential-helpers);
``credHelpers`` names one for a registry, ``credsStore`` one for all. Without one, name and password stand in the file.
Standard library only: the command line uses this, and programs that embed the engine may.
"""

from __future__ import annotations

import base64
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

HUB = "https://index.docker.io/v1/"
"""What Docker's own registry is called in the file."""
HELPER_SECONDS = 120
_LONGEST_FILE = 4 << 20
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_FIELDS = ("username", "password", "identitytoken", "registrytoken")
_TOKEN_USER = "<token>"
_HUB_NAMES = ("", "docker.io", "index.docker.io", "registry-1.docker.io")
_ABSENT = ("credentials not found", "no credentials server url", "the specified item could not be found")


class CredentialsError(Exception):
    """The file is damaged or a helper failed; the text says which and why."""


class Accounts:
    """What is kept in one configuration directory. Its methods block and raise CredentialsError."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "config.json")

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Accounts:
        """Those of whoever has this environment."""
        home = environ.get("HOME") or os.path.expanduser("~")
        return cls(environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker"))

    def find(self, registry: str) -> dict[str, str]:
        """What is known for a registry (``docker.io``, ``host:port``): Docker's AuthConfig, empty if nothing."""
        key, document = account_key(registry), self._read()
        helper = _helper_for(document, key)
        if helper:
            return _from_helper(helper, key)
        accounts = _table(document, "auths")
        entry = accounts.get(key)
        if entry is None:
            host = _host(key)
            entry = next((value for name, value in accounts.items() if _host(name) == host), None)
        return _read_entry(entry, key) if isinstance(entry, dict) else {}

    def keep(self, registry: str, account: Mapping[str, str]) -> str:
        """Keep an AuthConfig; the path of the file if it stands there for anybody to read who may read the file."""
        key, document = account_key(registry), self._read()
        helper = _helper_for(document, key)
        accounts = _table(document, "auths")
        token = account.get("identitytoken", "")
        if helper:
            user, secret = (_TOKEN_USER, token) if token else (account["username"], account["password"])
            _run(helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret}))
            accounts[key] = {}
        else:
            password = "" if token else account.get("password", "")
            both = base64.b64encode(f"{account.get('username', '')}:{password}".encode()).decode()
            accounts[key] = {"auth": both, **({"identitytoken": token} if token else {})}
        self._write({**document, "auths": accounts})
        return "" if helper else self.path

    def forget(self, registry: str) -> None:
        """Remove what is kept, if anything."""
        key, document = account_key(registry), self._read()
        helper = _helper_for(document, key)
        if helper:
            _run(helper, "erase", key)
        accounts = _table(document, "auths")
        known = [name for name in accounts if name == key or _host(name) == _host(key)]
        if known:
            self._write({**document, "auths": {name: item for name, item in accounts.items() if name not in known}})

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                document = json.loads(file.read(_LONGEST_FILE) or b"{}")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise CredentialsError(f"{self.path} cannot be read: {error}") from None
        if not isinstance(document, dict):
            raise CredentialsError(f"{self.path} cannot be read: it holds no object")
        return document

    def _write(self, document: Mapping[str, object]) -> None:
        """Replace the file, or what it is a link to, readable by its owner alone."""
        target = os.path.realpath(self.path)
        beside = f"{target}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(fd, "w", encoding="utf-8") as file:
                    json.dump(document, file, indent="\t")
                os.replace(beside, target)
            except BaseException:
                os.unlink(beside)
                raise
        except OSError as error:
            raise CredentialsError(f"{self.path} cannot be written: {error.strerror}") from error


def account_key(registry: str) -> str:
    """What a registry is called in the file."""
    host = _host(registry)
    return HUB if host in _HUB_NAMES else host


def encode_header(account: Mapping[str, str]) -> str:
    """An AuthConfig for the header ``X-Registry-Auth``."""
    return base64.urlsafe_b64encode(json.dumps(dict(account)).encode()).decode()


def _host(name: str) -> str:
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return dict(value) if isinstance(value, dict) else {}


def _helper_for(document: Mapping[str, Any], key: str) -> str:
    helpers = _table(document, "credHelpers")
    name = helpers.get(key) or helpers.get(_host(key)) or document.get("credsStore") or ""
    if not isinstance(name, str) or not set(name) <= _NAME_CHARACTERS:
        raise CredentialsError(f"invalid credential helper {name!r}: give the end of docker-credential-NAME")
    return name


def _read_entry(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    account = {name: entry[name] for name in _FIELDS if _text(entry, name)}
    if _text(entry, "auth"):
        try:
            user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except ValueError:
            raise CredentialsError(f"the account of {key} is damaged: its field auth is not base64") from None
        account |= {"username": user, "password": password.strip("\0")}
    return account | {"serveraddress": key} if account else {}


def _text(entry: Mapping[str, Any], name: str) -> bool:
    return isinstance(entry.get(name), str) and bool(entry[name])


def _from_helper(helper: str, key: str) -> dict[str, str]:
    answer = _run(helper, "get", key)
    if not answer:
        return {}
    try:
        found = json.loads(answer)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(f"docker-credential-{helper} answers nonsense for {key}") from None
    if user == _TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": user, "password": secret, "serveraddress": key}


def _run(helper: str, verb: str, text: str) -> str:
    """A helper's answer; empty if it knows nothing. Raises CredentialsError."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb], input=text.encode(), capture_output=True, timeout=HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or "it does not end"
        raise CredentialsError(f"error getting credentials - {program}: {reason}") from None
    answer = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode == 0:
        return answer
    if any(words in answer.lower() for words in _ABSENT):
        return ""
    reason = answer or f"exit status {done.returncode}"
    raise CredentialsError(f"error getting credentials - {program}: {reason[:300]}")
