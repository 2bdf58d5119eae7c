"""Defects of the compose file: D05, D06, D09, D13, D23 to D38, D52, D67, D73 and what KICS lists."""
from __future__ import annotations

import yaml

from mutants import (
    COMPOSE,
    Mutant,
    added,
    compose,
    removed,
    replaced,
    service,
    substituted,
)


def everywhere(key, value=None):
    """Change a key of every service, or take it away"""
    def change(data):
        for each in data["services"].values():
            each.pop(key, None)
            if value is not None:
                each[key] = value

    return compose(change)


def check(name, *gone, **keys):
    """Change the health check of a service"""
    def change(data):
        found = data["services"][name]["healthcheck"]
        for key in gone:
            del found[key]
        found.update(keys)

    return compose(change)


def listed(data):
    """depends_on of every service as a list"""
    for each in data["services"].values():
        if "depends_on" in each:
            each["depends_on"] = list(each["depends_on"])


def in_circle(data):
    """Two services that wait for each other"""
    data["services"]["postgresql"]["depends_on"] = {"pgadmin": {"condition": "service_healthy"}}


def flat(data):
    """One network for all, as in the source"""
    data["networks"] = {"all": {}}
    for each in data["services"].values():
        each["networks"] = ["all"]


def joined(name, *networks):
    """A service on more networks"""
    def change(data):
        data["services"][name]["networks"] = [*data["services"][name]["networks"], *networks]

    return compose(change)


def bridged(data):
    """Grafana on the data network, published on all addresses of the host"""
    data["services"]["grafana"].update(networks=["obs", "data", "edge"], ports=["3000:3000"])


def single_file(data):
    """Prometheus sees its configuration as one file, and can be told to reload it"""
    prometheus = data["services"]["prometheus"]
    prometheus["command"] = [*prometheus["command"], "--web.enable-lifecycle"]
    prometheus["volumes"] = [*prometheus["volumes"],
                             "../prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro"]


def open_data(data):
    """The data network with a way out"""
    data["networks"]["data"] = {}


def environment(name, **variables):
    """Variables of a service"""
    def change(data):
        data["services"][name]["environment"] = {**(data["services"][name].get("environment") or {}), **variables}

    return compose(change)


def argument(name, old, new):
    """Another word on the command line of a service"""
    def change(data):
        words = data["services"][name]["command"]
        assert any(old in word for word in words), words
        data["services"][name]["command"] = [word.replace(old, new) for word in words]

    return compose(change)


def mounts(name, *volumes):
    """Other mounts"""
    return service(name, volumes=list(volumes))


def one_color(data):
    """The second color is gone"""
    del data["services"]["fastapi-app-green"]


def other_color(data):
    """The second color has less memory"""
    data["services"]["fastapi-app-green"]["mem_limit"] = "64m"


def secret_of_another(data):
    """A service reads the file that was made for another's user"""
    data["services"]["cloudflared"]["secrets"] = [{"source": "caddy.edge_admin_password_hash",
                                                   "target": "tunnel_token"}]


def without_secret(name):
    """A service that lost its secrets"""
    def change(data):
        data["services"][name]["secrets"] = []

    return compose(change)


def no_roles(files):
    """The script that creates the database's roles says nothing"""
    return {**files, **{path: "SELECT 1;\n" for path in files if path.startswith("postgres/")}}


def scraped(target):
    """A scrape job more"""
    def mutate(files):
        data = yaml.safe_load(files[PROMETHEUS])
        data["scrape_configs"].append({"job_name": "more", "static_configs": [{"targets": [target]}]})
        return {**files, PROMETHEUS: yaml.safe_dump(data)}

    return mutate


PROMETHEUS = "prometheus/prometheus.yml"
HASH = "sha256:" + "0" * 63
SOCKET = "/var/run/docker.sock:/var/run/docker.sock:ro"
MC = ("mc alias set local http://minio:9000 admin $$(cat /run/secrets/object_store_password) && mc anonymous set "
      "download local/documents")

