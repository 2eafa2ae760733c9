"""Data volumes from the command line, scenario by scenario, as Docker has them or better."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system._cli import Cli, end, sh

pytestmark = [pytest.mark.root, pytest.mark.system]


def sources(bireme: Cli, container: str) -> dict[str, str]:
    """Destination to source of a container's mounts."""
    mounts = json.loads(bireme.ok("inspect", container))[0]["Mounts"]
    return {mount["Destination"]: mount["Source"] for mount in mounts}


def run_and_wait(bireme: Cli, *words: str) -> str:
    container = bireme.ok("run", "-d", *words)
    assert bireme.ok("wait", container) == "0"
    return container


# Making volumes


def test_v_makes_a_fresh_writable_directory_that_is_a_mount_of_its_own(bireme: Cli) -> None:
    script = "echo hi > /data/x && cat /data/x && grep -c ' /data ' /proc/mounts"
    assert bireme.ok("run", "--rm", "-v", "/data", "s-base", *sh(script)) == "hi\n1"


def test_two_flags_make_two_volumes_below_root_volumes(bireme: Cli) -> None:
    container = bireme.ok("create", "-v", "/one", "-v", "/two/deep", "s-base", "true")
    found = sources(bireme, container)
    assert found.keys() == {"/one", "/two/deep"}
    assert len(set(found.values())) == 2
    assert all(Path(source).parent == bireme.root / "volumes" and Path(source).is_dir() for source in found.values())


def test_an_images_volumes_are_made_too(bireme: Cli) -> None:
    assert sources(bireme, bireme.ok("create", "s-two", "true")).keys() == {"/a", "/b"}


def test_the_same_path_twice_is_one_volume(bireme: Cli) -> None:
    container = bireme.ok("create", "-v", "/d", "-v", "/d/", "s-base", "true")
    assert sources(bireme, container).keys() == {"/d"}


def test_paths_are_cleaned(bireme: Cli) -> None:
    assert sources(bireme, bireme.ok("create", "-v", "//d/./e/../", "s-base", "true")).keys() == {"/d"}


@pytest.mark.parametrize("order", [("/n", "/n/m", "/n/m/o"), ("/n/m/o", "/n", "/n/m"), ("/n/m", "/n/m/o", "/n")])
def test_nested_volumes_mount_parents_first(bireme: Cli, order: tuple[str, ...]) -> None:
    script = "echo 1 >/n/x; echo 2 >/n/m/x; echo 3 >/n/m/o/x; cat /n/x /n/m/x /n/m/o/x; grep -c ' /n' /proc/mounts"
    flags = [word for path in order for word in ("-v", path)]
    assert bireme.ok("run", "--rm", *flags, "s-base", *sh(script)) == "1\n2\n3\n3"


# Sharing them


def test_a_running_containers_volumes_are_shared_both_ways(bireme: Cli) -> None:
    holder = bireme.ok("run", "-d", "-v", "/data", "s-base", "sleep", "60")
    bireme.ok("run", "--rm", "--volumes-from", holder, "s-base", *sh("echo 1 > /data/x"))
    assert bireme.ok("exec", holder, "cat", "/data/x") == "1"
    bireme.ok("exec", holder, *sh("echo 2 > /data/x"))
    assert bireme.ok("run", "--rm", "--volumes-from", holder, "s-base", "cat", "/data/x") == "2"


def test_an_exited_containers_volumes_keep_their_data(bireme: Cli) -> None:
    holder = run_and_wait(bireme, "-v", "/data", "s-base", *sh("echo old > /data/x"))
    assert bireme.ok("run", "--rm", "--volumes-from", holder, "s-base", "cat", "/data/x") == "old"


def test_a_container_never_started_has_its_images_content_in_its_volume(bireme: Cli) -> None:
    holder = bireme.ok("create", "s-vol", "true")
    assert bireme.ok("run", "--rm", "--volumes-from", holder, "s-base", "cat", "/vol/f") == "hello"


