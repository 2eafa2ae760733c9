"""What is asked for in a fuzz: every route of ours with half-valid parameters, bodies and framing.

Requests are data, and name containers by what has become of them (``running``, ``exited``, ...), so that one seed gives
the same requests on every engine. Bodies are made from the very models that the server reads them with: the right keys,
often with values of the wrong kind. Commands are chosen from a list: what a container runs is not what is tested.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bireme.server.context import Handler
from bireme.server.handlers import refused
from bireme.server.models import CreateBody, ExecBody, ExecStartBody, Resources
from bireme.server.routes import ROUTES
from bireme.server.routing import Route

KINDS = ("running", "exited", "created", "paused", "removed", "exec", "volume")
"""What a path or a value can name of the world that the requests meet."""

_QUERY: dict[str, tuple[str, ...]] = {
    "/containers/json": ("all", "limit", "size", "filters", "before", "since"),
    "/containers/create": ("name", "platform"),
    "/json": ("size", "manifests"),
    "/logs": ("follow", "stdout", "stderr", "since", "until", "timestamps", "tail"),
    "/attach": ("detachKeys", "logs", "stream", "stdin", "stdout", "stderr"),
    "/wait": ("condition",),
    "/stop": ("t", "signal"),
    "/restart": ("t", "signal"),
    "/kill": ("signal",),
    "/resize": ("h", "w"),
    "/rename": ("name",),
    "/archive": ("path", "noOverwriteDirNonDir", "copyUIDGID"),
    "/top": ("ps_args",),
    "/stats": ("stream", "one-shot"),
    "/events": ("since", "until", "filters"),
    "/tag": ("repo", "tag"),
    "/images/create": ("fromSrc", "repo", "tag", "message", "changes", "platform"),
    "/images/load": ("quiet",),
    "/get": ("names",),
    "/prune": ("filters",),
    "/volumes": ("filters",),
    "/networks": ("filters", "verbose", "scope"),
    "/system/df": ("type",),
    "": ("force", "v", "link", "noprune"),
}
"""By the end of a route, what is asked with it; the last fits all."""

_BODIES: dict[str, type[msgspec.Struct]] = {
    "/containers/create": CreateBody,
    "/containers/{id}/exec": ExecBody,
    "/containers/{id}/update": Resources,
    "/exec/{id}/start": ExecStartBody,
}

_LEFT_OUT = re.compile("/bireme/shutdown|/auth.*|/distribution.*|.*/push")
"""The first ends the engine, the others ask registries somewhere in the world."""

_NOT_TRIED = frozenset({"fromImage"})

_COMMANDS: tuple[object, ...] = (
    ["true"], ["sh", "-c", "exit 3"], ["sleep", "60"], ["sh", "-c", "head -c 300000 /dev/zero"], "true",
    ["cat"], ["nosuch"], ["/etc/passwd"], ["true", "\0"], ["\ud800"], [], "", [""], ["é" * 300],
)  # fmt: skip

_WORDS: tuple[str, ...] = (
    "", "0", "1", "true", "false", "True", "-1", "7", "65535", "65536", str(1 << 63), str(10**30), "1e9", "0x10",
    "é", "\0", "\ud800", "a\nb", "../../etc", "/", "/etc", "/nosuch/there", "/etc/passwd/x", "//", "/proc/self/root",
    "busybox", "busybox:latest", "nosuch:tag", "a" * 300, "b" * 5000, "none", "host", "bridge", "container:x", "KILL",
    "SIGTERM", "SIGFOO", "99", "next-exit", "removed", "ctrl-p,ctrl-q", "ctrl-", "all", "10m", "-10m", "2026-01-01",
    "1600000000.123456789", "9" * 18, "-axo pid", "-ef", "'", "-", "json-file", "always", "on-failure", "no", "{}",
    "[]", ".", "NaN", "0-1", "999-", "sha256:" + "0" * 64,
)  # fmt: skip

_FILTERS = (
    "id", "name", "label", "label!", "status", "exited", "ancestor", "before", "since", "volume", "network", "health",
    "publish", "expose", "is-task", "isolation", "dangling", "reference", "until", "driver", "type", "event",
    "container", "image", "daemon", "scope", "nosuch", "",
)  # fmt: skip

words = st.one_of(st.sampled_from(_WORDS), st.text(max_size=12), st.sampled_from([f"{{{kind}}}" for kind in KINDS]))

numbers = st.one_of(
    st.integers(-2, 20),
    st.sampled_from([1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, -(1 << 63), 1 << 64, 10**40, 6 << 20, 1 << 40]),
)

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)


@dataclass(frozen=True)
class Ask:
    """One request, its names not yet put in."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    known: bool
    """Whether it is for a path of ours."""


