"""A pair of hosts with a real PostgreSQL each, by the emitted scripts: nothing acknowledged is lost, and one leads."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from itertools import count

import psycopg
import pytest
import yaml
from backup_host import make_host, make_server
from bootstrap_host import client
from cheap_restic import cheap_repository
from needed import needs, program, programs
from pair_host import BUCKET, make_pair, remove_pair, roll, tree
from terraform_runner import PROGRAM, Configuration, needs_terraform, pair_files, ready

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.cli.main import main
from pretamane_analysis.emit.pair.adapted import adapted
from pretamane_analysis.emit.tree import OF_PAIR, emitted
from pretamane_analysis.stack.stack import Stack, example, loads


@pytest.fixture(scope="module")
def pair():
    """Host a leads, host b follows, and a commit waits for it"""
    program("initdb")
    hosts = make_pair()
    a, b = hosts
    a.must("pair.sh", "start")
    b.must("pair.sh", "start")
    a.sql("create table kept (id int primary key)")
    assert b.streams()
    a.must("pair.sh", "tend")
    yield hosts
    remove_pair(hosts)


def terms() -> list[str]:
    """Who led and who followed, from the first term on"""
    store = client("s3")
    keys = sorted(each["Key"] for each in store.list_objects_v2(Bucket=BUCKET)["Contents"] if "pair/" in each["Key"])
    return [" ".join(store.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode().split()[1:3]) for key in keys]


class Writers:
    """Callers that write, and note what was acknowledged"""

    def __init__(self, host, first: int) -> None:
        """Four of them begin; each waits a second for an answer, then goes on"""
        self.acknowledged, self.numbers, self.ended = [], count(first), threading.Event()
        self.threads = [threading.Thread(target=self._write, args=(host,)) for _ in range(4)]
        for each in self.threads:
            each.start()

    def _write(self, host) -> None:
        try:
            with host.connect() as session:
                while not self.ended.is_set():
                    number = next(self.numbers)
                    session.execute("insert into kept values (%s)", [number])
                    self.acknowledged.append(number)
                    time.sleep(0.005)  # what the others do needs the processor, too
        except psycopg.Error:
            pass

    def end(self) -> set[int]:
        """What they were told is kept"""
        self.ended.set()
        for each in self.threads:
            each.join(20)
        return set(self.acknowledged)


def kept(host) -> set[int]:
    """What is there"""
    return {row[0] for row in host.sql("select id from kept")}


@pytest.fixture(scope="module")
def repository(pair):
    """Of their backups"""
    programs("restic", "openssl")
    place = pair[0].folder.parent / "repository"
    cheap_repository(place, "of the test")
    return place


def rejoined(leader, follower) -> None:
    """The follower comes back by its own unit's script, and commits wait for it again"""
    follower.must("pair.sh", "start")
    assert follower.streams()
    leader.must("pair.sh", "tend")
    assert terms()[-1] == f"{leader.name} {follower.name}"


def test_the_second_host_copies_and_a_commit_waits_for_it(pair):
    """The first terms; the standby takes no writes; what is measured says so"""
    a, b = pair
    assert terms() == ["a -", "a b"]
    assert a.sql("show synchronous_standby_names") == [("b",)]
    assert a.sql("select slot_name, active from pg_replication_slots") == [("pair_b", True)]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        b.sql("insert into kept values (0)")
    a.must("pair.sh", "tend")
    found = dict(
        line.split() for line in (a.folder / "metrics" / "pair.prom").read_text().splitlines() if line[0] != "#"
    )
    assert found["pretamane_pair_standby_streaming"] == found["pretamane_pair_synchronous"] == "1"
    assert "leads alone" not in b.refused("pair.sh", "promote") and "is alive" in b.refused("pair.sh", "promote")
    assert terms() == ["a -", "a b"]