def test_several_sources_add_up(bireme: Cli) -> None:
    first, second = (bireme.ok("create", "-v", path, "s-base", "true") for path in ("/a", "/b"))
    both = bireme.ok("create", "--volumes-from", first, "--volumes-from", second, "s-base", "true")
    assert sources(bireme, both) == {**sources(bireme, first), **sources(bireme, second)}


@pytest.mark.parametrize(("image", "path"), [("s-base", "/d"), ("s-vol", "/vol")])
def test_a_sources_volume_wins_over_a_new_one_at_its_path(bireme: Cli, image: str, path: str) -> None:
    holder = run_and_wait(bireme, "-v", path, "s-base", *sh(f"echo A > {path}/x"))
    words = ("--volumes-from", holder, "-v", path, image, "ls", path)
    assert bireme.ok("run", "--rm", *words) == "x"


def test_ro_mounts_read_only_and_is_passed_on(bireme: Cli) -> None:
    holder = bireme.ok("create", "-v", "/d", "s-base", "true")
    done = bireme("run", "--rm", "--volumes-from", f"{holder}:ro", "s-base", *sh("echo x > /d/x"))
    assert (done.status, done.err) == (1, "sh: can't create /d/x: Read-only file system\n")
    reader = bireme.ok("create", "--volumes-from", f"{holder}:ro", "s-base", "true")
    assert bireme.ok("inspect", "-f", "{{range .Mounts}}{{.RW}}{{end}}", reader) == "false"


def test_sources_are_named_by_name_and_by_prefix(bireme: Cli) -> None:
    holder = bireme.ok("create", "--name", "v15src", "-v", "/d", "s-base", "true")
    for reference in ("v15src", holder[:12]):
        other = bireme.ok("create", "--volumes-from", reference, "s-base", "true")
        assert sources(bireme, other) == sources(bireme, holder)


def test_a_chain_reaches_the_first_volumes(bireme: Cli) -> None:
    first = bireme.ok("create", "-v", "/d", "s-base", "true")
    second = bireme.ok("create", "--volumes-from", first, "-v", "/e", "s-base", "true")
    third = bireme.ok("create", "--volumes-from", second, "s-base", "true")
    assert sources(bireme, third) == {**sources(bireme, first), **sources(bireme, second)}


# The image's content


def test_content_is_copied_in_with_files_directories_and_links(bireme: Cli) -> None:
    script = "cat /vol/f /vol/sub/g; readlink /vol/l"
    assert bireme.ok("run", "--rm", "s-vol", *sh(script)) == "hellodeepf"


def test_content_keeps_owner_group_and_mode(bireme: Cli) -> None:
    out = bireme.ok("run", "--rm", "s-vol", "stat", "-c", "%u:%g:%a", "/vol", "/vol/f")
    assert out == "1000:1000:750\n1000:1000:640"


def test_a_shared_volume_is_not_filled_again(bireme: Cli) -> None:
    holder = run_and_wait(bireme, "-v", "/p", "s-base", "true")
    assert bireme.ok("run", "--rm", "--volumes-from", holder, "s-nest", "ls", "/p") == ""


def test_content_reaches_a_nested_volume_once(bireme: Cli) -> None:
    script = "cat /p/f /p/c/f; ls -A /p/c | wc -l"
    assert bireme.ok("run", "--rm", "-v", "/p", "-v", "/p/c", "s-nest", *sh(script)) == "121"


def test_a_volume_of_the_images_user_is_writable_by_that_user(bireme: Cli) -> None:
    script = "id -u; echo x > /data/x; stat -c %u:%a /data"
    assert bireme.ok("run", "--rm", "s-user", *sh(script)) == "1000\n1000:700"


def test_content_changed_in_the_volume_does_not_change_the_image(bireme: Cli) -> None:
    bireme.ok("run", "--rm", "s-vol", *sh("echo changed > /vol/f"))
    assert bireme.ok("run", "--rm", "s-vol", "cat", "/vol/f") == "hello"


