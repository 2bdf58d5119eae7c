"""The tree for a cluster: what Kustomize makes of it, what an API server, a scheduler and a network plugin would say, and that it is the compose file's stack."""  # noqa: E501
from __future__ import annotations

import copy
import json
import random
import re
import subprocess
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from foreign import AS_OF
from hypothesis import given
from kubernetes_objects import Cluster, Pod, built, matches, parsed, without_hashes
from needed import found, needs, program
from test_any_stack import CHEAP, DOOR, strangers
from test_check import STRANGE, spots
from test_own_stacks import STACKS

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture
from pretamane_analysis.bill.nodes import allocatable_cores, allocatable_mib
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.cli.main import main
from pretamane_analysis.emit.containers import containers
from pretamane_analysis.emit.kubernetes.adapted import adapted
from pretamane_analysis.emit.tree import OF_KUBERNETES, emitted
from pretamane_analysis.prices.snapshot import bundled, instance_type
from pretamane_analysis.stack.stack import Stack, dump, example, loads

HERE = Path(__file__).parent
# Strict schemas of CloudNativePG 1.30.0, its Barman Cloud plugin 0.14, External Secrets 2.9.0 (AWS alone) and the
# Prometheus operator 0.93.0, from their own definitions (Apache-2.0), without descriptions and without status
KINDS = json.loads((HERE / "data" / "kubernetes_kinds.json").read_text(encoding="utf-8"))
VERSIONS = ("1.34", "1.35", "1.36", "1.37")
OVERLAYS = ("single", "ha")
KUBECTL = pytest.mark.skipif(found("kubectl") is None, reason="allowed: needs kubectl 1.27 or newer, which Debian does not have; without it the overlays are built here alone")  # noqa: E501
for name in ("schema_contents", "all_versions"):  # which read a megabyte for each object
    setattr(kubernetes_validate.utils, name, cache(getattr(kubernetes_validate.utils, name)))
COMPONENT = "kubernetes/components/prometheus-operator"


@cache
def tree_of(text: str = "") -> dict[str, str]:
    """The tree of a stack; the example's unless a stack is given as text"""
    return emitted(loads(text) if text else example(), of=OF_KUBERNETES)


def objects(overlay: str, text: str = "") -> list[dict]:
    """What an overlay holds"""
    return built(tree_of(text), f"kubernetes/overlays/{overlay}")


def guide(name: str) -> str:
    """The first stack of a guide"""
    page = (HERE.parent / "docs" / "guide" / f"{name}.md").read_text(encoding="utf-8")
    block = re.search(r"^\$ cat > \S+\.yaml <<'END'\n((?:> .*\n)*?)> END$", page, re.M)
    return "".join(line.removeprefix("> ") + "\n" for line in block[1].splitlines())


FIVE = {"example": "", "saas": guide("saas"), "static-site": guide("static-site"), "gpu": guide("gpu"), "door": DOOR,
        **{name: dump(each) for name, each in STACKS.items()}}


# What Kustomize makes of it

