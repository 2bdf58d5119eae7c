"""Kustomize trees read into objects, and what the objects of a cluster say to each other.

`built` does what `kubectl kustomize` does with the few things that our trees use (a test holds both against each
other), so that tests of any stack need no program. `Cluster` answers what an API server and a network plugin would:
which pods a selector means, who may call whom, what a pod mounts.
"""
from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address, ip_network
from posixpath import join, normpath
from typing import Any

import yaml

Object = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _merge(into: Any, patch: Any) -> Any:
    """A strategic merge, of mappings and of whole lists; null takes a key away"""
    if not isinstance(patch, dict) or not isinstance(into, dict):
        return copy.deepcopy(patch)
    found = dict(into)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merge(found.get(key), value)
    return found


@cache
def _parsed(text: str) -> tuple[Object, ...]:
    return tuple(each for each in yaml.load_all(text, Loader=LOADER) if each)


def parsed(text: str) -> list[Object]:
    """Return the documents of a YAML text, each for its reader alone"""
    return copy.deepcopy(list(_parsed(text)))


def _key(each: Object) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def _renamed(node: Any, names: dict[str, str]) -> Any:
    """The data with ConfigMaps called by their whole names"""
    if isinstance(node, dict):
        if isinstance(node.get("configMap"), dict) and node["configMap"].get("name") in names:
            node["configMap"]["name"] = names[node["configMap"]["name"]]
        return {key: _renamed(value, names) for key, value in node.items()}
    return [_renamed(each, names) for each in node] if isinstance(node, list) else node


def built(tree: dict[str, str], folder: str) -> list[Object]:
    """Return the objects of a kustomization in a tree, without the hash in the names of ConfigMaps"""
    (rules,) = parsed(tree[f"{folder}/kustomization.yaml"])
    found: list[Object] = []
    for each in [*rules.get("resources", []), *rules.get("components", [])]:
        path = normpath(join(folder, each))
        found += built(tree, path) if f"{path}/kustomization.yaml" in tree else parsed(tree[path])
    for each in rules.get("configMapGenerator", []):
        data = {}
        for text in each["files"]:
            key, _, path = text.partition("=")
            data[key] = tree[normpath(join(folder, path))]
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                      "metadata": {"name": each["name"], "namespace": each["namespace"]}})
    for each in rules.get("patches", []):
        (patch,) = parsed(tree[normpath(join(folder, each["path"]))])
        at = next(i for i, one in enumerate(found) if _key(one) == _key(patch))
        found[at] = _merge(found[at], patch)
    return found


def without_hashes(objects: list[Object]) -> list[Object]:
    """Return what `kubectl kustomize` printed with ConfigMaps called as they are in the tree"""
    names = {each["metadata"]["name"]: each["metadata"]["name"].rpartition("-")[0]
             for each in objects if each["kind"] == "ConfigMap"}
    for each in objects:
        if each["kind"] == "ConfigMap":
            each["metadata"]["name"] = names[each["metadata"]["name"]]
    return [_renamed(each, names) for each in objects]


@dataclass(frozen=True)
class Pod:
    """A pod that a workload starts: what it is called, its labels, what it consists of, how many there are"""

    owner: str
    labels: dict[str, str]
    spec: Object
    count: int
    kind: str
    claims: tuple[str, ...] = ()  # that the workload makes for it
    namespace: str = ""

    def __hash__(self) -> int:
        """A pod is known by what makes it"""
        return int(hashlib.sha256(f"{self.kind}/{self.owner}".encode()).hexdigest()[:8], 16)


def _pods(each: Object) -> Iterator[Pod]:
    spec, name = each.get("spec") or {}, each["metadata"]["name"]
    if each["kind"] in ("Deployment", "StatefulSet", "Job"):
        template = spec["template"]
        claims = tuple(one["metadata"]["name"] for one in spec.get("volumeClaimTemplates", ()))
        yield Pod(name, template["metadata"]["labels"], template["spec"], spec.get("replicas", 1), each["kind"], claims)
    if each["kind"] == "Cluster":  # the labels are those that the operator gives
        marks = {**spec["inheritedMetadata"]["labels"], "cnpg.io/cluster": name, "cnpg.io/instanceRole": "primary"}
        inside = {"containers": [{"name": "postgres", "resources": spec["resources"], "ports": [
            {"containerPort": 5432}, {"containerPort": 9187}, {"containerPort": 8000}]}], "serviceAccountName": name}
        yield Pod(name, marks, inside, 1, "Cluster")
        if spec["instances"] > 1:
            yield Pod(f"{name} standby", marks | {"cnpg.io/instanceRole": "replica"}, inside, spec["instances"] - 1,
                      "Cluster")


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Return whether a label selector means something with these labels"""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "DoesNotExist"
        if each["key"] in labels:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


@dataclass
class Cluster:
    """Objects, and what follows from them"""

    objects: list[Object]
    by_kind: dict[str, list[Object]] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Sort the objects"""
        for each in self.objects:
            self.by_kind.setdefault(each["kind"], []).append(each)
            self.pods += _pods(each)

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind"""
        return {each["metadata"]["name"] for each in self.by_kind.get(kind, [])}

    def _rules(self, pod: Pod, direction: str) -> list[Object] | None:
        """The rules of all policies that are for a pod; None where no policy is, as for one of another namespace"""
        if pod.namespace:
            return None
        chosen = [each["spec"] for each in self.by_kind.get("NetworkPolicy", ())
                  if direction.title() in each["spec"]["policyTypes"] and matches(each["spec"]["podSelector"], pod.labels)]  # noqa: E501
        return [rule for spec in chosen for rule in spec.get(direction, [])] if chosen else None

    def _lets(self, pod: Pod, direction: str, other: Pod | str, port: int) -> bool:
        rules = self._rules(pod, direction)
        return rules is None or any(_rule_lets(rule, direction, other, port) for rule in rules)

    def allowed(self, caller: Pod | str, called: Pod | str, port: int) -> bool:
        """Return whether policies let one call another's port; an address stands for what is outside"""
        return ((isinstance(caller, str) or self._lets(caller, "egress", called, port))
                and (isinstance(called, str) or self._lets(called, "ingress", caller, port)))


def _rule_lets(rule: Object, direction: str, other: Pod | str, port: int) -> bool:
    ports = rule.get("ports")
    if ports and not any(each["port"] == port and each.get("protocol", "TCP") == "TCP" for each in ports):
        return False
    peers = rule.get("from" if direction == "ingress" else "to")
    return not peers or any(_peer_is(peer, other) for peer in peers)


def _peer_is(peer: Object, other: Pod | str) -> bool:
    if "ipBlock" in peer:
        if not isinstance(other, str):
            return False  # the address of a pod is private, and every block of ours leaves these out
        block, address = peer["ipBlock"], ip_address(other)
        return (address in ip_network(block["cidr"]) if address.version == ip_network(block["cidr"]).version else False) \
            and not any(address in ip_network(each) for each in block.get("except", ()))  # noqa: E501
    if isinstance(other, str):
        return False
    if "namespaceSelector" in peer:
        wanted = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name")
        return other.namespace == wanted and matches(peer.get("podSelector", {}), other.labels)
    return not other.namespace and matches(peer["podSelector"], other.labels)


