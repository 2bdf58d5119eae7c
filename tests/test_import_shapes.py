"""What published projects have in common and hand-written examples have not: a test for each shape, written anew."""
from __future__ import annotations

import json

import pytest

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.own_stack import CHECKS
from pretamane_analysis.cli.main import main
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.intake.import_files import imported
from pretamane_analysis.intake.import_inputs import Input
from pretamane_analysis.intake.kubernetes_import import kubernetes_import
from pretamane_analysis.intake.priced_import import priced_text
from pretamane_analysis.intake.terraform_files import terraform_file
from pretamane_analysis.intake.terraform_import import terraform_import
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import loads

pytestmark = pytest.mark.usefixtures("wide")


def stack_of(tmp_path, text, name="compose.yaml"):
    """What comes of one file, and its stack"""
    (tmp_path / name).write_text(text)
    found = imported([str(tmp_path / name)])
    return found, loads(priced_text(found, bundled()), "stack.yaml", CHECKS)


def test_folders_of_the_host_that_are_written_are_volumes(tmp_path):
    """Outside of the project, or made when it runs; what is checked in, read only, a file, a log is configuration"""
    (tmp_path / "settings").mkdir()
    found, stack = stack_of(tmp_path, """
services:
  notes:
    image: example/notes:3.1.4
    ports: ["80:8080"]
    volumes: ["/srv/apps/notes/config:/config", "/srv/apps/notes/pages:/pages", "./made-later:/work",
              "./settings:/settings", "/srv/apps/notes/logs:/logs", "/srv/apps/notes/site.toml:/site.toml",
              "/srv/films:/films:ro", "/var/run/docker.sock:/var/run/docker.sock", "/:/host"]
  search:
    image: example/indexer:3.1.4
    volumes: ["/srv/apps/notes/pages:/in", "/srv/apps/search:/out"]
""")
    mounts = {name: [(each.volume, each.path) for each in service.mounts] for name, service in stack.services.items()}
    assert mounts["notes"] == [("notes-data", "/config"), ("notes-pages", "/pages"), ("notes-made-later", "/work")]
    assert mounts["search"] == [("notes-pages", "/in"), ("search-data", "/out")]
    left = " ".join(each.what for each in found.left)
    assert all(each in left for each in ("settings", "logs", "site.toml", "films", "the engine's socket"))


def test_others_call_a_service_by_its_new_name(tmp_path):
    """Underscores, container names, aliases; words that only look like a name stay"""
    _, stack = stack_of(tmp_path, """
services:
  web:
    image: example/web:3.1.4
    ports: ["80:8080"]
    command: ["serve", "--broker", "amqp://the_bus:5672"]
    environment: {DB_HOST: main_db, CACHE: "tcp://shop-cache:6379/0", DRIVER: redis, API: "http://api.inner/v1",
                  DB_DATABASE: main_db_copy}
  main_db: {image: "mariadb:11.4", environment: {MARIADB_ROOT_PASSWORD: x}}
  redis: {image: "redis:8.0", container_name: shop-cache}
  the_bus: {image: "rabbitmq:4.1"}
  api: {image: "example/api:3.1.4", networks: {default: {aliases: [api.inner]}}}
""")
    web = stack.services["web"]
    assert web.environment == {"DB_HOST": "main-db", "CACHE": "tcp://redis:6379/0", "DRIVER": "redis",
                               "API": "http://api/v1", "DB_DATABASE": "main_db_copy"}
    assert web.command == ["serve", "--broker", "amqp://the-bus:5672"]


def test_what_leads_to_a_stand_in_is_left_out(tmp_path):
    """A mail catcher does not run in production: the variable is told, not emitted"""
    found, stack = stack_of(tmp_path, "services:\n  web: {image: 'example/web:3.1.4', ports: ['80:80'], environment: "
                                      "{SMTP_HOST: mailpit, MAIL_URL: 'smtp://mailpit:1025', NAME: mailpit}}\n"
                                      "  mailpit: {image: 'axllent/mailpit:v1.29'}\n")
    assert stack.services["web"].environment == {"NAME": "mailpit"}
    assert {"variable SMTP_HOST of web", "variable MAIL_URL of web"} <= {each.what for each in found.left}


@pytest.mark.parametrize(("image", "role"), [
    ("grafana/mimir:2.15.0", "time-series"), ("louislam/uptime-kuma:2.0.2", "application"), ("kibana:9.1.0", "bi"),
    ("otel/opentelemetry-collector:0.140.0", "other"), ("graylog/graylog:6.3", "application"),
    ("prom/pushgateway:v1.11.1", "other"), ("grafana/alloy:v1.11.0", "other")])
def test_a_program_that_is_not_configured_here_keeps_its_own_settings(tmp_path, image, role):
    """What is emitted configures Prometheus, Loki, Alloy, Grafana: others in these roles run as they are"""
    _, stack = stack_of(tmp_path, f"services:\n  it: {{image: '{image}', environment: {{MODE: plain}}}}\n"
                                  "  web: {image: 'example/web:3.1.4', ports: ['80:80']}\n")
    assert (stack.services["it"].role, stack.services["it"].environment) == (role, {"MODE": "plain"})
    assert not any(path.startswith(("alloy/", "grafana/", "prometheus/")) for path in emitted(stack))


