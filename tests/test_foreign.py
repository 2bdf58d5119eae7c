"""Trees in the manner of public stacks: exactly the findings that a reviewer would sign."""
from __future__ import annotations

import gc
import time

import pytest
from foreign import AS_OF, HERE, judged, names, precision

from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check


@pytest.mark.parametrize("name", names())
def test_a_tree_has_the_findings_that_were_signed(name):
    """Nothing beside them, and none is missed"""
    found = judged(name)
    assert not found.wrong and not found.missed


SEEDED = [  # tree, file, what stands there, what takes its place, the rule that notices
    ("dashboards", "docker-compose.yml", "./alertmanager:/etc/alertmanager", "./a.yml:/etc/alertmanager/a.yml", "X05"),
    ("dashboards", "prometheus/prometheus.yml", "node:9100", "node:9101", "X04"),
    ("dashboards", "docker-compose.yml", "prom/prometheus:latest", "prom/prometheus:v2.45.0", "X17"),
    ("nginx-edge", "nginx/conf.d/site.conf", "http://web:8080", "http://webb:8080", "X04"),
    ("nginx-edge", "docker-compose.yml", "build: ./api", "build: ./apii", "X05"),
    ("wiki", "docker-compose.yml", "${DB_PASS}", "${DB_PASSWD}", "X01"),
    ("wiki", "docker-compose.yml", "postgres:16-alpine", "postgres:18-alpine", "X18"),
    ("kubernetes", "base/catalog.yaml", "app: catalog\n  ports", "app: catalogue\n  ports", "K01"),
    ("kubernetes", "base/catalog.yaml", "targetPort: http", "targetPort: htpp", "K03"),
    ("kubernetes", "base/catalog.yaml", "key: LOG_LEVEL", "key: LOG_LEVL", "K05"),
    ("terraform-root", "infra/aws/main.tf", "443\n    to_port     = 443", "3306\n    to_port     = 3306", "T08"),
]


@pytest.mark.parametrize("name,file,old,new,rule", SEEDED)
def test_a_seeded_defect_is_found(name, file, old, new, rule):
    """What makes rules silent on strangers' folders does not make them blind"""
    tree = Tree.read(HERE / name / "tree", AS_OF)
    assert old in tree.files[file]
    before = {(each.rule, each.message) for each in check(tree)}
    files = tree.files | {file: tree.files[file].replace(old, new, 1)}
    assert rule in {each.rule for each in check(Tree(files, AS_OF)) if (each.rule, each.message) not in before}


def test_rules_of_correctness_are_right():
    """At least 25 trees; of what the rules of correctness find there, 95 of 100 are right"""
    right, total = precision("correctness")
    assert len(names()) >= 25 and total >= 40 and right >= 0.95 * total


def test_many_services_take_little_time():
    """A rule that compares each service with each other shows here: eight times the services take less than twenty
    times as long"""
    def spent(count):
        """Seconds of a processor for so many services"""
        services = "".join(f"  s{number}:\n    image: redis:7.4\n    depends_on: [s{number - 1}]\n"
                           f"    environment: {{PEER_HOST: s{number - 1}}}\n"
                           for number in range(1, count))
        tree = Tree({"compose.yaml": f"services:\n  s0:\n    image: redis:7.4\n{services}"}, AS_OF)
        began = time.process_time()
        assert not check(tree)
        return time.process_time() - began

    gc.freeze()  # what other tests of this process have left is not gone through again
    try:
        spent(20)
        few, many = spent(125), spent(1000)
    finally:
        gc.unfreeze()
    assert many < 20 * few, (few, many)


def test_many_files_take_little_time():
    """A repository of 1,000 files, a hundred of them compose files, in under five seconds of a processor"""
    files = {f"src/part{number}/module.py": "value = 1\n" * 100 for number in range(900)}
    files |= {f"stacks/s{number}/compose.yml": "services:\n  web:\n    image: nginx:1.27\n    ports: ['80:80']\n"
              for number in range(100)}
    began = time.process_time()
    assert not check(Tree(files, AS_OF))
    assert time.process_time() - began < 5
