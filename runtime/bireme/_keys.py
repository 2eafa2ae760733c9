"""The keys that leave a container without stopping it: ctrl-p ctrl-q, or others that a client names. Pure."""

from __future__ import annotations

DEFAULT_KEYS = b"\x10\x11"
_CONTROLS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as the bytes a terminal sends; the default for the empty text. Raises ValueError."""
    return bytes(_key(text, word) for word in text.split(",")) if text else DEFAULT_KEYS


def _key(text: str, word: str) -> int:
    control = word[5:] if word.startswith("ctrl-") else ""
    if len(control) == 1 and control.isascii() and control.isalpha():
        return ord(control.lower()) - ord("a") + 1
    if control in _CONTROLS:
        return _CONTROLS[control]
    if len(word) == 1 and word.isascii():
        return ord(word)
    raise ValueError(f"invalid detach keys ({text}): {word!r} is no character, nor ctrl- and one of a-z@[\\]^_")


class KeyWatch:
    """Looks for the keys in what is typed. Keys that begin the sequence are held back until it is broken or whole."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What is to be sent on, and whether the sequence is complete (what follows it is dropped)."""
        out = bytearray()
        for byte in typed:
            if byte != self._keys[self._seen] and self._seen:
                out += self._keys[: self._seen]
                self._seen = 0
            if byte != self._keys[self._seen]:
                out.append(byte)
                continue
            self._seen += 1
            if self._seen == len(self._keys):
                return bytes(out), True
        return bytes(out), False
