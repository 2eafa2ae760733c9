"""The specification's custom volume handler on a real database: PostgreSQL, backed up while rows are written to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import _postgres_image
from tests.system._cli import Cli, sh

pytestmark = [pytest.mark.root, pytest.mark.system, pytest.mark.timeout(900)]

VOLUMES = ("-v", "/var/lib/postgresql", "-v", "/var/log/postgresql", "-v", "/run/postgresql")
READY = "database system is ready to accept connections"

WRITER = """
n=0
while n=$((n + 1)); do
    psql -qX -c "INSERT INTO rows (text) SELECT md5(random()::text) FROM generate_series(1, 50)" || exit
    [ "$n" = 3 ] && echo under load
done
"""
BACKUP = "pg_dump --format=custom --file=/backup/rows.dump postgres && pg_restore --list /backup/rows.dump | wc -l"


@pytest.fixture(scope="module")
def postgres(engine: Cli) -> Iterator[str]:
    """The image's name."""
    reason = _postgres_image.missing_requirement()
    if reason:
        pytest.skip(f"no PostgreSQL image: {reason}")
    image = _postgres_image.postgres_image()
    changes = [word for change in image.changes() for word in ("--change", change)]
    done = subprocess.run(
        engine.command("import", *changes, str(image.archive), "postgres"), env=engine.environ, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    yield "postgres"
    engine.clear()
    engine.ok("rmi", "postgres")


def open_database(bireme: Cli, image: str) -> str:
    """A database in a container of its own, ready."""
    database = bireme.ok("run", "-d", "--stop-signal", "SIGINT", *VOLUMES, image)
    bireme.wait_for_line(database, READY)
    return database


def query(bireme: Cli, database: str, statement: str) -> str:
    return bireme.ok("exec", database, "psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-c", statement)


def test_a_backup_of_a_database_under_load_is_restored_row_by_row(bireme: Cli, postgres: str, tmp_path: Path) -> None:
    database = open_database(bireme, postgres)
    query(bireme, database, "CREATE TABLE rows (id bigserial PRIMARY KEY, text text NOT NULL)")
    writer = bireme.ok("run", "-d", "--volumes-from", database, postgres, *sh(WRITER))
    bireme.wait_for_line(writer, "under load")

    before = int(query(bireme, database, "SELECT count(*) FROM rows"))
    job = bireme.ok("run", "-d", "--volumes-from", database, "-v", "/backup", postgres, *sh(BACKUP))
    assert bireme.ok("wait", job) == "0", bireme("logs", job).err
    after = int(query(bireme, database, "SELECT count(*) FROM rows"))
    bireme.ok("rm", "-f", writer)

    bireme.ok("cp", f"{job}:/backup/rows.dump", str(tmp_path))
    second = open_database(bireme, postgres)
    restore = ("exec", "-i", second, "pg_restore", "--dbname=postgres", "--exit-on-error")
    bireme.ok(*restore, stdin=(tmp_path / "rows.dump").read_bytes())
    last = int(query(bireme, second, "SELECT max(id) FROM rows"))
    restored = query(bireme, second, "SELECT id, text FROM rows ORDER BY id")
    assert 150 <= before <= len(restored.splitlines()) <= after
    assert restored == query(bireme, database, f"SELECT id, text FROM rows WHERE id <= {last} ORDER BY id")

    assert bireme.ok("stop", database, second).split() == [database, second]
    assert bireme.ok("wait", database, second) == "0\n0"


def test_the_databases_volumes_outlive_it(bireme: Cli, postgres: str) -> None:
    first = open_database(bireme, postgres)
    query(bireme, first, "CREATE TABLE kept AS SELECT 42 AS answer")
    bireme.ok("stop", first)
    second = bireme.ok("run", "-d", "--volumes-from", first, postgres)
    bireme.wait_for_line(second, READY)
    assert query(bireme, second, "SELECT answer FROM kept") == "42"