def test_a_term_is_written_once(pair):
    """Whoever comes second with a number does not have it, and knows whose it is"""
    a, _ = pair
    script = (
        '. "$0"/scripts/lib/common.sh; . "$LIBRARY/terms.sh"; known_term; NUMBER=1; '
        "latest_term() { known_term; }; claim b b"
    )
    done = subprocess.run(
        ["bash", "-c", script, a.release], env=a.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "PreconditionFailed" in done.stderr
    assert terms() == ["a -", "a b"]


def test_nothing_acknowledged_is_lost_with_the_leader(pair, record_property):
    """Twice the leader dies under writes: what it acknowledged is on the other one, which leads within seconds; the
    lost one is rewound and follows, its own last writes gone"""
    leader, follower = pair
    for turn in range(2):
        writers = Writers(leader, 1 + turn * 1_000_000)
        time.sleep(0.7)
        leader.crash()
        acknowledged, began = writers.end(), time.monotonic()
        follower.must("pair.sh", "promote", FENCE_SECONDS="0", LEAD_ONLY="yes")
        record_property(f"promotion {turn}", round(time.monotonic() - began, 2))
        record_property(f"acknowledged {turn}", len(acknowledged))
        assert len(acknowledged) > 50 and acknowledged <= kept(follower)
        assert terms()[-1] == f"{follower.name} -"
        rejoined(follower, leader)
        assert kept(leader) == kept(follower)
        leader, follower = follower, leader


def of(pair) -> tuple:
    """Who leads, who follows"""
    leader = terms()[-1][0]
    return pair if pair[0].name == leader else pair[::-1]


def test_a_leader_that_is_cut_off_acknowledges_nothing(pair):
    """Neither the other host nor the bucket: a commit waits, the leader stops, the other one leads; the first one
    refuses to start a database without the bucket, and follows when it can know"""
    leader, follower = of(pair)
    for each in pair:
        each.wire.cut()
    cut_off = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    writers = Writers(leader, 5_000_000)
    follower.must("pair.sh", "promote", LEAD_ONLY="yes")
    follower.sql("insert into kept values (-1)")
    assert "may lead" in leader.must("pair.sh", "tend", **cut_off)
    assert leader.pid() == 0 and writers.end() == set()
    assert "nobody knows who leads" in leader.refused("pair.sh", "start", **cut_off) and leader.pid() == 0
    for each in pair:
        each.wire.mend()
    rejoined(follower, leader)
    assert kept(leader) == kept(follower) and -1 in kept(leader)


def test_a_former_leader_that_still_runs_stops_when_it_reads_who_leads(pair):
    """Only the wire between the two is cut. The other one takes the lead; the former leader's timer ends its own"""
    leader, follower = of(pair)
    for each in pair:
        each.wire.cut()
    follower.must("pair.sh", "promote", LEAD_ONLY="yes")
    for each in pair:
        each.wire.mend()
    assert f"{follower.name} leads in term" in leader.must("pair.sh", "tend")
    assert leader.sql("select pg_is_in_recovery()") == [(True,)]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        leader.sql("insert into kept values (-2)")
    assert leader.streams()
    follower.must("pair.sh", "tend")


def test_who_leads_alone_says_so_and_nobody_is_promoted(pair):
    """The standby is gone: the leader notes that it is alone and goes on; what it then writes could be missing on the
    standby, whose promotion is refused until somebody says that this may be lost"""
    leader, follower = of(pair)
    follower.crash()
    leader.must("pair.sh", "tend")
    assert terms()[-1] == f"{leader.name} -"
    leader.sql("insert into kept values (-3)")
    leader.crash()
    assert "leads alone" in follower.refused("pair.sh", "promote", FENCE_SECONDS="0")
    follower.must("pair.sh", "promote", "--lose-data", FENCE_SECONDS="0", LEAD_ONLY="yes")
    assert -3 not in kept(follower)
    rejoined(follower, leader)
    assert -3 not in kept(leader)


def test_required_waits_for_ever(pair):
    """`standby: required`: without the other host no commit is acknowledged, and nothing is noted"""
    leader, follower = of(pair)
    follower.crash()
    leader.must("pair.sh", "tend", STANDBY="required")
    assert terms()[-1] == f"{leader.name} {follower.name}"
    writers = Writers(leader, 6_000_000)
    time.sleep(0.3)
    assert not writers.acknowledged
    follower.must("pair.sh", "start")
    assert follower.streams()
    assert len(writers.end()) >= 4


def test_a_release_on_both_hosts_loses_nothing_and_backups_go_on(pair, repository):
    """`roll.sh --hand-over` under writes: the host that follows has the release first and starts no service with it,
    then it leads, with its services and a new index; then the other one has it. Backups are made by whoever leads"""
    leader, follower = of(pair)
    key = {"RESTIC_REPOSITORY": str(repository)}
    leader.must("backup.sh", **key)
    writers, done = Writers(leader, 7_000_000), []
    rolling = threading.Thread(target=lambda: done.append(roll(pair, "--hand-over")))
    rolling.start()
    end = time.monotonic() + 90
    while terms()[-1] != f"{follower.name} -" and time.monotonic() < end:
        time.sleep(0.1)
    follower.must("pair.sh", "tend")  # as its timer does
    rolling.join(120)
    assert done[0].returncode == 0 and "stands by" in done[0].stderr, done[0].stderr
    assert writers.end() <= kept(follower)
    calls = (follower.engine / "calls").read_text()
    assert calls.rindex("pull --quiet") < calls.rindex("--remove-orphans") < calls.rindex("python -m app.reindex")
    assert (leader.engine / "others").read_text() == "" and leader.streams()
    assert (leader.folder / "opt" / "current").resolve() != leader.release
    assert (leader.folder / "opt" / "current").resolve().name == (follower.folder / "opt" / "current").resolve().name
    leader.refused("pair.sh", "leads")  # so the units of its backup and of its health watch are skipped
    follower.must("backup.sh", **key)
    dumped = subprocess.run(
        [program("restic"), "dump", "latest", "/databases/postgresql/databases.json"],
        env=follower.environment | key | {"RESTIC_PASSWORD": "of the test"},
        check=True,
        capture_output=True,
        text=True,
    )
    rows = json.loads(dumped.stdout)["databases"]["postgres"]["tables"]['"public"."kept"']["rows"]
    assert rows == len(kept(follower))
    follower.must("pair.sh", "tend")


def test_back_to_a_moment_before_and_after_a_promotion(pair, repository, tmp_path):
    """The log of whoever leads is sent, and goes on after a promotion. What the lost leader acknowledged but never sent
    is in the new one's archive; what it wrote alone, and sent, is on no way that leads to the new one's moments"""
    leader, follower = of(pair)
    key = {"RESTIC_REPOSITORY": str(repository), "RESTIC_CACHE_DIR": str(tmp_path / "cache")}
    leader.must("backup.sh", **key)
    time.sleep(1.1)
    leader.sql("create table moments (n int primary key)")
    leader.sql("insert into moments values (1)")
    leader.must("wal.sh", **key)
    leader.sql("insert into moments values (2)")
    moments = {"acknowledged, never sent by who took it": (now(leader), [1, 2])}
    leader.crash()
    follower.must("pair.sh", "promote", FENCE_SECONDS="0", LEAD_ONLY="yes")
    follower.sql("insert into moments values (3)")
    follower.must("wal.sh", **key)
    moments["after the promotion"] = (now(follower), [1, 2, 3])
    rejoined(follower, leader)
    leader.must("wal.sh", **key)  # sends nothing: it follows
    assert "this host follows" in leader.refused("restore.sh", "--to-time", "latest", **key)

    leader.crash()  # the one that leads is alone, writes and sends, and is lost
    follower.must("pair.sh", "tend")
    follower.sql("insert into moments values (-4)")
    follower.must("wal.sh", **key)
    follower.sql("insert into moments values (-5)")
    follower.must("wal.sh", **key)
    follower.crash()
    leader.must("pair.sh", "promote", "--lose-data", FENCE_SECONDS="0", LEAD_ONLY="yes")
    leader.sql("insert into moments values (6)")
    leader.must("wal.sh", **key)
    moments["on the way of who leads now"] = ("latest", [1, 2, 3, 6])
    for what, (moment, rows) in moments.items():
        assert restored(tmp_path / str(len(rows)), repository, leader, moment) == rows, what
    rejoined(leader, follower)


def now(host) -> str:
    """A moment after the last commit"""
    found = str(host.sql("select clock_timestamp()::text")[0][0])
    time.sleep(0.05)
    return found


def restored(folder, repository, of_pair, moment: str) -> list[int]:
    """The rows at a moment, on a new host that has the repository and its key alone"""
    server = make_server()
    host = make_host(folder, server, repository)
    try:
        done = host.run("restore.sh", "--to-time", moment,
                        RESTIC_PASSWORD_FILE=str(of_pair.secrets / "host" / "restic_password"))
        assert done.returncode == 0, done.stderr
        return [int(each) for each in server.psql("select n from moments order by n", "postgres").split()]
    finally:
        host.close()
        server.remove()


def test_the_other_host_keeps_what_it_receives_for_two_days(pair):
    """It sends nothing, and its archive does not grow for ever; the history of time lines stays"""
    _, follower = of(pair)
    archive = follower.engine / "volumes" / "pretamane_postgresql-archive"
    segments = [each for each in archive.iterdir() if len(each.name) >= 27]
    assert segments and [each for each in archive.iterdir() if "history" in each.name]
    for each in archive.iterdir():
        os.utime(each, (time.time() - 3 * 86400,) * 2)
    os.utime(segments[-1])
    follower.must("wal.sh", RESTIC_REPOSITORY="/nowhere")
    assert [each for each in archive.iterdir() if len(each.name) >= 27] == [segments[-1]]
    assert [each for each in archive.iterdir() if "history" in each.name]


def test_a_copy_that_cannot_be_rewound_is_replaced_when_told(pair):
    """`rejoin --clone` deletes this host's copy and makes a new one; never by itself, never on the leader"""
    leader, follower = of(pair)
    assert "say --clone" in follower.refused("pair.sh", "rejoin")
    assert "this host leads" in leader.refused("pair.sh", "rejoin", "--clone")
    follower.must("pair.sh", "rejoin", "--clone")
    assert follower.streams() and kept(follower) == kept(leader)


# What is emitted

MARIADB = "name: shop\nservices:\n  db: {role: database, image: 'mariadb:11.8', memory: 1Gi, cpu: 0.5}\n"
SITE = """
name: site
services:
  web: {role: application, image: "example/web:1.0", memory: 256Mi, cpu: 0.2, networks: [app], ports: {http: 8000},
        routes: [{path: /}]}
  edge: {role: edge, image: "caddy:2.11.4", memory: 128Mi, cpu: 0.2, networks: [app, obs], user: "1000:1000",
         ports: {http: 8080, metrics: 2020}}
"""


QUEUE = """
name: bazaar
services:
  web: {role: application, image: "example/web:1.0", memory: 256Mi, networks: [app, data], ports: {http: 8000},
        routes: [{path: /}], user: "1000:1000", health_check: {test: [CMD, /web, health]}}
  edge: {role: edge, image: "caddy:2.11.4", memory: 128Mi, networks: [app, obs], user: "1000:1000",
         ports: {http: 8080, metrics: 2020}}
  db: {role: database, image: "postgres:17.11", memory: 1Gi, networks: [data], user: "999:999",
       secrets: [db_password], mounts: [{volume: rows, path: /var/lib/postgresql/data}], ports: {postgres: 5432},
       health_check: {test: [CMD, pg_isready]}}
  queue: {role: queue, image: "redis:8.2", memory: 256Mi, networks: [data], user: "999:1000", ports: {redis: 6379},
          mounts: [{volume: jobs, path: /data}], health_check: {test: [CMD, redis-cli, ping]}}
volumes: {rows: {size_gb: 30, backup: dump}, jobs: {size_gb: 1, backup: copy}}
secrets: {restic_password: {description: Key of the backups}, db_password: {description: Password}}
"""


def site() -> Stack:
    """A stack without a database"""
    return loads(SITE)


def test_what_a_pair_cannot_do_is_refused_by_name(tmp_path, capsys):
    """Exit code 2, what and where, nothing written"""
    (tmp_path / "stack.yaml").write_text(MARIADB)
    code = main(
        ["emit", "--architecture", "ec2-pair", "--stack", str(tmp_path / "stack.yaml"), str(tmp_path / "out")]
    )
    said = capsys.readouterr().err
    assert code == 2 and "services.db.image" in said and "mariadb" in said and not (tmp_path / "out").exists()
    two = loads(
        "name: shop\nservices:\n"
        + "".join(
            f"  {name}: {{role: database, image: 'postgres:17.11', memory: 1Gi, cpu: 0.5}}\n"
            for name in ("db", "more")
        )
    )
    with pytest.raises(PretamaneError, match="one database, not 2: db, more"):
        adapted(two)


def test_without_a_database_the_tree_has_no_standby():
    """Both hosts run everything: no pair.sh, no port of a database, no terms"""
    files = emitted(site(), None, OF_PAIR)
    assert not {"scripts/pair.sh", "systemd/site-tend.timer", "runbooks/standby.md"} & {*files}
    assert "5432" not in files["terraform/security.tf"] and "EachTermOnce" not in files["terraform/backup.tf"]
    assert "both hosts run every service" in files["README.md"]


def test_the_tree_has_no_finding(tmp_path, capsys):
    """Of the example, of a stack without a database, and of one with a second kind of database on the same network"""
    for stack in (example(), site(), loads(QUEUE)):
        folder = tmp_path / stack.name
        for path, text in emitted(stack, None, OF_PAIR).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        assert main(["check", "--no-tools", str(folder)]) == 0
        assert "0 errors, 0 warnings" in capsys.readouterr().out


def test_what_a_crash_must_not_start_by_itself():
    """After a crash of the machine Docker starts nothing: the unit asks who leads first"""
    services = yaml.safe_load(tree()["compose/compose.yaml"])["services"]
    assert {each["restart"] for each in services.values()} == {"on-failure", "no"}
    assert "ExecStart=/opt/pretamane/current/scripts/pair.sh start" in tree()["systemd/pretamane.service"]
    for name in ("backup", "drill", "healthwatch"):
        assert (
            "ExecCondition=/opt/pretamane/current/scripts/pair.sh leads"
            in tree()[f"systemd/pretamane-{name}.service"]
        )
    assert "ExecCondition" not in tree()["systemd/pretamane-tend.service"]
    pair_service = services["postgresql"]
    assert pair_service["ports"] == [
        {"target": 5432, "published": "5432", "host_ip": "${PAIR_ADDRESS:-127.0.0.1}", "protocol": "tcp"}
    ]


@needs_terraform
@pytest.mark.parametrize("stack", [example, site])
def test_terraform_is_formatted(stack, tmp_path):
    """`terraform fmt` would change nothing, with an administrators' door and a database or without"""
    folder = Configuration.of(pair_files(stack()), tmp_path).folder
    command = [PROGRAM, "fmt", "-check", "-diff", "-recursive"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@needs_terraform
def test_terraform_takes_it():
    """What makes two hosts a pair, as the emitted test says it, under the real Terraform"""
    said = ready(pair_files, example).must("test", "-no-color", "-filter=tests/pair.tftest.hcl")
    assert "Success! 1 passed, 0 failed." in said


@needs("promtool")
def test_alerts_and_runbooks_of_a_pair(tmp_path):
    """Prometheus reads the rules, their own tests pass where they are others than those of one host, and each alert of
    the pair leads to a page that is there"""
    files = {path: text for path, text in tree().items() if path.startswith("prometheus/")}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    of_one = emitted(example())
    tests = sorted(path for path, text in files.items() if path.startswith("prometheus/tests/") and any(
        files[each] != of_one.get(each) for each in (path, path.replace(".test", "").replace("/tests/", "/rules/"))
        if each in files))
    assert "prometheus/tests/pair.test.yml" in tests
    done = subprocess.run([program("promtool"), "test", "rules", *(tmp_path / each for each in tests)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = {rule["alert"]: rule["annotations"]["runbook"] for path, text in files.items() if "/rules/" in path
              for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if "alert" in rule}
    wanted = {"StandbyMissing", "StandbyLags", "StandbySlotGrows", "CommitsOnOneHost", "PairUntended",
              "DatabaseLogTooOld", "DatabaseLogFailed"}
    assert wanted <= {*alerts}
    assert all(alerts[each].partition("#")[0] in tree() for each in wanted)
