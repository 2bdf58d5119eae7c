"""Secrets of a host: the same under every fault, stored before use, never in sight. The real AWS CLI against moto
over HTTP."""
import os
import re
import subprocess
import threading
from collections import Counter

import pytest
from bootstrap_host import TOKEN, Host, booted, client, cloud, free_port, host, program  # noqa: F401

GENERATED = ["api_key", "edge_admin_password", "postgres_password", "postgres_superuser_password"]
CONSUMERS = {"caddy/edge_admin_password_hash": 1000, "cloudflared/tunnel_token": 65532, "fastapi-app/api_key": 1000,
             "fastapi-app/postgres_password": 1000, "postgresql/postgres_password": 999,
             "postgresql/postgres_superuser_password": 999}
DENIED = {"GetParametersByPath": (400, "AccessDeniedException"), "GetParameter": (400, "AccessDeniedException")}
THROTTLED = {"GetParametersByPath": (400, "ThrottlingException"), "GetParameter": (400, "ThrottlingException")}


def fits(hash_file, password):
    "Whether a bcrypt hash is that of a password."
    known = hash_file.parent / "known"
    known.write_text(f"admin:{hash_file.read_text()}")
    return subprocess.run([program("htpasswd"), "-vi", str(known), "admin"], input=password, text=True,
                          capture_output=True, check=False).returncode == 0


def test_first_boot(host, tmp_path):
    host.boot()
    stored = host.stored()
    assert sorted(stored) == sorted([*GENERATED, "tunnel_token"])
    assert all(len(stored[name]) == 32 and stored[name].isascii() and stored[name].isalnum() for name in GENERATED)
    assert len({stored[name] for name in GENERATED}) == len(GENERATED)
    delivered = host.delivered()
    assert sorted(delivered) == sorted(CONSUMERS)
    assert (delivered["fastapi-app/postgres_password"] == delivered["postgresql/postgres_password"]
            == stored["postgres_password"])
    assert delivered["cloudflared/tunnel_token"] == TOKEN
    (tmp_path / "hash").write_text(delivered["caddy/edge_admin_password_hash"])
    assert fits(tmp_path / "hash", stored["edge_admin_password"])
    assert not fits(tmp_path / "hash", "another")
    assert re.match(r"\$2y\$0[5-8]\$", delivered["caddy/edge_admin_password_hash"]), (
        "wrong guesses keep the edge's part of a processor from its users")


def test_only_its_container_reads_a_secret(booted):
    folder = booted.root / "run/pretamane/secrets"
    for path, uid in CONSUMERS.items():
        found = (folder / path).stat()
        assert found.st_mode & 0o777 == 0o400
        assert (folder / path).parent.stat().st_mode & 0o777 == 0o711
        if os.geteuid() == 0:
            assert found.st_uid == uid, path
        else:
            assert any(f" {uid} " in call for call in booted.calls("chown"))
    for kept in (booted.root / "var/lib/pretamane/secrets").iterdir():
        assert kept.stat().st_mode & 0o777 == 0o600
    assert not list(booted.root.glob("run/pretamane/work.*"))


def test_second_run_changes_nothing(booted):
    "BS1."
    before, puts, values = booted.state(), booted.cloud.count("PutParameter"), booted.delivered()
    booted.boot()
    assert booted.delivered() == values
    assert booted.state() == before
    assert booted.cloud.count("PutParameter") == puts
    assert len(booted.calls("mkfs.ext4")) == 1


def test_after_a_reboot_the_files_are_back(booted):
    values = booted.delivered()
    booted.reboot()
    assert booted.delivered() == {}
    assert booted.run("bootstrap/bootstrap.sh", "secrets").returncode == 0
    assert booted.delivered() == values