def _mostly(valid: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.one_of(valid, valid, valid, valid, anything)


def _of(kind: msgspec.inspect.Type) -> SearchStrategy[Any]:
    """Values that a type of msgspec takes, and now and then others."""
    match kind:
        case msgspec.inspect.StructType():
            return _mostly(_members(kind))
        case msgspec.inspect.ListType(item_type=item):
            return _mostly(st.lists(_of(item), max_size=3))
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return _mostly(st.dictionaries(_of(key).filter(_is_key), _of(value), max_size=3))
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([_of(one) for one in types])
        case msgspec.inspect.IntType():
            return _mostly(numbers)
        case msgspec.inspect.BoolType():
            return _mostly(st.booleans())
        case msgspec.inspect.StrType():
            return _mostly(words)
    return anything


def _is_key(value: object) -> bool:
    return isinstance(value, str)


def _members(kind: msgspec.inspect.StructType) -> SearchStrategy[dict[str, Any]]:
    """Few of an object's fields: with many at once none would ever be right."""
    fields = {field.encode_name: _field(field.encode_name, field.type) for field in kind.fields}
    chosen = st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in names}))


def _field(name: str, kind: msgspec.inspect.Type) -> SearchStrategy[Any]:
    if name in ("Cmd", "Entrypoint"):
        return st.sampled_from(_COMMANDS)
    if name == "Image":
        return st.one_of(st.just("busybox"), st.just("busybox"), st.just("busybox"), words)
    return _of(kind)


def _document(model: type[msgspec.Struct]) -> SearchStrategy[Any]:
    kind = msgspec.inspect.type_info(model)
    assert isinstance(kind, msgspec.inspect.StructType)
    made = _members(kind)
    if model is CreateBody:
        usual = st.fixed_dictionaries({"Image": st.just("busybox"), "Cmd": st.sampled_from(_COMMANDS)})
        made = st.one_of(usual, st.tuples(usual, made).map(lambda both: {**both[0], **both[1]}))
    if model is ExecBody:
        made = st.tuples(st.sampled_from(_COMMANDS), made).map(lambda both: {"Cmd": both[0], **both[1]})
    return _mostly(made)


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


_NO_JSON = st.sampled_from([
    b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"\0", b"[" * 5000, b'{"Image":' * 500, b"1e999", b"{}{}",
    b'{"Image":"busybox","Image":7}', b" " * 100, b'{"HostConfig":{"Memory":1e400}}', b"-", b"NaN",
])  # fmt: skip


def _body(pattern: str, method: str) -> SearchStrategy[bytes | None]:
    if pattern in _BODIES:
        made = _document(_BODIES[pattern]).map(_encoded)
        return st.one_of(made, made, made, made, _NO_JSON)
    if method in ("GET", "HEAD"):
        return st.none()
    return st.one_of(st.none(), _NO_JSON, st.binary(max_size=600), anything.map(_encoded))


_filters = st.one_of(
    st.dictionaries(
        st.sampled_from(_FILTERS),
        st.one_of(st.lists(words, max_size=3), st.dictionaries(words, st.booleans(), max_size=2)),
    ).map(json.dumps),
    anything.map(json.dumps),
    words,
)


