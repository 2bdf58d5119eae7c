"""Each cause of wrong findings that was measured on strangers' folders, as a small tree: what is right is not told,
and the fault beside it still is.

Causes whose example needs more than a few lines stand in `tests/foreign/`: nginx upstreams (nginx-edge), external
networks (external-network), memberlist (logs), lockfiles and vendored code (secrets), variables of a host that compose
is not given (unset-variables).
"""
from __future__ import annotations

from datetime import date

import pytest
from needed import needs

from pretamane_analysis.check.read import folder
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.check.tools.runs import run_tools

AS_OF = date(2026, 11, 22)
WATCHED = {"compose.yaml": """services:
  prometheus:
    image: prom/prometheus:v3.13.4
    volumes: [./prometheus:/etc/prometheus]
  node:
    image: prom/node-exporter:v1.12.1
    volumes: ["/:/host:ro,rslave"]
    command: [--path.rootfs=/host]
""", "prometheus/prometheus.yml": """global: {scrape_interval: 15s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["node:9100"]}]
"""}
ROUTES = """route: {receiver: mail}
receivers: [{name: mail, email_configs: [{to: a@example.org}]}]
"""


def rules_(expression, annotation="it is so"):
    """Prometheus with one alert"""
    return WATCHED | {"prometheus/rules.yml": f"groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: "
                      f"{expression}\n        annotations: {{summary: '{annotation}'}}\n"}


def web(lines, **files):
    """One service with some lines"""
    return {"compose.yaml": "services:\n  web:\n    image: ghcr.io/a/web:1.0\n" + "".join(
        f"    {line}\n" for line in lines)} | files


def edge(lines, **compose):
    """Caddy in front of Prometheus"""
    return {"Caddyfile": "a.example.org {\n" + "".join(f"\t{line}\n" for line in lines) + "}\n",
            "compose.yaml": "services:\n  edge:\n    image: caddy:2.10\n    ports: ['443:443']\n    volumes: "
            "[./:/etc/caddy]\n  prometheus:\n    image: prom/prometheus:v3.13.4\n"}


def policy(action):
    """A policy of AWS that allows one action on everything"""
    return ('resource "aws_iam_policy" "a" {\n  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = ["'
            + action + '"], Resource = "*" }] })\n}\n')


def state(line):
    """A backend in S3"""
    return f'terraform {{\n  backend "s3" {{\n    bucket = "a"\n    key = "b"\n    {line}\n  }}\n}}\n'


def reloaded(script):
    """nginx with a single file of configuration, and a script"""
    return {"compose.yaml": "services:\n  web:\n    image: nginx:1.27\n"
            "    volumes: ['./a.conf:/etc/nginx/nginx.conf']\n",
            "a.conf": "http {\n  server { listen 80; }\n}\n", "reload.sh": script}


POD = """apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: a}}
  template:
    metadata: {labels: {app.kubernetes.io/name: a}}
    spec:
      containers:
        - {name: a, image: a/a:1, env: [{name: B, valueFrom: {secretKeyRef: {name: s, key: B}}}]}
"""
OBJECTS = {"Service": "spec: {selector: {LABEL: b}, ports: [{port: 80}]}", "Secret": "stringData: {A: a}",
           "Ingress": "spec: {rules: [{http: {paths: [{path: /, backend: {service: {name: argo-server, port: "
                      "{number: 80}}}}]}}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: "
                      "{ports: [{port: 80}]}"}


def cluster(kind, label="app", **files):
    """A Deployment and another object"""
    version = "networking.k8s.io/v1" if kind == "Ingress" else "v1"
    return {"a.yaml": POD, "b.yaml": f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: s}}\n"
            + OBJECTS[kind].replace("LABEL", label) + "\n"} | files


LOKI = {"loki.yaml": "schema_config: {configs: [{from: 2024-01-01, store: tsdb, schema: v13, object_store: filesystem, "
        "index: {prefix: i, period: 24h}}]}\ntable_manager: {retention_deletes_enabled: true}\n"}