def kustomized(folder: Path) -> list[dict]:
    """What the real program prints"""
    ended = subprocess.run([program("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return parsed(ended.stdout)


def by_key(several: list[dict]) -> dict:
    """Objects by kind and name"""
    found = {(each["kind"], each["metadata"]["name"]): each for each in several}
    assert len(found) == len(several), "two objects have one name"
    return found


@KUBECTL
@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", ["example", "saas"])
def test_kubectl_builds_what_the_tests_build(name, overlay, tmp_path):
    """`kubectl kustomize` prints the objects that all other tests look at"""
    put(tmp_path, tree_of(FIVE[name]))
    real = by_key(without_hashes(kustomized(tmp_path / "kubernetes" / "overlays" / overlay)))
    assert real == by_key(objects(overlay, FIVE[name]))


@KUBECTL
def test_the_component_joins_an_overlay(tmp_path):
    """An overlay that takes in the component of the Prometheus operator is built too"""
    put(tmp_path, tree_of())
    with (tmp_path / "kubernetes/overlays/ha/kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write("components: [../../components/prometheus-operator]\n")
    kinds = {each["kind"] for each in kustomized(tmp_path / "kubernetes" / "overlays" / "ha")}
    assert {"ServiceMonitor", "PrometheusRule"} <= kinds


def put(folder: Path, tree: dict[str, str]) -> None:
    """Write a tree"""
    for path, text in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def test_the_command_writes_it(tmp_path, capsys):
    """`emit --architecture kubernetes` writes a tree that says what it leaves out; `--scenario` is refused, since all three are used"""  # noqa: E501
    (tmp_path / "stack.yaml").write_text(FIVE["door"], encoding="utf-8")
    words = ["emit", "--architecture", "kubernetes", str(tmp_path / "tree"), "--stack", str(tmp_path / "stack.yaml")]
    assert main(words) == 0 and main([*words, "--diff"]) == 0
    assert (tmp_path / "tree/kubernetes/base/ingress.yaml").exists()
    assert main([*words, "--scenario", "high"]) == 2
    assert "leave --scenario out" in capsys.readouterr().err
    assert "**node-exporter** is left out" in tree_of()["README.md"] and "left out" not in tree_of(FIVE["door"])["README.md"]  # noqa: E501


@pytest.mark.parametrize("name", sorted(FIVE))
def test_the_readme_names_every_folder(name):
    """What is where, how many files there are, and no word that was not filled in"""
    tree = tree_of(FIVE[name])
    page = tree["README.md"]
    assert all(f"`{path.partition('/')[0]}/`" in page for path in tree if "/" in path)
    assert f"{len(tree)} files" in page and "{{" not in page and "## Where to start" in page


# What an API server would say

def broken_schema(each: dict, version: str) -> str:
    """What is wrong with an object in the eyes of one version's strict schema, or of its operator's definition"""
    key = f"{each['apiVersion']}/{each['kind']}"
    if key in KINDS:
        return "; ".join(error.message for error in jsonschema.Draft202012Validator(KINDS[key]).iter_errors(each))
    try:
        kubernetes_validate.validate(each, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_what_its_schema_says(version):
    """Strict schemas of four versions of Kubernetes, and those of External Secrets, CloudNativePG and the Prometheus operator"""  # noqa: E501
    several = [*objects("ha"), *built(tree_of(), COMPONENT)]
    broken = {f"{each['kind']} {each['metadata']['name']}": why for each in several if (why := broken_schema(each, version))}  # noqa: E501
    assert not broken
    assert {each["kind"] for each in several} >= {"Deployment", "StatefulSet", "Job", "Cluster", "ScheduledBackup", "ExternalSecret", "SecretStore", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "PersistentVolumeClaim"}  # noqa: E501


@pytest.mark.parametrize("change", [
    lambda each: each["spec"].update(replica=1), lambda each: each["spec"].update(replicas="two"),
    lambda each: each["spec"]["template"]["spec"]["containers"][0].update(resource={})])
def test_a_slip_is_noticed(change):
    """A key that does not exist and a value of another type are not passed over"""
    each = next(one for one in built(tree_of(), "kubernetes/base") if one["kind"] == "Deployment")
    change(each)
    assert broken_schema(each, "1.37")


def unrestricted(each: Pod) -> list[str]:
    """What the restricted Pod Security Standard would refuse in a pod"""
    spec, security = each.spec, each.spec.get("securityContext", {})
    bad = [key for key in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers") if spec.get(key)]  # noqa: E501
    bad += [] if security.get("runAsNonRoot") is True and security.get("runAsUser") != 0 else ["runs as root"]
    bad += [] if security.get("seccompProfile", {}).get("type") == "RuntimeDefault" else ["seccomp"]
    bad += [one["name"] for one in security.get("sysctls", ()) if one["name"] != "net.ipv4.ip_unprivileged_port_start"]
    allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected", "csi", "downwardAPI"}
    bad += [one["name"] for one in spec.get("volumes", ()) if not (set(one) - {"name"}) <= allowed]
    for one in spec["containers"]:
        own = one["securityContext"]
        bad += [] if own["allowPrivilegeEscalation"] is False and own["capabilities"]["drop"] == ["ALL"] else [one["name"]]  # noqa: E501
        bad += [] if set(own["capabilities"].get("add", ())) <= {"NET_BIND_SERVICE"} else [one["name"]]
        bad += [one["name"]] if own.get("privileged") or any(port.get("hostPort") for port in one.get("ports", ())) else []  # noqa: E501
    return bad


# What it means: any stack

def missing(cluster: Cluster) -> list[str]:
    """References that lead nowhere"""
    configs = {each["metadata"]["name"]: each["data"] for each in cluster.by_kind.get("ConfigMap", ())}
    secrets = {each["spec"]["target"]["name"]: each["spec"]["target"]["template"]["data"] for each in cluster.by_kind.get("ExternalSecret", ())}  # noqa: E501
    lost = []
    for pod in (each for each in cluster.pods if each.kind != "Cluster"):
        volumes = {each["name"]: each for each in pod.spec.get("volumes", ())}
        for mount in (one for each in pod.spec["containers"] for one in each.get("volumeMounts", ())):
            if mount["name"] not in volumes and mount["name"] not in pod.claims:
                lost.append(f"{pod.owner}: volume {mount['name']}")
        for volume in volumes.values():
            claim, secret, config = (volume.get(key) for key in ("persistentVolumeClaim", "secret", "configMap"))
            if claim and claim["claimName"] not in cluster.names("PersistentVolumeClaim"):
                lost.append(f"{pod.owner}: claim {claim['claimName']}")
            if secret and secret["secretName"] not in secrets:
                lost.append(f"{pod.owner}: secret {secret['secretName']}")
            for item in config["items"] if config else ():
                if item["key"] not in configs.get(config["name"], {}):
                    lost.append(f"{pod.owner}: file {item['key']}")
        if pod.spec["serviceAccountName"] not in cluster.names("ServiceAccount"):
            lost.append(f"{pod.owner}: account")
    return lost + missing_names(cluster, secrets)


def missing_names(cluster: Cluster, secrets: dict) -> list[str]:
    """Names of services, selectors and workloads that lead nowhere"""
    lost = []
    for each in cluster.by_kind.get("Service", ()):
        chosen = [pod for pod in cluster.pods if matches({"matchLabels": each["spec"]["selector"]}, pod.labels)]
        open_ports = {one["containerPort"] for pod in chosen for box in pod.spec["containers"] for one in box.get("ports", ())}  # noqa: E501
        lost += [f"Service {each['metadata']['name']}: {one['port']}" for one in each["spec"]["ports"] if one["targetPort"] not in open_ports]  # noqa: E501
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for each in cluster.by_kind.get(kind, ()):
            selector = each["spec"]["selector" if kind == "PodDisruptionBudget" else "podSelector"]
            if not any(matches(selector, pod.labels) for pod in cluster.pods):
                lost.append(f"{kind} {each['metadata']['name']}")
    for each in cluster.by_kind.get("HorizontalPodAutoscaler", ()):
        if each["spec"]["scaleTargetRef"]["name"] not in cluster.names("Deployment"):
            lost.append(f"HPA {each['metadata']['name']}")
    for each in cluster.by_kind.get("Ingress", ()):
        ports = {(one["metadata"]["name"], port["port"]) for one in cluster.by_kind["Service"] for port in one["spec"]["ports"]}  # noqa: E501
        lost += [f"Ingress: {path}" for rule in each["spec"]["rules"] for path in rule["http"]["paths"]
                 if (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["number"]) not in ports]
    for each in cluster.by_kind.get("Cluster", ()):
        wanted = [each["spec"]["bootstrap"]["initdb"].get("secret", {}).get("name"), *(one["passwordSecret"]["name"] for one in each["spec"].get("managed", {}).get("roles", ()))]  # noqa: E501
        lost += [f"Cluster: secret {name}" for name in wanted if name and not {"username", "password"} <= set(secrets.get(name, ()))]  # noqa: E501
    for each in cluster.by_kind.get("ExternalSecret", ()):
        lost += [] if each["spec"]["secretStoreRef"]["name"] in cluster.names("SecretStore") else [each["metadata"]["name"]]  # noqa: E501
        used = set(re.findall(r"\.(\w+)", " ".join(each["spec"]["target"]["template"]["data"].values())))
        lost += [f"ExternalSecret: {name}" for name in used ^ {one["secretKey"] for one in each["spec"]["data"]}]
    return lost


def differing_edges(stack: Stack, cluster: Cluster) -> list[str]:
    """Pairs of containers that reach each other in the compose file and not here, or here and not there"""
    here = adapted(stack)
    on = {each.name: set(each.service.networks) for each in containers(here.stack)}
    pods = [each for each in cluster.pods if not each.owner.endswith(" standby")]
    name = {pod: pod.labels.get("app.kubernetes.io/name", pod.owner) for pod in pods}
    assert sorted(name.values()) == sorted(on)
    port = 54321  # no rule names it: what may be called there may be called anywhere
    return [f"{name[one]} -> {name[other]}" for one, other in product(pods, pods)
            if cluster.allowed(one, other, port) != bool(on[name[one]] & on[name[other]])]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", sorted(FIVE))
def test_any_stack_holds_together(name, overlay):
    """Every reference leads somewhere, every pod keeps to the restricted profile, who may call whom is what the compose file says"""  # noqa: E501
    stack = loads(FIVE[name]) if FIVE[name] else example()
    cluster = Cluster(objects(overlay, FIVE[name]))
    assert not missing(cluster)
    assert not differing_edges(stack, cluster)
    assert not [bad for pod in cluster.pods if pod.kind != "Cluster" for bad in unrestricted(pod)]
    if overlay == "ha":
        assert not [why for each in cluster.objects if (why := broken_schema(each, "1.37"))]


@CHEAP
@given(strangers())
def test_strangers_hold_together(stack):
    """The same of stacks that nobody wrote"""
    tree = emitted(stack, of=OF_KUBERNETES)
    for overlay in OVERLAYS:
        cluster = Cluster(built(tree, f"kubernetes/overlays/{overlay}"))
        assert not missing(cluster) and not differing_edges(stack, cluster)


def test_a_broken_reference_is_noticed():
    """Without one claim, secret, file, label or rule the tests above fail"""
    whole = objects("ha")

    def cut(*keys, of, named):
        less = copy.deepcopy(next(each for each in whole if each["kind"] == of and each["metadata"]["name"] == named))
        at = less
        for key in keys[:-1]:
            at = at[key]
        del at[keys[-1]]
        return Cluster([less if (each["kind"], each["metadata"]["name"]) == (of, named) else each for each in whole])

    def gone(kind, named):
        return Cluster([each for each in whole if (each["kind"], each["metadata"]["name"]) != (kind, named)])

    assert missing(gone("PersistentVolumeClaim", "logs-data"))
    assert missing(gone("ExternalSecret", "minio-secrets"))
    assert missing(gone("ExternalSecret", "postgresql-owner"))
    assert missing(gone("ServiceAccount", "grafana"))
    assert missing(cut("data", "Caddyfile", of="ConfigMap", named="caddy-configuration"))
    assert missing(cut("spec", "template", "metadata", "labels", "app.kubernetes.io/name", of="Deployment", named="caddy"))  # noqa: E501
    assert differing_edges(example(), gone("NetworkPolicy", "network-obs"))
    assert differing_edges(example(), gone("NetworkPolicy", "nobody")) == []  # each pod is on a network
    assert differing_edges(example(), cut("spec", "template", "metadata", "labels", "compose-network/data", of="Deployment", named="fastapi-app"))  # noqa: E501


# Equal to the compose file

def test_a_container_is_the_compose_files_container():
    """Image, arguments, environment, secrets, volumes, limits and user of every container (X25)"""
    compose = yaml.safe_load(emitted(example(), ["compose"])["compose/compose.yaml"])["services"]
    plain = json.loads(json.dumps(compose).replace("$$", "$"))
    for pod in (each for each in Cluster(objects("single")).pods if each.kind != "Cluster"):
        box, name = pod.spec["containers"][0], pod.spec["containers"][0]["name"]
        theirs = compose[name if name in compose else f"{name}-blue"]
        assert box["image"] == theirs["image"] and box.get("args", []) == theirs.get("command", [])
        assert box.get("command", []) == theirs.get("entrypoint", [])
        variables = {each["name"]: each["value"] for each in box.get("env", ())}
        assert {**variables, "HOME": ""} == {**theirs.get("environment", {}), "HOME": ""}
        limits = box["resources"]["limits"]
        assert (limits["memory"], Decimal(limits["cpu"][:-1]) / 1000) == (theirs["mem_limit"].replace("m", "Mi"), Decimal(str(theirs["cpus"])))  # noqa: E501
        paths = {each["mountPath"] for each in box.get("volumeMounts", ())}
        data = {each.split(":")[1] if isinstance(each, str) else each["target"] for each in theirs.get("volumes", ())
                if isinstance(each, str) or not each["source"].startswith("/")}
        writable = {each.partition(":")[0] for each in theirs.get("tmpfs", ())}
        assert paths == data | writable | ({"/run/secrets"} if theirs.get("secrets") else set()), name
        if "user" in theirs and not theirs["user"].startswith("0"):
            assert str(pod.spec["securityContext"]["runAsUser"]) == theirs["user"].partition(":")[0]
    assert plain != compose  # there are doubled dollars, which Kubernetes reads as Compose does


def test_what_is_outside_and_what_is_not_of_the_compose_file():
    """Internal networks reach nothing outside; the operator, the metrics of the servers and the shipper are let through and no more"""  # noqa: E501
    cluster = Cluster(objects("ha"))
    pods = {pod.labels.get("app.kubernetes.io/name", pod.owner): pod for pod in cluster.pods}
    world = "93.184.216.34"
    assert cluster.allowed(pods["fastapi-app"], world, 443) and not cluster.allowed(pods["fastapi-app"], "169.254.169.254", 80)  # noqa: E501
    assert not cluster.allowed(pods["prometheus"], world, 443) and not cluster.allowed(pods["grafana"], world, 443)
    assert not cluster.allowed(pods["fastapi-app"], "10.1.2.3", 443)
    database, prometheus = pods["postgresql"], pods["prometheus"]
    assert cluster.allowed(prometheus, database, 9187) and not cluster.allowed(prometheus, database, 5432)
    assert cluster.allowed(database, world, 443) and not cluster.allowed(database, world, 25)
    assert cluster.allowed(database, pods["postgresql standby"], 5432)  # by its network: the stream of changes
    operator = Pod("operator", {}, {}, 1, "Deployment", namespace="cnpg-system")
    assert cluster.allowed(operator, database, 8000) and not cluster.allowed(operator, pods["minio"], 9000)
    assert cluster.allowed(pods["alloy"], "10.43.0.1", 443) and not cluster.allowed(pods["loki"], "10.43.0.1", 443)
    names = Pod("dns", {"k8s-app": "kube-dns"}, {}, 1, "Deployment", namespace="kube-system")
    assert all(cluster.allowed(pod, names, 53) for pod in cluster.pods)
    assert not cluster.allowed("203.0.113.9", pods["caddy"], 8080)  # only the tunnel leads there


def test_without_a_tunnel_an_ingress_leads_to_the_edge():
    """Both doors of the edge, by host name, and nobody else is called from outside"""
    text = example().model_dump(exclude_unset=True) | {"host": {"edge": "direct"}}
    several = objects("ha", dump(Stack.model_validate(text)))
    cluster, (ingress,) = Cluster(several), [each for each in several if each["kind"] == "Ingress"]
    places = {rule["host"]: rule["http"]["paths"][0]["backend"]["service"] for rule in ingress["spec"]["rules"]}
    assert places == {"app.example.com": {"name": "caddy", "port": {"number": 8080}}, "admin.app.example.com": {"name": "caddy", "port": {"number": 8081}}}  # noqa: E501
    assert "cloudflared" not in cluster.names("Deployment")
    trusted = re.findall(r"client_ip_headers (.+)", next(each["data"]["Caddyfile"] for each in several if each["metadata"]["name"] == "caddy-configuration"))  # noqa: E501
    assert set(trusted) == {"X-Forwarded-For"}  # Cloudflare's header would be the caller's own word
    open_to_all = [pod.owner for pod in cluster.pods if cluster.allowed("203.0.113.9", pod, 8080)]
    assert open_to_all == ["caddy"]
    assert not missing(cluster)


def test_the_roles_of_a_database_that_nobody_names():
    """The SaaS of the guide has its database and owner in the variables of the image; its edge keeps no certificates and runs twice"""  # noqa: E501
    several = objects("ha", FIVE["saas"])
    begins = next(each for each in several if each["kind"] == "Cluster")["spec"]
    stack = loads(FIVE["saas"])
    service = next(iter(stack.with_role("database").values()))
    owner = service.environment.get("POSTGRES_USER", "postgres")
    assert begins["bootstrap"]["initdb"].get("owner") == owner or begins["enableSuperuserAccess"]
    edge = next(each for each in several if each["kind"] == "Deployment" and each["metadata"]["name"] == "caddy")
    assert edge["spec"]["replicas"] == 2


# Programs that read their files

def test_the_edge_reads_its_file(tmp_path):
    """Caddy takes the Caddyfile of the cluster"""
    folder = tmp_path / "caddy"
    folder.mkdir()
    for name in ("Caddyfile", "upstreams.caddy"):
        (folder / name).write_text(tree_of()[f"kubernetes/base/configuration/caddy/{name}"], encoding="utf-8")
    (folder / "hash").write_text("$2a$14$x", encoding="utf-8")
    ended = subprocess.run([program("caddy"), "adapt", "--config", "Caddyfile"], cwd=folder, capture_output=True, text=True)  # noqa: E501
    assert ended.returncode == 0, ended.stderr
    assert "fastapi-app:8000" in ended.stdout and "blue" not in ended.stdout


@needs("promtool")
def test_prometheus_reads_its_files(tmp_path):
    """Configuration, rules and the rules' own tests; the operator's rules are the same ones"""
    for path, text in tree_of().items():
        if path.startswith(("prometheus/", "kubernetes/base/configuration/prometheus/")):
            place = tmp_path / path.removeprefix("kubernetes/base/configuration/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    promtool, folder = program("promtool"), tmp_path / "prometheus"
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "tests/database.test.yml", "tests/meta.test.yml"]):  # noqa: E501
        ended = subprocess.run([promtool, *words], cwd=folder, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    rules = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (folder / "rules").glob("*.yml")}
    objects_ = {each["metadata"]["name"]: each["spec"] for each in built(tree_of(), COMPONENT) if each["kind"] == "PrometheusRule"}  # noqa: E501
    assert objects_ == rules and "slo-availability" in rules


def test_monitors_ask_what_prometheus_asks():
    """The operator's monitors find one service each, with a port of that name, and the jobs have the same names"""
    cluster, jobs = Cluster(objects("ha")), yaml.safe_load(tree_of()["kubernetes/base/configuration/prometheus/prometheus.yml"])["scrape_configs"]  # noqa: E501
    asked = set()
    for each in (one for one in built(tree_of(), COMPONENT) if one["kind"] == "ServiceMonitor"):
        (service,) = [one for one in cluster.by_kind["Service"] if matches(each["spec"]["selector"], one["metadata"]["labels"])]  # noqa: E501
        assert each["spec"]["endpoints"][0]["port"] in {one["name"] for one in service["spec"]["ports"]}
        asked.add(service["metadata"]["labels"]["app.kubernetes.io/name"])
    assert asked == {each["job_name"] for each in jobs if not each["job_name"].startswith("probe-")} - {"cloudflared"}


# Scheduling, simulated: no API server is in the registries that this project reaches
# (docs/guide/when-one-host-is-not-enough.md)

CORES = re.compile(r"(\d+)m")


def requested(pod: Pod) -> tuple[int, int]:
    """What a scheduler keeps for a pod: thousandths of a CPU, MiB"""
    each = pod.spec["containers"][0]["resources"]["requests"]
    return int(CORES.fullmatch(each["cpu"])[1]), int(each["memory"].removesuffix("Mi"))


def placed(pods: list[Pod], nodes: dict[str, str], room: tuple[int, int]) -> dict[str, list[str]]:
    """Owners of pods by node, as a scheduler that takes the largest first would place them: spread over zones where that is asked for. Raises where one does not fit"""  # noqa: E501
    left, found = {node: list(room) for node in nodes}, {node: [] for node in nodes}
    for pod in sorted((pod for pod in pods for _ in range(pod.count)), key=lambda pod: requested(pod)[1], reverse=True):
        spread = [each for each in pod.spec.get("topologySpreadConstraints", ()) if each["whenUnsatisfiable"] == "DoNotSchedule"]  # noqa: E501
        here = {zone: sum(found[node].count(pod.owner) for node in nodes if nodes[node] == zone) for zone in nodes.values()}  # noqa: E501
        fits = [node for node in nodes if all(a >= b for a, b in zip(left[node], requested(pod), strict=True))
                and (not spread or here[nodes[node]] + 1 - min(here.values()) <= spread[0]["maxSkew"])]
        assert fits, f"{pod.owner} waits for ever"
        node = min(fits, key=lambda node: (found[node].count(pod.owner), here[nodes[node]], -left[node][1]))
        left[node] = [a - b for a, b in zip(left[node], requested(pod), strict=True)]
        found[node].append(pod.owner)
    return found


def rooms(kind: str) -> tuple[int, int]:
    """What a node of EKS has for pods after those of the system"""
    each = instance_type(kind)
    return int(allocatable_cores(each) * 1000) - 250, int(allocatable_mib(each)) - 140


def test_the_nodes_of_the_bill_hold_the_pods():
    """`single` on the nodes that EKS with open source is billed with, pod by pod as the scheduler would"""
    plan = architecture("eks-open-source", example(), bundled())
    (count, kind), = plan.groups
    nodes = {f"node-{i}": f"zone-{i % 2}" for i in range(count)}
    pods = [pod for pod in Cluster(objects("single")).pods if pod.kind != "Job"]
    assert sum(map(len, placed(pods, nodes, rooms(kind)).values())) == sum(pod.count for pod in pods)


@pytest.mark.parametrize("zones", [2, 3])
def test_a_zone_can_be_lost(zones):
    """With high availability what runs twice, and the database, is in two zones at least; one zone fewer leaves one of each"""  # noqa: E501
    nodes = {f"node-{i}": f"zone-{i % zones}" for i in range(2 * zones)}
    pods = [pod for pod in Cluster(objects("ha")).pods if pod.kind != "Job"]
    for pod in list(pods):  # an autoscaler sets its least number
        if "replicas" not in next(each for each in objects("ha") if each["metadata"]["name"] == pod.owner.removesuffix(" standby") and each["kind"] == pod.kind)["spec"] and pod.kind == "Deployment":  # noqa: E501
            pods[pods.index(pod)] = replace(pod, count=2)
    where = placed(pods, nodes, rooms("t3.medium"))
    for lost in set(nodes.values()):
        stays = {owner.removesuffix(" standby") for node, owners in where.items() if nodes[node] != lost for owner in owners}  # noqa: E501
        assert {"caddy", "fastapi-app", "cloudflared", "postgresql"} <= stays


def test_a_drain_never_takes_the_last_one():
    """Every budget leaves one pod, and lets one go: neither an outage nor a drain that waits for ever"""
    cluster = Cluster(objects("ha"))
    least = {each["spec"]["scaleTargetRef"]["name"]: each["spec"]["minReplicas"] for each in cluster.by_kind["HorizontalPodAutoscaler"]}  # noqa: E501
    counts = {pod.owner: least.get(pod.owner, pod.count) for pod in cluster.pods}
    for each in cluster.by_kind["PodDisruptionBudget"]:
        name = each["metadata"]["name"]
        assert counts[name] - each["spec"]["maxUnavailable"] >= 1 and each["spec"]["maxUnavailable"] >= 1
    assert cluster.names("PodDisruptionBudget") == {name for name, count in counts.items() if count > 1 and "standby" not in name}  # noqa: E501
    assert "PodDisruptionBudget" not in Cluster(objects("single")).by_kind


def test_the_scaler_follows_usage():
    """High usage of CPU is 3.3 times the typical one, so two pods may become seven; as much as is typical, and there is no scaler"""  # noqa: E501
    (scaler,) = [each for each in objects("ha") if each["kind"] == "HorizontalPodAutoscaler"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 7)
    content = example().model_dump(exclude_unset=True)
    content["usage"] |= {"cpu_cores": 1, "requests": 1000}
    flat = objects("ha", dump(Stack.model_validate(content)))
    assert not [each for each in flat if each["kind"] == "HorizontalPodAutoscaler"]


# What cannot be

@pytest.mark.parametrize(("text", "said"), [
    ("name: shop-\nservices: {a: {image: 'a:1', memory: 64Mi}}\n", "cannot name a namespace"),
    ("name: shop\nservices: {a-: {image: 'a:1', memory: 64Mi}}\n", "cannot name an object of Kubernetes"),
    ("name: shop\nservices: {a: {image: 'a', memory: 64Mi}}\n", "names no fixed version")])
def test_what_cannot_be_is_said(text, said):
    """With its place and remedy"""
    with pytest.raises(PretamaneError, match=said) as caught:
        tree_of(text)
    assert caught.value.place and caught.value.remedy


# `check` reads it

def checked(tree: dict[str, str]) -> set[tuple[str, str]]:
    """Rule and file of each finding"""
    return {(each.rule, each.file) for each in check(Tree(tree, AS_OF))}


@pytest.mark.parametrize("name", sorted(FIVE))
def test_what_is_emitted_has_no_finding(name):
    """Of any stack, but that an edge without a port for metrics cannot be measured, on the host neither"""
    found_ = {each for each in checked(tree_of(FIVE[name])) if each[1].startswith(("kubernetes/", "prometheus/"))}
    assert {rule for rule, _ in found_} <= ({"E14"} if name != "example" else set())


SERVICE = "kubernetes/base/service-"


@pytest.mark.parametrize(("rule", "path", "old", "new"), [
    ("K01", SERVICE + "minio.yaml", "  selector:\n    app.kubernetes.io/name: minio", "  selector:\n    app.kubernetes.io/name: silo"),  # noqa: E501
    ("K02", SERVICE + "minio.yaml", "    matchLabels:\n      app.kubernetes.io/name: minio", "    matchLabels:\n      app.kubernetes.io/name: silo"),  # noqa: E501
    ("K03", SERVICE + "minio.yaml", "targetPort: 9001", "targetPort: 9002"),
    ("K05", SERVICE + "caddy.yaml", "name: caddy-configuration", "name: caddy-configuratoin"),
    ("K05", SERVICE + "caddy.yaml", "- key: Caddyfile", "- key: caddyfile"),
    ("K05", SERVICE + "grafana.yaml", "secretName: grafana-secrets", "secretName: grafana-secret"),
    ("K06", SERVICE + "fastapi-app.yaml", "claimName: logs-data", "claimName: log-data"),
    ("K06", SERVICE + "loki.yaml", "- name: loki-data\n              mountPath", "- name: loki\n              mountPath"),  # noqa: E501
    ("K08", "kubernetes/overlays/ha/availability.yaml", "kind: Deployment\n    name: fastapi-app", "kind: Deployment\n    name: app"),  # noqa: E501
    ("K09", "kubernetes/base/kustomization.yaml", "- volumes.yaml", "- volume.yaml"),
    ("K10", SERVICE + "loki.yaml", "memory: 384Mi", "storage: 384Mi"),
    ("K11", SERVICE + "loki.yaml", "grafana/loki:3.7.6", "grafana/loki:latest"),
    ("K12", SERVICE + "loki.yaml", "allowPrivilegeEscalation: false", "privileged: true"),
])
def test_a_slip_in_the_tree_is_found(rule, path, old, new):
    """Each rule about manifests sees its own slip in the example's tree"""
    tree = tree_of()
    assert old in tree[path]
    assert (rule, path) in checked(tree | {path: tree[path].replace(old, new)})


@pytest.mark.parametrize("seed", range(2))
def test_rules_about_manifests_survive_any_shape(seed):
    """Whatever stands at some place of some object, no rule falls over"""
    chance, texts = random.Random(seed), {path: text for path, text in tree_of().items() if path.startswith("kubernetes/") and "/configuration/" not in path}  # noqa: E501
    for _ in range(6):
        changed_ = dict(texts)
        for path in chance.sample([each for each in texts if each.endswith(".yaml") and "checkov" not in each], 4):
            data = parsed(texts[path])
            for place in chance.sample([each for each in spots(data) if each], 3):
                node = data
                try:
                    for key in place[:-1]:
                        node = node[key]
                    node[place[-1]] = chance.choice(STRANGE)
                except (KeyError, IndexError, TypeError):
                    continue
            changed_[path] = yaml.safe_dump_all(data)
        fallen = [each for each in check(Tree(changed_, AS_OF)) if "could not be applied" in each.message]
        assert not fallen, fallen
