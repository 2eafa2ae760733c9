"""Pull and push against a real registry, also over a line that breaks in the middle of a layer."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import bireme as bireme_package
from tests.runtime.images.archives import docker_archive, file, tar
from tests.system._cli import PATIENCE, Cli, Done
from tests.system._registry import PASSWORD, PROGRAM, USER, Line, running_registry

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not PROGRAM, reason="needs a registry to talk to (Debian: docker-registry)"),
]

BUSYBOX = Path("/bin/busybox")
DOCKER = shutil.which("docker")


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry for everybody."""
    with running_registry(tmp_path_factory.mktemp("open")) as host:
        yield host


@pytest.fixture(scope="module")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that wants a name and a password."""
    with running_registry(tmp_path_factory.mktemp("guarded"), password=True) as host:
        yield host


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    base = tmp_path_factory.mktemp("engine")
    cli = Cli(base / "root", base / "run")
    cli.environ |= {"HOME": str(base), "DOCKER_CONFIG": str(base / "docker")}
    cli.environ["DOCKER_HOST"] = f"unix://{base}/run/bireme.sock"
    try:
        cli.ok("version")
        yield cli
    finally:
        cli("shutdown")


@pytest.fixture
def bireme(served: Cli) -> Iterator[Cli]:
    """The command line; afterwards no container and no image is left."""
    yield served
    served.clear()
    for image in set(served.ok("images", "-q").split()):
        served.ok("rmi", "-f", image)


def load(bireme: Cli, *names: str, size: int = 1000) -> None:
    """An image of two layers: busybox, and a file that cannot be compressed."""
    program = tar(file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755))
    archive = docker_archive([program, tar(file("blob", os.urandom(size)))], names, Cmd=["/bin/busybox", "echo", "hi"])
    bireme.ok("load", stdin=archive)


def forget(bireme: Cli, *names: str) -> None:
    bireme.ok("rmi", *names)


def hang_up_in_the_middle(bireme: Cli, line: Line, image: str) -> None:
    """Ask for a pull by the API, and go once something of the large layer has come and the line has stalled.

    Not before: what stalls is the first connection that gets so far, which would be another one then.
    """
    name = f"{line.host}/{image}"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(bireme.run_dir / "bireme.sock"))
        repository, _, tag = name.rpartition(":")
        sock.sendall(f"POST /images/create?fromImage={repository}&tag={tag} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        with sock.makefile("rb") as lines:
            for step in lines:
                if b"Downloading" in step and json.loads(step)["progressDetail"]["total"] > 4 << 20:
                    assert line.broken.wait(PATIENCE)
                    return
    raise AssertionError("the pull ended before it was broken off")


def digest_of(text: str) -> str:
    return text.partition("digest: " if "digest: " in text else "Digest: ")[2].split()[0]


def test_out_and_in_again(bireme: Cli, open_registry: str) -> None:
    name = f"{open_registry}/team/box:1"
    load(bireme, name)
    pushed = bireme.ok("push", name)
    identifier = bireme.ok("images", "-q", "--no-trunc")
    assert pushed.splitlines()[0] == f"The push refers to repository [{open_registry}/team/box]"
    assert pushed.count(": Pushed\n") == 2
    assert bireme.ok("push", name).count(": Layer already exists\n") == 2
    forget(bireme, name)
    assert bireme("inspect", name).status == 1

    pulled = bireme.ok("pull", name)
    assert pulled.startswith("1: Pulling from team/box\n")
    assert pulled.count(": Pull complete\n") == 2
    digest = digest_of(pushed)
    assert pulled.endswith(f"\nDigest: {digest}\nStatus: Downloaded newer image for {name}\n{name}")
    assert bireme.ok("images", "-q", "--no-trunc") == identifier
    (inspected,) = json.loads(bireme.ok("image", "inspect", name))
    assert inspected["RepoDigests"] == [f"{open_registry}/team/box@{digest}"]
    assert f"Status: Image is up to date for {name}" in bireme.ok("pull", name)
    assert bireme.ok("pull", "-q", name) == name
    assert bireme.ok("run", "--rm", name) == "hi"
    by_digest = f"{open_registry}/team/box@{digest}"
    assert f"Status: Image is up to date for {by_digest}" in bireme.ok("pull", by_digest)


def test_a_layer_that_another_repository_has_is_mounted(bireme: Cli, open_registry: str) -> None:
    first, second = f"{open_registry}/first:1", f"{open_registry}/second:1"
    load(bireme, first, second)
    digest = digest_of(bireme.ok("push", first))
    pushed = bireme.ok("push", second)
    assert pushed.count(": Mounted from first\n") == 2
    assert digest_of(pushed) == digest


def test_all_tags(bireme: Cli, open_registry: str) -> None:
    name = f"{open_registry}/many"
    load(bireme, f"{name}:1", f"{name}:2")
    assert bireme.ok("push", "-a", name).count("digest: sha256:") == 2
    forget(bireme, f"{name}:1", f"{name}:2")
    pulled = bireme.ok("pull", "-a", name)
    for tag in ("1", "2"):
        assert f"{tag}: Pulling from many\n" in pulled
    assert bireme.ok("images", "--format", "{{.Tag}}", name).split() == ["1", "2"]
    assert "tag can't be used with --all-tags/-a" in bireme("pull", "-a", f"{name}:1").err


def test_a_line_that_is_cut_in_the_middle_of_a_layer(bireme: Cli, open_registry: str) -> None:
    """The pull goes on where it broke off, and the image is the same to the last bit."""
    name = f"{open_registry}/cut:1"
    load(bireme, name, size=4 << 20)
    digest = digest_of(bireme.ok("push", name))
    identifier = bireme.ok("images", "-q", "--no-trunc")
    forget(bireme, name)
    with Line(open_registry, allowed=1_500_000) as line:
        pulled = bireme.ok("pull", f"{line.host}/cut:1")
        assert line.broken.is_set()
        (beginning,) = line.ranges
    assert 1_000_000 < beginning < 4 << 20
    assert "Retrying in" in pulled
    assert digest_of(pulled) == digest
    assert bireme.ok("images", "-q", "--no-trunc") == identifier


def test_a_pull_that_is_interrupted_goes_on_another_time(bireme: Cli, open_registry: str) -> None:
    name = f"{open_registry}/stalled:1"
    load(bireme, name, size=4 << 20)
    bireme.ok("push", name)
    forget(bireme, name)
    with Line(open_registry, allowed=2_500_000, stall=True) as line:
        hang_up_in_the_middle(bireme, line, "stalled:1")
        other = f"{line.host}/stalled:1"
        assert bireme.ok("images", "-q") == ""
        assert line.ranges == []
        bireme.ok("pull", other)
        assert line.broken.is_set()
        assert min(line.ranges) > 0
    assert bireme.ok("run", "--rm", other) == "hi"


def test_what_was_fetched_in_vain_goes_with_a_prune(bireme: Cli, open_registry: str) -> None:
    name = f"{open_registry}/pruned:1"
    load(bireme, name, size=4 << 20)
    bireme.ok("push", name)
    forget(bireme, name)
    with Line(open_registry, allowed=2_500_000, stall=True) as line:
        hang_up_in_the_middle(bireme, line, "pruned:1")
    staging = bireme.root / "images" / "staging"
    assert list(staging.glob("blob-*"))
    bireme.ok("image", "prune", "-f")
    assert not list(staging.iterdir())


def test_names_and_passwords(bireme: Cli, guarded_registry: str) -> None:
    name = f"{guarded_registry}/mine:1"
    load(bireme, name)
    assert "no basic auth credentials" in bireme("push", name).err
    wrong = bireme("login", "-u", USER, "--password-stdin", guarded_registry, stdin=b"wrong\n")
    assert (wrong.status, "401 Unauthorized" in wrong.err) == (1, True)
    login = bireme("login", "-u", USER, "--password-stdin", guarded_registry, stdin=PASSWORD.encode())
    assert (login.status, login.out) == (0, "Login Succeeded\n")
    assert "stored unencrypted" in login.err
    config = Path(bireme.environ["DOCKER_CONFIG"]) / "config.json"
    assert config.stat().st_mode & 0o777 == 0o600
    bireme.ok("push", name)
    forget(bireme, name)
    bireme.ok("run", "--rm", name)
    forget(bireme, name)
    assert "existing credentials" in bireme.ok("login", guarded_registry)
    assert bireme.ok("logout", guarded_registry) == f"Removing login credentials for {guarded_registry}"
    assert json.loads(config.read_text()) == {"auths": {}}
    assert "no basic auth credentials" in bireme("pull", name).err


def test_a_credential_helper_is_asked(bireme: Cli, guarded_registry: str, tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        f"#!/bin/sh\nread server\necho $1 $server >>{tmp_path}/asked\n"
        f'[ $1 != get ] || echo \'{{"Username":"{USER}","Secret":"{PASSWORD}"}}\'\n'
    )
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {guarded_registry: "test"}}))
    own = Cli(bireme.root, bireme.run_dir)
    own.environ |= {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    name = f"{guarded_registry}/helped:1"
    load(bireme, name)
    own.ok("push", name)
    assert (tmp_path / "asked").read_text() == f"get {guarded_registry}\n"


def test_run_fetches_what_is_missing_and_no_more(bireme: Cli, open_registry: str) -> None:
    name = f"{open_registry}/run"
    load(bireme, f"{name}:latest")
    bireme.ok("push", name)
    forget(bireme, f"{name}:latest")
    assert "Error response from daemon: No such image" in bireme("run", "--rm", "--pull", "never", name).err
    ran = bireme("run", "--rm", name)
    assert ran.out == "hi\n"
    assert ran.err.startswith(f"Unable to find image '{name}:latest' locally\nlatest: Pulling from run\n")
    assert bireme("run", "--rm", name) == Done(0, "hi\n", "")
    assert "Image is up to date" in bireme("run", "--rm", "--pull", "always", name).err
    assert bireme("run", "--rm", "--pull", "always", "-q", name) == Done(0, "hi\n", "")
    forget(bireme, f"{name}:latest")
    assert bireme("create", "-q", name).err == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("{host}/none:1", "manifest for {host}/none:1 not found: manifest unknown: manifest unknown"),
        ("127.0.0.1:1/none:1", 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
        ("nowhere.invalid/none:1", 'Get "https://nowhere.invalid/v2/": dial tcp: lookup nowhere.invalid'),
        ("{host}/NONE", "invalid reference format: repository name"),
        ("{host}/../etc", "invalid reference format"),
    ],
)
def test_what_cannot_be_pulled(bireme: Cli, open_registry: str, name: str, reason: str) -> None:
    done = bireme("pull", name.format(host=open_registry))
    assert done.status == 1
    assert f"Error response from daemon: {reason.format(host=open_registry)}" in done.err
    ran = bireme("run", name.format(host=open_registry))
    assert (ran.status, reason.format(host=open_registry) in ran.err) == (125, True)


def test_programs_pull_and_push(guarded_registry: str, tmp_path: Path) -> None:
    """By the library, for synchronous programs and under asyncio."""
    credentials, name = bireme_package.Credentials(username=USER, password=PASSWORD), f"{guarded_registry}/program:1"
    with bireme_package.blocking.open_runtime(root=tmp_path / "one") as runtime:
        runtime.run("busybox", ["true"])
        runtime.images.tag("busybox", name)
        with pytest.raises(bireme_package.RegistryError, match="no basic auth credentials"):
            runtime.images.push(name)
        (digest,) = runtime.images.push(name, credentials=credentials)

    async def under_asyncio() -> None:
        async with bireme_package.aio.open_runtime(root=tmp_path / "two") as runtime:
            image = await runtime.images.pull(name, credentials=credentials)
            assert image.digests == (f"{guarded_registry}/program@{digest}",)
            done = await runtime.run(name, ["echo", "hi"])
            assert (done.exit_status, done.stdout) == (0, b"hi\n")

    asyncio.run(under_asyncio())


@pytest.mark.skipif(DOCKER is None, reason="needs the docker command (Debian: docker-cli or docker.io)")
def test_the_docker_command(bireme: Cli, open_registry: str, guarded_registry: str) -> None:
    """It pulls, pushes and logs in by way of this engine, and says what it says of Docker's own."""

    def docker(*words: str, stdin: bytes = b"") -> Done:
        done = subprocess.run(
            [str(DOCKER), *words], input=stdin, env=bireme.environ, capture_output=True, timeout=PATIENCE, check=False
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    name, guarded = f"{open_registry}/docker:1", f"{guarded_registry}/docker:1"
    load(bireme, name)
    pushed = docker("push", name)
    assert pushed.status == 0, pushed.err
    assert pushed.out.count(": Pushed\n") == 2
    digest = digest_of(pushed.out)
    assert docker("push", name).out.count(": Layer already exists\n") == 2
    assert docker("rmi", name).status == 0
    pulled = docker("pull", name)
    assert pulled.out.startswith("1: Pulling from docker\n")
    for status in ("Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"):
        assert pulled.out.count(f": {status}\n") == 2
    assert pulled.out.endswith(f"\nDigest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n")
    assert docker("pull", "-q", name).out == f"{name}\n"
    assert docker("pull", "-a", f"{open_registry}/docker").out.startswith("1: Pulling from docker\n")
    missing = docker("pull", f"{open_registry}/docker:2").err.strip()
    assert missing.endswith(f"manifest for {open_registry}/docker:2 not found: manifest unknown: manifest unknown")
    assert docker("tag", name, guarded).status == 0
    assert "no basic auth credentials" in docker("push", guarded).err
    assert docker("login", "-u", USER, "--password-stdin", guarded_registry, stdin=b"wrong").status == 1
    login = docker("login", "-u", USER, "--password-stdin", guarded_registry, stdin=PASSWORD.encode())
    assert "Login Succeeded" in login.out
    assert docker("push", "-q", guarded).out.strip() == guarded
    assert docker("logout", guarded_registry).status == 0
    assert docker("rmi", name, guarded).status == 0
    assert docker("run", "--rm", name).out == "hi\n"