# Links and files in the way


def test_below_a_linked_directory_the_mount_is_in_the_links_target(bireme: Cli) -> None:
    script = "echo x > /real/new/y && cat /dir/ln/new/y"
    assert bireme.ok("run", "--rm", "-v", "/dir/ln/new", "s-link", *sh(script)) == "x"


def test_a_link_that_points_out_of_the_root_stays_inside(bireme: Cli) -> None:
    script = "touch /etc/inside; ls /etc/inside; grep -c ' /etc ' /proc/mounts"
    assert bireme.ok("run", "--rm", "-v", "/up", "s-link", *sh(script)) == "/etc/inside\n1"
    assert not Path("/etc/inside").exists()


# Keeping and removing


def test_stop_and_start_keep_volumes_and_data(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "-v", "/d", "s-base", *sh("echo >> /d/x; wc -l < /d/x; exec sleep 60"))
    bireme.wait_for_line(container, "1")
    bireme.ok("stop", "-t", "0", container)
    bireme.ok("start", container)
    bireme.wait_for_line(container, "2")
    assert bireme.ok("exec", container, *sh("wc -l < /d/x")) == "2"


def test_rm_keeps_the_volumes_and_rm_v_removes_them(bireme: Cli) -> None:
    keeping, removing = (run_and_wait(bireme, "-v", "/d", "s-base", "true") for _ in range(2))
    kept, removed = (Path(sources(bireme, container)["/d"]) for container in (keeping, removing))
    assert bireme.ok("rm", keeping) == keeping
    assert bireme.ok("rm", "-v", removing) == removing
    assert kept.is_dir()
    assert not removed.exists()


def test_run_rm_removes_its_volumes(bireme: Cli) -> None:
    before = bireme.volumes()
    bireme.ok("run", "--rm", "-v", "/d", "s-base", "true")
    assert bireme.volumes() == before


def test_a_volume_that_another_container_holds_outlives_rm_v(bireme: Cli) -> None:
    owner = run_and_wait(bireme, "-v", "/d", "s-base", *sh("echo k > /d/x"))
    holder = bireme.ok("create", "--volumes-from", owner, "s-base", "cat", "/d/x")
    bireme.ok("rm", "-v", owner)
    assert bireme.ok("start", "-a", holder) == "k"


def test_a_kept_volume_is_listed_as_held_by_nobody(bireme: Cli) -> None:
    container = run_and_wait(bireme, "-v", "/d", "s-base", "true")
    volume = Path(sources(bireme, container)["/d"]).name
    bireme.ok("rm", container)
    assert volume in bireme.ok("volume", "ls", "-q", "-f", "dangling=true").split()


# Together


def test_twenty_containers_share_one_source_at_once(bireme: Cli) -> None:
    holder = bireme.ok("create", "-v", "/d", "s-base", "true")
    runs = [bireme.popen("run", "--rm", "--volumes-from", holder, "s-base", "touch", f"/d/{n}") for n in range(20)]
    assert [end(run) for run in runs] == [(0, b"", b"")] * 20
    assert bireme.ok("run", "--rm", "--volumes-from", holder, "s-base", *sh("ls /d | wc -l")) == "20"


def test_inspect_tells_the_volumes_in_dockers_words(bireme: Cli) -> None:
    holder = bireme.ok("create", "-v", "/d", "s-base", "true")
    other = bireme.ok("create", "--volumes-from", holder, "s-base", "true")
    first, second = json.loads(bireme.ok("inspect", holder, other))
    assert first["Config"]["Volumes"] == {"/d": {}}
    assert second["HostConfig"]["VolumesFrom"] == [holder]
    assert second["Mounts"] == first["Mounts"]
    assert first["Mounts"][0]["RW"] is True
    assert first["State"]["Status"] == "created"
