"""The jobs of the reference application, its settings, and the image that is built from it."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path

from app_server import SOURCE, until

from pretamane_analysis.emit.host.app import files
from pretamane_analysis.stack.stack import example

SCHEMA = ("SELECT string_agg(table_name || '.' || column_name || ' ' || data_type, ',' ORDER BY table_name, "
          "column_name) FROM information_schema.columns WHERE table_schema = 'public'")


def changed(tmp_path: Path, **migrations: str) -> Path:
    """A copy of the application with other migrations"""
    folder = tmp_path / "changed"
    for path, text in files(example()).items():
        place = folder / path.removeprefix("app/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    for name, text in migrations.items():
        (folder / "migrations" / f"{name}.sql").write_text(text)
    return folder


# Migrations

def test_migrations_twice(fresh):
    """Five at once apply each migration once; one more changes nothing"""
    with ThreadPoolExecutor(5) as threads:
        done = list(threads.map(lambda _: fresh.app().run("-m", "app.migrate"), range(3)))
    assert [each.returncode for each in done] == [0] * 3, done[0].stdout
    assert sum('"message": "applied"' in each.stdout for each in done) == 1
    before = fresh.postgres.psql(SCHEMA, fresh.name), fresh.postgres.psql("SELECT * FROM schema_migrations", fresh.name)
    again = fresh.app().run("-m", "app.migrate")
    assert again.returncode == 0 and '"applied": 0' in again.stdout
    assert before == (fresh.postgres.psql(SCHEMA, fresh.name),
                      fresh.postgres.psql("SELECT * FROM schema_migrations", fresh.name))
    assert fresh.postgres.psql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'",
                               fresh.name) == fresh.name


def test_migrations_move_on_and_never_back(fresh, tmp_path):
    """A new one is added to the emitted tree; a changed, a shrinking, a failing or an ill-numbered one is refused
    and changes nothing"""
    assert fresh.app().run("-m", "app.migrate").returncode == 0
    added = changed(tmp_path, **{"0002_more": "-- a comment\nALTER TABLE contacts ADD COLUMN birthday date;\n"})
    assert fresh.app(added).run("-m", "app.migrate").returncode == 0
    assert "contacts.birthday date" in fresh.postgres.psql(SCHEMA, fresh.name)
    older = fresh.app().run("-m", "app.migrate")
    assert older.returncode == 0 and "the schema is newer than this code" in older.stdout
    for name, text, code, reason in [
            ("0002_more", "ALTER TABLE contacts ADD COLUMN birthday timestamptz;", 2,
             "was changed after it was applied"),
            ("0003_less", "ALTER TABLE contacts\n  DROP   COLUMN notes;", 2, "would break the version that still runs"),
            ("0004_gap", "SELECT 1;", 2, "number 0003 is expected"),
            ("0003_Odd Name", "SELECT 1;", 2, "a name such as"),
            ("0003_half", "CREATE TABLE half (id int); SELECT 1 / 0;", 1, "DivisionByZero")]:
        folder = changed(tmp_path / name, **{"0002_more": "ALTER TABLE contacts ADD COLUMN birthday date;", name: text})
        done = fresh.app(folder).run("-m", "app.migrate")
        assert done.returncode == code and reason in done.stdout, done.stdout + done.stderr
    assert "half" not in fresh.postgres.psql(SCHEMA, fresh.name)


def test_a_superuser_is_refused(fresh, make_app):
    """A service that is a superuser could do everything; the job says so, unless it is told that this is meant"""
    secret = fresh.folder / "superuser"
    secret.write_text(fresh.postgres.password)
    superuser = {"DB_USER": "postgres", "DB_NAME": fresh.name, "DB_PASSWORD_FILE": str(secret)}
    refused = make_app(start=False, **superuser).run("-m", "app.migrate")
    assert refused.returncode == 2 and "is a superuser" in refused.stdout
    assert make_app(start=False, **superuser, DB_ALLOW_SUPERUSER="true").run("-m", "app.migrate").returncode == 0


def test_a_service_is_not_ready_before_its_migrations(fresh):
    """An empty database is a database that is down"""
    app = fresh.app().start()
    assert app.call("GET", "/readyz").json["down"] == ["database", "object_store"]
    assert app.run("-m", "app.bucket_init").returncode == app.run("-m", "app.migrate").returncode == 0
    again = app.run("-m", "app.bucket_init")
    assert again.returncode == 0 and '"made": false' in again.stdout
    until(lambda: app.call("GET", "/readyz").status == 200)
    app.remove()


# Settings

WRONG = {
    "DB_HOST": (None, "is not set. Set it to the host name of PostgreSQL"),
    "PORT": ("http", "Input should be a valid integer"),
    "METRICS_PORT": ("70000", "Input should be less than or equal to 65535"),
    "S3_ENDPOINT_URL": ("minio:9000", "String should match pattern"),
    "DB_PASSWORD_FILE": ("/nowhere", "/nowhere cannot be read: No such file or directory. Set it to the file with"),
    "UPLOADS_FOLDER": ("/proc", "/proc cannot be written to"),
    "DB_POOL_MAX": ("1", "is smaller than DB_POOL_MIN"),
}


def test_a_wrong_setting_is_named_with_its_remedy(make_app):
    """Exit code 2 and one line for each that is wrong; no traceback, and no line about another"""
    done = make_app(start=False, **{name: value for name, (value, _) in WRONG.items()}).run("-m", "app")
    lines = dict(line.split(": ", 1) for line in done.stderr.splitlines())
    assert done.returncode == 2 and lines.keys() == WRONG.keys(), done.stderr
    for name, (_, words) in WRONG.items():
        assert words in lines[name] and ". Set it to " in lines[name]


def test_what_has_no_default_is_what_the_emitter_asks_for(platform):
    """The emitter's list of required names is the application's"""
    done = subprocess.run([sys.executable, "-m", "app"], cwd=SOURCE, env={"PATH": os.environ["PATH"]},
                          capture_output=True, text=True, check=False)
    from pretamane_analysis.emit.host.app import REQUIRED, SECRET_FILES

    named = set(re.findall(r"^(\w+): ", done.stderr, re.M))
    assert done.returncode == 2 and {*REQUIRED, *SECRET_FILES} <= named <= {*REQUIRED, *SECRET_FILES, "UPLOADS_FOLDER",
                                                                            "PROCESSED_FOLDER"}


def test_every_variable_of_the_stack_is_one_that_the_application_reads(source):
    """A name that nobody reads is a wish that nobody hears"""
    text = (source / "app" / "settings.py").read_text()
    known = {name.upper() for name in re.findall(r"^    (\w+): .*Field\(", text, re.M)}
    assert set(example().services["fastapi-app"].environment) <= known


# The image

def pins(text: str) -> dict[str, str]:
    """Name and version of every requirement"""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s\\]+)", text, re.M))


def test_what_is_tested_is_what_is_shipped(root):
    """The direct requirements of the image are pinned in the development requirements, and are what this Python has"""
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    direct = pins((SOURCE / "requirements.in").read_text())
    wanted = parser["DEFAULT"]["dev_requirements"].split()
    for name, pinned in direct.items():
        assert any(re.fullmatch(rf"{name}(\[\w+\])?=={re.escape(pinned)}", each) for each in wanted), name
        assert version(name) == pinned


def test_the_lock_holds_every_direct_requirement_with_hashes():
    """The image installs these wheels or none"""
    text = (SOURCE / "requirements.txt").read_text()
    assert pins((SOURCE / "requirements.in").read_text()).items() <= pins(text).items()
    blocks = re.findall(r"^[a-z0-9-]+==\S+(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", text, re.M)
    assert len(blocks) == len(pins(text)) > 25


def test_hadolint_has_nothing_to_say(tmp_path):
    """The Dockerfile is as its linter wants it"""
    place = tmp_path / "Dockerfile"
    place.write_text(files(example())["app/Dockerfile"])
    done = subprocess.run([Path(sys.executable).parent / "hadolint", place], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_ruff_has_nothing_to_say():
    """The sources are as a strict linter wants them, and each says what it is for"""
    rules = "E,F,I,UP,B,W,C4,SIM,RUF,PIE,RET,PTH,DTZ,D100,D101,D102,D103,S1,S3,S5"
    done = subprocess.run([Path(sys.executable).parent / "ruff", "check", "--isolated", "--no-cache", "--line-length",
                           "160", "--select", rules,
                           "--ignore", "B008,S104,S105,S110,S311,S603,S608", SOURCE / "app"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert all(len(file.read_text().splitlines()) <= 200 for file in (SOURCE / "app").glob("*.py"))
