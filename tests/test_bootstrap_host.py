"A first boot that is killed anywhere, the data disk, Docker, units, user-data and the bundle."
import base64
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from bootstrap_host import (  # noqa: F401
    TOKEN,
    VOLUME,
    Host,
    booted,
    client,
    cloud,
    first_boot,
    host,
    program,
    tree,
)

from pretamane_analysis.emit.host.bootstrap import USER_DATA_LIMIT, USER_DATA_VARIABLES
from pretamane_analysis.emit.tree import emitted, write_tree
from pretamane_analysis.stack.stack import example

# A call and which of them: after each of these something has changed on the host or in the cloud.
KILLS = [("mkfs.ext4", 1), ("systemctl", 3), ("put-parameter", 1), ("htpasswd", 1), ("mv", 15)]
if os.environ.get("EVERY_KILL"):
    KILLS = [("", number) for number in range(1, 76)]


def position(calls, name, number):
    "The place of a call among all calls."
    found = [place for place, call in enumerate(calls, 1) if call.startswith(f"{name} ") or name
             and f" {name} " in call]
    return found[number - 1] if name else number


@pytest.mark.parametrize(("name", "number"), KILLS, ids=lambda each: str(each))
def test_killed_anywhere_the_next_run_ends_it(host, name, number):
    "BS6: SIGKILL right after a call, for the whole process group; then one more run."
    booted = first_boot()
    calls = (booted.stubs / "calls").read_text().splitlines()
    if number > len(calls):
        pytest.skip("allowed: there are fewer calls than that")
    process = host.start("bootstrap/bootstrap.sh", KILL_AFTER=str(position(calls, name, number)))
    process.communicate(timeout=180)
    assert process.returncode == -9
    made = {key: value for key, value in host.stored().items() if key != "tunnel_token"}
    host.boot()
    stored = host.stored()
    assert made.items() <= stored.items()
    assert set(host.delivered()) == set(booted.delivered())
    assert host.delivered()["postgresql/postgres_password"] == stored["postgres_password"]
    assert len(host.calls("mkfs.ext4")) == 1
    assert set(host.state()) == set(booted.state())
    assert host.calls("systemctl")[-1] == "systemctl start pretamane.service"
    assert "systemctl restart docker.service" in host.calls("systemctl")


def test_order_of_a_first_boot(booted):
    """The disk before Docker, secrets before units; every unit with an [Install] section is enabled, the stack
    started last."""
    calls = [each.replace(str(booted.root), "") for each in (booted.stubs / "calls").read_text().splitlines()]
    order = [next(place for place, each in enumerate(calls) if text in each) for text in
             ("mount -- ", "docker-ce=", "restart docker.service", "put-parameter", "start pretamane.service")]
    assert order == sorted(order)
    units = [each for each in booted.calls("systemctl") if "pretamane" in each]
    assert not [each for each in calls[calls.index("systemctl start pretamane.service"):] if "put-parameter" in each
                or "mkfs" in each]
    assert units == ["systemctl enable pretamane.service", "systemctl enable pretamane-backup.timer",
                     "systemctl start pretamane-backup.timer", "systemctl start pretamane.service"]
    assert sorted(each.name for each in (booted.root / "var/lib/pretamane/state").iterdir()) == [
        "disk", "docker", "docker.configuration", "packages", "secrets", "units"]


# The data disk

def test_the_disk_is_mounted_by_its_uuid(booted):
    uuid = (booted.stubs / "disk").read_text().splitlines()[0]
    lines = (booted.root / "etc/fstab").read_text().splitlines()
    assert lines == ["LABEL=root / ext4 defaults 0 1",
                     f"{uuid} /data ext4 defaults,noatime,nofail,x-systemd.device-timeout=90s 0 2"]


