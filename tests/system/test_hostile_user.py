"""What a user does who means no good, or whose machine does."""

from __future__ import annotations

import pytest

from tests.system._cli import Cli

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


def test_a_client_that_is_killed_ends_the_input_it_gave(bireme: Cli) -> None:
    """As Docker's: who reads from a client that is gone has come to the end."""
    client = bireme.popen("run", "-i", "--name", "reader", "busybox", "sh", "-c", "cat; exit 5")
    assert client.stdin is not None
    assert client.stdout is not None
    with client:
        client.stdin.write(b"hello\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"hello\n"
        client.kill()
    assert bireme.ok("wait", "reader") == "5"
