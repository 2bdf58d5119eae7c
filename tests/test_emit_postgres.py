"The roles that the first start of the database makes, on a real PostgreSQL."
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from needed import needs
from postgres_server import find_binaries

from pretamane_analysis.emit.host.postgres import files
from pretamane_analysis.stack.stack import example

PROGRAMS = find_binaries()
pytestmark = needs("initdb")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    "A cluster on a socket of its own, on which the emitted file was run as the image does it."
    root = tmp_path_factory.mktemp("pg")
    for folder in (root, *root.parents):
        if folder.owner() == root.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    secret = root / "postgres_password"
    secret.write_text("first-of-the-test")
    script = root / "roles.sql"
    script.write_text(files(example())["postgres/10-roles.sql"].replace("/run/secrets/", f"{root}/"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        for each in (root, secret, script):
            shutil.chown(each, user)

    def run(*words, **options):
        return subprocess.run([str(each) for each in words], user=user, cwd=root, capture_output=True,
                              text=True, **options)

    def sql(text, role="postgres", database="postgres", password=""):
        environment = {"PGPASSWORD": password, "PATH": os.environ["PATH"], "LC_ALL": "C"}
        return run("psql", "-h", root, "-U", role, "-d", database, "-tAc", text, env=environment)

    run(PROGRAMS / "initdb", "-D", root / "data", "-U", "postgres", "--auth-local=trust", "-N", check=True)
    (root / "data" / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    run(PROGRAMS / "pg_ctl", "-D", root / "data", "-w", "-l", root / "log", "-o",
        f"-k {root} -c listen_addresses='' -c fsync=off", "start", check=True)
    made = run("psql", "-h", root, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-f", script)
    assert made.returncode == 0, made.stderr
    yield sql
    run(PROGRAMS / "pg_ctl", "-D", root / "data", "-m", "immediate", "stop")


def test_the_application_logs_in_with_its_secret_only(server):
    answer = server("select current_user", "pretamane", "pretamane", "first-of-the-test")
    assert answer.stdout.strip() == "pretamane", answer.stderr
    assert "authentication failed" in server("select 1", "pretamane", "pretamane", "another").stderr


def test_the_application_owns_its_database_and_nothing_else(server):
    flags = server("select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolconnlimit from pg_roles where "
                   "rolname = 'pretamane'")
    assert flags.stdout.strip() == "f|f|f|f|45"
    as_application = {"role": "pretamane", "database": "pretamane", "password": "first-of-the-test"}
    assert server("create table t (n int)", **as_application).returncode == 0
    assert "permission denied" in server("select pg_read_file('/etc/passwd')", **as_application).stderr
    assert "permission denied" in server("create database other", **as_application).stderr
    assert server("show statement_timeout", **as_application).stdout.strip() == "30s"