@pytest.mark.parametrize(("content", "code", "message"), [
    ("UUID=1\nTYPE=xfs\n", "", "no ext4 file system (xfs)"),
    ("PTUUID=1\nPTTYPE=gpt\n", "", "no ext4 file system (gpt)"),
    ("", "8", "cannot tell what is on"),
    ("", "4", "cannot tell what is on"),
])
def test_what_is_not_known_to_be_empty_is_not_formatted(host, content, code, message):
    (host.stubs / "disk").write_text(content)
    done = host.run("bootstrap/bootstrap.sh", "disk", **({"BLKID_CODE": code} if code else {}))
    assert done.returncode == 1 and message in done.stdout and "nothing was written to it" in done.stdout
    assert not host.calls("mkfs.ext4") and not host.calls("mount")


def test_content_that_no_probe_knows_is_not_formatted(host):
    device = next(host.root.glob("dev/disk/by-id/*"))
    device.write_bytes(b"\0" * 4096 + b"somebody's own format" + b"\0" * 2**20)
    done = host.run("bootstrap/bootstrap.sh", "disk")
    assert done.returncode == 1 and "holds something unknown" in done.stdout and not host.calls("mkfs.ext4")
    device.write_bytes(b"")  # nothing can be read
    assert host.run("bootstrap/bootstrap.sh", "disk").returncode == 1 and not host.calls("mkfs.ext4")
    # What a format of our own left when it was killed may be formatted again.
    device.write_bytes(b"half a file system" + b"\0" * 2**20)
    (host.root / "var/lib/pretamane/state/disk.formatting").write_text(f"{VOLUME}\n")
    assert host.run("bootstrap/bootstrap.sh", "disk").returncode == 0 and len(host.calls("mkfs.ext4")) == 1
    assert not (host.root / "var/lib/pretamane/state/disk.formatting").exists()


def test_data_of_an_older_instance_is_kept(host):
    (host.stubs / "disk").write_text("UUID=8d1c\nTYPE=ext4\n")
    assert host.run("bootstrap/bootstrap.sh", "disk").returncode == 0
    assert not host.calls("mkfs.ext4")
    assert "UUID=8d1c /data ext4" in (host.root / "etc/fstab").read_text()


def test_a_disk_that_is_not_attached_stops_the_boot(host):
    shutil.rmtree(host.root / "dev")
    done = host.run()
    assert done.returncode == 1 and f"volume {VOLUME} is not attached" in done.stdout
    assert not host.calls("docker") and host.cloud.count("PutParameter") == 0


def test_another_disk_in_its_place_stops_the_boot(host, tmp_path):
    (tmp_path / "other").write_text("UUID=other\n")
    done = host.run(OTHER_DISK=str(tmp_path / "other"))
    assert done.returncode == 1 and "another disk than" in done.stdout


@pytest.mark.parametrize("step", ["docker", "secrets", "units"])
def test_without_the_disk_nothing_starts(booted, step):
    (booted.stubs / "mounted").unlink()
    before = booted.calls("systemctl")
    done = booted.run("bootstrap/bootstrap.sh", step)
    assert done.returncode == 1 and "the data disk is not mounted" in done.stdout
    assert booted.calls("systemctl") == before


# Docker and packages

def test_docker_comes_from_its_signed_repository_at_a_pinned_version(booted):
    source = (booted.root / "etc/apt/sources.list.d/docker.sources").read_text()
    assert "Suites: noble\n" in source and "Signed-By: /etc/apt/keyrings/docker.asc\n" in source
    assert (booted.root / "etc/apt/preferences.d/docker").read_text().startswith(
        "Package: docker-ce\nPin: version 5:29.7.*\nPin-Priority: 1001\n")
    assert json.loads((booted.root / "etc/docker/daemon.json").read_text())["data-root"] == "/data/docker"
    assert not any(" upgrade" in each or "dist-upgrade" in each for each in booted.calls("apt-get"))


def test_a_strange_key_is_refused(host):
    done = host.run(GPG_KEY="0" * 40)
    assert done.returncode == 1 and "not the expected one" in done.stdout
    assert not (host.root / "etc/apt/sources.list.d/docker.sources").exists()


def test_a_changed_docker_configuration_is_taken_up_once(booted):
    file = booted.release / "bootstrap/daemon.json"
    file.write_text(file.read_text().replace("10m", "20m"))
    before = len(booted.calls("systemctl"))
    booted.boot()
    booted.boot()
    assert booted.calls("systemctl")[before:].count("systemctl restart docker.service") == 1


