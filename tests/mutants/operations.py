"""Units, backup, restore and deploy. `python -m mutants.operations` (in tests/) runs the tests that kill by
behavior."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mutants import ROOT, Files, Mutant, added, fate, removed, replaced, substituted

UNIT, SECRETS = "systemd/pretamane.service", "systemd/pretamane-secrets.service"
BACKUP, STACK = "scripts/backup.sh", "scripts/lib/stack.sh"
DATABASE, ARCHIVE = "scripts/lib/database.py", "scripts/lib/archive.py"
COMMON, DEPLOY = "scripts/lib/common.sh", "scripts/deploy.sh"
SYSTEMD, SAVED, DEPLOYED = (f"behaviour:tests/test_{name}.py::test_"
                            for name in ("systemd", "backup_restore", "deploy"))
FAULT, BAD = SAVED + "a_fault_fails_the_backup_and_nothing_else", DEPLOYED + "a_bad_release_is_noticed_by_nobody"
NOBODY = DEPLOYED + "no_request_fails_over_a_deploy_and_a_rollback"

MUTANTS = [
    Mutant("D22", "up returns before health", replaced(UNIT, "up --detach --wait ", "up --detach "), "S01"),
    Mutant("D22", "no order after the network",
           substituted(UNIT, r"^(Wants|After)=network-online.target ?", r"\1=", count=0), "S01"),
    Mutant("D22", "starts without the data disk", replaced(UNIT, "RequiresMountsFor=/data\n", ""), "S01"),
    Mutant("D22", "wanted by nothing", substituted(UNIT, r"^WantedBy=.*\n", ""), "S01"),
    Mutant("D22", "containers are removed at every stop", replaced(UNIT, " stop --timeout 60", " down"), "S01"),
    Mutant("D22", "no time to stop", substituted(UNIT, r"^TimeoutStopSec=.*\n", ""), "S01"),
    Mutant("D22", "a user in the engine's group", replaced(UNIT, "[Service]\n", "[Service]\nUser=ubuntu\n"), "S01"),
    Mutant("D22", "a task with all rights of root", substituted(
        "systemd/pretamane-backup.service", r"^(NoNewPrivileges|CapabilityBoundingSet)=.*\n", "", count=0), "S02"),
    Mutant("D22", "a program that is not there",
           replaced("systemd/pretamane-drill.service", "restore-drill.sh", "drill.sh"), "X14"),
    Mutant("D22", "secrets after the services",
           replaced(SECRETS, "Before=pretamane.service", "After=pretamane.service"),
           SYSTEMD + "systemd_accepts_the_units_without_a_word"),
    Mutant("D37", "the edge is not asked whether it sees the new color",
           replaced(DEPLOY, '    await_edge "$NEW"\n', ""), BAD),
    Mutant("D37", "the old color is killed",
           replaced(DEPLOY, 'drop "$OLD"\nfi', 'compose kill --signal SIGKILL "fastapi-app-$OLD"\nfi'), NOBODY),
    Mutant("D37", "the new color replaces the old one at once",
           replaced(DEPLOY, '    step healthy\n', '    drop "$OLD"\n    step healthy\n'), NOBODY),
    Mutant("D37", "errors are not watched", replaced(DEPLOY, 'if [ "$bad" -ge "$BAKE_MIN_ERRORS" ]', "if false"),
           DEPLOYED + "errors_under_traffic_bring_the_old_color_back"),
    Mutant("D37", "a release that was tampered with",
           replaced(DEPLOY, '    archive unlocked "$RELEASE" || die', '    true || die'), BAD),
    Mutant("D37", "what a killed deploy left is not put right",
           replaced(DEPLOY, 'some running "$NEW"; then await_edge "$OLD"; fi\n    drop "$NEW"\n',
                    "some running nobody; then true; fi\n"),
           DEPLOYED + "killed_at_any_step_and_run_again_it_converges"),
    Mutant("D37", "a second script deploys by taking away",
           added("scripts/redeploy.sh", "#!/bin/bash\nset -Eeuo pipefail\n"
                 "docker compose --file compose/compose.yaml up --detach --force-recreate grafana\n"), "S10"),
    Mutant("D37", "a lock that an error leaves behind",
           added("scripts/tidy.sh", "#!/bin/bash\nset -Eeuo pipefail\nmkdir /run/tidy.lock || exit 1\n"
                 "docker image prune --force\nrmdir /run/tidy.lock\n"), "S09"),
    Mutant("D37", "two deploys at once", replaced(COMMON, 'flock -n "$LOCK" || {', "true || {"),
           DEPLOYED + "a_second_deploy_is_refused"),
    Mutant("D79", "an empty backup is a success", replaced(BACKUP, 'folder="$(volume_folder "$volume")"\n',
                                                           'folder="$(volume_folder "$volume")" || continue\n'), FAULT),
    Mutant("D79", "errors of a copy are thrown away",
           replaced(BACKUP, '"$STAGING/volumes/$volume"\n', '"$STAGING/volumes/$volume" || true\n'), "S05"),
    Mutant("D79", "half a snapshot is a success", replaced(BACKUP, '|| code=$?\n    read', '|| true\n    read'), FAULT),
    Mutant("D80", "services stop for the backup",
           replaced(BACKUP, "step databases\n", 'step databases\ndocker compose stop\n'), "S04"),
    Mutant("D80", "no trap", substituted(BACKUP, r"^trap finish EXIT\n", ""), "S05"),
    Mutant("D80", "no strict mode", replaced(COMMON, "set -Eeuo pipefail\n", ""), "S05"),
    Mutant("D80", "a failure that no metric tells", replaced(BACKUP, "local code=$? now=$EPOCHSECONDS success=0",
                                                             "local code=$? now=$EPOCHSECONDS success=1"), FAULT),
    Mutant("D81", "the database's files are copied", replaced(STACK, "dump postgresql", "copy postgresql"), "S04"),
    Mutant("D81", "a volume is forgotten", substituted(STACK, r" ?'mirror minio minio-data'", ""), "X13"),
    Mutant("D81", "no timer", removed("systemd/pretamane-backup.timer"), "S03"),
    Mutant("D81", "no restore", removed("scripts/restore.sh"), "S03"),
    Mutant("D81", "no drill", removed("scripts/restore-drill.sh"), "S03"),
    Mutant("D81", "on the same disk only",
           substituted("scripts/lib/repository.sh", r"s3:https://[^\"]*", "/data/backup/repository", count=0), "S03"),
    Mutant("D81", "old backups stay for ever",
           substituted("scripts/lib/repository.sh", r"restic forget", "restic snapshots"),
           SAVED + "after_a_hundred_days_exactly_the_policy_is_left"),
    Mutant("D81", "rows and fingerprint of two moments", replaced(DATABASE, 'f"--snapshot={snapshot}", ', ""),
           SAVED + "writes_go_on_during_a_backup_and_it_is_still_of_one_moment"),
    Mutant("D81", "an SQLite file copied while it is written",
           replaced(ARCHIVE, "database = start.read(len(SQLITE)) == SQLITE\n"
                    "        if database:\n            with closing(sqlite3.connect(f\"file:{source}?mode=ro\"",
                   "database = False\n        if database:\n"
                    "            with closing(sqlite3.connect(f\"file:{source}?mode=ro\""),
           SAVED + "a_new_host_gets_everything_back"),
    Mutant("D81", "the passwords of the day of the backup",
           replaced("scripts/restore.sh", "where rolname =", "where rolname <> rolname and rolname ="),
           SAVED + "a_new_host_gets_everything_back"),
    Mutant("D81", "a restore over what is there",
           replaced("scripts/restore.sh", 'if [ "$FORCE" = no ]; then require_empty; fi', "true"),
           SAVED + "a_restore_refuses_what_is_not_empty_and_force_keeps_it"),
    Mutant("D81", "a drill that compares nothing", replaced("scripts/restore-drill.sh", '        database compare '
                                                            '"$service" "$FOUND/databases/$service"\n', ""),
           SAVED + "the_drill_fails_for_a_backup_that_cannot_be_trusted"),
]


def notices(mutant: Mutant, files: Files) -> bool:
    """Whether the test that should notice a mutant fails when it is run on it"""
    changed = mutant.mutate(dict(files))
    with tempfile.TemporaryDirectory() as folder:
        for path, text in changed.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                               mutant.killer.removeprefix("behaviour:")],
                              cwd=ROOT, env=os.environ | {"PRETAMANE_TREE": folder}, capture_output=True, check=False)
    return done.returncode == 1


def main() -> None:
    """Run every mutant, or those whose title holds an argument; print who noticed; exit 1 where nobody did"""
    from pretamane_analysis.emit.tree import emitted
    from pretamane_analysis.stack.stack import example

    files, silent = emitted(example()), 0
    for mutant in [each for each in MUTANTS if not sys.argv[1:] or any(word in each.title for word in sys.argv[1:])]:
        found = notices(mutant, files) if mutant.killer.startswith("behaviour:") else fate(mutant, files).killed
        silent += not found
        print(f"{mutant.defect}  {'killed' if found else 'ALIVE '}  {mutant.title}: {mutant.killer}", flush=True)
    sys.exit(1 if silent else 0)


if __name__ == "__main__":
    main()
