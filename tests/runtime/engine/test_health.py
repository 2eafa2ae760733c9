"""Health checks: the rules, and probes in real containers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from bireme.engine import Container, Runtime, open_runtime
from bireme.engine._health import Health, HealthCheck, ProbeResult, merge_check, read_check, shown_health, with_check
from bireme_actors import Event, InvalidConfig

SECOND = 1_000_000_000
CHECK = HealthCheck(("true",), start_period=10.0, retries=2)


def result(code: int, at: float = 100.0) -> ProbeResult:
    start = int(at * SECOND)
    return ProbeResult(start, start + 1, code, "")


# The rules.


def test_a_success_makes_healthy_and_failures_in_a_row_unhealthy() -> None:
    health = Health().after(result(0), CHECK, 0)
    assert (health.status, health.failing_streak) == ("healthy", 0)
    health = health.after(result(1), CHECK, 0)
    assert (health.status, health.failing_streak) == ("healthy", 1)
    health = health.after(result(-1), CHECK, 0)
    assert (health.status, health.failing_streak) == ("unhealthy", 2)
    assert health.after(result(0), CHECK, 0).status == "healthy"


def test_failures_in_the_start_period_do_not_count_until_one_has_succeeded() -> None:
    health = Health().after(result(1, 5.0), CHECK, 0)
    assert (health.status, health.failing_streak) == ("starting", 0)
    health = health.after(result(0, 6.0), CHECK, 0).after(result(1, 7.0), CHECK, 0)
    assert (health.status, health.failing_streak) == ("healthy", 1)


def test_the_last_five_results_are_kept() -> None:
    health = Health()
    for code in range(7):
        health = health.after(result(code), CHECK, 0)
    assert [one.exit_code for one in health.log] == [2, 3, 4, 5, 6]
    assert health.begun() == Health(log=health.log)
    assert health.ended().status == "unhealthy"


def test_the_pause_is_shorter_while_it_starts() -> None:
    check = HealthCheck(("true",), interval=30.0, start_period=10.0, start_interval=1.0)
    assert check.pause("starting", 5.0) == 1.0
    assert check.pause("starting", 11.0) == 30.0
    assert check.pause("healthy", 5.0) == 30.0


def test_a_list_shows_it() -> None:
    assert [shown_health(health) for health in (None, Health(), Health("healthy"))] == [
        "",
        " (health: starting)",
        " (healthy)",
    ]


@pytest.mark.parametrize(
    ("config", "args"),
    [
        ({"Healthcheck": {"Test": ["CMD", "a", "b"]}}, ("a", "b")),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}}, ("/bin/sh", "-c", "a b")),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}, "Shell": ["/bin/ash", "-x"]}, ("/bin/ash", "-x", "a b")),
    ],
)
def test_what_a_check_runs(config: Mapping[str, object], args: tuple[str, ...]) -> None:
    assert read_check(config) == HealthCheck(args)


@pytest.mark.parametrize("test", [None, [], ["NONE"], ["CMD"], ["CMD-SHELL"], ["ODD", "a"], "true"])
def test_what_is_no_check(test: object) -> None:
    assert read_check({"Healthcheck": {"Test": test}}) is None
    assert read_check({}) is None


def test_times_are_nanoseconds() -> None:
    spans = {"Interval": SECOND, "Timeout": 2 * SECOND, "StartPeriod": 3 * SECOND, "StartInterval": SECOND // 2}
    found = read_check({"Healthcheck": {"Test": ["CMD", "a"], "Retries": 7, **spans}})
    assert found == HealthCheck(("a",), 1.0, 2.0, 3.0, 0.5, 7)


def test_a_users_check_goes_over_the_images_field_by_field() -> None:
    image = {"Test": ["CMD", "image"], "Interval": 7 * SECOND}
    assert merge_check({"Retries": 2, "Test": []}, image) == {**image, "Retries": 2}
    assert merge_check({"Test": ["NONE"]}, image) == {**image, "Test": ["NONE"]}
    assert merge_check(None, image) == image
    assert merge_check({}, None) is None
    kept = with_check({"HostConfig": {}}, {"Healthcheck": image, "Shell": ["/bin/ash", "-c"]})
    assert kept == {"HostConfig": {}, "Config": {"Healthcheck": image, "Shell": ["/bin/ash", "-c"]}}


@pytest.mark.parametrize("given", [{"Interval": 5}, {"Timeout": -1}, {"StartPeriod": 7}, {"Retries": -1}])
def test_what_a_check_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match="Healthcheck"):
        merge_check({"Test": ["CMD", "true"], **given}, None)


# In real containers.


def checked(test: str, **more: object) -> dict[str, object]:
    check = {"Test": ["CMD-SHELL", test], "Interval": SECOND // 50, **more}
    return {"Config": {"Healthcheck": check}}


async def next_status(events: AsyncIterator[Event]) -> str:
    async for event in events:
        if event.action.startswith("health_status: "):
            return event.action.removeprefix("health_status: ")
    raise AssertionError("the events have ended")


def state(container: Container) -> dict[str, Any]:
    found = container.inspect()["State"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with open_runtime(root=tmp_path / "root", run_dir=tmp_path / "run") as opened:
        yield opened


@pytest.mark.root
async def test_a_container_becomes_healthy_and_unhealthy_and_the_probe_ends_with_it(runtime: Runtime) -> None:
    check = checked("echo looking; test -e /tmp/well", Retries=2)
    container = await runtime.create("busybox", ["sh", "-c", "touch /tmp/well; exec sleep 100"], extra=check)
    assert container.health is None
    assert "Health" not in state(container)
    async with runtime.events() as events:
        await container.start()
        assert await next_status(events) == "healthy"
        last = state(container)["Health"]["Log"][-1]
        assert (last["ExitCode"], last["Output"]) == (0, "looking\n")
        await container.exec(["rm", "/tmp/well"])
        assert await next_status(events) == "unhealthy"
        assert state(container)["Health"]["FailingStreak"] >= 2
        await container.exec(["touch", "/tmp/well"])
        assert await next_status(events) == "healthy"
        await container.kill()
        await container.wait()
    assert state(container)["Health"]["Status"] == "unhealthy"
    await container.remove()
    assert container.health is None


@pytest.mark.root
async def test_a_probe_that_takes_too_long_is_killed_and_bad(runtime: Runtime) -> None:
    check = checked("echo $$ > /tmp/pid; exec sleep 77", Timeout=SECOND // 20, Retries=1)
    making = runtime.open_container("busybox", ["sleep", "100"], extra=check)
    async with runtime.events() as events, making as container:
        assert await next_status(events) == "unhealthy"
        log = state(container)["Health"]["Log"]
        assert log[-1]["ExitCode"] == -1
        assert "exceeded timeout" in log[-1]["Output"]
        await container.pause()
        await container.unpause()
        running = (await container.exec(["sh", "-c", "ps | grep -c '[s]leep 77'"])).stdout
        assert running is not None
        assert int(running) <= 1


@pytest.mark.root
async def test_a_probe_that_cannot_be_run_is_bad_and_long_output_is_cut(runtime: Runtime) -> None:
    nosuch = {"Config": {"Healthcheck": {"Test": ["CMD", "/nosuch"], "Interval": SECOND // 50, "Retries": 1}}}
    talking = checked("head -c 10000 /dev/zero | tr '\\0' x; exit 1", Retries=1)
    async with runtime.events() as events:
        for check, length in ((nosuch, 4096), (talking, 4099)):
            async with runtime.open_container("busybox", ["sleep", "100"], extra=check) as container:
                assert await next_status(events) == "unhealthy"
                output = state(container)["Health"]["Log"][-1]["Output"]
                assert 0 < len(output) <= length


@pytest.mark.root
async def test_without_a_check_there_is_no_task_for_it(runtime: Runtime) -> None:
    async with runtime.open_container("busybox", ["sleep", "100"]) as container:
        assert container.health is None
        assert "0 probed" in repr(runtime._parts.health)


@pytest.mark.root
async def test_who_takes_a_container_over_goes_on_looking(tmp_path: Path) -> None:
    root, run_dir = tmp_path / "root", tmp_path / "run"
    async with open_runtime(root=root, run_dir=run_dir, on_exit="detach") as first:
        container = await first.create("busybox", ["sleep", "100"], extra=checked("true", Interval=30 * SECOND))
        await container.start()
    with trio.fail_after(20):
        async with open_runtime(root=root, run_dir=run_dir, on_exit="detach") as second:
            async with second.events(since=1) as events:
                assert await next_status(events) == "healthy"
            await second.get(container.id).remove(force=True, volumes=True)
