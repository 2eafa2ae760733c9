"""Records as text: JSON of the frozen dataclasses of ``bireme_actors``, with a version.

Fields that a later version adds are passed over, fields that it leaves out have their defaults. Names that are not
UTF-8 (a path, an argument) are kept as the lone surrogates Python has for them; those msgspec refuses, so that the
rare record with one takes the standard library's way.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from bireme_actors import ContainerConfig, ContainerState

VERSION = 1


class _ConfigRecord(msgspec.Struct):
    version: int
    config: ContainerConfig


class _StateRecord(msgspec.Struct):
    version: int
    state: ContainerState


_R = TypeVar("_R", _ConfigRecord, _StateRecord)

_encoder = msgspec.json.Encoder()
_configs = msgspec.json.Decoder(_ConfigRecord)
_states = msgspec.json.Decoder(_StateRecord)


class Damaged(Exception):
    """A record that cannot be read; the text says why."""


def encode_config(config: ContainerConfig) -> bytes:
    """One line."""
    return _encode(_ConfigRecord(VERSION, config))


def encode_state(state: ContainerState) -> bytes:
    """One line."""
    return _encode(_StateRecord(VERSION, state))


def decode_config(data: bytes) -> ContainerConfig:
    """Raises Damaged."""
    try:
        return _configs.decode(data).config
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _convert(data, _ConfigRecord, error).config


def decode_state(data: bytes) -> ContainerState:
    """Raises Damaged."""
    try:
        return _states.decode(data).state
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _convert(data, _StateRecord, error).state


def _encode(record: msgspec.Struct) -> bytes:
    try:
        return _encoder.encode(record)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(record), separators=(",", ":")).encode()


def _convert(data: bytes, kind: type[_R], first: Exception) -> _R:
    if b"\\ud" not in data.lower():
        raise Damaged(str(first))
    try:
        return msgspec.convert(json.loads(data), kind)
    except (ValueError, RecursionError) as error:
        raise Damaged(str(error)) from None
