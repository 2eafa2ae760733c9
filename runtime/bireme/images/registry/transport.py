"""One HTTP client for one way to a registry, and what goes wrong with it in Docker's (Go's) words."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import trio

import bireme
from bireme.images.registry.faults import RegistryError
from bireme.images.registry.places import Endpoint, is_loopback

CONNECT_SECONDS = 30.0
READ_SECONDS = 60.0
"""Longest silence in the middle of an answer."""
_CONNECTIONS = 16


def make_client(endpoint: Endpoint, certificates: str) -> httpx.AsyncClient:
    """Blocks: reads certificates. Raises RegistryError if one of them cannot be used."""
    return httpx.AsyncClient(
        verify=_context(endpoint, certificates) if endpoint.url.startswith("https:") else False,
        headers={"User-Agent": f"bireme/{bireme.__version__}", "Accept-Encoding": "identity"},
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=_CONNECTIONS),
        follow_redirects=False,
        trust_env=not is_loopback(endpoint.host),
    )


def _context(endpoint: Endpoint, certificates: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    directory = os.path.join(certificates, endpoint.host)
    try:
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if name.endswith(".crt"):
                context.load_verify_locations(path)
            elif name.endswith(".cert"):
                context.load_cert_chain(path, f"{path.removesuffix('.cert')}.key")
    except (FileNotFoundError, NotADirectoryError) as error:
        if error.filename != directory:
            raise RegistryError(f"missing key or certificate in {directory}: {error.filename}") from error
    except (OSError, ssl.SSLError) as error:
        raise RegistryError(f"a certificate in {directory} cannot be used: {error}") from error
    return context


@contextmanager
def telling(method: str, url: str) -> Iterator[None]:
    """What httpx raises inside becomes a RegistryError; its cause stays httpx's."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise RegistryError(f"{_verb(method)} {url[:300]!r}: invalid address: {error}") from error
    except httpx.HTTPError as error:
        raise RegistryError(f'{_verb(method)} "{url[:300]}": {explain(error, url)}') from error


def _verb(method: str) -> str:
    return method.capitalize()


def explain(error: httpx.HTTPError, url: str) -> str:
    """Why an exchange failed, as Go says it."""
    if isinstance(error, httpx.TimeoutException):
        connecting = isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
        return "dial tcp: i/o timeout" if connecting else "net/http: timeout awaiting response"
    cause = _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"x509: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"tls: {cause.reason or cause}"
    parts = httpx.URL(url)
    if isinstance(cause, socket.gaierror):
        return f"dial tcp: lookup {parts.host}: {_lookup(cause)}"
    if isinstance(error, httpx.ConnectError):
        return f"dial tcp {parts.host}:{parts.port or (443 if parts.scheme == 'https' else 80)}: connect: {_why(cause)}"
    broken = isinstance(error, httpx.NetworkError | httpx.ProtocolError)
    return f"unexpected EOF ({_why(cause)})" if broken else str(error)


def _lookup(error: socket.gaierror) -> str:
    return "no such host" if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else str(error.strerror).lower()


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    return str(error)[:200] or type(error).__name__


def _root(error: BaseException) -> BaseException:
    """The innermost cause; of several attempts the last."""
    for _ in range(16):
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[-1]
            continue
        inner = error.__cause__ or error.__context__
        if inner is None or isinstance(inner, trio.Cancelled):
            break
        error = inner
    return error