def shipped(services):
    """Grafana with a dashboard that asks logs for a label"""
    return {"compose.yaml": "services:\n  grafana:\n    image: grafana/grafana:13.1.5\n    volumes: [./d:/d]\n"
            + services, "d/a.json": '{"schemaVersion": 39, "panels": [{"datasource": {"type": "loki"}, "targets": '
            '[{"expr": "{pod=\\"a\\"}", "datasource": {"type": "loki"}}]}]}\n', "promtail.yml":
            "clients: [{url: 'http://loki:3100/loki/api/v1/push', external_labels: {place: a}}]\npositions: {filename: "
            "/tmp/p}\nscrape_configs:\n  - job_name: a\n    static_configs: [{targets: [localhost], labels: {app: a}}]"
            "\n"}


JOINED = {"edge/compose.yaml": """services:
  edge:
    image: caddy:2.10
    volumes: [./Caddyfile:/etc/caddy/Caddyfile]
    networks: [all]
networks: {all: {name: shared}}
""", "edge/Caddyfile": ":80 {\n\treverse_proxy wiki:80\n}\n"}
HASH = "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"
CASES = [  # rule, cause, what is right, what is a fault (None: shown elsewhere)
    ("X06", "metrics outside the catalogue", rules_("shop_orders_open > 5"),
     rules_("node_memory_MemAvailable_byte > 5")),
    ("X06", "metrics that a file of samples gives", rules_("node_cpu_second_total > 5") | {
        "samples.prom": "node_cpu_second_total 7\n"}, rules_("node_cpu_second_total > 5")),
    ("X21", "a public key", {"authorized_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHV7mZ0yq0Q6kWqkq1d2r3x4v5b6n7m8"
                             " a@example.org\n"}, None),
    ("X21", "a place in a list", {"lexer.js": "let token = tokens[i];\nconst password = form.password.value;\n"}, None),
    ("X21", "a file that is encrypted", {"a.yaml": "password: ENC[AES256_GCM,data:Zk3v9uQ=,iv:aa,tag:bb,type:str]\n"
                                         "sops: {version: 3.9.0}\n"}, None),
    ("X21", "a password with spaces", {"mail.yml": "smtp:\n  password: ${MAIL_PASSWORD}\n"},
     {"mail.yml": "smtp:\n  password: qzvt mwke hbro plxd\n"}),
    ("X01", "a name without a value is the caller's", web(["environment:", "  - API_KEY"]),
     web(["environment: {A: $LOST}"])),
    ("X01", "a file of variables", web(["env_file: [web.env]", "environment: {A: '${B:-1}'}"], **{"web.env": "C=1\n"}),
     None),
    ("X01", "a file of variables that is kept back", web(["env_file: .env", "environment: {A: $LOST}"]),
     web(["env_file: .env", "environment: {A: $LOST}"], **{".env": "B=1\n"})),
    ("X05", "the folder itself is built", web(["build: ."], Dockerfile="FROM debian:13\n"), web(["build: ./lost"])),
    ("X05", "a path inside the image", web(["command: [run, --config, /etc/web/default.yaml]"]), None),
    ("X05", "a folder that is made at run time", web(["volumes: ['./data:/data']"]),
     web(["volumes: ['./web.conf:/etc/web.conf']"])),
    ("X04", "a fixed name", {"compose.yaml": "services:\n  db:\n    image: postgres:17.6\n    container_name: store\n"
                             "  web:\n    image: a/web:1\n    environment: {DATABASE_HOST: store}\n"},
     web(["environment: {DATABASE_HOST: stoer, B: 1}"])),
    ("X04", "a variable that must be set stands in an address", {
        "compose.yaml": "services:\n  db:\n    image: postgres:17.6\n  web:\n    image: a/web:1\n    environment:\n"
        "      DSN: postgres://u:${P:?must be set}@db:5432/a\n"}, None),
    ("X04", "the port of administration", {
        "compose.yaml": "services:\n  edge:\n    image: caddy:2.10\n    environment: {CADDY_ADMIN: '0.0.0.0:2019'}\n"
        "  prometheus:\n"
        "    image: prom/prometheus:v3.13.4\n    volumes: [./prometheus.yml:/etc/prometheus/prometheus.yml]\n",
        "prometheus.yml": "global: {}\nscrape_configs:\n  - job_name: e\n    static_configs: [{targets: "
        "['edge:2019']}]\n"}, None),
    ("C21", "who is waited for ends by itself", {
        "compose.yaml": "services:\n  job:\n    image: a/job:1\n  web:\n    image: a/web:1\n    depends_on:\n"
        "      job: {condition: service_completed_successfully}\n"}, {
        "compose.yaml": "services:\n  job:\n    image: a/job:1\n    restart: always\n  web:\n    image: a/web:1\n"
        "    depends_on:\n      job: {condition: service_completed_successfully}\n"}),
    ("X24", "a script is no first boot", {"a.sh": "#!/bin/bash\nset -e\necho a\n", "b.sh": "#!/bin/bash\necho b\n"},
     {"a.sh": "#!/bin/bash\nset -e\ncurl -s https://example.org/a.sh | bash\n"}),
    ("O07", "a share that is taken from 100", rules_('100 - (avg(rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100)'
                                                     " > 90", "the processor is 90 % busy"),
     rules_("rate(http_requests_errors_total[5m]) > 5", "5 % of requests fail")),
    ("O04", "a variable of the environment", {"config.alloy": 'loki.write "a" {\n  endpoint {\n    url = '
                                              'sys.env("LOKI_URL")\n  }\n}\n'},
     {"config.alloy": 'loki.source.file "a" {\n  targets    = []\n  forward_to = [loki.write.lost.receiver]\n}\n'}),
    ("X09", "a password for all paths", edge(["basic_auth /* {", f"\ta {HASH}", "}", "reverse_proxy prometheus:9090"]),
     edge(["reverse_proxy prometheus:9090"])),
    ("E03", "an answer for all that is left",
     edge(["handle /a/* {", "\treverse_proxy prometheus:9090", "}", "respond 404"]),
     edge(["handle /a/* {", "\treverse_proxy prometheus:9090", "}"])),
    ("C16", "the folders of the host one by one", {
        "compose.yaml": "services:\n  node:\n    image: prom/node-exporter:v1.12.1\n    volumes: ['/proc:/host/proc:ro'"
        ", '/sys:/host/sys:ro', '/:/rootfs:ro']\n    command: [--path.procfs=/host/proc, --path.sysfs=/host/sys, "
        "--path.rootfs=/rootfs]\n"},
     {"compose.yaml": "services:\n  node:\n    image: prom/node-exporter:v1.12.1\n    volumes: ['/:/rootfs:ro']\n"
      "    command: [--path.procfs=/host/proc]\n"}),
    ("X14", "a template of units", {"report@daily.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target"
                                    "\n", "report@.service": "[Service]\nExecStart=/usr/bin/true\n"},
     {"report.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"}),
    ("O01", "no retention is set", {
        "loki.yaml": "schema_config: {configs: [{from: 2024-01-01, store: tsdb, schema: v13,"
                                    " object_store: filesystem, index: {prefix: i, period: 24h}}]}\n"},
     {"loki.yaml": "schema_config: {configs: [{from: 2024-01-01, store: tsdb, schema: v13, object_store: filesystem, "
      "index: {prefix: i, period: 24h}}]}\nlimits_config: {retention_period: 168h}\n"}),
    ("X06", "a metric that was renamed for another reason", rules_("prometheus_remote_storage_samples_total > 5"),
     rules_("node_memory_Mem_Available_bytes > 5")),
    ("X06", "logs that go to a Loki elsewhere", shipped(""), shipped("  loki:\n    image: grafana/loki:3.7.6\n")),
    ("X01", "what may stand before an image", web(["image: ${REGISTRY}a/web:1"]), web(["image: ${REGISTRY}/a/web:1"])),
    ("X04", "a network that other projects join by its name", JOINED | {
        "wiki/compose.yaml": "services:\n  wiki:\n    image: a/wiki:1\n    networks: [all]\nnetworks: {all: "
        "{external: true, name: shared}}\n"}, JOINED),
    ("O01", "a Loki of another version", {**LOKI, "compose.yaml": "services:\n  loki:\n    image: grafana/loki:2.9.1\n"
                                          "    volumes: [./loki.yaml:/etc/loki/local-config.yaml]\n"},
     {**LOKI, "compose.yaml": "services:\n  loki:\n    image: grafana/loki:3.7.6\n"
      "    volumes: [./loki.yaml:/etc/loki/local-config.yaml]\n"}),
    ("O01", "a Loki that nothing in the tree runs", LOKI, None),
    ("O08", "severities beside the same alert", {"alertmanager.yml": ROUTES + "inhibit_rules:\n  - source_matchers: "
                                                 "[severity=critical]\n    target_matchers: [severity=warning]\n"
                                                 "    equal: [alertname]\n"},
     {"alertmanager.yml": ROUTES + "inhibit_rules:\n  - source_matchers: [alertname=A]\n    target_matchers: "
      "[alertname=B]\n    equal: [alertname]\n", **rules_("up == 0")}),
    ("O08", "the inhibition that comes with Alertmanager", {
        "alertmanager.yml": ROUTES + "inhibit_rules:\n  - source_matchers: [severity=critical]\n    target_matchers: "
        "[severity=warning]\n    equal: [alertname]\n", **rules_("up == 0")}, None),
    ("X01", "what a script sets itself", web(["command: ['sh', '-c', 'a=1; echo $$a']"]),
     web(["command: ['sh', '-c', 'a=1; echo $a']"])),
    ("X01", "what a pipeline may set", web(["environment: {A: $LOST}"], **{
        ".gitlab-ci.yml": "deploy:\n  script: [docker compose up -d]\n"}), None),
    ("X01", "what is secret while an image is built", web(["build: .", "volumes: [./:/src]"], Dockerfile="FROM a:1\n"
                                                          "RUN --mount=type=secret,id=a cat /run/secrets/a\n"), None),
    ("X04", "what the host runs", {"compose.yaml": WATCHED["compose.yaml"].replace(
        "v3.13.4\n", "v3.13.4\n    network_mode: host\n"), "prometheus/prometheus.yml": WATCHED[
            "prometheus/prometheus.yml"].replace("node:9100", "localhost:9100")},
     WATCHED | {"prometheus/prometheus.yml": WATCHED["prometheus/prometheus.yml"].replace("node:9100",
                                                                                          "localhost:9100")}),
    ("X04", "a file that the services of another file mount", WATCHED | {
        "compose.dev.yaml": "services:\n  web:\n    image: a/web:1\n  db:\n    image: postgres:17.6\n"}, None),
    ("X04", "a file among the manifests of a cluster", web([], **{
        "k8s/prometheus.yml": WATCHED["prometheus/prometheus.yml"], "k8s/service.yaml":
        "apiVersion: v1\nkind: Service\nmetadata: {name: node}\nspec: {ports: [{port: 9100}]}\n"}), None),
    ("X04", "a file of nginx that no image takes in", web(["build: ."], **{
        "Dockerfile": "FROM nginx:1.27\nCOPY nginx/nginx.conf /etc/nginx/\n", "nginx/nginx.conf": "events {}\n",
        "old/nginx.conf": "http {\n  server {\n    location / { proxy_pass http://gone:80; }\n  }\n}\n"}),
     web(["build: ."], **{"Dockerfile": "FROM nginx:1.27\nCOPY nginx/nginx.conf /etc/nginx/\n", "nginx/nginx.conf":
                          "http {\n  server {\n    location / { proxy_pass http://gone:80; }\n  }\n}\n"})),
    ("X05", "what the program writes itself", web(["command: [--storage=/certs/acme.json]",
                                                   "volumes: ['./certs:/certs']"]),
     web(["command: [--config=/conf/web.json]", "volumes: ['./conf:/conf']"])),
    ("X05", "a Dockerfile in small letters", web(["build: ./app"], **{"app/dockerfile": "FROM debian:13\n"}), None),
    ("X05", "paths that count from another folder", {
        "deploy/web.yaml": "services:\n  web:\n    image: a/web:1\n    volumes: ['./conf/web.yaml:/etc/web.yaml']\n",
        "conf/web.yaml": "a: 1\n", "Makefile": "up:\n\tdocker compose -f deploy/web.yaml --project-directory . up\n"},
     {"deploy/web.yaml": "services:\n  web:\n    image: a/web:1\n    volumes: ['./conf/web.yaml:/etc/web.yaml']\n"}),
    ("X21", "a hash that a program compares with", {
        "views.py": 'user = User(password="b4f945433ea4c369c12741f62a23ccc0")\n'},
     {".env": "DB_PASSWORD=b4f945433ea4c369c12741f62a23ccc0\n"}),
    ("X21", "a sentence about passwords", {"form.tsx": "errors.password = 'It must have at least 6 letters';\n"}, None),
    ("X21", "a key of Google that browsers get", {"app.vue": "apiKey: 'AIzaSyB1c2D3e4F5g6H7i8J9k0L1m2N3o4P5q6R',\n"},
     {"app.yaml": "apiKey: 'AIzaSyB1c2D3e4F5g6H7i8J9k0L1m2N3o4P5q6R'\n"}),
    ("X29", "a database that is asked by itself", {
        "compose.yaml": "services:\n  db:\n    image: mysql:8.4\n    environment: {MYSQL_DATABASE: a, "
        "DATABASE_URL: 'mysql://u:p@db/b'}\n"}, None),
    ("X29", "a project of tests", {
        "compose.test.yaml": "services:\n  db:\n    image: mysql:8.4\n    environment: {MYSQL_DATABASE: a}\n  web:\n"
        "    image: a/web:1\n    environment: {DATABASE_URL: 'mysql://u:p@db/b'}\n"}, {
        "compose.yaml": "services:\n  db:\n    image: mysql:8.4\n    environment: {MYSQL_DATABASE: a}\n  web:\n"
        "    image: a/web:1\n    environment: {DATABASE_URL: 'mysql://u:p@db/b'}\n"}),
    ("X05", "a piece whose paths count from the first file", {
        "compose.yaml": "services: {db: {image: 'postgres:17.6'}}\n", "conf/more/a.yml": "a: 1\n",
        "conf/more.yaml": "services:\n  web:\n    image: a/web:1\n    depends_on: [db]\n    volumes: "
        "['./conf/more/a.yml:/a.yml']\n"}, None),
    ("X04", "a project of tests", {"compose.test.yaml": web(["environment: {KEYS_URL: 'https://keys/a.json'}"])[
        "compose.yaml"]}, web(["environment: {KEYS_URL: 'https://keys/a.json'}"])),
    ("X21", "words that say what should stand here", {
        ".github/workflows/a.yml": "env:\n  SESSION_SECRET: our-build-32-chars-minimum-x\n"}, {
        ".github/workflows/a.yml": "env:\n  SESSION_SECRET: q8Zt-41kx-Lw0v-77bQ\n"}),
    ("X21", "a class of tests", {"Shop.Tests/Cipher.cs": 'var secret = "q8Zt-41kx-Lw0v-77bQ-9f83h2";\n'},
     {"Shop/Cipher.cs": 'var secret = "q8Zt-41kx-Lw0v-77bQ-9f83h2";\n'}),
    ("X21", "examples of an interface", {"api.yaml": "openapi: 3.0.0\nx:\n  token: q8Zt-41kx-Lw0v-77bQ-9f83h2\n"},
     {"api.yaml": "x:\n  token: q8Zt-41kx-Lw0v-77bQ-9f83h2\n"}),
    ("X21", "the name of a secret", {".github/workflows/a.yml": "run: echo 'secret: SHOP_B2_ACCOUNT_ID'\n"}, None),
    ("S08", "a reload of another program", {
        "compose.yaml": "services:\n  alerts:\n    image: prom/alertmanager:v0.28.1\n    volumes: ['./a.yml:/a.yml']\n",
        "a.yml": ROUTES, "Makefile": "a:\n\tcurl -X POST localhost:9089/-/reload\n"},
     {"compose.yaml": "services:\n  alerts:\n    image: prom/alertmanager:v0.28.1\n    volumes: ['./a.yml:/a.yml']\n",
      "a.yml": ROUTES, "Makefile": "a:\n\tcurl -X POST localhost:9093/-/reload\n"}),
    ("T04", "a state of a rehearsal", {"a.tf": state('endpoint = "http://localhost:4566"')}, {"a.tf": state("")}),
    ("O01", "a table manager that is off", {**LOKI, "loki.yaml": LOKI["loki.yaml"].replace("true", "false"),
                                            "compose.yaml": "services:\n  loki:\n    image: grafana/loki:3.7.6\n"
                                            "    volumes: [./loki.yaml:/etc/loki/local-config.yaml]\n"}, None),
    ("T01", "actions that change nothing", {"a.tf": policy("pricing:*")}, {"a.tf": policy("rds:*")}),
    ("T04", "a state that holds nothing", {"terraform.tfstate": '{"version": 4, "resources": []}\n'},
     {"terraform.tfstate": '{"version": 4, "resources": [{"type": "a"}]}\n'}),
    ("T05", "variables for other folders", {"env/variables.tf": 'variable "a" {}\n'},
     {"env/variables.tf": 'variable "a" {}\n', "env/main.tf": 'resource "null_resource" "a" {}\n'}),
    ("T07", "no version is the newest", {"a.tf": 'resource "aws_eks_cluster" "a" {\n  name = "a"\n}\n'},
     {"a.tf": 'resource "aws_eks_cluster" "a" {\n  version = "1.21"\n}\n'}),
    ("S08", "a script inside the container", reloaded("#!/bin/sh\nnginx -s reload\n"),
     reloaded("#!/bin/sh\ndocker compose exec web nginx -s reload\n")),
    ("X00", "data of tests", {"compose.yaml": "services: {web: {image: a/web:1}}\n",
                              "testdata/bad.yaml": "services: [\n"}, None),
    ("K01", "pods of a chart", cluster("Service", "app.kubernetes.io/name", **{
        "kustomization.yaml": "helmCharts: [{name: a}]\n"}), cluster("Service", "app.kubernetes.io/name")),
    ("K05", "a Secret that a pipeline creates", cluster("Secret", **{
        ".github/workflows/a.yml": "steps: [{run: kubectl create secret generic s --from-literal=B=1}]\n"}),
     cluster("Secret")),
    ("K07", "a Service of a chart that a page installs", cluster("Ingress", **{
        "README.md": "    helm install argo argo/argo-cd\n"}), cluster("Ingress")),
    ("K09", "files with secrets", {"kustomization.yaml": "secretGenerator: [{name: a, files: [token]}]\n"},
     {"kustomization.yaml": "configMapGenerator: [{name: a, files: [token]}]\n"}),
    ("K11", "an image that is pulled from nowhere", {
        "a.yaml": POD.replace("image: a/a:1", "image: a/a, imagePullPolicy: Never")},
     {"a.yaml": POD.replace("image: a/a:1", "image: a/a")}),
]