def test_a_unit_that_the_release_no_longer_has_goes(booted):
    (booted.release / "systemd/pretamane-backup.timer").unlink()
    booted.boot()
    assert "systemctl disable --now pretamane-backup.timer" in booted.calls("systemctl")
    assert not (booted.root / "etc/systemd/system/pretamane-backup.timer").exists()


def test_one_at_a_time(booted):
    with open(booted.root / "run/pretamane/bootstrap.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = booted.run(LOCK_SECONDS="0")
    assert done.returncode == 1 and "has held the lock" in done.stdout
    assert booted.run("bootstrap/bootstrap.sh", "disk", LOCK_SECONDS="0").returncode == 0


def test_unknown_words_are_refused(booted):
    done = booted.run("bootstrap/bootstrap.sh", "secret")
    assert done.returncode == 1 and "there is no step 'secret'" in done.stdout


# The bundle and user-data

def packed(folder, output, **environment):
    "Run bundle.sh of an emitted tree."
    return subprocess.run(["bash", str(folder / "scripts/bundle.sh"), str(output)], capture_output=True,
                          text=True, check=False, env=os.environ | environment)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    "The whole example, emitted and packed."
    folder = tmp_path_factory.mktemp("tree")
    write_tree(folder / "infra", emitted(example()))
    done = packed(folder / "infra", folder / "bundle.tar.gz")
    assert done.returncode == 0, done.stderr
    return folder / "infra", folder / "bundle.tar.gz", done.stdout.split()[0]


def test_a_bundle_has_the_same_bytes_each_time(bundle, tmp_path):
    folder, file, sha256 = bundle
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy, copy_function=shutil.copy)
    for each in copy.rglob("*"):
        os.utime(each, (1, 1))
    assert packed(copy, tmp_path / "again.tar.gz").stdout.split()[0] == sha256
    names = tarfile.open(file).getnames()
    assert sorted(names) == sorted(path for path in emitted(example()) if not path.startswith("terraform/"))


def test_a_bundle_holds_nothing_by_accident(bundle, tmp_path):
    folder, _, sha256 = bundle
    copy = tmp_path / "tree"
    shutil.copytree(folder, copy)
    (copy / "terraform/terraform.tfstate").write_text("state")
    (copy / "compose/secret.txt").write_text("secret")
    assert packed(copy, tmp_path / "one.tar.gz").stdout.split()[0] == sha256
    (copy / "bootstrap/daemon.json").write_text("{}")
    refused = packed(copy, tmp_path / "two.tar.gz")
    assert (refused.returncode == 1 and "bootstrap/daemon.json" in refused.stderr
            and not (tmp_path / "two.tar.gz").exists())
    assert packed(copy, tmp_path / "two.tar.gz", BUNDLE_EDITED="yes").returncode == 0


def test_an_edited_bundle_is_what_its_lock_says(bundle, tmp_path):
    """deploy.sh refuses a release that differs from its lock: the lock that is packed is the one of the edited
    files, and names them."""
    shutil.copytree(bundle[0], tmp_path / "tree")
    (tmp_path / "tree/bootstrap/daemon.json").write_text("{}")
    done = packed(tmp_path / "tree", tmp_path / "edited.tar.gz", BUNDLE_EDITED="yes")
    assert done.returncode == 0, done.stderr
    release = tmp_path / "release"
    told = unpacked(tmp_path / "edited.tar.gz", release)
    assert (told.returncode, told.stdout) == (0, ""), told
    assert json.loads((release / "stack.lock.json").read_text())["edited"] == ["bootstrap/daemon.json"]
    assert "edited" not in json.loads((tmp_path / "tree/stack.lock.json").read_text())


def unpacked(file, folder):
    "A bundle on the host; what its own check of the lock says."
    folder.mkdir()
    subprocess.run(["tar", "-xzf", file, "-C", folder], check=True)
    return subprocess.run(["python3", folder / "scripts/lib/archive.py", "unlocked", folder], capture_output=True,
                          text=True, check=False)