@pytest.mark.parametrize("fault", ["denied", "throttled", "down"])
def test_no_answer_on_a_first_boot_makes_no_secret(host, fault):
    "BS2 without a copy: the bootstrap fails, nothing is generated, nothing is delivered."
    host.cloud.faults = {"denied": DENIED, "throttled": THROTTLED, "down": {}}[fault]
    host.extra["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}" if fault == "down" else host.cloud.url
    before = host.cloud.count("PutParameter")
    done = host.run()
    assert done.returncode != 0
    assert "gives no answer" in done.stdout and "none was made" in done.stdout
    assert {"denied": "AccessDeniedException", "throttled": "ThrottlingException",
            "down": "unreachable"}[fault] in done.stdout
    assert host.cloud.count("PutParameter") == before
    assert host.delivered() == {}
    assert "start pretamane.service" not in " ".join(host.calls("systemctl"))


@pytest.mark.parametrize("fault", ["denied", "throttled", "down"])
def test_no_answer_later_uses_the_copy(booted, fault):
    "BS2 with a copy: the host comes up with the values that it had."
    values = booted.delivered()
    booted.reboot()
    booted.cloud.faults = {"denied": DENIED, "throttled": THROTTLED, "down": {}}[fault]
    booted.extra["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}" if fault == "down" else booted.cloud.url
    done = booted.boot()
    assert "this host's copies are used" in done.stdout
    assert booted.delivered() == values


def test_an_outage_between_two_questions_makes_no_secret(booted):
    "The list is answered, the question for a name that its data needs is not: that is no leave to make another value."
    client("ssm").delete_parameter(Name=f"/pretamane/{booted.environment}/postgres_password")
    (booted.root / "var/lib/pretamane/secrets/postgres_password").unlink()
    booted.cloud.faults, before = {"GetParameter": (400, "ThrottlingException")}, booted.cloud.count("PutParameter")
    done = booted.run()
    assert done.returncode != 0 and "none was made" in done.stdout
    assert booted.cloud.count("PutParameter") == before


def test_what_is_new_is_not_asked_for_by_its_name(host):
    """The list has said that it is not there, and storing overwrites nothing: a call for each would double the first
    boot."""
    before = Counter(each for each, _ in host.cloud.requests)
    host.boot()
    asked = Counter(each for each, _ in host.cloud.requests) - before
    assert asked["PutParameter"] > 3 and asked["GetParameter"] <= 2  # what is optional and not given


def test_a_value_that_cannot_be_stored_is_not_used(host):
    host.cloud.faults = {"PutParameter": (400, "AccessDeniedException")}
    done = host.run()
    assert done.returncode != 0
    assert "cannot be stored (AccessDeniedException)" in done.stdout
    assert host.delivered() == {}
    assert not (host.root / "var/lib/pretamane/secrets").exists()


def test_faults_that_pass_are_waited_for(host):
    left = [2]

    def hook(operation, name):
        host.cloud.faults = {"GetParametersByPath": (400, "ThrottlingException")} if left[0] > 0 else {}
        left[0] -= operation == "GetParametersByPath"

    host.cloud.hook = hook
    host.boot()
    assert host.cloud.count("GetParametersByPath") >= 3


def test_two_first_boots_at_once_get_the_same_values(host, tmp_path):
    "BS3: both hosts have been told that nothing is there before either stores anything."
    other = Host(tmp_path / "two", host.cloud, environment=host.environment)
    both = threading.Barrier(2, timeout=30)
    seen = []

    def hook(operation, name):
        if operation == "PutParameter" and len(seen) < 2:  # the first of each: its host waits, so it has no second
            seen.append(name)
            both.wait()

    host.cloud.hook = hook
    running = [each.start("bootstrap/bootstrap.sh") for each in (host, other)]
    said = [each.communicate(timeout=180)[0] for each in running]
    assert [each.returncode for each in running] == [0, 0], "\n".join(said)
    without_hash = [{path: value for path, value in each.delivered().items() if "hash" not in path}
                    for each in (host, other)]
    assert without_hash[0] == without_hash[1] and len(seen) == 2 and not both.broken
    assert "was stored by another host a moment ago" in "".join(said)
    assert host.stored()["postgres_password"] == without_hash[0]["postgresql/postgres_password"]


def test_a_new_instance_has_the_same_values(booted):
    "BS4: both disks are new, the Parameter Store is kept."
    values = booted.stored()
    booted.replace(new_data_disk=True)
    booted.boot()
    assert booted.stored() == values
    assert booted.delivered()["postgresql/postgres_password"] == values["postgres_password"]


@pytest.mark.parametrize("evidence", ["ledger", "volume"])
def test_lost_parameters_with_kept_data_stop_the_boot(booted, evidence):
    "BS5: a new instance, the data disk kept, the Parameter Store wiped."
    volume = booted.root / "data/docker/volumes/pretamane_postgres-data/_data"
    volume.mkdir(parents=True)
    (volume / "PG_VERSION").write_text("17\n")
    if evidence == "volume":
        for each in (booted.root / "data/pretamane/issued").iterdir():
            each.unlink()
    booted.forget()
    booted.give("tunnel_token", "t" * 20)
    puts = booted.cloud.count("PutParameter")
    booted.replace()
    done = booted.run()
    assert done.returncode == 1
    assert "secret postgres_password is gone from the Parameter Store" in done.stdout
    assert ("it was issued before" if evidence == "ledger"
            else "volume pretamane_postgres-data has data") in done.stdout
    assert "none was made" in done.stdout
    assert booted.cloud.count("PutParameter") == puts
    assert booted.delivered() == {}


def test_lost_parameters_come_back_from_this_hosts_copy(booted):
    values = booted.stored()
    booted.forget()
    booted.give("tunnel_token", values["tunnel_token"])
    done = booted.boot()
    assert "this host's copy is put back" in done.stdout
    assert booted.stored() == values


def test_a_secret_that_is_new_in_the_stack_is_issued_when_told(booted):
    values = booted.stored()
    client("ssm").delete_parameter(Name=f"/pretamane/{booted.environment}/api_key")
    (booted.root / "var/lib/pretamane/secrets/api_key").unlink()
    assert booted.run().returncode == 1
    done = booted.run("bootstrap/bootstrap.sh", "--issue", "api_key", "secrets")
    assert done.returncode == 0, done.stdout
    assert booted.stored()["api_key"] != values["api_key"]
    assert {k: v for k, v in booted.stored().items() if k
            != "api_key"} == {k: v for k, v in values.items() if k != "api_key"}


def test_a_provided_secret_is_asked_for(host):
    host.forget()
    before = host.cloud.count("PutParameter")
    done = host.run()
    assert done.returncode == 1
    assert f"--name /pretamane/{host.environment}/tunnel_token --value file://FILE" in done.stdout
    assert host.cloud.count("PutParameter") == before


def test_a_changed_parameter_is_used_and_a_database_is_warned_about(booted):
    booted.give("api_key", "A" * 32, overwrite=True)
    booted.give("postgres_password", "B" * 32, overwrite=True)
    done = booted.boot()
    assert booted.delivered()["fastapi-app/api_key"] == "A" * 32
    assert "secret postgres_password differs from the one last used here" in done.stdout
    assert "secret api_key differs" not in done.stdout


def test_a_value_with_any_character_arrives_byte_for_byte(host):
    value = "a$b\"c'd\\e f%&/<>\té\nlast"
    host.give("tunnel_token", value, overwrite=True)
    host.boot()
    assert host.delivered()["cloudflared/tunnel_token"] == value


def test_no_value_is_ever_in_sight(host):
    """BS7: not in what is said with `bash -x`, in no argument of any process, in no environment, and nowhere but
    where it belongs."""
    stop, seen = threading.Event(), set()

    def watch():
        while not stop.is_set():
            for each in filter(str.isdigit, os.listdir("/proc")):
                for kind in ("cmdline", "environ"):
                    try:
                        with open(f"/proc/{each}/{kind}", "rb") as file:
                            seen.add(file.read())
                    except OSError:
                        continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    process = host.start("bootstrap/bootstrap.sh", shell=("bash", "-x"))
    said, _ = process.communicate(timeout=180)
    stop.set()
    watcher.join()
    assert process.returncode == 0
    assert "+ write_parameter" in said
    values = [*host.stored().values(), host.delivered()["caddy/edge_admin_password_hash"]]
    calls = (host.stubs / "calls").read_text()
    processes = b"\n".join(seen)
    assert b"put-parameter" in processes or "put-parameter" in calls
    for value in values:
        assert value not in said and value not in calls and value.encode() not in processes
    allowed = ("run/pretamane/secrets/", "var/lib/pretamane/secrets/")
    for each in host.root.rglob("*"):
        if each.is_file() and not str(each.relative_to(host.root)).startswith(allowed):
            assert not any(value in each.read_text(errors="replace") for value in values), each


def test_the_command_itself_gives_the_same_answers(booted):
    "Without the loaded CLI: the program `aws` as a host starts it, for a secret that is found and one that is made."
    (booted.stubs / "real/aws").unlink()
    (booted.stubs / "real/aws").symlink_to(program("aws"))
    before = booted.stored()
    client("ssm").delete_parameter(Name=f"/pretamane/{booted.environment}/api_key")
    (booted.root / "var/lib/pretamane/secrets/api_key").unlink()
    done = booted.run("bootstrap/bootstrap.sh", "--issue", "api_key", "secrets")
    assert done.returncode == 0 and "secret api_key is stored" in done.stdout, done.stdout
    assert booted.stored().keys() == before.keys() and booted.stored()["api_key"] != before["api_key"]
