"""Terraform without a network: a filesystem mirror with the stand-in provider, and the environment that names it.

    python tools/terraform_mirror.py infra/terraform validate

The folder is copied first, so that no lock file or state is left beside the emitted files.
"""
from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from terraform_schema import PROVIDERS, Provider, cached_schema, kinds

PROGRAMS = ("terraform", "tofu")
PLUGIN = Path(__file__).with_name("terraform_plugin.py")
LOCK = ".terraform.lock.hcl"
REGISTRY = {"terraform": ("registry", "terraform", "io"), "tofu": ("registry", "opentofu", "org")}
PLATFORM = f"{sys.platform}_{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(os.uname().machine, os.uname().machine)}"


def program() -> str | None:
    """Return the path of terraform, else of OpenTofu, None where neither is installed"""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def schemas(configuration: Path) -> dict[str, Path]:
    """Return the file with the schema of each provider of which a configuration names kinds"""
    texts = [path.read_text(encoding="utf-8") for path in configuration.rglob("*") if path.suffix in (".tf", ".hcl")]
    return {name: cached_schema(found, provider)
            for name, provider in PROVIDERS.items() if (found := kinds(texts, name))}


def address(provider: Provider) -> str:
    """Return how Terraform, or OpenTofu, names a provider"""
    return f"{'.'.join(REGISTRY[Path(program() or PROGRAMS[0]).name])}/{provider.owner}/{provider.name}"


def mirror(folder: Path, configuration: Path) -> dict[str, str]:
    """Write a mirror for `configuration` into `folder`; return the environment in which Terraform uses it"""
    for name, schema in schemas(configuration).items():
        _place(folder, PROVIDERS[name], schema)
    settings = folder / "cli.tfrc"
    settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder}"\n  }}\n}}\n',
                        encoding="utf-8")
    return environment(settings)


def _place(folder: Path, provider: Provider, schema: Path) -> None:
    """Put the stand-in for a provider where Terraform looks for it"""
    place = (folder / address(provider) / provider.version / PLATFORM
             / f"terraform-provider-{provider.name}_v{provider.version}_x5")
    place.parent.mkdir(parents=True)
    place.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PLUGIN}" "{schema}"\n', encoding="utf-8")
    place.chmod(0o755)


@cache
def _listener() -> subprocess.Popen:
    """Start the stand-in once for all configurations of this process; it ends with it"""
    found = subprocess.Popen([sys.executable, PLUGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(found.communicate)
    return found


@cache
def _socket(schema: Path) -> str:
    """Return where the stand-in answers with a schema"""
    _listener().stdin.write(f"{schema}\n")
    _listener().stdin.flush()
    return _listener().stdout.readline().rstrip("\n")


def reattached(configuration: Path) -> dict[str, str]:
    """Return an environment in which Terraform starts no provider and wants no `init`: a command starts one several
    times, and a start takes longer than all that is asked of it. One processor and no collection of garbage: a command
    ends before either helps"""
    found = {address(PROVIDERS[name]): {
        "Protocol": "grpc", "ProtocolVersion": 6, "Pid": _listener().pid, "Test": True,
        "Addr": {"Network": "unix", "String": _socket(schema)}} for name, schema in schemas(configuration).items()}
    return environment(Path(os.devnull)) | {"TF_REATTACH_PROVIDERS": json.dumps(found),
                                            "GOMAXPROCS": "1", "GOGC": "off", "GOMEMLIMIT": "1GiB"}


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
