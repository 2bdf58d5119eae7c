"""Compose projects as people publish them become stacks that load, are priced, drawn, emitted and checked."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.own_stack import CHECKS
from pretamane_analysis.cli.main import main
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.intake.import_files import imported
from pretamane_analysis.intake.import_text import stack_text
from pretamane_analysis.intake.priced_import import priced_text
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example, loads

pytestmark = pytest.mark.usefixtures("wide")

FOLDER = Path(__file__).parent / "imports"
ROLES = {  # the role of each service, and which answers at /
    "blog": ({"caddy": "edge", "ghost": "application", "db": "database"}, "ghost"),
    "shop": ({"caddy": "edge", "web": "application", "worker": "worker", "beat": "worker", "db": "database",
              "redis": "queue"}, "web"),
    "rails": ({"caddy": "edge", "web": "application", "sidekiq": "worker", "postgres": "database", "redis": "queue"},
              "web"),
    "monitored": ({"caddy": "edge", "api": "application", "prometheus": "metrics", "alertmanager": "alerts",
                   "grafana": "dashboards", "node-exporter": "host-metrics"}, "api"),
    "queue": ({"caddy": "edge", "gateway": "application", "resize": "worker", "index": "worker", "rabbit": "queue"},
              "gateway"),
    "objects": ({"caddy": "edge", "app": "application", "minio": "object-store", "buckets": "job"}, "app"),
    "layered": ({"caddy": "edge", "app": "application", "database": "database"}, "app"),
    "search": ({"caddy": "edge", "site": "application", "elasticsearch": "search", "kibana": "bi"}, "site"),
    "tunnel": ({"caddy": "edge", "cloudflared": "tunnel", "wiki": "application", "db": "database"}, "wiki"),
    "model": ({"caddy": "edge", "ollama": "model-server", "qdrant": "vector-database", "chat": "application"}, "chat"),
    "flows": ({"caddy": "edge", "n8n": "application", "n8n-worker": "worker", "postgres": "database", "redis": "queue"},
              "n8n"),
    "oddnames": ({"caddy": "edge", "my-app-web": "application", "s-2nd-db": "database"}, "my-app-web"),
    "limits": ({"caddy": "edge", "frontend-proxy": "application", "frontend": "application", "cart": "application",
                "valkey-cart": "cache", "kafka": "stream", "otel-collector": "other"}, "frontend-proxy"),
}


def stack_of(*names):
    """The stack of one or more folders, and what was read"""
    found = imported([str(FOLDER / name) for name in names])
    text = priced_text(found, bundled())
    return loads(text, "stack.yaml", CHECKS), found, text


@pytest.mark.parametrize("name", ROLES)
def test_a_project_becomes_a_stack(name):
    """Each service has its role, the edge is Caddy, and what was published answers at /"""
    stack, *_ = stack_of(name)
    roles, front = ROLES[name]
    assert {service: each.role for service, each in stack.services.items()} == roles
    assert [service for service, each in stack.services.items() if any(r.path == "/" for r in each.routes)] == [front]


@pytest.mark.parametrize("name", ROLES)
def test_it_is_priced_and_emitted(name):
    """Both sides have a price, and the tree of the host is written"""
    stack, *_ = stack_of(name)
    for side in ("eks", "ec2"):
        assert bill_of(architecture(side, stack, bundled(), "typical"), stack, bundled()).total > 0
    assert "compose/compose.yaml" in emitted(stack)


@pytest.mark.parametrize("name", ROLES)
def test_no_secret_is_shown(name):
    """Not in the stack, the evidence, or what was left out"""
    _, found, text = stack_of(name)
    shown = text + json.dumps([each.row() for each in (*found.evidence, *found.left)])
    assert "planted" not in shown
    planted = "planted" in "".join(each.read_text() for each in (FOLDER / name).rglob("*") if each.is_file())
    assert not planted or "secrets:" in text


@pytest.mark.parametrize("name", ROLES)
def test_every_figure_has_a_place(name):
    """What was declared names file and line, and the line holds it; what was guessed says so"""
    _, found, _ = stack_of(name)
    for each in found.evidence:
        if each.how == "declared":
            file, _, line = each.source.rpartition(":")
            assert Path(file).is_file() and 0 < int(line) <= len(Path(file).read_text().splitlines()), each
    assert {each.how for each in found.evidence} <= {"declared", "derived", "guessed"}
    for service in loads(stack_text(found)).services:
        assert any(each.field == f"services.{service}.memory" for each in found.evidence), service


def test_declared_memory_is_kept_and_rounded_up():
    """Compose counts in powers of two; a request stays below its limit"""
    stack, found, _ = stack_of("monitored")
    api = stack.services["api"]
    assert (api.memory, api.requests.memory, str(api.cpu)) == ("300Mi", "120Mi", "0.4")
    limits, found, _ = stack_of("limits")
    declared = [each for each in found.evidence if each.field.endswith(".memory") and each.how == "declared"]
    assert sum(limits.services[each.field.split(".")[1]].memory_mib for each in declared) == 1315


@pytest.mark.parametrize(("asked", "count"), [
    ("gpus: all", 1), ("gpus: [{driver: nvidia, count: 2}]", 2), ("runtime: nvidia", 1),
    ("deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: ['0', '3'], capabilities: [gpu]}]}}}",
     2), ("deploy: {resources: {reservations: {devices: [{count: all, capabilities: [gpu]}]}}}", 1)])
def test_gpus_are_needed_on_the_host_and_reserved_in_what_is_emitted(tmp_path, asked, count):
    """In each form that Compose has; all that there are count as one"""
    (tmp_path / "compose.yaml").write_text("services:\n  model:\n    image: example/model:3.1\n"
                                           f"    ports: ['80:8000']\n    {asked}\n")
    stack = loads(priced_text(imported([str(tmp_path)]), bundled()), "stack.yaml", CHECKS)
    assert stack.services["model"].gpus == count
    assert all(architecture(side, stack, bundled()).capacity.gpus >= count for side in ("eks", "ec2"))
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "compose.yaml").write_text(emitted(stack, ["compose"])["compose/compose.yaml"])
    assert imported([str(tmp_path / "made")]).services["model"]["gpus"] == count


def test_the_heap_of_a_program_is_less_than_its_memory():
    """-Xmx2g needs more than 2 GiB"""
    stack, found, _ = stack_of("search")
    assert stack.services["elasticsearch"].memory_mib == 3072
    assert any(each.how == "derived" and "-Xmx2g" in each.source for each in found.evidence)


def test_files_above_it_count():
    """The override, the included file, the file that is extended, and `.env`"""
    layered = stack_of("layered")[0]
    assert layered.services["app"].image == "example/app:5.1.0" and layered.services["app"].memory == "1024Mi"
    rails = stack_of("rails")[0]
    assert rails.services["web"].image == "registry.example.org/acme/rails:release"
    assert rails.services["sidekiq"].replicas == 2 and "migrate" in rails.services["web"].jobs


def test_the_environment_of_the_reader_does_not_count(monkeypatch):
    """A variable of the shell is not filled in"""
    monkeypatch.setenv("TAG", "9.9.9")
    monkeypatch.setenv("RELEASE", "9.9.9")
    assert "9.9.9" not in stack_of("rails")[2]


def test_what_is_left_out_has_a_reason():
    """A proxy that Caddy replaces, a stand-in, configuration that is mounted: each with its file and line"""
    reasons = {each.what: each for name in ("blog", "oddnames", "shop") for each in stack_of(name)[1].left}
    assert {"service traefik", "service localstack", "service mailpit"} <= set(reasons)
    assert all(each.reason and ":" in each.source for each in reasons.values())
    assert any("nginx.conf" in each.what for each in stack_of("shop")[1].left)


def test_a_withdrawn_image_is_replaced():
    """MinIO reads the same data as silo, and the old name is kept"""
    stack, found, _ = stack_of("objects")
    assert stack.services["minio"].image.startswith("pgsty/silo:")
    assert any("minio/minio" in each.lost for each in found.evidence)


def test_several_projects_are_one_stack():
    """Two folders become one stack; what both have is there once"""
    stack, *_ = stack_of("blog", "search")
    assert {"ghost", "site", "elasticsearch", "caddy"} <= set(stack.services)
    assert len(stack.with_role("edge")) == 1


@pytest.mark.parametrize(("text", "said"), [
    ("services: {a: [1]}\n", "a mapping is expected"), ("services: {}\n", "no service"),
    ("services:\n  a: {image: x:1\n", "not YAML"), ("services: {a: {image: 'UPPER CASE:1'}}", "image"),
    ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n"
                                              for i in range(8)) + "services: {z: {image: y:1}}", "aliases"),
])
def test_bad_files_are_told(tmp_path, capsys, text, said):
    """With file and line, and exit code 2"""
    path = tmp_path / "compose.yaml"
    path.write_text(text)
    assert main(["import", str(path), "--out", str(tmp_path / "s.yaml")]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "compose.yaml" in shown and not (tmp_path / "s.yaml").exists()


def test_the_verb_writes_a_stack_and_says_what_it_found(tmp_path, capsys):
    """Table and JSON; a file that is there stays"""
    out = tmp_path / "stack.yaml"
    assert main(["import", str(FOLDER / "shop"), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "guessed" in shown and "docker-compose.yml:" in shown and "left out" in shown
    assert main(["import", str(FOLDER / "shop"), "--out", str(out)]) == 2
    capsys.readouterr()
    assert main(["import", str(FOLDER / "shop"), "--out", str(out), "--force", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] and {"field", "value", "source", "how", "lost"} <= set(document["evidence"][0])
    assert main(["compare", "--stack", str(out)]) == 0


def test_a_missing_file_is_told(tmp_path):
    """With what to do"""
    with pytest.raises(PretamaneError, match="cannot read"):
        imported([str(tmp_path / "none.yaml")])


def routes_of(service):
    """What leads to a service, by its port's number"""
    return {(each.path, service.ports.get(each.port), each.auth, each.strip_prefix) for each in service.routes}


