"Rotation of a secret with a real PostgreSQL and the real AWS CLI: the new value everywhere, or the old one everywhere."
import json
import subprocess

import pytest
from bootstrap_host import booted, client, cloud  # noqa: F401
from postgres_server import postgres  # noqa: F401

from pretamane_analysis.emit.host.bootstrap import manifest
from pretamane_analysis.stack.stack import example

# What `docker compose` would do: psql in the server's container, and an application that is healthy when it can log in.
DOCKER = r"""#!/bin/bash
[[ "$1 $2 $4 $6 $8" == "compose --project-name --project-directory --file --profile" && "$3 $5" == "pretamane $PRETAMANE_ROOT/opt/pretamane/current/compose" ]] || exit 64
shift 9
case "$1" in
    ps) cat "$STUBS/running" ;;
    up)
        name="${@: -1}"
        printf '%s\n' "$name" >>"$STUBS/recreated"
        grep -qxF "$name" "$STUBS/broken" 2>/dev/null && exit 1
        case "$name" in fastapi-app-*)
            PGPASSWORD="$(cat "$PRETAMANE_ROOT/run/pretamane/secrets/fastapi-app/postgres_password")" \
                "$PSQL" -X -q -h 127.0.0.1 -p "$PGPORT" -U pretamane -d pretamane -c 'SELECT 1' >/dev/null ;;
        esac ;;
    exec)
        shift 3
        case "$1" in
            psql) shift; "$PSQL" --host "$SOCKETS" "$@" ;;
            sh) PATH="${PSQL%/*}:$PATH" sh -c "$3" 127.0.0.1 "${@:5}" ;;
            grafana) cat >"$STUBS/grafana" ;;
        esac ;;
esac
"""  # noqa: E501
# The deployment's own care for the colors has tests of its own; here the one that runs is made again, with what it
# reads now.
DEPLOY = r"""#!/bin/bash
[[ "$* $HELD_LOCK $STATE_DIR" == "--colors deploy $PRETAMANE_ROOT/var/lib/pretamane/state" ]] || exit 64
folder="$ROOT_DIR/current/compose"
exec docker compose --project-name pretamane --project-directory "$folder" --file "$folder/compose.yaml" --profile '*' up --detach fastapi-app-blue
"""  # noqa: E501
NAME = "postgres_password"


@pytest.fixture
def running(booted, postgres):
    "A host whose stack is up: the server has the roles and passwords of a first start, the blue color runs."
    password, superuser = (booted.stored()[name] for name in (NAME, "postgres_superuser_password"))
    if not postgres.psql("SELECT 1 FROM pg_database WHERE datname = 'pretamane'"):
        postgres.psql("CREATE ROLE pretamane LOGIN; CREATE DATABASE pretamane OWNER pretamane")
    postgres.psql(f"ALTER ROLE pretamane PASSWORD '{password}'; ALTER ROLE postgres PASSWORD '{superuser}'")
    postgres.log.write_bytes(b"")
    (booted.stubs / "docker").write_text(DOCKER)
    (booted.stubs / "docker").chmod(0o755)
    (booted.release / "scripts/deploy.sh").write_text(DEPLOY)
    (booted.release / "scripts/deploy.sh").chmod(0o755)
    (booted.stubs / "running").write_text("caddy\nfastapi-app-blue\npostgresql\ncloudflared\n")
    booted.extra |= {"PSQL": str(postgres.binaries / "psql"), "PGPORT": str(postgres.port),
                     "SOCKETS": str(postgres.folder)}
    return booted


