"""A host that boots: systemd as PID 1, cloud-init with the emitted user-data, the emitted units."""
from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from hashlib import sha256
from pathlib import Path

import pytest
from content import REPOSITORY, sql
from engine import Engine, patience
from images import ROOT
from stage import LONG, MOTO, PROVIDED, Clients, Stage
from test_1_up import LONG_RUNNING

AWS = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{MOTO}", "AWS_ACCESS_KEY_ID": "stage",
       "AWS_SECRET_ACCESS_KEY": "stage", "AWS_DEFAULT_REGION": "us-east-1", **REPOSITORY}
KEY = "releases/bundle.tar.gz"
CLOUD_INIT = """datasource_list: [NoCloud]
network: {config: disabled}
cloud_init_modules: []
cloud_config_modules: []
cloud_final_modules: [scripts_user]
"""


def user_data(total: str) -> str:
    """The emitted template as Terraform renders it, for a bundle"""
    terraform = shutil.which("terraform") or shutil.which("tofu")
    if terraform is None:
        pytest.skip("allowed: neither terraform nor tofu can be installed from a package index")
    values = {"stack": "pretamane", "environment": "production", "region": "us-east-1", "bundle_bucket": "backups",
              "bundle_key": KEY, "bundle_sha256": total, "data_volume_id": "vol1"}
    expression = f'base64encode(templatefile("user-data.sh.tftpl", {json.dumps(values)}))\n'
    done = subprocess.run([terraform, "console"], input=expression, cwd=ROOT / "infra/terraform/templates", check=True,
                          capture_output=True, text=True, env={"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"})
    return base64.b64decode(done.stdout.strip().strip('"')).decode()


def seed(engine: Engine) -> None:
    """What EC2 would give, and what the host would fetch from where no network is: its packages (boot_tree.sh), the key
    of Docker's repository, which is fetched only where it is absent, and the AWS command line, Debian's in its place"""
    bundle = engine.shared / "bundle.tar.gz"
    subprocess.run(["bash", str(ROOT / "infra/scripts/bundle.sh"), str(bundle)], check=True, capture_output=True,
                   env={"PATH": "/usr/bin:/bin"})
    lines = (ROOT / "infra/bootstrap/aws-cli.txt").read_text().splitlines(keepends=True)
    list_hash = sha256("".join(line for line in lines if not line.startswith("#")).encode()).hexdigest()[:12]
    settings = " ".join(f'"{name}={value}"' for name, value in AWS.items())
    for path, text in {
            "var/lib/cloud/seed/nocloud/user-data": user_data(sha256(bundle.read_bytes()).hexdigest()),
            "var/lib/cloud/seed/nocloud/meta-data": "instance-id: i-1\n",
            "etc/cloud/cloud.cfg.d/99-stage.cfg": CLOUD_INIT,
            "etc/systemd/system.conf.d/aws.conf": f"[Manager]\nDefaultEnvironment={settings}\n",
            "etc/apt/keyrings/docker.asc": "stands for the key\n"}.items():
        (engine.work / "upper" / path).parent.mkdir(parents=True, exist_ok=True)
        (engine.work / "upper" / path).write_text(text)
    for path, target in {f"opt/aws-cli/{list_hash}/bin/aws": "/usr/bin/aws",
                         "usr/local/bin/aws": f"/opt/aws-cli/{list_hash}/bin/aws"}.items():
        (engine.work / "upper" / path).parent.mkdir(parents=True, exist_ok=True)
        (engine.work / "upper" / path).symlink_to(target)


def active(stage: Stage, seconds: float) -> None:
    """Until the unit of the stack is active: all its services are healthy then"""
    deadline = time.monotonic() + seconds * patience()
    while stage.run("systemctl", "is-active", "pretamane.service", check=False).stdout.strip() != "active":
        if time.monotonic() > deadline:
            logs = stage.run("sh", "-c", "systemctl --failed --no-legend; tail -n 40 /var/log/cloud-init-output.log; "
                             "journalctl --no-pager --lines 60", check=False)
            raise AssertionError(logs.stdout[-9000:])
        time.sleep(0.5)


