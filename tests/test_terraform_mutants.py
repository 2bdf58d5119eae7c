"""Mistakes in a configuration that the real Terraform must refuse, with the stand-in provider and no network."""
from __future__ import annotations

import shutil

import pytest
from terraform_runner import Configuration, host_files, needs_terraform, ready

from pretamane_analysis.stack.stack import example

pytestmark = needs_terraform

REFUSED = {
    "D01: a value missing from templatefile": ("compute", "    environment    = var.environment\n", "",
                                               'vars map does not contain key "environment"'),
    "an argument that does not exist": ("compute", "http_tokens ", "http_tokenz ",
                                        'An argument named "http_tokenz" is not expected here'),
    "a block that does not exist": ("compute", "  root_block_device {", "  root_block_devise {",
                                    'Blocks of type "root_block_devise" are not expected here'),
    "a required argument missing": ("storage", "  availability_zone = aws_subnet.public.availability_zone\n", "",
                                    'The argument "availability_zone" is required'),
    "a value of another type": ("compute", "http_put_response_hop_limit = 1", 'http_put_response_hop_limit = "one"',
                                "a number is required"),
    "a resource that is not declared": ("storage", "aws_instance.host.id", "aws_instance.server.id",
                                        "Reference to undeclared resource"),
    "an attribute that does not exist": ("compute", "data.aws_ami.ubuntu.id", "data.aws_ami.ubuntu.ami_id",
                                         "Unsupported attribute"),
    "a kind of resource that does not exist": ("storage", 'resource "aws_volume_attachment"',
                                               'resource "aws_disk_attachment"',
                                               'does not support resource type "aws_disk_attachment"'),
    "a block too many": ("compute", "  metadata_options {\n", "  metadata_options {}\n\n  metadata_options {\n",
                         "Too many metadata_options blocks"),
}


@pytest.fixture(scope="module")
def host() -> Configuration:
    """The example's configuration, with the provider known"""
    return ready(host_files, example)


@pytest.mark.parametrize("name", REFUSED)
def test_terraform_refuses(name, host, tmp_path):
    """`terraform validate` says what is wrong"""
    file, old, new, said = REFUSED[name]
    done = host.mutated(tmp_path, **{file: (old, new)}).run("validate", "-no-color")
    assert done.returncode == 1
    assert " ".join(said.split()) in " ".join(done.stderr.replace("│", " ").split())


def test_format_is_checked(host, tmp_path):
    """A badly indented file is told from a good one"""
    copy = host.mutated(tmp_path, storage=("  size              = ", "  size = "))
    assert copy.run("fmt", "-check", "-recursive").stdout.split() == ["storage.tf"]
    shutil.rmtree(copy.folder)