def logs_in(postgres, password, role="pretamane"):
    "Whether the database lets a role in with a password."
    command = [postgres.binaries / "psql", "-X", "-q", "-w", "-h", "127.0.0.1", "-p", str(postgres.port), "-U",
               role, "-d", "pretamane", "-c", "SELECT 1"]
    done = subprocess.run(command, env={"PGPASSWORD": password, "LC_ALL": "C"}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 or "password authentication failed" in done.stderr, done.stderr
    return done.returncode == 0


def rotate(host, *arguments, **options):
    "Run the script."
    return host.run("scripts/rotate-secret.sh", *arguments, **options)


def in_use(host, name=NAME):
    "The one value of a secret that the store, the files and this host's copy agree on."
    found = {value for path, value in host.delivered().items() if path.endswith(f"/{name}")}
    found |= {host.stored()[name], (host.root / "var/lib/pretamane/secrets" / name).read_text()}
    assert len(found) == 1, found
    return found.pop()


def unfinished(host):
    "Names of rotations that did not end."
    return [each.name for each in host.root.glob("var/lib/pretamane/rotation/*")]


def test_a_rotated_password_works_and_the_old_one_does_not(running, postgres):
    "BS8."
    old = in_use(running)
    assert logs_in(postgres, old)
    done = rotate(running, NAME)
    assert done.returncode == 0, done.stdout
    new = in_use(running)
    assert new != old and len(new) == 32
    assert logs_in(postgres, new) and not logs_in(postgres, old)
    assert (running.stubs / "recreated").read_text() == "fastapi-app-blue\n"
    assert not unfinished(running)
    log = postgres.log.read_text()
    assert "ALTER ROLE" in log and old not in log and new not in log
    assert running.run("bootstrap/bootstrap.sh", "secrets").returncode == 0
    assert in_use(running) == new


def test_the_superusers_password_too(running, postgres):
    old = in_use(running, "postgres_superuser_password")
    assert rotate(running, "postgres_superuser_password").returncode == 0
    new = in_use(running, "postgres_superuser_password")
    assert logs_in(postgres, new, "postgres") and not logs_in(postgres, old, "postgres")
    assert logs_in(postgres, in_use(running))
    assert not (running.stubs / "recreated").exists()


def test_rotation_shows_no_value(running, postgres):
    old = in_use(running)
    process = running.start("scripts/rotate-secret.sh", NAME, shell=("bash", "-x"))
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0 and "+ write_parameter" in said
    for value in (old, in_use(running)):
        assert value not in said and value not in (running.stubs / "calls").read_text()


@pytest.mark.parametrize("fault", ["the store refuses", "the application does not come up"])
def test_a_failure_puts_the_old_value_back_everywhere(running, postgres, fault):
    old = in_use(running)
    if fault == "the store refuses":
        running.cloud.faults = {"PutParameter": (400, "AccessDeniedException")}
    else:
        (running.stubs / "broken").write_text("fastapi-app-blue\n")
        running.cloud.hook = lambda operation, name: (running.stubs
                                                      / "broken").unlink(missing_ok=True) if puts() == 2 else None

    def puts():
        return running.cloud.count("PutParameter")

    done = rotate(running, NAME)
    assert done.returncode == 1, done.stdout
    assert "has its old value everywhere" in done.stdout
    assert in_use(running) == old and logs_in(postgres, old)
    assert not unfinished(running)


@pytest.mark.parametrize("fault", ["anybody", "another", "down", "store"])
def test_where_nothing_can_be_proved_nothing_is_changed(running, postgres, fault):
    old = in_use(running)
    hba = postgres.data / "pg_hba.conf"
    rules = hba.read_text()
    if fault == "anybody":
        hba.write_text(rules.replace("scram-sha-256", "trust"))
        postgres.psql("SELECT pg_reload_conf()")
    elif fault == "another":
        postgres.psql("ALTER ROLE pretamane PASSWORD 'by hand'")
    elif fault == "down":
        running.extra["PGPORT"] = "1"
    else:
        running.cloud.faults = {"GetParameter": (500, "InternalServerError")}
    try:
        done = rotate(running, NAME)
    finally:
        hba.write_text(rules)
        postgres.psql("SELECT pg_reload_conf()")
    assert done.returncode == 1 and "nothing was changed" in done.stdout, done.stdout
    assert running.cloud.count("PutParameter") == 0
    assert in_use(running) == old and not unfinished(running)


def test_what_could_not_be_put_back_is_remembered(running, postgres):
    "The Parameter Store goes away right after it took the new value: neither way is certain, until somebody recovers."
    old = in_use(running)
    (running.stubs / "broken").write_text("fastapi-app-blue\n")

    def gone(operation, name):
        if running.cloud.count("PutParameter"):
            running.cloud.faults = dict.fromkeys(("GetParameter", "GetParametersByPath"), (400, "ThrottlingException"))

    running.cloud.hook = gone
    done = rotate(running, NAME)
    assert done.returncode == 2 and "rotate-secret.sh --recover postgres_password" in done.stdout
    assert unfinished(running) == [NAME]
    running.cloud.hook, running.cloud.faults = (lambda operation, name: None), {}
    (running.stubs / "broken").unlink()
    assert "the rotation of postgres_password did not end" in running.run("bootstrap/bootstrap.sh", "secrets").stdout
    done = rotate(running, "--recover", NAME)
    assert done.returncode == 0, done.stdout
    assert in_use(running) == old and logs_in(postgres, old) and not unfinished(running)


@pytest.mark.parametrize("call", ["psql --no-psqlrc --quiet --set", "--overwrite", "mv -fT", "up --detach"],
                         ids=["role", "store", "file", "application"])
def test_a_rotation_that_was_killed_is_taken_back(running, postgres, call):
    "SIGKILL right after the role, the store, the application's file or the application itself has its new value."
    old = in_use(running)
    process = running.start("scripts/rotate-secret.sh", NAME, KILL_AFTER_CALL=call)
    process.communicate(timeout=180)
    assert process.returncode == -9 and unfinished(running) == [NAME]
    done = rotate(running, "--recover", NAME)
    assert done.returncode == 0, done.stdout
    assert in_use(running) == old and logs_in(postgres, old) and not unfinished(running)


def test_secrets_that_are_only_read_at_the_start(running):
    old = running.delivered()
    assert rotate(running, "api_key").returncode == 0
    assert in_use(running, "api_key") != old["fastapi-app/api_key"]
    assert rotate(running, "tunnel_token", given="a-new-token\n").returncode == 0
    assert in_use(running, "tunnel_token") == "a-new-token"
    assert rotate(running, "edge_admin_password").returncode == 0
    assert running.delivered()["caddy/edge_admin_password_hash"] != old["caddy/edge_admin_password_hash"]
    assert (running.stubs / "recreated").read_text().split() == ["fastapi-app-blue", "cloudflared", "caddy"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["tunnel_token"], "give its new value on standard input"),
    (["edge_admin_password_hash"], "there is no secret 'edge_admin_password_hash' to rotate"),
    (["nothing"], "there is no secret 'nothing' to rotate; there are: postgres_superuser_password"),
])
def test_what_cannot_be_rotated_is_said(running, arguments, message):
    done = rotate(running, *arguments)
    assert done.returncode == 1 and message in done.stdout
    assert running.cloud.count("PutParameter") == 0


def test_grafana_is_told_and_pgadmin_is_left_to_a_person(running):
    (running.release / "bootstrap/secrets.manifest.json").write_text(json.dumps(manifest(example())))
    for name in ("grafana_admin_password", "pgadmin_password"):
        running.give(name, "o" * 32)
    done = rotate(running, "grafana_admin_password")
    assert done.returncode == 0, done.stdout
    assert (running.stubs / "grafana").read_text() == running.stored()["grafana_admin_password"] != "o" * 32
    assert not any(running.stored()["grafana_admin_password"] in call for call in running.calls("docker"))
    done = rotate(running, "pgadmin_password")
    assert done.returncode == 1 and "is kept by pgadmin itself" in done.stdout
