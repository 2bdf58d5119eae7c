"""Manifests become services and what of AWS they make; several inputs of one product become one stack."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from test_import_compose import ROLES, routes_of
from test_import_compose import stack_of as compose_stack

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture, bill_of
from pretamane_analysis.bill.nodes import work
from pretamane_analysis.bill.own_stack import CHECKS
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.cli.main import main
from pretamane_analysis.emit.tree import OF_KUBERNETES, emitted
from pretamane_analysis.intake.import_files import imported
from pretamane_analysis.intake.import_inputs import Input
from pretamane_analysis.intake.kubernetes_import import kubernetes_import
from pretamane_analysis.intake.priced_import import priced_text
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example, loads

pytestmark = pytest.mark.usefixtures("wide")

FOLDER = Path(__file__).parent / "imports"


def read(*paths, **options):
    """What comes of files or folders of the examples, and its stack"""
    found = imported([str(FOLDER / each) for each in paths], **options)
    text = priced_text(found, bundled())
    return found, loads(text, "stack.yaml", CHECKS), text


def made(text):
    """What comes of manifests"""
    return kubernetes_import(Input("all.yaml", text.encode()))


def test_a_list_of_kubectl_becomes_a_stack():
    """Sums of pods, autoscaler, claims, probes, routes; helpers of the cluster and hooks are left out"""
    found, stack, text = read("cluster")
    api, db = stack.services["api"], stack.services["db"]
    assert (api.memory, api.requests.memory, str(api.cpu), api.replicas) == ("309Mi", "192Mi", "0.6", 4)
    assert [each.path for each in api.routes] == ["/api"] and stack.domain == "shop.example.org"
    assert api.health_check.test[-1] == "http://127.0.0.1:8080/ready"
    assert {"database_url", "api_key", "stripe_token"} <= set(stack.secrets)
    assert (db.role, db.mounts[0].volume, stack.volume_gb("db-data", "typical")) == ("database", "db-data", 40)
    assert {each.what for each in found.left} >= {"DaemonSet ebs-csi-node", "Pod api-test", "1 x Widget"}
    assert "planted" not in text + json.dumps([each.row() for each in found.evidence])
    assert stack.services["report"].role == "job"


def workload(kind, name, image="me/x:1.0.0", memory="512Mi", **spec):
    """A workload of one container as JSON, which is YAML too"""
    return json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {**spec, "template": {
        "spec": {"containers": [{"name": "a", "image": image, "ports": [{"containerPort": 8080}],
                                 "resources": {"requests": {"memory": memory, "cpu": "500m"}}}]}}}})


def stack_of(*documents):
    """The stack of manifests"""
    found = made("\n---\n".join(documents))
    return found, loads(priced_text(found, bundled()), "stack.yaml", CHECKS)


@pytest.mark.parametrize(("kind", "spec"), [("HorizontalPodAutoscaler", {"minReplicas": 2, "maxReplicas": 18}),
                                            ("ScaledObject", {"minReplicaCount": 0, "maxReplicaCount": 36})])
def test_an_autoscaler_is_low_typical_and_high(kind, spec):
    """Each scenario has its own number of pods, and the nodes for them; one of its own line says what was guessed"""
    found, stack = stack_of(workload("Deployment", "api"), json.dumps(
        {"apiVersion": "autoscaling/v2", "kind": kind, "metadata": {"name": "h"},
         "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api"}, **spec}}))
    scale = stack.services["api"].autoscale
    most = max(spec.values())
    assert (int(scale.low), int(scale.typical), int(scale.high)) == (max(1, min(spec.values())), 6, most)
    machines = [architecture("eks", stack, bundled(), each).capacity.memory_mib for each in ("low", "typical", "high")]
    hosts = [architecture("ec2", stack, bundled(), each).capacity.memory_mib for each in ("low", "typical", "high")]
    assert machines[0] < machines[2] and hosts[0] < hosts[2]
    assert {each.how for each in found.evidence if each.field == "services.api.replicas"} == {"guessed"}


def test_a_daemon_runs_on_every_node():
    """Three nodes carry three of it, a host one"""
    _, stack = stack_of(workload("Deployment", "api", replicas=8, memory="2Gi"), workload("DaemonSet", "agent"))
    assert stack.services["agent"].per_node and stack.services["agent"].on_one_host == 1
    held = work(stack, list(stack.services))
    assert [each.mib for each in held.daemons if each.mib] == [512]


def test_what_runs_on_every_node_is_paid_on_every_node():
    """A daemon takes its room on each node, a copy of the same size on one"""
    others = [workload("Deployment", f"api-{number}", memory="3Gi") for number in range(6)]
    memory = {}
    for kind in ("Deployment", "DaemonSet"):
        stack = stack_of(*others, workload(kind, "agent", memory="1500Mi"))[1]
        memory[kind] = architecture("eks", stack, bundled()).capacity.memory_mib
        assert architecture("ec2", stack, bundled()).capacity.memory_mib > 6 * 3072
    assert memory["DaemonSet"] > memory["Deployment"]


def test_helpers_load_the_nodes_and_vanish_on_the_host():
    """A controller of the cluster is no service: it takes room on nodes only"""
    plain = stack_of(workload("Deployment", "api"))[1]
    found, stack = stack_of(workload("Deployment", "api"), workload(
        "Deployment", "dns-names", "registry.k8s.io/external-dns/external-dns:v0.19.0", memory="6Gi"))
    assert set(stack.services) == {"caddy", "api"} and stack.eks.helpers["dns-names"].memory == "6144Mi"
    assert any(each.what == "Deployment dns-names" for each in found.left)
    eks, host = ([architecture(side, each, bundled()).capacity.memory_mib for each in (plain, stack)]
                 for side in ("eks", "ec2"))
    assert eks[0] < eks[1] and host[0] == host[1]


def test_what_of_aws_manifests_make_is_a_line_each():
    """One balancer for a group, a disk for each replica, a file system whose size does not count"""
    found, stack, _ = read("cluster")
    kinds = {(each.fields["kind"], each.fields.get("count"), each.fields.get("gb")) for each in found.cloud}
    assert kinds == {("LoadBalancer", None, None), ("FileSystem", None, None), ("Volume", 2, 40)}
    assert len(found.cloud) == 3
    assert all("manifests.yaml:" in each.source for each in found.cloud)
    assert bill_of(architecture("as-is", stack, bundled()), stack, bundled()).total > 20


def test_both_sides_are_priced_and_emitted():
    """The stack of a cluster has a host's tree"""
    _, stack, _ = read("cluster")
    for side in ("eks", "ec2"):
        assert bill_of(architecture(side, stack, bundled()), stack, bundled()).total > 0
    assert "compose/compose.yaml" in emitted(stack)