def test_a_shipper_that_ended_is_replaced(tmp_path):
    """Promtail had its end in March 2026; Alloy reads the same files, and remembers how far"""
    found, stack = stack_of(tmp_path, "services:\n  promtail: {image: 'grafana/promtail:3.5.0', command: [-c]}\n"
                                      "  loki: {image: 'grafana/loki:3.7.3'}\n"
                                      "  web: {image: 'example/web:3.1.4', ports: ['80:80']}\n")
    assert stack.services["promtail"].image.startswith("grafana/alloy:")
    assert any("grafana/promtail:3.5.0" in each.lost for each in found.evidence)
    assert "alloy/config.alloy" in emitted(stack) and stack.services["promtail"].mounts


def test_a_database_is_known_by_its_port_and_folders():
    """An image of somebody's own that listens on 3306, or keeps /data/db, is a database in manifests too"""
    found = kubernetes_import(Input("all.yaml", b"""
apiVersion: apps/v1
kind: Deployment
metadata: {name: stock-db}
spec: {template: {spec: {containers: [{name: a, image: 'example/stock-db:0.3', ports: [{containerPort: 3306}]}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: users}
spec: {template: {spec: {containers: [{name: a, image: 'example/users:0.3',
       volumeMounts: [{name: d, mountPath: /data/db}]}]}}}
"""))
    assert [found.services[name]["role"] for name in ("stock-db", "users")] == ["database", "database"]
    assert found.services["stock-db"]["memory"] == "768Mi"


def test_what_a_database_writes_is_dumped_or_told(tmp_path):
    """The files of a running MySQL are no backup; a volume that nobody here writes is not saved"""
    found, stack = stack_of(tmp_path, """
services:
  web: {image: 'example/web:3.1.4', ports: ['80:80'], volumes: ['certs:/certs:ro']}
  db: {image: 'mysql:8.4', volumes: ['rows:/var/lib/mysql']}
  books: {image: 'postgres:17.11', volumes: ['books:/var/lib/postgresql/data']}
volumes: {certs: {}, rows: {}, books: {}}
""")
    saved = {name: each.backup for name, each in stack.volumes.items() if name in ("certs", "rows", "books")}
    assert saved == {"certs": "none", "rows": "none", "books": "dump"}
    assert any(each.what == "backup of volume rows" for each in found.left)
    emitted(stack)


def test_an_application_has_a_role_of_its_own_in_the_database(tmp_path):
    """User, name and password of one database, as most projects write them, are emitted without a fault"""
    _, stack = stack_of(tmp_path, """
services:
  web:
    image: example/web:3.1.4
    ports: ["80:8080"]
    environment: {DB_USER: shop, DB_NAME: shop, DB_PASSWORD: planted-x1}
  db:
    image: postgres:17.11
    environment: {POSTGRES_USER: shop, POSTGRES_DB: shop, POSTGRES_PASSWORD: planted-x1}
""")
    web, db = stack.services["web"], stack.services["db"]
    assert len(db.secrets) >= 1 and {*web.secrets} & {*db.secrets}
    assert "planted" not in json.dumps(emitted(stack))


PLAN = {"format_version": "1.2", "planned_values": {"root_module": {"resources": [
    {"address": "aws_instance.a", "mode": "managed", "type": "aws_instance", "name": "a",
     "values": {"instance_type": "t3.micro", "arn": "arn:aws:ec2:eu-west-1:1:instance/i", "region": "eu-west-1"}}]}}}


def test_a_plan_that_powershell_wrote(tmp_path):
    """`>` of Windows PowerShell writes UTF-16, for plans and for all else"""
    for name, encoding in (("little.json", "utf-16-le"), ("big.json", "utf-16-be")):
        mark = "\ufeff".encode(encoding)
        (tmp_path / name).write_bytes(mark + json.dumps(PLAN).encode(encoding))
        assert imported([str(tmp_path / name)]).cloud[0].fields["instance_type"] == "t3.micro"
    (tmp_path / "compose.yaml").write_bytes("\ufeffservices: {a: {image: 'b:1'}}".encode("utf-16-le"))
    assert set(imported([str(tmp_path / "compose.yaml")]).services) == {"a"}


def test_a_region_in_which_nothing_is(tmp_path, capsys):
    """An option that contradicts the file is told, not obeyed"""
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    assert main(["import", str(tmp_path / "plan.json"), "--region", "us-east-1", "--out", str(tmp_path / "s")]) == 2
    assert "nothing of it is in us-east-1, but in eu-west-1" in capsys.readouterr().err


def test_a_state_from_before_and_a_plan_of_another_cloud():
    """What can be done is said"""
    with pytest.raises(PretamaneError, match="before Terraform 0.12"):
        terraform_file(Input("x.tfstate", b'{"version": 3, "terraform_version": "0.7.4", "serial": 2, "modules": []}'))
    other = json.dumps(PLAN).replace("aws_instance", "azurerm_subnet")
    with pytest.raises(PretamaneError, match="nothing of AWS, but of azurerm"):
        terraform_import(Input("plan.json", other.encode()))


def test_a_lone_equals_sign_is_a_text():
    """Schemas of operators list operators such as `=`, which YAML 1.1 has a tag for"""
    found = kubernetes_import(Input("all.yaml", b"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
                                               b"metadata: {name: x}\nspec: {enum: ['!=', =, '=~']}\n---\n"
                                               b"apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
                                               b"spec: {containers: [{name: a, image: 'example/web:3.1.4'}]}\n"))
    assert set(found.services) == {"web"}
