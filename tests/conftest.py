"""What holds for all tests: the cheap ones run first, root is asked for in words, nothing is left behind."""

from __future__ import annotations

import gc
import os
import signal
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.leaks import MARK, Session

_SYS_ADMIN = 21
_ORDER = ("tests/actors", "tests/contracts", "tests/test_", "tests/runtime", "tests/system")


# The same examples wherever a test runs and whichever others run; how long one takes is the machine's business.
settings.register_profile(
    "always",
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("always")


def pytest_configure() -> None:
    """Nothing of the caller's engine is used or touched, and what a test starts can be told by its mark."""
    for name in ("BIREME_ROOT", "BIREME_RUN", "BIREME_DRIVER", "BIREME_INSECURE_REGISTRIES"):
        os.environ.pop(name, None)
    os.environ[MARK] = uuid.uuid4().hex
    # A job that a script runs in the background starts with it ignored, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order by price; skip, with the reason, what this process has no right to do."""
    items.sort(key=_price)
    reason = _no_rights()
    if reason:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Keep what has been collected out of every garbage collection to come: each test that needs root makes two."""
    gc.collect()
    gc.freeze()


def _price(item: pytest.Item) -> tuple[int, bool]:
    place = next((number for number, start in enumerate(_ORDER) if item.nodeid.startswith(start)), len(_ORDER))
    return place, item.get_closest_marker("root") is not None


def _no_rights() -> str:
    if os.geteuid() != 0:
        return "needs root: makes namespaces, mounts or cgroups"
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        effective = next((line.split()[1] for line in status if line.startswith("CapEff:")), "0")
    if not int(effective, 16) >> _SYS_ADMIN & 1:
        return "needs CAP_SYS_ADMIN, which this root does not hold (an unprivileged container?)"
    return ""


@pytest.fixture(scope="session")
def leak_session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """What tells the traces of this test session from those of others."""
    base = tmp_path_factory.getbasetemp()
    return Session(os.environ[MARK], f"{base.parent.name}/{base.name}/")


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that makes namespaces, mounts or cgroups leaves no process, mount, cgroup or descriptor."""
    if request.node.get_closest_marker("root") is None:
        yield
        return
    session: Session = request.getfixturevalue("leak_session")
    before = session.traces()
    yield
    left = session.leftovers(before)
    assert not left, "left behind:\n" + "\n".join(left)
