"""What strangers send, made up by Hypothesis: it is understood, or refused by the expected kind of error."""

from __future__ import annotations

import base64
import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from bireme.images.platforms import host, parse_platform
from bireme.images.references import parse
from bireme.images.registry import RegistryError, read_auth_header
from bireme.images.registry.addresses import next_address, origin
from bireme.images.registry.auth import Challenge, Credentials, parse_challenges
from bireme.images.registry.authority import token_request
from bireme.images.registry.documents import choose, is_digest, read_document, read_manifest
from bireme.images.registry.faults import pull_refusal, read_refusal
from bireme.images.registry.inquiries import registry_domain
from bireme.images.registry.patience import retry_after
from bireme.images.registry.places import is_insecure
from bireme_actors import BiremeError, ImageNotFound, InvalidConfig

_KEYS = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size", "platform", "annotations",
     "architecture", "os", "variant", "errors", "code", "message", "username", "password", "auth"]
)  # fmt: skip
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["sha256:" + "0" * 64, "application/vnd.oci.image.config.v1+json", "linux", "amd64"])
)
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6), max_leaves=25
)


@given(_JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200), st.text(max_size=60))
def test_manifests(data: bytes, kind: str) -> None:
    with contextlib.suppress(RegistryError, ImageNotFound):
        document = read_document(data, kind, "box:1")
        if document.manifests is not None:
            assert is_digest(choose(document.manifests, host()).digest)
        else:
            manifest = read_manifest(document, "box:1")
            assert all(is_digest(item.digest) and item.size >= 0 for item in (manifest.config, *manifest.layers))


@given(st.lists(st.text(max_size=200) | st.from_regex(r'(Basic|Bearer) (\w+="[^"]*",?)*'), max_size=4))
def test_challenges(values: list[str]) -> None:
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower()
        with contextlib.suppress(RegistryError):
            request = token_request(challenge, Credentials(username="me", password="secret"), ["repository:x:pull"])
            assert request.url.startswith(("http://", "https://"))


@given(_JSON.map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode()) | st.text(max_size=100))
def test_headers_of_clients(text: str) -> None:
    with contextlib.suppress(InvalidConfig):
        read_auth_header(text)


@given(st.text(max_size=60) | st.from_regex(r"(https?://)?[\[\]:/@a0.%]*", fullmatch=True))
def test_addresses(location: str) -> None:
    with contextlib.suppress(RegistryError):
        target = next_address("https://127.0.0.1:5000/v2/", location)
        assert origin(target)[0] == "https"
    with contextlib.suppress(RegistryError):
        token_request(Challenge("bearer", {"realm": location}), Credentials(), [])


@given(st.integers(100, 999), _JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_refusals(status: int, body: bytes) -> None:
    _, words = read_refusal(status, body)
    assert words.isprintable()
    assert isinstance(pull_refusal(parse("box:1"), status, body), BiremeError)


@given(st.text(max_size=60))
def test_words(text: str) -> None:
    assert retry_after(text) >= 0
    assert is_insecure(text, [text]) in (True, False)
    with contextlib.suppress(InvalidConfig):
        parse_platform(text)
    with contextlib.suppress(InvalidConfig):
        assert registry_domain(text)
