"""Terraform's lock file in the emitted tree, read by Terraform."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import terraform_mirror
from terraform_runner import PROGRAM, cluster_files, host_files, needs_terraform, pair_files
from test_terraform_cloudflare import guarded, renamed

from pretamane_analysis.stack.stack import example

LOCK = f"terraform/{terraform_mirror.LOCK}"


def initialized(folder: Path, files: dict[str, str], validate: bool = False) -> subprocess.CompletedProcess:
    """`terraform init` in an emitted configuration, where a stand-in calls itself AWS's provider, of 6.25.0; then
    `terraform validate`, for which Terraform starts it"""
    place = folder / "configuration"
    for path, text in files.items():
        if path.startswith("terraform/"):
            (place / path.removeprefix("terraform/")).parent.mkdir(parents=True, exist_ok=True)
            (place / path.removeprefix("terraform/")).write_text(text)
    environment = terraform_mirror.mirror(folder / "mirror", place)
    for words in (["init", "-backend=false"], ["validate"])[:1 + validate]:
        done = subprocess.run([PROGRAM, f"-chdir={place}", *words, "-no-color"], env=environment, capture_output=True,
                              text=True)
        if done.returncode:
            break
    return done


@pytest.mark.parametrize("files", [host_files, pair_files, cluster_files])
def test_every_configuration_with_this_provider_alone_is_locked(files):
    """With the constraint as Terraform writes it, so that `init` has nothing to add"""
    found = files(example())
    text, = [text for path, text in found.items() if path.endswith(terraform_mirror.LOCK)]
    assert re.findall(r'^provider "\S+/(\S+/\S+)"', text, re.MULTILINE) == ["hashicorp/aws"]
    hashes = re.findall(r'"(?:h1:[A-Za-z0-9+/]{43}=|zh:[0-9a-f]{64})"', text)
    assert len(hashes) == len({*hashes}) == 29 and len(re.findall('"[hz][1h]:', text)) == 29


@needs_terraform
@pytest.mark.parametrize("files", [host_files, pair_files, cluster_files, renamed])
def test_terraform_finds_and_starts_the_provider(files, tmp_path):
    """Its constraint admits the version, its name leads to the package, and what it then starts takes all arguments;
    the other tests ask one that runs already"""
    stack = guarded() if files is renamed else example()
    done = initialized(tmp_path, {path: text for path, text in files(stack).items() if path != LOCK}, validate=True)
    assert (done.returncode, "The configuration is valid" in done.stdout) == (0, True), done.stderr


@needs_terraform
def test_another_package_of_that_name_is_refused(tmp_path):
    """What the lock file is for"""
    files = host_files(example())
    files[LOCK] = files[LOCK].replace('version     = "6.49.0"', 'version     = "6.25.0"')
    done = initialized(tmp_path, files)
    assert done.returncode != 0 and "doesn't match any of the checksums" in " ".join(done.stderr.split()), done.stderr


@needs_terraform
def test_init_leaves_the_file_as_it_is(tmp_path):
    """With the package's own hash in it: an emitted file that `init` wrote to would be one that somebody edited"""
    files = host_files(example())
    done = initialized(tmp_path / "first", {path: text for path, text in files.items() if path != LOCK})
    assert done.returncode == 0, done.stderr
    own = re.search(r'"h1:[^"]+"', (tmp_path / "first/configuration" / terraform_mirror.LOCK).read_text())[0]
    hashes = sorted([own, *re.findall(r'"(?:h1|zh):[^"]+"', files[LOCK])])
    files[LOCK] = re.sub(r"(?s)hashes = \[.*?\]", "hashes = [\n    " + ",\n    ".join(hashes) + ",\n  ]", files[LOCK])
    files[LOCK] = files[LOCK].replace('version     = "6.49.0"', 'version     = "6.25.0"')
    done = initialized(tmp_path / "second", files)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "second/configuration" / terraform_mirror.LOCK).read_text() == files[LOCK]
