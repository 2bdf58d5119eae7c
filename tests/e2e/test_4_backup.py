"""A backup while users work, and a drill, on a host that is well; and a backup that was changed is noticed."""
from __future__ import annotations

import time

from content import REPOSITORY
from engine import patience
from stage import LONG
from watch import FACTOR


def test_a_drill_passes(stage, saved, timings):
    """The whole repository is read, the databases are restored and compared, the log is followed to its end"""
    began = time.monotonic()
    done = stage.script("restore-drill.sh", DRILL_PARTS="1", **REPOSITORY)
    timings["restore drill"] = time.monotonic() - began
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the log of postgresql leads to" in done.stderr


def unexplained(alerts, allowed=("Watchdog", "PublicNameDown")):
    """Those of some alerts that this place is not to blame for: it has no public name, and where others want its cores
    users wait, which the objective for latency rightly says"""
    return [each for each in alerts if each["alertname"] not in allowed
            and not (each.get("slo") == "latency" and patience() > 1)]


def quiet(stage, service, minutes):
    """Nothing fired in so many minutes but what this place is to blame for; its clock, too, may be set by nobody"""
    found = [each["metric"] for each in stage.ask(
        service, f'max_over_time(ALERTS{{alertstate="firing"}}[{minutes}m])')]
    clock = ["HostClockOff"] if stage.ask(service, "node_timex_sync_status == 0") else []
    print(sorted({each["alertname"] for each in found}))
    assert not unexplained(found, ["Watchdog", "PublicNameDown", *clock])
    assert {"Watchdog", "PublicNameDown"} <= {each["alertname"] for each in found}, "the control: what should fire does"


def test_a_healthy_host_is_quiet(stage, hurried):
    """For ten minutes, compressed, in which it had users, a backup and a drill: all emitted rules with every duration
    divided by ten, over the same targets; and nobody was woken"""
    began, container = hurried
    time.sleep(max(0.0, 600 / FACTOR - (time.monotonic() - began)))
    quiet(stage, container, 10)
    stage.run("docker", "rm", "--force", "--volumes", container)
    assert not unexplained([each for each in stage.alerts() if each["severity"] == "page"])


@LONG
def test_a_healthy_host_is_quiet_for_ten_minutes(stage):
    """By the clock, with the rules as they are"""
    time.sleep(600)
    quiet(stage, "pretamane-prometheus-1", 10)


def test_a_changed_backup_is_noticed(stage, saved):
    """With one bit of one pack turned the drill fails and its metric says so"""
    turn = ("import boto3\ns3 = boto3.client('s3')\n"
            "largest = max(s3.list_objects_v2(Bucket='backups', Prefix='backups/data/')['Contents'], key=lambda "
            "each: each['Size'])['Key']\n"
            "body = bytearray(s3.get_object(Bucket='backups', Key=largest)['Body'].read())\nbody[len(body) // 2] ^= 1\n"
            "s3.put_object(Bucket='backups', Key=largest, Body=bytes(body))")
    stage.beside(turn)
    stage.run("rm", "-rf", "/data/backup/cache")
    try:
        done = stage.script("restore-drill.sh", DRILL_PARTS="1", **REPOSITORY)
    finally:
        stage.beside(turn)
    assert done.returncode != 0, "nobody noticed"
    assert "pretamane_drill_last_run_success 0" in stage.path("/var/lib/pretamane/metrics/drill.prom").read_text()