@pytest.mark.parametrize("rule,cause,right,wrong", CASES, ids=[f"{rule} {cause}" for rule, cause, *_ in CASES])
def test_a_cause_is_mended(rule, cause, right, wrong):
    """Silent for what is right; the rule lives"""
    assert [each.message for each in check(Tree(right, AS_OF), [rule])] == []
    assert wrong is None or check(Tree(wrong, AS_OF), [rule])


def test_a_file_of_several_services_is_told_of_once():
    """An address in a file of variables, however many services take the file in"""
    service = "  {}:\n    image: a/{}:1\n    env_file: [common.env]\n"
    tree = Tree({"compose.yaml": "services:\n" + service.format("a", "a") + service.format("b", "b"),
                 "common.env": "MONGO_HOST=mongo\n"}, AS_OF)
    assert [each.message.partition("calls")[2] for each in check(tree, ["X04"])] == [" 'mongo', which is no service"]


def test_a_secret_in_several_files_is_told_of_once():
    """At the first, with the other places"""
    secret = "PASSWORD=q8Zt-41kx-Lw0v-77bQ\n"
    found = check(Tree({"a/.env": secret, "b/.env": "A=1\n" + secret}, AS_OF), ["X21"])
    assert [(each.file, each.message) for each in found] == [
        ("a/.env", "this looks like a value for 'PASSWORD', which stands in b/.env:2 too")]


@needs("docker-compose")
def test_only_variables_that_must_be_set_are_set_for_compose():
    """A port that a variable names keeps its default; one that must be set is"""
    right = web(["ports: ['${PORT:-8080}-${LAST:-8090}:80-90']", "environment: {A: '${KEY:?must be set}'}"])
    found = run_tools(Tree(right), ["docker compose config"])
    assert [(each.status, each.reason) for each in found] == [("pass", "")]


@needs("caddy")
def test_an_error_comes_before_what_formatting_would_change():
    """Caddy's first error is told even where the file is not formatted"""
    found = run_tools(Tree(edge(["    respond_to ok"])), ["caddy"])[0]
    assert found.status == "fail" and "respond_to" in found.reason.splitlines()[0]


def test_a_large_file_is_called_large(tmp_path, monkeypatch):
    """Not `not text in UTF-8`"""
    monkeypatch.setattr(folder, "LARGEST", 1000)
    (tmp_path / "a.yaml").write_text("a: 1\n" * 300)
    (tmp_path / "b.yaml").write_bytes(b"a: \xff\n")
    told = {each.file: each.message for each in Tree.read(tmp_path).problems}
    assert "larger than" in told["a.yaml"] and told["b.yaml"] == "not text in UTF-8"