@pytest.mark.parametrize(("api", "kind", "spec", "role", "replicas", "gb"), [
    ("postgresql.cnpg.io/v1", "Cluster", "{instances: 3, storage: {size: 20Gi}}", "database", 3, 20),
    ("kafka.strimzi.io/v1beta2", "Kafka", "{kafka: {replicas: 3, storage: {size: 100Gi}}}", "stream", 3, 100),
    ("rabbitmq.com/v1beta1", "RabbitmqCluster", "{replicas: 3, persistence: {storage: 10Gi}}", "queue", 3, 10),
    ("elasticsearch.k8s.elastic.co/v1", "Elasticsearch", "{nodeSets: [{count: 2, volumeClaimTemplates: [{spec: "
     "{resources: {requests: {storage: 30Gi}}}}]}]}", "search", 2, 30),
])
def test_operators_kinds_are_services(api, kind, spec, role, replicas, gb):
    """Replicas, storage and role of what an operator makes"""
    found = made(f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: it}}\nspec: {spec}\n")
    assert (found.services["it"]["role"], found.services["it"]["replicas"]) == (role, replicas)
    assert found.cloud[0].fields["gb"] == gb


def test_resources_of_aws_in_yaml_are_priced():
    """ACK and Crossplane spell them in their own ways"""
    found = made("apiVersion: rds.aws.upbound.io/v1beta1\nkind: Instance\nmetadata: {name: db}\nspec: {forProvider: "
                 "{instanceClass: db.t3.micro, engine: postgres, allocatedStorage: 20, region: eu-west-1}}\n"
                 "---\napiVersion: sqs.services.k8s.aws/v1alpha1\nkind: Queue\nmetadata: {name: q}\nspec: {}\n")
    assert [each.fields["kind"] for each in found.cloud] == ["DbInstance", "Queue"]


def test_a_web_server_behind_an_ingress_is_no_edge():
    """NGINX that an Ingress leads to is the application; one that nothing leads to is an edge"""
    def server(name):
        return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: a, image: "nginx:1.29.1"}}]}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}-service}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}
---"""
    found = made(server("pages") + server("door") + """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec: {rules: [{http: {paths: [{path: /, backend: {service: {name: pages-service, port: {number: 80}}}}]}}]}
