"""``login`` and ``logout``: the engine tries out what a registry is told; kept it is here, where Docker keeps it."""

from __future__ import annotations

import sys

from bireme.cli import _terminal
from bireme.cli._command import Command
from bireme.cli._errors import ApiError, CliError
from bireme.cli._flags import STRING, Flag
from bireme.cli._session import say, warn
from bireme.credentials import HUB, Accounts, CredentialsError, account_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_LONGEST_PASSWORD = 1 << 16
_UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""


def login(session: Session, options: Values, arguments: list[str]) -> int:
    server = account_key(arguments[0] if arguments else "")
    accounts = Accounts.of_user(session.environ)
    try:
        if not options.text("username") and not options.text("password"):
            known = accounts.find(server)
            if known and _again(session, known):
                return 0
        account = {**_ask(options, server), "serveraddress": server}
        answer = session.client.json("POST", "/auth", body=account) or {}
        if answer.get("IdentityToken"):
            account["identitytoken"] = str(answer["IdentityToken"])
        path = accounts.keep(server, account)
    except CredentialsError as error:
        raise CliError(str(error)) from None
    if path:
        warn(_UNENCRYPTED.format(path=path))
    say(str(answer.get("Status") or "Login Succeeded"))
    return 0


def _again(session: Session, known: dict[str, str]) -> bool:
    """Whether what is kept is still good."""
    say(f"Authenticating with existing credentials... [Username: {known.get('username', '')}]")
    try:
        answer = session.client.json("POST", "/auth", body=known) or {}
    except ApiError as error:
        warn(f"Login did not succeed, error: {error.message}")
        return False
    say(str(answer.get("Status") or "Login Succeeded"))
    return True


def _ask(options: Values, server: str) -> dict[str, str]:
    """Name and password, from the flags, standard input or the terminal. Raises CliError."""
    username, password = options.text("username"), options.text("password")
    if options.on("password-stdin"):
        if password:
            raise CliError("--password and --password-stdin are mutually exclusive")
        if not username:
            raise CliError("Must provide --username with --password-stdin")
        password = sys.stdin.read(_LONGEST_PASSWORD).rstrip("\r\n")
    elif password:
        warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if username and password:
        return {"username": username, "password": password}
    if not _terminal.is_terminal(_terminal.STDIN):
        raise CliError("Error: Cannot perform an interactive login from a non TTY device")
    return _prompt(username, password, "docker.io" if server == HUB else server)


def _prompt(username: str, password: str, server: str) -> dict[str, str]:
    import getpass

    if not username:
        sys.stdout.write(f"Log in to {server}\nUsername: ")
        sys.stdout.flush()
        username = sys.stdin.readline().strip()
    if not username:
        raise CliError("Error: Non-null Username Required")
    password = password or getpass.getpass("Password: ")
    if not password:
        raise CliError("Error: Password Required")
    return {"username": username, "password": password}


def logout(session: Session, options: Values, arguments: list[str]) -> int:
    server = account_key(arguments[0] if arguments else "")
    say(f"Removing login credentials for {server}")
    try:
        Accounts.of_user(session.environ).forget(server)
    except CredentialsError as error:
        raise CliError(f"WARNING: could not erase credentials:\n{error}") from None
    return 0


COMMANDS = {
    "login": Command(
        "login",
        "login [OPTIONS] [SERVER]",
        "Log in to a registry",
        login,
        flags=(
            Flag("password", "p", STRING, "Password or Personal Access Token (PAT)"),
            Flag("password-stdin", "", summary="Take the Password or Personal Access Token (PAT) from stdin"),
            Flag("username", "u", STRING, "Username"),
        ),
        most=1,
    ),
    "logout": Command("logout", "logout [SERVER]", "Log out from a registry", logout, most=1),
}
