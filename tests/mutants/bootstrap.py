"""The first boot, secrets and their rotation. `python -m mutants.bootstrap` runs the tests that kill by behaviour."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from mutants import ROOT, Files, Mutant, fate, replaced, substituted

SECRETS, HOST, ROTATION = (f"behaviour:tests/test_bootstrap_{name}.py::test_"
                           for name in ("secrets", "host", "rotation"))
LIBRARY, MANIFEST = "bootstrap/lib/", "bootstrap/secrets.manifest.json"
USER_DATA = "terraform/templates/user-data.sh.tftpl"
ROTATE = "scripts/rotate-secret.sh"


def consumer(file: str, **changes: object) -> Callable[[Files], Files]:
    """Change one consumer of the manifest; without changes it goes"""
    def mutate(files: Files) -> Files:
        data = json.loads(files[MANIFEST])
        for secret in data["secrets"]:
            secret["consumers"] = [each | changes for each in secret["consumers"] if changes or each["file"] != file]
        return {**files, MANIFEST: json.dumps(data, indent=2) + "\n"}

    return mutate


def without(path: str) -> Callable[[Files], Files]:
    """Leave a file out"""
    return lambda files: {name: text for name, text in files.items() if name != path}


def added(path: str, line: str) -> Callable[[Files], Files]:
    """Add a line at the end of a script"""
    return lambda files: {**files, path: files[path] + line + "\n"}


MUTANTS = [
    Mutant("D02", "a file is written into a folder that nothing made",
           replaced(LIBRARY + "secrets.sh", '    folder 0700 "$CACHE" "$ISSUED"\n', ""), SECRETS + "first_boot"),
    Mutant("D02", "a library that the bootstrap reads is not in the bundle", without(LIBRARY + "retry.sh"), "X14"),
    Mutant("D02", "a user-data without strict mode", replaced(USER_DATA, "set -Eeuo pipefail\n", ""), "X24"),
    Mutant("D03", "the release is fetched into a folder that is there", replaced(
        USER_DATA, '    [[ ! -d "$RELEASE" ]] || return 0\n', ""), HOST + "user_data_brings_up_the_whole_example"),
    Mutant("D04", "any error is taken for an absent secret", replaced(
        LIBRARY + "secrets.sh", 'if [[ "$AWS_ERROR" == ParameterNotFound ]]; then return 1; fi', "return 1"),
           SECRETS + "an_outage_between_two_questions_makes_no_secret"),
    Mutant("D04", "a value that was not stored is used",
           substituted(LIBRARY + "secrets.sh", r'die (?="secret \$1 cannot be stored)', "log "),
           SECRETS + "a_value_that_cannot_be_stored_is_not_used"),
    Mutant("D04", "a second host overwrites the first one's secrets", replaced(
        LIBRARY + "secrets.sh", 'write_parameter "$1" "$value" ||', 'write_parameter "$1" "$value" --overwrite ||'),
           SECRETS + "two_first_boots_at_once_get_the_same_values"),
    Mutant("D04", "a lost secret is made anew though data depends on it",
           replaced(LIBRARY + "secrets.sh", 'reason="$(used_by_data "$1")"', 'reason=""'),
           SECRETS + "lost_parameters_with_kept_data_stop_the_boot"),
    Mutant("D04", "a rotation changes the store but not the database",
           replaced(ROTATE, 'postgres-role) alter_role "$1" ;;', "postgres-role) ;;"),
           ROTATION + "a_rotated_password_works_and_the_old_one_does_not"),
    Mutant("D04", "a failed rotation is not taken back", replaced(ROTATE, "    roll_back\n    exit 1", "    exit 1"),
           ROTATION + "a_failure_puts_the_old_value_back_everywhere"),
    Mutant("D04", "any error of the store becomes a new secret, in one line",
           added("bootstrap/bootstrap.sh", 'KEY="$(aws ssm get-parameter --name key --query Parameter.Value '
                 '2>/dev/null || echo GENERATE_NEW)"'), "X24"),
    Mutant("D05", "a fixed value where none was stored",
           replaced(LIBRARY + "secrets.sh", 'head -c "$1" "$WORK/random"', 'printf "%0$1d" 7'), SECRETS + "first_boot"),
    Mutant("D06", "no password for the application", consumer("fastapi-app/postgres_password"), "B01"),
    Mutant("D06", "secrets that belong to another user than the container's", consumer("", uid=0), "B01"),
    Mutant("D10", "a firewall is put up that published ports go round",
           added("bootstrap/bootstrap.sh", "ufw --force enable"), "X24"),
    Mutant("D10", "the same with its rules before it",
           added(LIBRARY + "packages.sh", "ufw allow 22/tcp && ufw enable"), "X24"),
    Mutant("D16", "Docker is installed from a script of the web",
           added(LIBRARY + "packages.sh", "curl -fsSL https://get.docker.com | sh"), "X24"),
    Mutant("D16", "the newest compose, whatever it is",
           added(LIBRARY + "packages.sh",
                 "curl -fsSLO https://github.com/docker/compose/releases/latest/download/docker-compose"), "X24"),
    Mutant("D16", "every package is upgraded at boot",
           added(LIBRARY + "packages.sh", "apt-get update && apt-get upgrade -y"), "X24"),
    Mutant("D16", "the bundle's hash is not compared",
           replaced(USER_DATA, "sha256sum --check --status", "cat >/dev/null"), "X24"),
    Mutant("D16", "the key of Docker's repository is not compared",
           replaced(LIBRARY + "packages.sh", '[[ "$found" == "$DOCKER_KEY" ]] || die', '[[ -n "$found" ]] || die'),
           HOST + "a_strange_key_is_refused"),
    Mutant("D16", "nothing is tried twice",
           replaced(LIBRARY + "aws.sh", "if ((attempt >= ${RETRY_ATTEMPTS:-6})); then return 1; fi", "return 1"),
           SECRETS + "faults_that_pass_are_waited_for"),
    Mutant("D16", "a user-data of more than 16 KiB", added(USER_DATA, "# " + "x" * 16384), "X24"),
    Mutant("D17", "an installer that fails where it ran before",
           added(LIBRARY + "packages.sh", "./aws/install"), "X24"),
    Mutant("D18", "values with the characters that sed and URLs take apart",
           replaced(LIBRARY + "secrets.sh", "tr -dc 'A-Za-z0-9'", "tr -dc 'A-Za-z/+='"), SECRETS + "first_boot"),
    Mutant("D18", "a value in an expression of sed",
           added("bootstrap/bootstrap.sh", 'sed -i "s/CHANGE_ME/$DB_PASSWORD/" .env'), "X24"),
    Mutant("D12", "a disk is formatted without a look", replaced(
        LIBRARY + "disk.sh", '[[ -z "$found" ]]; then', "true; then"), HOST + "data_of_an_older_instance_is_kept"),
    Mutant("D12", "a disk that cannot be read is taken for an empty one",
           replaced(LIBRARY + "disk.sh", "((code == 0 || code == 2)) ||", "true ||"),
           HOST + "what_is_not_known_to_be_empty_is_not_formatted"),
    Mutant("D12", "content that no probe knows is formatted",
           replaced(LIBRARY + "disk.sh", '        blank "$device" || die', '        true || die'),
           HOST + "content_that_no_probe_knows_is_not_formatted"),
    Mutant("D22", "units are installed and never enabled",
           replaced(LIBRARY + "units.sh", 'systemctl enable "$name"', ":"), HOST + "order_of_a_first_boot"),
    Mutant("D22", "services start without the data disk", replaced(
        LIBRARY + "units.sh", '    require_data\n    folder', "    folder"), HOST + "without_the_disk_nothing_starts"),
    Mutant("D22", "the stack's unit waits for ever for a lock of its own",
           replaced(LIBRARY + "units.sh", '    flock --unlock "$LOCK"\n', ""), HOST + "order_of_a_first_boot"),
]


def notices(mutant: Mutant, files: Files) -> bool:
    """Whether the test that should notice a mutant fails when it is run on it"""
    changed = mutant.mutate(dict(files))
    with tempfile.TemporaryDirectory() as folder:
        for path, text in changed.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_text(text)
        test = mutant.killer.partition(":")[2]
        environment = os.environ | {"MUTANT_TREE": folder, "LOCK_SECONDS": "2"}
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", str(ROOT / test)], cwd=ROOT, env=environment,
                              capture_output=True, text=True, check=False)
    return done.returncode == 1


if __name__ == "__main__":
    from pretamane_analysis.emit.tree import emitted
    from pretamane_analysis.stack.stack import example

    whole, survivors = emitted(example()), 0
    for each in MUTANTS:
        killed = notices(each, whole) if each.killer.startswith("behaviour:") else fate(each, whole).killed
        survivors += not killed
        print(f"{'killed  ' if killed else 'SURVIVED'} {each.defect} {each.title} ({each.killer})", flush=True)
    sys.exit(1 if survivors else 0)
