"""Who asks: challenges, tokens, passwords, and to whom they are shown."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from bireme.images import ImageStore
from bireme.images.registry import Credentials, RegistryError, Unauthorized, read_auth_header
from bireme.images.registry.auth import Challenge, choose_challenge, parse_challenges
from bireme.images.registry.authority import Authority, TokenRequest, token_request
from bireme_actors import ImageNotFound, InvalidConfig
from tests.runtime.images.archives import sha256
from tests.runtime.images.registry.fake_registry import FakeRegistry, Reply, basic, layer, packed, refused

ME = Credentials(username="me", password="secret")
BEARER = 'Bearer realm="BASE/token",service="fake",scope="repository:other:pull"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        ("Basic", [Challenge("basic", {})]),
        ('Bearer realm="https://a/t",service=s', [Challenge("bearer", {"realm": "https://a/t", "service": "s"})]),
        ('BEARER Realm="a\\"b,c" , scope="x y"', [Challenge("bearer", {"realm": 'a"b,c', "scope": "x y"})]),
        ('Negotiate, Basic realm="x"', [Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})]),
        ('Basic a="1", Bearer b="2"', [Challenge("basic", {"a": "1"}), Challenge("bearer", {"b": "2"})]),
        ('Basic a="1", a="2"', [Challenge("basic", {"a": "1"})]),
        ("", []),
        ('"', []),
        ('Basic realm="unended', [Challenge("basic", {})]),
        ("\x00\x01", []),
    ],
)
def test_challenges(text: str, expected: list[Challenge]) -> None:
    assert parse_challenges([text]) == expected


def test_reading_challenges_is_bounded() -> None:
    assert len(parse_challenges(["a " * 100_000, 'Basic realm="' + "\\" * 100_000])) <= 16


def test_a_token_goes_before_a_password() -> None:
    bearer, password = Challenge("bearer", {"realm": "x"}), Challenge("basic", {})
    assert choose_challenge([password, bearer]) is bearer
    assert choose_challenge([Challenge("digest", {}), password]) is password
    assert choose_challenge([Challenge("digest", {})]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Credentials()),
        ("e30=", Credentials()),
        ("eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzZWNyZXQifQ", ME),
        ("eyJhdXRoIjoiYldVNmMyVmpjbVYwIn0=", ME),
        ("eyJpZGVudGl0eXRva2VuIjoidCJ9", Credentials(identity_token="t")),
        ("eyJyZWdpc3RyeXRva2VuIjoidCJ9", Credentials(registry_token="t")),
        ("eyJVc2VybmFtZSI6bnVsbH0=", Credentials()),
        ("eyJ1c2VybmFtZSI6Ij8_Pz8-Pj4-In0=", Credentials(username="????>>>>")),
    ],
)
def test_what_clients_send(text: str, expected: Credentials) -> None:
    assert read_auth_header(text) == expected


@pytest.mark.parametrize(
    "text",
    ["%%", "bnVs", "W10=", "eyJhdXRoIjoiJSUifQ==", "e30=x", "W" * 40_000, "eyJyZWdpc3RyeXRva2VuIjoiYVxuYiJ9"],
)
def test_what_no_client_sends(text: str) -> None:
    with pytest.raises(InvalidConfig, match="invalid"):
        read_auth_header(text)


def test_secrets_are_not_shown() -> None:
    shown = repr(Credentials(username="me", password="p-secret", identity_token="i-secret", registry_token="r-secret"))
    assert "secret" not in shown
    assert "me" in shown


def test_token_requests() -> None:
    challenge = Challenge("bearer", {"realm": "https://auth/token?x=1", "service": "s"})
    asked = token_request(challenge, ME, ["repository:a:pull", "repository:b:pull"])
    head, _, query = asked.url.partition("&")
    assert head == "https://auth/token?x=1"
    scopes = ["repository:a:pull", "repository:b:pull"]
    assert parse_qs(query) == {"service": ["s"], "scope": scopes, "account": ["me"]}
    assert asked.authorization == basic("me", "secret")
    asked = token_request(challenge, Credentials(identity_token="t"), ["repository:a:pull"])
    form = {"grant_type": ["refresh_token"], "refresh_token": ["t"], "service": ["s"], "client_id": ["bireme"]}
    assert parse_qs(asked.form) == {**form, "scope": ["repository:a:pull"]}
    assert (asked.url, asked.authorization) == ("https://auth/token?x=1", "")


@pytest.mark.parametrize("realm", ["", "ftp://x/", "file:///etc/passwd", "https://", "/token", "http://ä/"])
def test_a_token_service_that_cannot_be_asked(realm: str) -> None:
    with pytest.raises(RegistryError, match="names no token service"):
        token_request(Challenge("bearer", {"realm": realm}), Credentials(), [])


async def test_credentials_go_to_a_token_service_by_https_only() -> None:
    asked: list[TokenRequest] = []

    async def fetch(request: TokenRequest) -> tuple[int, bytes]:
        asked.append(request)
        return 200, b'{"token":"t"}'

    challenge = [Challenge("bearer", {"realm": "http://auth/token"})]
    careful = Authority(ME, fetch, insecure=False)
    careful.learn(challenge)
    with pytest.raises(RegistryError, match="without https: refused"):
        await careful.header(("s",))
    assert not asked
    anonymous = Authority(Credentials(), fetch, insecure=False)
    anonymous.learn(challenge)
    assert await anonymous.header(("s",)) == "Bearer t"
    assert await anonymous.header(("s",)) == "Bearer t"
    assert len(asked) == 1


async def test_a_token_is_asked_for_with_the_scope_of_the_pull(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("team/box", "1", [layer("a")])
    registry.challenge, registry.accepted, registry.tokens = BEARER, {"Bearer abc"}, [{"token": "abc"}]
    await store.remote.pull(f"{registry.host}/team/box:1", credentials=ME)
    (asked,) = registry.asked("/token")
    assert asked.query == {"service": ["fake"], "scope": ["repository:team/box:pull"], "account": ["me"]}
    assert asked.headers["authorization"] == basic("me", "secret")
    assert all("authorization" in seen.headers for seen in registry.asked("team/box"))


async def test_a_token_that_expires_is_replaced(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [layer("a")])
    registry.challenge, registry.accepted = BEARER, {"Bearer one", "Bearer two"}
    registry.tokens = [{"token": "one"}, {"token": "two"}]
    denied = refused(401, "UNAUTHORIZED", "authentication required")
    denied.headers["WWW-Authenticate"] = BEARER.replace("BASE", registry.base) + ',error="invalid_token"'
    registry.fail(f"blobs/{sha256(packed(layer('a')))}", denied)
    await store.remote.pull(f"{registry.host}/box:1")
    first, second = registry.asked(f"blobs/{sha256(packed(layer('a')))}")
    assert (first.headers["authorization"], second.headers["authorization"]) == ("Bearer one", "Bearer two")


async def test_an_identity_token_stands_for_the_password(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [layer("a")])
    registry.challenge, registry.accepted, registry.tokens = BEARER, {"Bearer abc"}, [{"access_token": "abc"}]
    await store.remote.pull(f"{registry.host}/box:1", credentials=Credentials(identity_token="long"))
    (asked,) = registry.asked("POST /token")
    assert parse_qs(asked.body.decode())["refresh_token"] == ["long"]
    assert "authorization" not in asked.headers


async def test_a_registry_token_is_shown_as_it_is(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [layer("a")])
    registry.challenge, registry.accepted = BEARER, {"Bearer mine"}
    await store.remote.pull(f"{registry.host}/box:1", credentials=Credentials(registry_token="mine"))
    assert not registry.asked("/token")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, {}, b"<html>"), "no JSON with a token"),
        (Reply(200, {}, b"{}"), "did not include a token"),
        (Reply(200, {}, b'{"token":"a\\r\\nX: y"}'), "did not include a token"),
        (Reply(200, {}, b"x" * 100_000), "longer than 65536 bytes"),
        (Reply(302, {"Location": "http://127.0.0.1:1/"}), "received unexpected HTTP status: 302"),
        (Reply(401, {}, b'{"details":"incorrect username or password"}'), "incorrect username or password"),
    ],
)
async def test_a_token_service_that_gives_none(
    registry: FakeRegistry, store: ImageStore, reply: Reply, words: str
) -> None:
    registry.challenge = BEARER
    registry.always("/token", reply)
    with pytest.raises(RegistryError, match=words):
        await store.remote.pull(f"{registry.host}/box:1", credentials=ME)


async def test_a_repository_that_is_not_for_everybody(registry: FakeRegistry, store: ImageStore) -> None:
    registry.challenge, registry.tokens = BEARER, [{"token": "abc"}]
    denied = refused(401, "UNAUTHORIZED", "authentication required")
    denied.headers["WWW-Authenticate"] = BEARER.replace("BASE", registry.base) + ',error="insufficient_scope"'
    registry.always("manifests/", denied)
    words = (
        f"pull access denied for {registry.host}/box, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied"
    )
    with pytest.raises(ImageNotFound, match=words):
        await store.remote.pull(f"{registry.host}/box:1")


async def test_name_and_password(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [layer("a")])
    registry.challenge, registry.accepted = 'Basic realm="x"', {basic("me", "secret")}
    with pytest.raises(Unauthorized, match=r'Get ".*/v2/box/manifests/1": no basic auth credentials'):
        await store.remote.pull(f"{registry.host}/box:1")
    with pytest.raises(Unauthorized, match="unauthorized: authentication required"):
        await store.remote.pull(f"{registry.host}/box:1", credentials=Credentials(username="me", password="bad"))
    await store.remote.pull(f"{registry.host}/box:1", credentials=ME)


async def test_logging_in(registry: FakeRegistry, store: ImageStore) -> None:
    assert await store.remote.log_in(registry.host, Credentials()) == ""
    registry.challenge, registry.accepted = 'Basic realm="x"', {basic("me", "secret")}
    assert await store.remote.log_in(f"http://{registry.host}/v2/", ME) == ""
    with pytest.raises(Unauthorized, match="failed with status: 401 Unauthorized"):
        await store.remote.log_in(registry.host, Credentials(username="me", password="bad"))
    registry.challenge, registry.accepted = BEARER, {"Bearer abc"}
    registry.tokens = [{"token": "abc", "refresh_token": "long"}]
    assert await store.remote.log_in(registry.host, ME) == "long"
    (asked,) = registry.asked("/token")
    assert asked.query["offline_token"] == ["true"]
    assert "scope" not in asked.query
    with pytest.raises(InvalidConfig, match="invalid registry address"):
        await store.remote.log_in("not a host", ME)


async def test_what_is_under_a_name(registry: FakeRegistry, store: ImageStore) -> None:
    manifest = registry.image("box", "1", [layer("a")])
    found = await store.remote.inquire(f"{registry.host}/box:1")
    assert found.descriptor == manifest
    assert found.platforms == ({"architecture": "amd64", "os": "linux"},)
    assert not registry.asked(f"blobs/{sha256(packed(layer('a')))}")
    platform = {"os": "linux", "architecture": "arm", "variant": "v7"}
    index = {"schemaVersion": 2, "manifests": [{**manifest, "platform": platform}]}
    registry.manifest("box", "2", index, "application/vnd.oci.image.index.v1+json")
    found = await store.remote.inquire(f"{registry.host}/box:2")
    assert found.platforms == (platform,)
    with pytest.raises(ImageNotFound, match="manifest unknown"):
        await store.remote.inquire(f"{registry.host}/box:3")
