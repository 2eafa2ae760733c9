"""Writable layers, what is mounted, and the three files of a container's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bireme.launcher.requests import TmpfsRequest
from bireme.storage import ContainerDirectories, Layout, OverlayRootfs
from bireme.storage._names import LOOPBACK_HOSTS
from bireme.storage.rootfs import HostFile, without_loopback
from bireme_actors import ImageNotFound, InvalidConfig, Mount, Tmpfs, VolumeId
from tests.runtime.storage._stores import Stores, config_with_volumes, read, tree, write


def test_a_layer_is_made_with_its_files(stores: Stores) -> None:
    config = config_with_volumes("/a")
    os.mkdir(stores.layout.container(config.id), 0o700)
    stores.rootfs.make(config)
    assert tree(stores.layout.container(config.id)) == ["hostname", "hosts", "resolv.conf", "upper", "work"]
    assert os.stat(stores.layout.upper(config.id)).st_mode & 0o7777 == 0o755
    assert os.stat(stores.layout.container(config.id)).st_mode & 0o7777 == 0o700
    for name in ("hostname", "hosts", "resolv.conf"):
        assert os.stat(f"{stores.layout.container(config.id)}/{name}").st_mode & 0o7777 == 0o644


def test_without_a_network_there_is_the_loopback_only(stores: Stores) -> None:
    named, nameless = config_with_volumes(hostname="db"), config_with_volumes()
    for config, name in ((named, "db"), (nameless, nameless.id[:12])):
        os.mkdir(stores.layout.container(config.id), 0o700)
        stores.rootfs.make(config)
        assert read(stores.layout.hostname(config.id)) == f"{name}\n".encode()
        assert read(stores.layout.hosts(config.id)) == LOOPBACK_HOSTS
    assert b"127.0.0.1\tlocalhost\n" in LOOPBACK_HOSTS


def test_what_the_user_says_of_names_is_in_them(stores: Stores) -> None:
    names = {"HostConfig": {"ExtraHosts": ["db:10.0.0.5", "me:host-gateway"], "Dns": ["10.0.0.1"]}}
    alone, host = config_with_volumes(extra=names), config_with_volumes(network="host", extra=names)
    for config in (alone, host):
        os.mkdir(stores.layout.container(config.id), 0o700)
        stores.rootfs.make(config)
    assert read(stores.layout.hosts(alone.id)) == LOOPBACK_HOSTS + b"10.0.0.5\tdb\n"
    own = HostFile("/etc/hosts").read()
    assert read(stores.layout.hosts(host.id)) == own + b"10.0.0.5\tdb\n127.0.0.1\tme\n"
    assert b"nameserver 10.0.0.1\n" in read(stores.layout.resolv_conf(alone.id))


def test_with_the_hosts_network_the_files_are_the_hosts(stores: Stores) -> None:
    config = config_with_volumes(network="host")
    os.mkdir(stores.layout.container(config.id), 0o700)
    stores.rootfs.make(config)
    assert read(stores.layout.hosts(config.id)) == HostFile("/etc/hosts").read()
    assert read(stores.layout.resolv_conf(config.id)) == HostFile("/etc/resolv.conf").read()
    assert read(stores.layout.hostname(config.id)) == f"{os.uname().nodename}\n".encode()


def test_name_servers_of_the_hosts_loopback_are_left_out() -> None:
    given = b"# by hand\nsearch example.org\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\noptions edns0"
    assert without_loopback(given) == b"# by hand\nsearch example.org\nnameserver 192.0.2.1\noptions edns0"
    assert without_loopback(b"") == b""


def test_a_file_of_the_host_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = str(tmp_path / "hosts")
    file = HostFile(path)
    assert file.read() == b""
    write(path, b"one")
    assert file.read() == b"one"
    os.utime(path, ns=(1, 1))
    write(path, b"two")
    assert file.read() == b"two"
    os.unlink(path)
    assert file.read() == b""


def test_what_is_mounted_is_told_relative_to_the_root(stores: Stores, layout: Layout) -> None:
    shared = Mount(VolumeId("e" * 64), "/a/b", read_only=True, owned=False)
    config = config_with_volumes("/a", auto_remove=True)
    config = config_with_volumes(mounts=(config.mounts[0], shared), auto_remove=True)
    request = stores.rootfs.root_request(config)
    layers = os.path.join(layout.root, request["layers_directory"])
    assert os.path.normpath(os.path.join(layers, request["upper"])) == layout.upper(config.id)
    assert os.path.normpath(os.path.join(layers, request["work"])) == layout.work(config.id)
    assert (request["layers"], request["volatile"]) == (["base", "top"], True)
    assert request["mounts"] == [
        {"source": f"volumes/{config.mounts[0].volume}", "target": "/a", "read_only": False},
        {"source": f"volumes/{'e' * 64}", "target": "/a/b", "read_only": True},
    ]
    assert [(mount["target"], mount["read_only"]) for mount in request["files"]] == [
        ("/etc/hostname", False), ("/etc/hosts", False), ("/etc/resolv.conf", False)
    ]  # fmt: skip
    assert stores.rootfs.exit_file(config.id) == f"containers/{config.id}/exit.json"


def test_what_is_in_memory_stands_between_the_volumes(stores: Stores) -> None:
    tmpfs = (Tmpfs("/a/t", "ro,exec,size=1m,mode=01770,sync"), Tmpfs("/a/b/c"), Tmpfs("/a/t", "dirsync,strictatime"))
    config = config_with_volumes("/a/b", "/a", tmpfs=tmpfs[:2])
    strict = ["nodev", "noexec", "nosuid"]
    own: TmpfsRequest = {
        "flags": ["nodev", "nosuid", "ro"],
        "options": [("size", "1m"), ("mode", "1770"), ("sync", None)],
    }
    mounts = stores.rootfs.root_request(config)["mounts"]
    assert [mount["target"] for mount in mounts] == ["/a", "/a/b", "/a/t", "/a/b/c"]
    assert mounts[2:] == [
        {"source": "", "target": "/a/t", "read_only": True, "tmpfs": own},
        {"source": "", "target": "/a/b/c", "read_only": False, "tmpfs": {"flags": strict, "options": []}},
    ]
    (_, _, last, _) = stores.rootfs.root_request(config_with_volumes("/a/b", "/a", tmpfs=tmpfs))["mounts"]
    assert last == {
        "source": "",
        "target": "/a/t",
        "read_only": False,
        "tmpfs": {"flags": [*strict, "strictatime"], "options": [("dirsync", None)]},
    }, "the later one"


@pytest.mark.parametrize("path", ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"])
def test_nothing_in_memory_takes_the_place_of_a_file_of_the_containers_own(stores: Stores, path: str) -> None:
    with pytest.raises(InvalidConfig, match=f"cannot mount tmpfs over existing file, file exists {path}"):
        stores.rootfs.check(config_with_volumes(tmpfs=(Tmpfs(path),)))


def test_a_read_only_container_has_read_only_files(stores: Stores) -> None:
    request = stores.rootfs.root_request(config_with_volumes(read_only=True))
    assert all(mount["read_only"] for mount in request["files"])
    assert not request["volatile"]


def test_what_goes_with_its_runtime_waits_for_no_disk(stores: Stores) -> None:
    for changes, volatile in (({"ephemeral": True}, True), ({"auto_remove": True}, True), ({}, False)):
        assert stores.rootfs.root_request(config_with_volumes(**changes))["volatile"] is volatile


async def test_an_unknown_image_is_refused_before_anything_is_made(stores: Stores, layout: Layout) -> None:
    def unknown(image: str) -> tuple[str, ...]:
        raise ImageNotFound(f"No such image: {image}")

    with pytest.raises(ImageNotFound):
        await ContainerDirectories(layout, OverlayRootfs(layout, unknown), stores.volumes).create(config_with_volumes())
    assert tree(layout.containers) == [".trash"]
