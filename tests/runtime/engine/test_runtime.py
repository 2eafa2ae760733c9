"""The embedding API on real containers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

import bireme
from bireme_actors import new_id

pytestmark = pytest.mark.root


async def test_run_gives_status_output_and_leaves_nothing(runtime: bireme.Runtime, root: Path) -> None:
    done = await runtime.run(
        "busybox", ["sh", "-c", "echo hi > /data/x; cat /data/x; echo err >&2; exit 3"], volumes=["/data"]
    )
    assert (int(done.exit_status), done.stdout, done.stderr) == (3, b"hi\n", b"err\n")
    assert runtime.list() == []
    assert runtime.volumes() == ()
    assert [entry for entry in (root / "volumes").iterdir() if not entry.name.startswith(".")] == []


async def test_check_raises_with_the_whole_result(runtime: bireme.Runtime) -> None:
    with pytest.raises(bireme.ContainerFailed, match="status 7: no luck") as caught:
        await runtime.run("busybox", ["sh", "-c", "echo no luck >&2; exit 7"], check=True)
    assert isinstance(caught.value.result, bireme.Completed)
    assert caught.value.result.stderr == b"no luck\n"


async def test_input_goes_in_and_ends(runtime: bireme.Runtime) -> None:
    data = os.urandom(300_000)
    done = await runtime.run("busybox", ["cat"], stdin=data)
    assert done.stdout == data


async def test_output_that_is_not_captured_is_none(runtime: bireme.Runtime) -> None:
    done = await runtime.run("busybox", ["sh", "-c", "echo o; echo e >&2"], capture_stdout=False)
    assert (done.stdout, done.stderr) == (None, b"e\n")
    done = await runtime.run("busybox", ["true"], capture_stdout=False, capture_stderr=False)
    assert (done.stdout, done.stderr) == (None, None)


async def test_a_job_shares_the_volumes_of_a_running_container(runtime: bireme.Runtime) -> None:
    async with runtime.open_container("busybox", ["sleep", "60"], volumes=["/a", "/b"]) as db:
        await db.exec(["sh", "-c", "echo 1 > /a/x"], check=True)
        job = await runtime.create("busybox", ["cat", "/a/x"], volumes_from=[db])
        assert await runtime.start_all([job]) == {job.id: None}
        assert await job.wait() == 0
        assert [entry.data async for entry in job.logs()] == [b"1\n"]
        assert job.volumes == db.volumes
        assert (db.volumes["/a"] / "x").read_text() == "1\n"
        await job.remove(volumes=True)
        assert (db.volumes["/a"] / "x").exists()
    assert runtime.list() == []
    assert runtime.volumes() == ()


async def test_what_is_in_memory_is_nobody_elses_and_gone_at_the_end(runtime: bireme.Runtime) -> None:
    tmpfs = {"/m": "size=1m,mode=700", "/d": ""}
    async with runtime.open_container("busybox", ["sleep", "60"], volumes=["/d", "/v"], tmpfs=tmpfs) as first:
        assert list(first.volumes) == ["/v"], "where a tmpfs is, no volume is made"
        found: Any = first.inspect()
        assert (found["HostConfig"]["Tmpfs"], sorted(found["Config"]["Volumes"])) == (tmpfs, ["/d", "/v"])
        assert [mount["Destination"] for mount in found["Mounts"]] == ["/v"]
        done = await first.exec(["sh", "-c", "stat -c %a /m /d; touch /m/x /d/x /v/x"], check=True)
        assert done.stdout == b"700\n1777\n"
        job = await runtime.run("busybox", ["sh", "-c", "ls /v; ls /m"], volumes_from=[first])
        assert (job.stdout, int(job.exit_status)) == (b"x\n", 1)
        await first.restart(timeout=0)
        done = await first.exec(["sh", "-c", "stat -c %a /m /d; ls /m /d /v"], check=True)
        assert done.stdout == b"700\n1777\n/d:\n\n/m:\n\n/v:\nx\n"


async def test_without_a_tmpfs_nothing_is_shown_of_it(runtime: bireme.Runtime) -> None:
    container = await runtime.create("busybox", ["true"])
    assert "Tmpfs" not in container.inspect()["HostConfig"]  # type: ignore[operator]  # JSON


async def test_a_tmpfs_over_a_file_of_the_containers_own_is_refused_at_once(runtime: bireme.Runtime) -> None:
    with pytest.raises(bireme.InvalidConfig, match="cannot mount tmpfs over existing file, file exists /etc/hosts"):
        await runtime.create("busybox", ["true"], tmpfs=["/etc/hosts"], volumes=["/v"])
    assert (runtime.list(), runtime.volumes()) == ([], ())


async def test_the_volume_outlives_its_maker_while_somebody_holds_it(runtime: bireme.Runtime) -> None:
    maker = await runtime.create("busybox", ["sh", "-c", "echo kept > /d/x"], volumes=["/d"])
    await maker.start()
    assert await maker.wait() == 0
    reader = await runtime.create("busybox", ["cat", "/d/x"], volumes_from=[maker.name])
    await maker.remove(volumes=True)
    await reader.start()
    assert await reader.wait() == 0
    assert [entry.data async for entry in reader.logs()] == [b"kept\n"]


async def test_wait_answers_everybody_before_during_and_after(runtime: bireme.Runtime) -> None:
    container = await runtime.create("busybox", ["sh", "-c", "read x; exit 9"], stdin_open=True)
    seen: list[int] = []

    async def wait(condition: str) -> None:
        seen.append(int(await container.wait(condition)))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(wait, "next-exit")
        await trio.testing.wait_all_tasks_blocked()
        async with container.attach(stdin=True) as attached:
            await container.start()
            for _ in range(10):
                nursery.start_soon(wait, "not-running")
            await attached.send(b"go\n")
    assert seen == [9] * 20
    assert await container.wait() == 9
    await container.remove()


async def test_signals_make_128_plus_n(runtime: bireme.Runtime) -> None:
    container = await runtime.create("busybox", ["sleep", "60"])
    await container.start()
    await container.kill("TERM")  # process 1 has no default action: nothing happens
    await container.kill()
    status = await container.wait()
    assert (status, status.signal) == (137, signal.SIGKILL)
    assert status.finished > status.started > 0
    await container.start()
    await container.stop(timeout=0)
    assert container.inspect()["State"]["ExitCode"] == 137  # type: ignore[index]  # JSON
    await container.remove()


async def test_failed_starts_are_told_apart_by_kind(runtime: bireme.Runtime) -> None:
    with pytest.raises(bireme.CommandNotFound, match="nosuchcmd"):
        await runtime.run("busybox", ["nosuchcmd"])
    with pytest.raises(bireme.CommandNotExecutable, match="permission denied"):
        await runtime.run("busybox", ["/etc/passwd"])
    with pytest.raises(bireme.ImageNotFound, match="No such image: nosuch:latest"):
        await runtime.run("nosuch", ["true"])
    with pytest.raises(bireme.NotFound, match="No such container: nobody"):
        await runtime.run("busybox", ["true"], volumes_from=["nobody"])
    assert runtime.list() == []
    assert runtime.volumes() == ()


async def test_names_are_taken_once_and_found_by_beginnings(runtime: bireme.Runtime) -> None:
    first = await runtime.create("busybox", ["true"], name="first")
    with pytest.raises(bireme.Conflict, match=f'"/first" is already in use by container "{first.id}"'):
        await runtime.create("busybox", ["true"], name="first")
    assert runtime.get("first") == runtime.get(first.id) == runtime.get(first.id[:12]) == first
    await first.rename("second")
    assert runtime.get("second") == first
    with pytest.raises(bireme.NotFound):
        runtime.get("first")
    await first.remove()
    with pytest.raises(bireme.NotFound, match="No such container"):
        await first.start()
    for reading in (first.exec(["true"]), first.top(), first.stats(), anext(first.logs())):
        with pytest.raises(bireme.NotFound, match="No such container"):
            await reading


async def test_cancelling_a_run_leaves_nothing(runtime: bireme.Runtime) -> None:
    with trio.move_on_after(0.3) as scope:
        await runtime.run("busybox", ["sleep", "60"], volumes=["/data"])
    assert scope.cancelled_caught
    assert runtime.list() == []
    assert runtime.volumes() == ()


async def test_pause_freezes_and_unpause_thaws(runtime: bireme.Runtime) -> None:
    async with runtime.open_container("busybox", ["sleep", "60"]) as container:
        await container.pause()
        assert container.status == "paused"
        with pytest.raises(bireme.Conflict, match="paused"):
            await container.exec(["true"])
        await container.unpause()
        assert (await container.exec(["echo", "awake"])).stdout == b"awake\n"


async def test_exec_has_the_containers_surroundings(runtime: bireme.Runtime) -> None:
    async with runtime.open_container(
        "busybox", ["sleep", "60"], env={"A": "1"}, workdir="/tmp", hostname="box"
    ) as container:
        done = await container.exec(["sh", "-c", "echo $A $B $PWD $(hostname); cat"], env={"B": "2"}, stdin=b"in")
        assert (done.stdout, done.exit_status) == (b"1 2 /tmp box\nin", 0)
        with pytest.raises(bireme.CommandNotFound):
            await container.exec(["nosuchcmd"])
        assert (await container.exec(["sh", "-c", "exit 5"])).exit_status == 5


def lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and ") Z " not in stat.read_text()


async def test_the_hosts_pids_are_the_containers_if_asked_for(runtime: bireme.Runtime) -> None:
    script = "sleep 60 & (setsid sleep 60 &); read x; exit 3"
    async with runtime.open_container("busybox", ["sh", "-c", script], pid_mode="host", stdin_open=True) as container:
        inside = await container.exec(["sh", "-c", f"cat /proc/{os.getpid()}/comm; echo $$"])
        assert inside.stdout is not None
        name, pid = inside.stdout.split()
        assert name.decode() == (await trio.Path("/proc/self/comm").read_text()).strip()
        assert int(pid) > 1
        pids: list[int] = []
        while len(pids) < 3:
            _, rows = await container.top(["-o", "pid,args"])
            pids = [int(row[0]) for row in rows]
        shown: Any = container.inspect()
        assert shown["HostConfig"]["PidMode"] == "host"
        assert shown["State"]["Pid"] in pids
        await container.kill("KILL")
        assert await container.wait() == 137
        assert [pid for pid in pids if lives(pid)] == []


async def test_the_hosts_name_is_the_containers_if_asked_for(runtime: bireme.Runtime) -> None:
    async with runtime.open_container("busybox", ["sleep", "60"], uts_mode="host") as container:
        done = await container.exec(["sh", "-c", "hostname; cat /etc/hostname; echo $HOSTNAME"])
        assert done.stdout == f"{os.uname().nodename}\n{container.id[:12]}\n{container.id[:12]}\n".encode()
        host: Any = container.inspect()["HostConfig"]
        assert host["UTSMode"] == "host"


async def test_files_go_in_and_out(runtime: bireme.Runtime) -> None:
    async with runtime.open_container("busybox", ["sleep", "60"], volumes=["/v"]) as container:
        await container.exec(["sh", "-c", "echo inside > /v/f; mkdir /made"], check=True)
        async with container.get_archive("/v/f") as chunks:
            archive = b"".join([chunk async for chunk in chunks])
        assert b"inside\n" in archive
        assert (await container.stat_path("/v/f"))["size"] == 7
        assert ("/made", 1) in await container.changes()
        with pytest.raises(bireme.NotFound):
            await container.stat_path("/nowhere")
        async with container.export() as chunks:
            exported = b"".join([chunk async for chunk in chunks])
        assert b"made/" in exported
        assert b"inside\n" not in exported


async def test_the_files_of_a_container_that_is_gone_are_not_found(runtime: bireme.Runtime) -> None:
    """Also where its removal is noticed by what fails underneath."""
    container = await runtime.create("busybox", ["true"], volumes=["/v"])
    await container.remove(volumes=True)
    for read in (container.get_archive("/etc"), container.export()):
        with pytest.raises(bireme.NotFound, match=f"No such container: {container.id}"):
            async with read as chunks:
                assert [chunk async for chunk in chunks] == []
    with pytest.raises(bireme.NotFound, match=f"No such container: {container.id}"):
        await container.stat_path("/etc")
    with pytest.raises(bireme.NotFound, match=f"No such container: {container.id}"):
        await container.changes()


async def test_another_engine_cannot_have_the_root(runtime: bireme.Runtime, root: Path) -> None:
    with pytest.raises(bireme.Conflict, match=str(root)):
        async with bireme.open_runtime(root=root):
            raise AssertionError("two engines on one root")


async def test_stopped_containers_are_there_for_the_next_engine(root: Path) -> None:
    async with bireme.open_runtime(root=root, on_exit="stop") as runtime:
        script = "echo data > /d/x; sleep 60"
        kept = await runtime.create("busybox", ["sh", "-c", script], name="kept", volumes=["/d"], stop_timeout=0)
        await kept.start()
        async with kept.attach() as attached:
            await kept.exec(["sh", "-c", "until [ -e /d/x ]; do :; done"], check=True)
            del attached
    async with bireme.open_runtime(root=root) as runtime:
        again = runtime.get("kept")
        assert again.status == "exited"
        assert (await runtime.run("busybox", ["cat", "/d/x"], volumes_from=[again])).stdout == b"data\n"
    async with bireme.open_runtime(root=root) as runtime:
        assert [container.name for container in runtime.list()] == ["kept"]


async def test_many_at_once(runtime: bireme.Runtime) -> None:
    outputs: dict[int, bytes | None] = {}

    async def one(number: int) -> None:
        done = await runtime.run("busybox", ["echo", str(number)], volumes=["/data"])
        outputs[number] = done.stdout

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(one, number)
    assert outputs == {number: f"{number}\n".encode() for number in range(100)}
    assert runtime.list() == []


async def test_events_tell_the_story(runtime: bireme.Runtime) -> None:
    async with runtime.events() as events:
        name = f"story-{new_id()[:8]}"
        await runtime.run("busybox", ["true"], name=name)
        actions = []
        async for event in events:
            if event.kind == "container":
                actions.append(event.action)
            if event.action == "destroy":
                break
    assert actions == ["create", "attach", "start", "die", "destroy"]


async def test_a_new_volume_has_the_working_directory_below_it(runtime: bireme.Runtime) -> None:
    for _ in range(2):
        async with runtime.open_container("busybox", ["true"], volumes=["/data"], workdir="/data/./sub") as container:
            assert (container.volumes["/data"] / "sub").is_dir()
    async with runtime.open_container("busybox", ["true"], volumes=["/data"], workdir="/database") as container:
        assert list(container.volumes["/data"].iterdir()) == []


async def test_a_volume_cannot_hide_the_files_of_the_engine(runtime: bireme.Runtime) -> None:
    with pytest.raises(bireme.InvalidConfig, match="file exists /etc/hosts"):
        await runtime.create("busybox", ["true"], volumes=["/etc/hosts"])
    assert runtime.volumes() == ()
