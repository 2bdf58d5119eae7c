"""What the stage asks of the live Prometheus, as far as it needs no host."""
from __future__ import annotations

import sys
from pathlib import Path

import promtool
import yaml

E2E = Path(__file__).parent / "e2e"
sys.path.insert(0, str(E2E))
import watch  # noqa: E402


def test_each_selector_is_found_and_what_cannot_be_seen_is_one_of_them(root):
    """Of rules and of panels, also where they stand deep in a query; Loki's are not among them"""
    found = watch.asked(root / "infra")
    assert {*yaml.safe_load((E2E / "unseen.yaml").read_text())} < {*found}
    assert 'probe_success{job="probe-locked-admin"}' in found  # the fourth of five in a row of `or`
    assert found['pg_up{job="postgres-exporter"}'] == ["infra.yml: DatabaseDown", "postgres.json: Up"]
    assert not any("level" in each for each in found)


def test_the_hurried_files_are_the_emitted_ones_in_less_time(root, tmp_path):
    """Every duration a tenth, numbers as they are, valid for Prometheus"""
    watch.write_compressed(root / "infra", tmp_path, 10)
    done = promtool.run("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    rules = {rule["alert"]: rule for file in tmp_path.glob("rules/*.yml") for group in
             yaml.safe_load(file.read_text())["groups"] for rule in group["rules"] if "alert" in rule}
    assert rules["HostMemoryLow"]["for"] == "60000ms"
    assert "[2160000ms], 86400)" in rules["HostDiskFillsUp"]["expr"]
    assert yaml.safe_load((tmp_path / "prometheus.yml").read_text())["global"]["scrape_interval"] == "1500ms"