@pytest.fixture(scope="module")
def machine(tmp_path_factory, timings):
    """A new machine, and AWS with what Terraform put there"""
    found = Stage(tmp_path_factory.mktemp("machine"), seed=seed)
    try:
        found.provide(PROVIDED)
        found.beside("import boto3\nboto3.client('s3').upload_file("
                     f"{str(found.engine.shared / 'bundle.tar.gz')!r}, 'backups', {KEY!r})")
        yield found
    finally:
        found.close()


@LONG
def test_cloud_init_brings_up_the_host(machine, timings):
    """From user-data to healthy services, by the emitted bootstrap and units"""
    began = time.monotonic()
    active(machine, 420)
    timings["user-data to an active unit"] = time.monotonic() - began
    status = json.loads(machine.run("cloud-init", "status", "--wait", "--format", "json").stdout)
    assert status["status"] == "done" and not status["errors"], status
    assert machine.run("cat", "/proc/1/comm").stdout.strip() == "systemd"
    states = machine.states()
    assert {states[name] for name in (*LONG_RUNNING, "fastapi-app-blue")} == {"running healthy"}
    for each in Path(ROOT / "infra/systemd").iterdir():
        if "[Install]" in each.read_text():
            assert machine.run("systemctl", "is-enabled", each.name).stdout.strip() == "enabled"
            assert machine.run("systemctl", "is-active", each.name).stdout.strip() == "active"
    assert not machine.run("systemctl", "--failed", "--no-legend").stdout


@LONG
@pytest.mark.parametrize("task", ["healthwatch", "backup", "wal", "drill"])
def test_a_task_does_its_work_with_what_its_unit_leaves_it(machine, task, timings):
    """Started by systemd, with all that the unit takes away"""
    began = time.monotonic()
    done = machine.run("systemctl", "start", f"pretamane-{task}.service", check=False)
    timings[f"pretamane-{task}.service"] = time.monotonic() - began
    said = machine.run("journalctl", "--no-pager", "--unit", f"pretamane-{task}.service", "--lines", "40").stdout
    assert done.returncode == 0, said[-4000:]


def again(machine, timings, what):
    """The next boot, until the unit is active"""
    began = time.monotonic()
    machine.end_helpers()
    machine.engine.boot()
    machine.serve_aws()
    machine.provide(machine.kept)
    active(machine, 300)
    timings[what] = time.monotonic() - began
    assert machine.request("GET", "/contacts")[0] == 200


@LONG
def test_a_reboot_of_the_machine(machine, timings):
    """By systemd: the unit stops the stack, and the next boot starts it with its data"""
    contact = json.dumps({"name": "Ann", "email": "ann@example.com", "notes": "before"}).encode()
    code, made = machine.request("POST", "/contacts", contact, Content_Type="application/json")
    assert code == 201
    machine.kept, began = machine.parameters(), time.monotonic()
    machine.run("systemctl", "reboot", check=False)
    machine.engine.parent.wait(timeout=150 * patience())
    timings["systemctl reboot, to the end"] = time.monotonic() - began
    machine.engine.power_cut()  # what belongs to it outside
    again(machine, timings, "the next boot, to an active unit")
    assert made["id"] in sql(machine, "select id from contacts").split()


@LONG
def test_the_power_of_the_machine_goes(machine, timings):
    """As in test_7_boot, and systemd brings the stack back by itself"""
    machine.kept = machine.parameters()
    with Clients(machine) as clients:
        time.sleep(15)
        machine.engine.forget()
        machine.engine.power_cut()
    print(clients.told())
    again(machine, timings, "boot after the power went, to an active unit")
    there = {*sql(machine, "select id from contacts").split()}
    print(f"{len(clients.written)} contacts acknowledged")
    assert len(clients.written) > 30 and {*clients.written} <= there
