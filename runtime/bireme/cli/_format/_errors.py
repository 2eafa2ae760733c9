"""How templates fail."""

from __future__ import annotations


class TemplateError(Exception):
    """A template that cannot be parsed or does not fit its data; the text is Go's for the same fault."""