@pytest.mark.parametrize("name", [*ROLES, ""])
def test_what_we_emitted_is_read_back(name, tmp_path):
    """Names, region, host name, way in, roles, sizes, disks and how they are saved, routes with their doors, networks,
    colors, jobs, users, health checks and what waits for what come back from the tree of a host"""
    before = stack_of(name)[0] if name else example()
    before = before.model_copy(update={"region": "eu-west-1"})
    for path, text in emitted(before, ["compose", "caddy", "terraform", "operations"]).items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text(text)
    found = imported([str(tmp_path)])
    after = loads(priced_text(found, bundled()), "stack.yaml", CHECKS)
    for field in ("name", "region", "domain"):
        assert getattr(after, field) == getattr(before, field), field
    assert (set(after.services), after.host.edge) == (set(before.services), before.host.edge)
    assert {name: each.backup for name, each in after.volumes.items()} == {
        name: each.backup for name, each in before.volumes.items()}
    for service, was in before.services.items():
        now = after.services[service]
        for field in ("image", "memory_mib", "cpu_cores", "on_one_host", "deploy", "networks", "jobs", "mounts",
                      "profile", "health_check", "depends_on", "role"):
            assert getattr(now, field) == getattr(was, field), (service, field)
        assert routes_of(now) == routes_of(was), service
        assert {*was.secrets} == {*now.secrets}, service
    assert all(each.source.rpartition(":")[2].isdigit() for each in found.evidence if each.field.endswith(".routes"))