def test_a_bundle_keeps_the_digests_that_a_registry_told(bundle, tmp_path):
    """A tag may move afterwards: the bundle has the images of the day when they were asked for, everywhere, and its
    bytes stay the same."""
    shutil.copytree(bundle[0], tmp_path / "tree")
    asked = tmp_path / "asked"
    (tmp_path / "docker").write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] || exit 64\n'
                                     f'echo "$4" >>{asked}\n'
                                     'printf "sha256:%s\\n" "$(printf %s "$4$MOVED" | sha256sum | cut -c 1-64)"\n')
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = packed(tmp_path / "tree", tmp_path / "one.tar.gz", PATH=path, BUNDLE_DIGESTS="yes")
    assert done.returncode == 0, done.stderr
    for environment in ({}, {"BUNDLE_DIGESTS": "yes", "MOVED": "yes"}):
        assert packed(tmp_path / "tree", tmp_path / "two.tar.gz", PATH=path,
                      **environment).stdout.split()[0] == done.stdout.split()[0]
    told = unpacked(tmp_path / "one.tar.gz", tmp_path / "release")
    assert (told.returncode, told.stdout) == (0, ""), told
    compose = (tmp_path / "release/compose/compose.yaml").read_text()
    images = re.findall(r"^    image: (\S+)", compose, re.MULTILINE)
    assert len(asked.read_text().splitlines()) == len({each.split("@")[0] for each in images
                                                       if not each.startswith("localhost/")}) + 1
    assert all(re.search("@sha256:[0-9a-f]{64}$", each) or each.startswith("localhost/") for each in images)
    postgres = next(each for each in images if each.startswith("postgres:"))
    assert f"[postgresql]={postgres}" in (tmp_path / "release/scripts/lib/stack.sh").read_text()
    assert re.search(r"^FROM python:\S+@sha256:", (tmp_path / "release/app/Dockerfile").read_text(), re.MULTILINE)
    assert json.loads((tmp_path / "release/stack.lock.json").read_text())["pinned"] == [
        "app/Dockerfile", "compose/compose.yaml", "scripts/lib/stack.sh"]


def test_an_image_without_a_digest_is_told_and_nothing_is_packed(bundle, tmp_path):
    "The registry is asked and does not answer."
    shutil.copytree(bundle[0], tmp_path / "tree")
    (tmp_path / "docker").write_text("#!/bin/sh\necho no route >&2\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    done = packed(tmp_path / "tree", tmp_path / "one.tar.gz", PATH=f"{tmp_path}:{os.environ['PATH']}",
                  BUNDLE_DIGESTS="yes")
    assert done.returncode == 1 and re.search(r"^bundle: no digest of \S+: no route$",
                                              done.stderr) and not (tmp_path / "one.tar.gz").exists()
    assert not (tmp_path / "tree/digests.json").exists()


def test_a_bundle_needs_nothing_that_readme_does_not_name(bundle, tmp_path):
    """GNU tools and Python are enough, jq is not asked for; where the check of the files cannot be made, nothing is
    packed."""
    folder, _, sha256 = bundle
    for name in ("bash", "dirname", "grep", "gzip", "mktemp", "mv", "python3", "rm", "sha256sum", "tar"):
        (tmp_path / name).symlink_to(program(name))
    assert packed(folder, tmp_path / "one.tar.gz", PATH=str(tmp_path)).stdout.split()[0] == sha256
    (tmp_path / "python3").unlink()
    without = packed(folder, tmp_path / "two.tar.gz", PATH=str(tmp_path))
    assert without.returncode == 1 and without.stderr == "bundle: python3 is needed\n"
    (tmp_path / "python3").write_text("#!/bin/bash\nexit 3\n")
    (tmp_path / "python3").chmod(0o755)
    assert packed(folder, tmp_path / "two.tar.gz",
                  PATH=str(tmp_path)).returncode == 3 and not (tmp_path / "two.tar.gz").exists()


def user_data(**values):
    "The template as Terraform's templatefile gives it."
    text = tree()["terraform/templates/user-data.sh.tftpl"]
    for name in USER_DATA_VARIABLES:
        text = text.replace(f"${{{name}}}", values[name])
    rest = text.replace("$${", "")
    assert "${" not in rest and "%{" not in rest
    return text.replace("$${", "${")