MUTANTS = [
    Mutant("D05", "a default password in the environment",
           environment("grafana", GF_SECURITY_ADMIN_PASSWORD="admin"), "C41"),
    Mutant("D05", "the same, as a literal in a file",
           environment("grafana", GF_SECURITY_ADMIN_PASSWORD="admin"), "X21"),
    Mutant("D06", "a variable that nothing sets", environment("fastapi-app-blue", DB_PASSWORD="${DB_PASSWORD}"), "X01"),
    Mutant("D06", "a role that nothing creates", no_roles, "C31"),
    Mutant("D06", "a secret that is read but not given", without_secret("grafana"), "X01"),
    Mutant("D06", "a secret that nobody reads",
           compose(lambda data: data["secrets"].update({"old": {"file": "./old"}})), "X01"),
    Mutant("D06", "a variable of .env that nobody reads", added("compose/.env", "DB_PASWORD=\n"), "X01"),
    Mutant("D27", "an image that is built here is pulled first",
           compose(lambda data: [each.pop("pull_policy", None) for each in data["services"].values()]), "X25"),
    Mutant("D27", "an image that is built here has a public name",
           compose(lambda data: [each.update(image=each["image"].removeprefix("localhost/"))
                                 for each in data["services"].values() if "build" in each]), "X25"),
    Mutant("D33", "the log shipper cannot write where it remembers", service("alloy", user="0:0"), "C17"),
    Mutant("D13", "no memory limit", everywhere("mem_limit"), "C08"),
    Mutant("D23", "depends_on as a list", compose(listed), "C20"),
    Mutant("D23", "a wait without a condition",
           compose(lambda data: data["services"]["pgadmin"].update(depends_on={"postgresql": {}})), "C20"),
    Mutant("D23", "a wait for health that nobody reports", service("postgresql", "healthcheck"), "C21"),
    Mutant("D23", "a wait for each other", compose(in_circle), "C21"),
    Mutant("D23", "a wait for a job that is restarted for ever", service("migrate", restart="always"), "C21"),
    Mutant("D23", "a wait for a service that is gone", compose(lambda data: data["services"].pop("minio")), "C21"),
    Mutant("D24", "the edge without a health check", service("caddy", "healthcheck"), "C22"),
    Mutant("D24", "health checks without start_period", check("fastapi-app-blue", "start_period"), "C23"),
    Mutant("D25", "a fixed container name", service("caddy", container_name="caddy"), "C25"),
    Mutant("D25", "a fixed name for what runs twice", service("fastapi-app-blue", container_name="app"), "X19"),
    Mutant("D25", "replicas that publish a port", service("loki", scale=2, ports=["127.0.0.1:3100:3100"]), "X19"),
    Mutant("D26", "all capabilities kept", everywhere("cap_drop"), "C01"),
    Mutant("D26", "a capability that reaches the host", service("alloy", cap_add=["SYS_ADMIN"]), "C02"),
    Mutant("D26", "new privileges", everywhere("security_opt"), "C03"),
    Mutant("D26", "seccomp switched off",
           service("loki", security_opt=["no-new-privileges:true", "seccomp:unconfined"]), "C03"),
    Mutant("D26", "a privileged container", service("alloy", privileged=True), "C04"),
    Mutant("D26", "a container that starts as root", service("loki", user="0:0"), "C05"),
    Mutant("D26", "a database that starts as root", service("postgresql", "user"), "C05"),
    Mutant("D26", "a writable root", everywhere("read_only"), "C06"),
    Mutant("D26", "a tmpfs that is root's after a restart", service("caddy", tmpfs=["/tmp:size=64m"]), "C07"),
    Mutant("D26", "no CPU limit", everywhere("cpus"), "C09"),
    Mutant("D26", "any number of processes", everywhere("pids_limit"), "C10"),
    Mutant("D26", "logs without end", everywhere("logging"), "C11"),
    Mutant("D26", "no init", everywhere("init"), "C12"),
    Mutant("D26", "10 seconds to stop", everywhere("stop_grace_period"), "C12"),
    Mutant("D26", "the engine's socket", service("alloy", volumes=[SOCKET]), "C13"),
    Mutant("D26", "the host's network", service("caddy", "networks", network_mode="host"), "C14"),
    Mutant("D26", "a writable folder of the host", mounts("node-exporter", "/:/host"), "C15"),
    Mutant("D26", "no restart", everywhere("restart"), "C24"),
    Mutant("D26", "latest", service("pgadmin", image="dpage/pgadmin4:latest"), "X17"),
    Mutant("D26", "a floating major", service("caddy", image="caddy:2-alpine"), "X17"),
    Mutant("D26", "a digest that is none", service("caddy", image=f"caddy:2.11.4@{HASH}"), "X17"),
    Mutant("D26", "a line of versions that is dead", service("prometheus", image="prom/prometheus:v2.48.0"), "X17"),
    Mutant("D26", "data where the next major does not look", service("postgresql", image="postgres:18.6"), "X18"),
    Mutant("D26", "a secret that the user cannot read", compose(secret_of_another), "X15"),
    Mutant("D26", "a secret of root's for a user of the image's", service("cloudflared", "user"), "X15"),
    Mutant("D27", "an image that was withdrawn",
           service("minio", image="minio/minio:RELEASE.2025-09-07T16-13-09Z"), "X17"),
    Mutant("D28", "one flat network", compose(flat), "X23"),
    Mutant("D28", "the tunnel next to the database", joined("cloudflared", "data"), "X23"),
    Mutant("D28", "the edge next to the database", joined("caddy", "data"), "X23"),
    Mutant("D28", "a published page of monitoring next to the database", compose(bridged), "X34"),
    Mutant("D28", "a data network with a way out", compose(open_data), "X23"),
    Mutant("D28", "an application that cannot reach its database",
           service("fastapi-app-green", networks=["app", "obs"]), "C26"),
    Mutant("D29", "a health check without the prefix", check(
        "alertmanager", test=["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9093/-/healthy"]), "X03"),
    Mutant("D29", "alerts sent without the prefix",
           substituted(PROMETHEUS, r"path_prefix: ?\S+", "path_prefix: /"), "X03"),
    Mutant("D30", "a self-scrape without the prefix",
           substituted(PROMETHEUS, r"metrics_path: ?/prometheus/metrics", "metrics_path: /metrics"), "X03"),
    Mutant("D30", "a probe without the prefix", check("prometheus", test=["CMD", "wget", "-q", "-O", "/dev/null",
                                                                          "http://127.0.0.1:9090/-/healthy"]), "X03"),
    Mutant("D31", "wget in a distroless image",
           check("loki", test=["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3100/ready"]), "X08"),
    Mutant("D31", "curl in cloudflared",
           check("cloudflared", test="curl -f http://127.0.0.1:2000/ready || exit 1"), "X08"),
    Mutant("D31", "curl in the object store",
           check("minio", test=["CMD-SHELL", "curl -f http://localhost:9000/minio/health/live"]), "X08"),
    Mutant("D31", "a health check at another port", check(
        "grafana", test=["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3001/grafana/api/health"]), "X04"),
    Mutant("D32", "an exporter that sees the container", service("node-exporter", "command"), "C16"),
    Mutant("D32", "an exporter without the host's processes", service("node-exporter", "pid"), "C16"),
    Mutant("D33", "a shipper without container logs", mounts("alloy", "alloy-data:/var/lib/alloy/data", {
        "type": "bind", "source": "../alloy", "target": "/etc/alloy", "read_only": True}), "C32"),
    Mutant("D33", "positions that a restart forgets", argument("alloy", "/var/lib/alloy/data", "/tmp/alloy"), "C32"),
    Mutant("D34", "a job that sleeps",
           service("bucket-init", command=["sh", "-c", "sleep 5; python -m app.bucket_init"]), "C29"),
    Mutant("D34", "a password in argv", service("bucket-init", command=["sh", "-c", MC]), "C42"),
    Mutant("D34", "documents for everybody", service("bucket-init", command=["sh", "-c", MC]), "C29"),
    Mutant("D35", "a version key", compose(lambda data: data.update(version="3.8")), "C27"),
    Mutant("D35", "a version key, by Compose's own word", compose(lambda data: data.update(version="3.8")),
           "tool:docker compose config"),
    Mutant("D36", "variables that would be blank",
           substituted(COMPOSE, r"\$\{SECRETS_DIR:-[^}]*\}", "${SECRETS_DIR}", count=0), "X01"),
    Mutant("D36", "a key that Compose does not know", service("caddy", mem_limits="1m"), "tool:compose schema"),
    Mutant("D37", "one color only", compose(one_color), "C26"),
    Mutant("D37", "colors that differ", compose(other_color), "C26"),
    Mutant("D37", "a color with a port of the host", service("fastapi-app-green", ports=["8000:8000"]), "X19"),
    Mutant("D38", "the application as superuser", environment("postgresql", POSTGRES_USER="pretamane"), "C31"),
    Mutant("D38", "more connections than memory",
           argument("postgresql", "max_connections=60", "max_connections=200"), "C30"),
    Mutant("D53", "a file that is reloaded is mounted by itself", compose(single_file), "S08"),
    Mutant("D44", "a route to a service that is gone", compose(lambda data: data["services"].pop("grafana")), "X04"),
    Mutant("D44", "a variable that names a service that is gone",
           environment("fastapi-app-blue", DB_HOST="postgres"), "X04"),
    Mutant("D44", "an address that leads to no service",
           environment("postgres-exporter", DATA_SOURCE_URI="postgres:5432/pretamane"), "X04"),
    Mutant("D50", "a mounted folder that is empty", removed("caddy"), "X05"),
    Mutant("D52", "a quick tunnel", service("cloudflared", command=["tunnel", "--url", "http://caddy:8080"]), "C40"),
    Mutant("D52", "ports that go past the tunnel", service("caddy", ports=["8080:8080", "8443:8443"]), "X07"),
    Mutant("D53", "a configuration that is not mounted",
           service("prometheus", volumes=["prometheus-data:/prometheus"]), "X05"),
    Mutant("D53", "rules that are named and not there",
           replaced(PROMETHEUS, "scrape_configs:", "scrape_config_files: [more/slo.yml]\nscrape_configs:"), "X05"),
    Mutant("D67", "a scrape of what is not deployed", scraped("cadvisor:8080"), "X04"),
    Mutant("D73", "a log shipper past its end", service("alloy", image="grafana/promtail:2.9.0"), "X17"),
    Mutant("D81", "a volume that nothing defines", compose(lambda data: data["volumes"].pop("postgres-data")), "X13"),
]