""")
    assert found.services["pages"]["role"] == "application" and "door" not in found.services
    assert [each.what for each in found.left] == ["Deployment door"]


def test_variables_in_images_stand_under_their_names():
    """Files that `envsubst` or a pipeline fills in later"""
    found = made(workload("Deployment", "web", "eu.gcr.io/$PROJECT_ID/web:${TAG:-1.4.0}"))
    assert found.services["web"]["image"] == "eu.gcr.io/project_id/web:1.4.0"


def test_pools_of_nodes_are_the_cluster():
    """A Kafka whose nodes stand in pools is not counted a second time"""
    pool = ("apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaNodePool\nmetadata: {name: %s, labels: "
            "{strimzi.io/cluster: main}}\nspec: {replicas: %d, storage: {volumes: [{size: 10Gi}]}}\n---\n")
    found = made(pool % ("brokers", 3) + pool % ("controllers", 1) + "apiVersion: kafka.strimzi.io/v1beta2\n"
                 "kind: Kafka\nmetadata: {name: main}\nspec: {kafka: {version: 4.0.0}}\n")
    assert {name: each.get("replicas", 1) for name, each in found.services.items()} == {"brokers": 3, "controllers": 1}
    assert found.left[0].what == "Kafka main"


def test_minio_is_replaced_as_in_compose():
    """The same data, read by silo"""
    found, stack = stack_of(json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "objects"},
                                        "spec": {"template": {"spec": {"containers": [{
                                            "name": "a", "image": "minio/minio:RELEASE.2025-04-22T22-12-26Z",
                                            "resources": {"limits": {"memory": "1Gi"}},
                                            "volumeMounts": [{"name": "data", "mountPath": "/export"}]}]}},
                                            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                                                "resources": {"requests": {"storage": "9Gi"}}}}]}}),
                            workload("Deployment", "api"))
    objects = stack.services["objects"]
    assert (objects.role, objects.memory, objects.mounts[0].path) == ("object-store", "1024Mi", "/data")
    assert objects.image.startswith("pgsty/silo:") and any("minio" in each.lost for each in found.evidence)


def test_upper_folders_count_before_variants_below(tmp_path):
    """local/ beside the files holds another one of the same name"""
    (tmp_path / "local").mkdir()
    for folder, copies in ((tmp_path, 3), (tmp_path / "local", 1)):
        (folder / "web.yaml").write_text(workload("Deployment", "web", replicas=copies))
    found = imported([str(tmp_path)])
    assert found.services["web"]["replicas"] == 3
    assert "local" in found.left[0].what and "local" not in found.left[0].reason


def test_charts_below_a_folder(tmp_path):
    """Templates of a chart are no manifests: beside manifests the chart is passed over, alone it is rendered"""
    pytest.importorskip("helm_python", reason="needs helm-python-sdk: run `make test`, whose environment has it")
    (tmp_path / "chart" / "templates").mkdir(parents=True)
    (tmp_path / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    (tmp_path / "chart" / "templates" / "a.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\nspec: {containers: [{image: me/a:1.0}]}\n")
    assert list(imported([str(tmp_path)]).services) == ["shop"]
    (tmp_path / "web.yaml").write_text(workload("Deployment", "web"))
    assert list(imported([str(tmp_path)]).services) == ["web"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="allowed: kubectl is not installed")
@pytest.mark.parametrize("name", [*ROLES, ""])
def test_the_manifests_that_we_emitted_are_read_back(name, tmp_path):
    """Name, host name, services, sizes, copies, disks, jobs and the edge's routes come back from a cluster's tree; an
    operator runs the database there, and what watches a machine has none"""
    before = compose_stack(name)[0] if name else example()
    for path, text in emitted(before, of=OF_KUBERNETES).items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text(text)
    after = loads(priced_text(imported([str(tmp_path / "kubernetes" / "base")]), bundled()), "stack.yaml", CHECKS)
    assert (after.name, after.domain) == (before.name, before.domain)
    kept = {name: each for name, each in before.services.items() if each.role != "host-metrics"}
    assert set(after.services) == set(kept)
    for service, was in kept.items():
        now = after.services[service]
        for field in ("memory_mib", "cpu_cores", "replicas", "jobs", "gpus"):
            assert getattr(now, field) == getattr(was, field), (service, field)
        assert now.role == was.role or {now.role, was.role} == {"cache", "queue"} or was.role == "job", service
        assert routes_of(now) == routes_of(was) or was.role == "edge", service
        if "cloudnative-pg" not in now.image:
            assert now.image == was.image and (now.mounts == was.mounts or was.role in ("edge", "job"))


def test_the_class_of_a_claim_says_what_its_disk_is():
    """The default class counts where a claim names none; one that is not there is guessed, and that is said"""
    claim = ("---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {}}}\n"
             "spec: {{{}resources: {{requests: {{storage: 100Gi}}}}}}\n").format
    default = ("apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: quick, annotations: "
               "{storageclass.kubernetes.io/is-default-class: 'true'}}\nprovisioner: ebs.csi.aws.com\n"
               "parameters: {type: io2, iopsPerGB: '50'}\n")
    rows = ("---\napiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: rows}\n"
            "spec: {instances: 2, storage: {size: 10Gi, storageClass: quick}}\n")
    found = made(default + claim("own", "") + claim("other", "storageClassName: slow, ") + rows)
    disks = {each.source.partition(" ")[0]: each for each in found.cloud}
    assert disks["PersistentVolumeClaim/own"].fields == {"kind": "Volume", "volume_type": "io2", "gb": 100,
                                                         "iops": 5000}
    assert disks["Cluster/rows"].fields | {"iops": 500, "count": 2} == disks["Cluster/rows"].fields
    assert disks["PersistentVolumeClaim/other"].fields["volume_type"] == "gp3"
    assert [(each.field, each.value) for each in found.evidence if "class 'slow'" in each.source] == [
        ("as_is.features.disks", "gp3")]


def test_what_every_node_runs_stays_so(tmp_path):
    """A DaemonSet of somebody becomes a service of every node, that is emitted as a DaemonSet and read back"""
    _, stack = stack_of(workload("DaemonSet", "agent", memory="64Mi"), workload("Deployment", "api"))
    tree = emitted(stack, of=OF_KUBERNETES)
    assert "| agent | DaemonSet | every node | every node |" in tree["README.md"]
    for path, text in tree.items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text(text)
    assert [each["kind"] for each in yaml.safe_load_all(tree["kubernetes/base/service-agent.yaml"])
            if "template" in each.get("spec", {})] == ["DaemonSet"]
    services = sorted(map(str, tmp_path.glob("kubernetes/base/service-*.yaml")))
    after = loads(priced_text(imported(services), bundled()), "stack.yaml", CHECKS)
    assert [name for name, each in after.services.items() if each.per_node] == ["agent"]
    assert not [each for each in check(Tree(tree, as_of=stack.day())) if each.severity == "error"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="allowed: kubectl is not installed")
def test_a_kustomization_is_rendered(tmp_path, capsys):
    """A folder with a kustomization counts as that, not as its files; one that fails is told"""
    (tmp_path / "web.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: "
                                       "{spec: {containers: [{name: web, image: 'me/web:1.0.0'}]}}}\n")
    (tmp_path / "kustomization.yaml").write_text("resources: [web.yaml]\nimages: [{name: me/web, newTag: 2.0.0}]\n")
    assert imported([str(tmp_path)]).services["web"]["image"] == "me/web:2.0.0"
    (tmp_path / "kustomization.yaml").write_text("resources: [none.yaml]\n")
    assert main(["import", str(tmp_path), "--out", str(tmp_path / "s.yaml")]) == 2
    assert "kubectl kustomize" in capsys.readouterr().err


def test_a_template_that_was_not_rendered_is_told(tmp_path, capsys):
    """Charts have braces where values come"""
    (tmp_path / "web.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: "
                                       "{spec: {containers: [{name: web, image: \"{{ .Values.image }}\"}]}}}\n")
    assert main(["import", str(tmp_path / "web.yaml"), "--out", str(tmp_path / "s.yaml")]) == 2
    assert "helm template" in capsys.readouterr().err


def test_three_inputs_of_one_product_are_one_stack():
    """Compose, rendered charts and a plan: no service twice, and what lost is told"""
    found, stack, text = read("store/compose.yaml", "store/rendered.yaml", "store/plan.json")
    assert set(stack.services) == {"caddy", "ui", "cart", "carts-db", "catalog", "catalog-db"}
    assert (stack.services["ui"].memory, stack.services["ui"].replicas, stack.region) == ("512Mi", 2, "us-west-2")
    assert stack.services["catalog"].memory == "128Mi"  # declared in compose, guessed in the manifests
    lost = {each.field: each.lost for each in found.evidence if each.lost}
    assert "services.ui.image" in lost and "services.catalog.memory" in lost
    assert {each.fields["kind"] for each in found.cloud} == {"EksCluster", "NodeGroup", "DbInstance", "Table",
                                                             "LoadBalancer"}
    assert "planted" not in text
    for side in ("as-is", "eks", "ec2"):
        assert bill_of(architecture(side, stack, bundled()), stack, bundled()).total > 0


def test_a_folder_with_all_three_is_the_same(tmp_path):
    """What each file is, its content tells"""
    assert set(read("store")[1].services) == set(read("store/compose.yaml", "store/rendered.yaml",
                                                      "store/plan.json")[1].services)


@pytest.mark.parametrize(("text", "said"), [
    ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "no workload"),
    ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a\n", "not YAML"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{image: 'A B'}]}\n", "no image"),
])
def test_bad_manifests_are_told(text, said):
    """With file and line"""
    with pytest.raises(PretamaneError, match=said) as error:
        made(text)
    assert "all.yaml:" in str(error.value)
