"""In place of the SSH library, which docker-py's tests import to tell its channels from sockets: here are none."""

from __future__ import annotations


class Channel:
    """What no connection is an instance of."""