VALUES = {"stack": "pretamane", "environment": "production", "region": "us-east-1", "bundle_bucket": "bundles",
          "bundle_key": "releases/bundle.tar.gz", "bundle_sha256": "a" * 64, "data_volume_id": VOLUME}


def test_user_data_is_small_and_whole(tmp_path):
    text = user_data(**VALUES)
    assert len(text.encode()) < USER_DATA_LIMIT // 3
    (tmp_path / "user-data.sh").write_text(text)
    done = subprocess.run([program("shellcheck"), str(tmp_path / "user-data.sh")], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_user_data_is_what_terraform_makes_of_it(tmp_path):
    "The real templatefile gives the same bytes, and knows no name that is not given."
    (tmp_path / "user-data.sh.tftpl").write_text(tree()["terraform/templates/user-data.sh.tftpl"])
    terraform = shutil.which("terraform") or shutil.which("tofu")
    if terraform is None:
        pytest.skip("allowed: neither terraform nor tofu can be installed from a package index")
    expression = f'base64encode(templatefile("user-data.sh.tftpl", {json.dumps(VALUES)}))\n'
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run([terraform, "console"], input=expression, capture_output=True, text=True, cwd=tmp_path,
                          env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert base64.b64decode(done.stdout.strip().strip('"')).decode() == user_data(**VALUES)


@pytest.fixture
def fresh(tmp_path, cloud, bundle):
    "A host with nothing on it, its bundle in the bucket, and its user-data."
    found = Host(tmp_path / "fresh", cloud)
    for name, secret in example().secrets.items():
        if secret.source == "provided":
            found.give(name, TOKEN)
    for each in ("opt", "etc/pretamane"):
        shutil.rmtree(found.root / each)
    folder, file, sha256 = bundle
    client("s3").create_bucket(Bucket=found.environment)
    client("s3").put_object(Bucket=found.environment, Key="bundle.tar.gz", Body=file.read_bytes())
    (tmp_path / "user-data.sh").write_text(user_data(**VALUES | {
        "environment": found.environment, "bundle_bucket": found.environment, "bundle_key": "bundle.tar.gz",
        "bundle_sha256": sha256}))
    return found, str(tmp_path / "user-data.sh"), sha256


def test_user_data_brings_up_the_whole_example(fresh):
    host, script, sha256 = fresh
    (host.bin / "jq").symlink_to(program("jq"))
    done = host.run(script)
    assert done.returncode == 0, done.stdout
    assert os.readlink(host.root / "opt/pretamane/current") == f"releases/{sha256}"
    release = host.root / "opt/pretamane/releases" / sha256
    assert (release / "bootstrap/bootstrap.sh").stat().st_mode & 0o777 == 0o755
    assert (release / "caddy/Caddyfile").stat().st_mode & 0o777 == 0o644
    wanted = [f"{name}/{secret}" for name, service in example().services.items() for secret in service.secrets]
    wanted.append(f"host/{example().operations.backup_key}")
    assert sorted(host.delivered()) == sorted(wanted)
    before = host.state()
    assert host.run(script).returncode == 0
    after = {path: each for path, each in host.state().items() if before.get(path) != each}
    assert after.keys() <= {"etc/pretamane/host.conf", "opt/aws-cli/list"}


@pytest.mark.parametrize(("first", "goes_on"), [("the same", True), ("another", False)])
def test_a_new_host_goes_on_with_what_was_deployed(fresh, first, goes_on):
    """The data disk of the host before has a newer release; where Terraform names another bundle than that host
    began with, that one is meant."""
    host, script, sha256 = fresh
    (host.bin / "jq").symlink_to(program("jq"))
    done = host.run(script)
    assert done.returncode == 0, done.stdout
    shutil.copytree(host.root / "opt/pretamane/releases" / sha256, host.root / "data/pretamane/release/tree")
    (host.root / "data/pretamane/release/names").write_text(f"{sha256 if goes_on else '0' * 64} {'d' * 64}\n")
    host.replace()
    for each in ("opt", "etc/pretamane"):
        shutil.rmtree(host.root / each)
    done = host.run(script)
    assert done.returncode == 0, done.stdout
    assert os.readlink(host.root / "opt/pretamane/current") == f"releases/{'d' * 64 if goes_on else sha256}"
    assert ("going on with it" in done.stdout) == goes_on and host.calls("systemctl")


def test_the_aws_command_line_is_pinned(fresh):
    """By user-data, and again by a release with another list: only with hashes, and put in place once it is whole"""
    host, script, sha256 = fresh
    (host.bin / "jq").symlink_to(program("jq"))
    link = host.root / "usr/local/bin/aws"
    assert host.run(script, PIP_CODE="1").returncode != 0 and not link.is_symlink()
    done = host.run(script)
    assert done.returncode == 0, done.stdout
    asked = (host.stubs / "pip").read_text().splitlines()
    assert {each.split(" --requirement ")[0] for each in asked} == {
        "--quiet --disable-pip-version-check install --require-hashes --only-binary=:all: --no-deps"}
    list_ = tree()["bootstrap/aws-cli.txt"]
    folder = hashlib.sha256(re.sub(r"^#.*\n", "", list_, flags=re.MULTILINE).encode()).hexdigest()[:12]
    assert os.readlink(link) == str(host.root / "opt/aws-cli" / folder / "bin/aws")
    assert len(asked) == 4, "three tries that failed, one that did not; the bootstrap found it done"
    pinned = host.root / "opt/pretamane/releases" / sha256 / "bootstrap/aws-cli.txt"
    pinned.write_text(list_ + "another==1.0 --hash=sha256:" + "0" * 64 + "\n")
    assert host.run(str(pinned.with_name("bootstrap.sh"))).returncode == 0
    assert os.readlink(link) != str(host.root / "opt/aws-cli" / folder / "bin/aws")


def test_every_package_of_the_command_line_has_its_hash():
    """One exact version each, a SHA-256 for each file, and nothing left for pip to choose"""
    text = re.sub(r"^#.*\n", "", tree()["bootstrap/aws-cli.txt"], flags=re.MULTILINE).replace(" \\\n", "")
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( +--hash=sha256:[0-9a-f]{64}){1,2}", each)
               for each in text.splitlines()) and "awscli==" in text


def test_a_bundle_with_another_hash_is_not_unpacked(fresh):
    host, script, sha256 = fresh
    client("s3").put_object(Bucket=host.environment, Key="bundle.tar.gz", Body=b"something else")
    done = host.run(script)
    assert done.returncode == 1 and "is not the one that Terraform named" in done.stdout
    assert not (host.root / "opt/pretamane/current").exists()


def test_a_fetch_that_was_killed_leaves_no_half_release(fresh):
    host, script, sha256 = fresh
    process = host.start(script, KILL_AFTER="1")
    process.communicate(timeout=180)
    assert process.returncode == -9
    assert not (host.root / "opt/pretamane/releases" / sha256).exists()
    assert host.run(script).returncode == 0
    assert not list((host.root / "opt/pretamane/releases").glob(".next*"))


# The texts

def scripts():
    "All shell files of the bootstrap."
    return {path: text for path, text in emitted(example(), ["bootstrap"]).items() if path.endswith(".sh")}


def test_shellcheck_has_nothing_to_say(tmp_path):
    for path, text in scripts().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    optional = "add-default-case,avoid-nullary-conditions,deprecate-which,quote-safe-variables"
    done = subprocess.run([program("shellcheck"), "--external-sources", f"--enable={optional}",
                           *sorted(scripts())], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted(scripts()))
def test_shell_files_are_strict_and_neat(path):
    text = scripts()[path]
    if path.startswith("bootstrap/lib") or path == "bootstrap/settings.sh":
        assert "shellcheck shell=bash" in text.splitlines()[1]
    else:
        assert text.startswith("#!/usr/bin/env bash\n") and "set -Eeuo pipefail\nshopt -s inherit_errexit\n" in text
    assert "\t" not in text and not any(line != line.rstrip() for line in text.splitlines())
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