def _query(pattern: str) -> SearchStrategy[str]:
    names = next(names for end, names in _QUERY.items() if pattern.endswith(end))
    pair = st.sampled_from(sorted({*names, "nosuch"} - _NOT_TRIED)).flatmap(
        lambda name: st.tuples(st.just(name), _filters if name == "filters" else words)
    )
    clean = st.lists(pair, max_size=4).map(lambda pairs: urlencode(pairs, errors="surrogatepass"))
    return st.one_of(clean, clean, clean, st.sampled_from(["%", "%ff=%00", "&&==", "a" * 3000, "&".join("a=1" * 1500)]))


def _path(pattern: str) -> SearchStrategy[str]:
    """The pattern with its names filled in, mostly by things that there are."""
    part = st.one_of(*[_names(pattern).map(str) for _ in range(8)], words.filter(bool)).map(_quoted)
    count = len(_NAMED.findall(pattern))
    return st.lists(part, min_size=count, max_size=count).map(lambda parts: _filled(pattern, parts))


def _names(pattern: str) -> SearchStrategy[str]:
    if pattern.startswith("/images"):
        return st.sampled_from(["busybox", "busybox:latest", "nosuch", "a/b/c:d", "sha256:00"])
    kinds = {"containers": KINDS[:5], "exec": ("exec",)}.get(pattern.split("/")[1], ("volume",))
    return st.sampled_from([f"{{{kind}}}" for kind in kinds])


def _quoted(text: str) -> str:
    return quote(text, safe="{}", errors="surrogatepass")


_NAMED = re.compile(r"\{\w+(?::path)?\}")


def _filled(pattern: str, parts: list[str]) -> str:
    between = _NAMED.split(pattern)
    return "".join(text for pair in zip(between, [*parts, ""], strict=True) for text in pair)


_VERSIONS = st.sampled_from([*["", "/v1.41", "/v1.49", "/v1.24"] * 4, "/v9.9", "/v0.1", "/v1", "/v1.41/v1.41"])

_HEADERS = st.lists(
    st.sampled_from([
        ("Content-Type", "application/json"), ("Content-Type", "application/json"), ("Content-Type", "text/plain"),
        ("Connection", "Upgrade"), ("Upgrade", "tcp"), ("Upgrade", "h2c"), ("X-Registry-Auth", "e30="),
        ("X-Registry-Auth", "!"), ("Expect", "100-continue"), ("Accept", "x" * 3000), ("Connection", "close"),
    ]),
    max_size=3,
    unique=True,
).map(tuple)  # fmt: skip


_TRIED = [route for route in ROUTES if not _LEFT_OUT.fullmatch(route.pattern)]
_REFUSED = [route for route in _TRIED if route in refused.ROUTES]
_OURS = [route for route in _TRIED if route not in refused.ROUTES]


@st.composite
def _asked(draw: st.DrawFn, routes: Sequence[Route[Handler]]) -> Ask:
    route = draw(st.sampled_from(routes))
    query = draw(_query(route.pattern))
    body = draw(_body(route.pattern, route.method))
    headers = draw(_HEADERS)
    if route.pattern in _BODIES and not any(name == "Content-Type" for name, _ in headers):
        headers = (*headers, ("Content-Type", "application/json"))
    target = draw(_VERSIONS) + draw(_path(route.pattern)) + (f"?{query}" if query else "")
    return Ask(route.method, target, headers, body, known=True)


@st.composite
def _astray(draw: st.DrawFn) -> Ask:
    """Paths of nobody, and methods that their path does not have."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "FOO"]))
    parts = draw(st.lists(words.map(lambda text: quote(text, safe="", errors="surrogatepass")), max_size=4))
    return Ask(method, "/nosuch/" + "/".join(parts), (), draw(st.one_of(st.none(), _NO_JSON)), known=False)


_ROUTED, _NOT_FOR_US, _ASTRAY = _asked(_OURS), _asked(_REFUSED), _astray()
requests = st.integers(0, 19).flatmap(lambda which: {0: _NOT_FOR_US, 1: _ASTRAY}.get(which, _ROUTED))
