"""https: which certificates are believed, and what is said of those that are not; and what loads httpx."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from bireme.images import ImageStore
from bireme.images.registry import RegistryError
from bireme.images.registry.places import Endpoint
from bireme.images.registry.session import Options
from bireme.images.registry.transport import make_client, telling
from tests.runtime.images.archives import run_child
from tests.runtime.images.registry.fake_registry import FakeRegistry, layer

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One for 127.0.0.1 that nobody has signed; the key lies beside it."""
    made = tmp_path / "made.crt"
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(made.with_suffix(".key")), "-out", str(made)]
    command = ["openssl", "req", "-x509", *key, *files, *subject]
    subprocess.run(command, check=True, capture_output=True)
    return made


class SecureRegistry(FakeRegistry):
    """Speaks https."""

    def __init__(self, certificate: Path) -> None:
        super().__init__()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    async def _connection(self, stream: trio.abc.Stream) -> None:
        secure = trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
        try:
            await super()._connection(secure)  # type: ignore[arg-type]  # a stream like any other
        finally:
            await trio.aclose_forcefully(secure)


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[SecureRegistry]:
    fake = SecureRegistry(certificate)
    async with fake.serving():
        yield fake


async def ask(endpoint: Endpoint, certificates: Path) -> int:
    async with await trio.to_thread.run_sync(make_client, endpoint, str(certificates)) as client:
        with telling("GET", endpoint.url):
            return (await client.get(f"{endpoint.url}/v2/")).status_code


@needs_openssl
async def test_a_certificate_is_believed_if_it_is_laid_down_for_the_host(
    secure: SecureRegistry, certificate: Path, tmp_path: Path
) -> None:
    endpoint = Endpoint(f"https://{secure.host}", True, secure.host)
    with pytest.raises(RegistryError, match=r'Get "https://.*": x509: self.signed certificate'):
        await ask(endpoint, tmp_path)
    directory = tmp_path / secure.host
    directory.mkdir()
    shutil.copy(certificate, directory / "ca.crt")
    assert await ask(endpoint, tmp_path) == 200
    assert await ask(Endpoint(endpoint.url, False, "other"), tmp_path) == 200


@needs_openssl
async def test_loopback_is_asked_by_https_first_whatever_its_certificate(
    secure: SecureRegistry, store: ImageStore
) -> None:
    secure.image("box", "1", [layer("a")])
    image = await store.remote.pull(f"{secure.host}/box:1")
    assert image.references == (f"{secure.host}/box:1",)


@needs_openssl
async def test_certificates_that_cannot_be_used(secure: SecureRegistry, certificate: Path, tmp_path: Path) -> None:
    endpoint, directory = Endpoint(f"https://{secure.host}", True, secure.host), tmp_path / secure.host
    directory.mkdir()
    shutil.copy(certificate, directory / "client.cert")
    with pytest.raises(RegistryError, match="certificate"):
        await ask(endpoint, tmp_path)
    shutil.copy(certificate.with_suffix(".key"), directory / "client.key")
    shutil.copy(certificate, directory / "ca.crt")
    assert await ask(endpoint, tmp_path) == 200
    (directory / "ca.crt").write_text("nonsense")
    with pytest.raises(RegistryError, match=f"a certificate in {directory} cannot be used"):
        await ask(endpoint, tmp_path)


async def test_a_registry_that_does_not_speak_https(registry: FakeRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r'Get "https://.*": '):
        await ask(Endpoint(f"https://{registry.host}", True, registry.host), tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectTimeout("x"), "dial tcp: i/o timeout"),
        (httpx.ReadTimeout("x"), "net/http: timeout awaiting response"),
        (httpx.RemoteProtocolError("x"), "unexpected EOF (x)"),
        (httpx.TooManyRedirects("x"), "x"),
    ],
)
def test_words_for_what_goes_wrong(error: httpx.HTTPError, words: str) -> None:
    with pytest.raises(RegistryError) as caught, telling("GET", "http://h/v2/"):
        raise error
    assert str(caught.value) == f'Get "http://h/v2/": {words}'


async def test_a_name_that_cannot_be_an_address(store: ImageStore, options: Options) -> None:
    with pytest.raises(RegistryError, match=r"invalid address|dial tcp"):
        await store.remote.pull("example.com:99999999/x")


@pytest.mark.parametrize("module", ["bireme", "bireme.engine", "bireme.server", "bireme.cli.verbs.registry"])
def test_nobody_loads_httpx_unasked(module: str) -> None:
    loaded = run_child(f"import json, sys, {module}; print(json.dumps('httpx' in sys.modules))")
    assert loaded is False


def test_no_proxy_is_asked_for_loopback(tmp_path: Path) -> None:
    client = make_client(Endpoint("http://127.0.0.1:1", False, "127.0.0.1:1"), str(tmp_path))
    assert (client.follow_redirects, client.trust_env) == (False, False)
    assert client.headers["accept-encoding"] == "identity"
    assert make_client(Endpoint("http://h", False, "h"), str(tmp_path)).trust_env is True
