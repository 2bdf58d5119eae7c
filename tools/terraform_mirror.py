"""Terraform without a network: a filesystem mirror with the stand-in provider, and the environment that names it.

    python tools/terraform_mirror.py infra/terraform validate

The folder is copied first, so that no lock file or state is left beside the emitted files.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from terraform_schema import PROVIDERS, Provider, cached_schema

PROGRAMS = ("terraform", "tofu")
LOCK = ".terraform.lock.hcl"
REGISTRY = {"terraform": ("registry", "terraform", "io"), "tofu": ("registry", "opentofu", "org")}
PLATFORM = f"{sys.platform}_{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(os.uname().machine, os.uname().machine)}"


def program() -> str | None:
    """Return the path of terraform, else of OpenTofu, None where neither is installed"""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def kinds(texts: Iterable[str], provider: str = "aws") -> set[str]:
    """Return the kinds of resources and data sources of a provider that configurations name"""
    found = {(word, kind) for text in texts for word, kind in re.findall(
        rf'^\s*(resource|data|mock_resource|mock_data)\s+"({provider}_\w+)"', text, re.MULTILINE)}
    return {f"data.{kind}" if word.endswith("data") else kind for word, kind in found}


def mirror(folder: Path, configuration: Path) -> dict[str, str]:
    """Write a mirror for `configuration` into `folder`; return the environment in which Terraform uses it"""
    texts = [path.read_text(encoding="utf-8") for path in configuration.rglob("*") if path.suffix in (".tf", ".hcl")]
    for name, provider in PROVIDERS.items():
        if found := kinds(texts, name):
            _place(folder, provider, cached_schema(found, provider))
    settings = folder / "cli.tfrc"
    settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder}"\n  }}\n}}\n',
                        encoding="utf-8")
    return environment(settings)


def _place(folder: Path, provider: Provider, schema: Path) -> None:
    """Put the stand-in for a provider where Terraform looks for it"""
    host = ".".join(REGISTRY[Path(program() or PROGRAMS[0]).name])
    place = (folder / host / provider.owner / provider.name / provider.version / PLATFORM
             / f"terraform-provider-{provider.name}_v{provider.version}_x5")
    place.parent.mkdir(parents=True)
    plugin = Path(__file__).with_name("terraform_plugin.py")
    place.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{plugin}" "{schema}"\n', encoding="utf-8")
    place.chmod(0o755)


def environment(settings: Path) -> dict[str, str]:
    """Return an environment in which Terraform reads these settings, asks nothing and reports to nobody"""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))}
    return given | {"TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0",
                    "CHECKPOINT_DISABLE": "1", "AWS_EC2_METADATA_DISABLED": "true"}


def main() -> int:
    """Run a Terraform command on a copy of a folder; return its exit code"""
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    if program() is None:
        raise SystemExit("neither terraform nor tofu is installed")
    with tempfile.TemporaryDirectory() as scratch:
        # The stand-in is not what an emitted lock file says that the provider is.
        copy = shutil.copytree(sys.argv[1], Path(scratch, "configuration"), ignore=lambda *_: {LOCK})
        chosen = mirror(Path(scratch, "mirror"), copy)
        for words in (["init", "-backend=false"], sys.argv[2:]):
            code = subprocess.run([program(), *words], cwd=copy, env=chosen,
                                  stdout=None if words == sys.argv[2:] else subprocess.DEVNULL).returncode
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
