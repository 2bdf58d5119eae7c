"""Write pretamane_analysis/data/metrics.csv: every metric with its labels, as the real programs give them.

    python tools/metric_catalogue.py          # needs the Debian packages of `make tools` and the development
    requirements
    python tools/metric_catalogue.py --check  # only say what would change

What cannot be installed from a package registry has rows marked 'documented', kept in tools/documented_metrics.csv.
"""
from __future__ import annotations

import argparse
import csv
import io
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import edge  # noqa: E402
from exporters import STACK, exporters, scraped  # noqa: E402
from observing import fetched, free_port, running, tool, until  # noqa: E402

CATALOGUE = ROOT / "pretamane_analysis/data/metrics.csv"
DOCUMENTED = ROOT / "tools/documented_metrics.csv"
COLUMNS = ["program", "version", "metric", "kind", "labels", "source", "date"]
Row = tuple[str, str, str, str, str, str, str]
PROBES = [("http_2xx", "http"), ("tcp_connect", "tcp"), ("https_2xx", "https")]


def samples(text: str) -> list[tuple[str, str, set[str]]]:
    """Return name, kind and label names of each sample, letter by letter as the program wrote them"""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE))
    found = []
    for name, _, inside in re.findall(r"^([A-Za-z_:][\w:]*)(\{(.*)\})? \S+", text, re.MULTILINE):
        family = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
        kind = kinds.get(family, "unknown")
        found.append((name, "unknown" if kind == "untyped" else kind,
                      {*re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', inside)}))
    return found


def rows(program: str, version: str, *texts: str, target: frozenset[str] = frozenset()) -> list[Row]:
    """Return a row for each metric in some scrapes; metrics of the language a program is written in are left out"""
    found: dict[str, tuple[str, set[str]]] = {}
    for text in texts:
        for name, kind, labels in samples(text):
            if not re.search(r"^(go|process|promhttp|python)_|_created$", name):
                found.setdefault(name, (kind, set()))[1].update(labels - target)
    today = date.today().isoformat()
    return [(program, version, name, kind, " ".join(sorted(labels)), "scraped",
             today) for name, (kind, labels) in found.items()]


def declared(version: str) -> list[Row]:
    """Return what the application declares and gives only once it has happened, such as an exception nobody caught"""
    sys.path.insert(0, str(ROOT / "pretamane_analysis/templates/app"))
    from app.metrics import Metrics

    metrics = [each for each in vars(Metrics(0.5)).values() if type(each).__name__ == "Counter"]
    today = date.today().isoformat()
    return [("reference application", version, f"{each._name}_total", "counter", " ".join(sorted(each._labelnames)),
             "declared", today)
            for each in metrics]


def version(*names: str) -> str:
    """Return the version that a program says it has"""
    said = subprocess.run([tool(*names), "--version"], capture_output=True, text=True, check=False)
    return re.search(r"version:? (\d[\w.]*)", said.stdout + said.stderr)[1]


def prometheus_rows(folder: Path, address: str) -> list[Row]:
    """Return what Prometheus says of itself, of its targets and of its alerts"""
    port = free_port()
    (folder / "rules.yml").write_text("groups: [{name: g, rules: [{alert: A, expr: vector(1), labels: {severity: "
                                      "page}}, {record: r, expr: vector(1)}]}]")
    (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
alerting: {{alertmanagers: [{{path_prefix: /alertmanager, static_configs: [{{targets: ['{address}']}}]}}]}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]
""")
    base = f"http://127.0.0.1:{port}"
    command = [tool("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
               f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
    with running(command, f"{base}/-/ready", folder / "prometheus.log"):
        until(lambda: '"ALERTS"' in fetched(f"{base}/api/v1/query?query=ALERTS")[1], what="an alert")
        until(lambda: "scrape_samples" in fetched(f"{base}/federate?match[]=scrape_samples_scraped")[1],
              what="a scrape")
        time.sleep(1)
        own = scraped(f"127.0.0.1:{port}")
        names = urllib.parse.quote('{__name__=~"up|scrape_.*"}')
        federated = fetched(f"{base}/federate?match[]={names}")[1]
        alerts = fetched(f"{base}/federate?match[]=ALERTS&match[]=ALERTS_FOR_STATE")[1]
    said, target = version("prometheus"), frozenset({"job", "instance"})
    return [*rows("prometheus", said, own), *rows("prometheus targets", said, federated, target=target),
            *rows("prometheus alerts", said, alerts)]


def blackbox_rows(address: str, here: edge.Edge, site: str) -> list[Row]:
    """Return what a probe says, of each kind"""
    targets = {"http": f"http://127.0.0.1:{here.ports['public']}/healthz", "tcp": f"127.0.0.1:{here.ports['public']}",
               "https": f"{site}/healthz"}
    texts = [scraped(address, f"/probe?module={module}&target={urllib.parse.quote(targets[kind])}")
             for module, kind in PROBES]
    said = version("prometheus-blackbox-exporter", "blackbox_exporter")
    return [*rows("blackbox probe", said, *texts), *rows("blackbox_exporter", said, scraped(address))]


def with_declared(found: list[Row], others: list[Row]) -> list[Row]:
    """Return what was scraped, and what else is declared"""
    return [*found, *(each for each in others if each[2] not in {row[2] for row in found})]


def catalogue() -> list[Row]:
    """Run everything and return all rows"""
    with tempfile.TemporaryDirectory() as name, exporters(Path(name)) as found:
        found.traffic(3)
        at = found.addresses
        caddy = subprocess.run([edge.caddy_path(), "version"], capture_output=True, text=True,
                               check=True).stdout.split()[0].lstrip("v")
        application = STACK.services["fastapi-app"].image.partition(":")[2]
        node = scraped(at["node-exporter"])
        said = version("prometheus-node-exporter", "node_exporter")
        return [
            *rows("caddy", caddy, scraped(at["caddy"])),
            *with_declared(rows("reference application", application, scraped(at["fastapi-app"])),
                           declared(application)),
            *(each for each in rows("node_exporter", said, node) if not each[2].startswith("pretamane_")),
            *(each for each in rows("scripts", application, node) if each[2].startswith("pretamane_")),
            *rows("postgres_exporter", version("prometheus-postgres-exporter", "postgres_exporter"),
                  scraped(at["postgres-exporter"])),
            *rows("alertmanager", version("prometheus-alertmanager", "alertmanager"),
                  scraped(at["alertmanager"], "/alertmanager/metrics")),
            *blackbox_rows(at["blackbox-exporter"], found.edge, found.site),
            *prometheus_rows(Path(name), at["alertmanager"]),
        ]


def as_csv(found: list[Row]) -> str:
    """Return the file, sorted"""
    with DOCUMENTED.open(encoding="utf-8", newline="") as file:
        documented = [tuple(row[each] for each in COLUMNS) for row in csv.DictReader(file)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([COLUMNS, *sorted({*found, *documented})])
    return out.getvalue()


def without_dates(text: str) -> set[str]:
    """Return the lines of a file without their last column"""
    return {line.rpartition(",")[0] for line in text.splitlines()}


def main() -> int:
    """Write or compare"""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, return 1 when something would change")
    check = parser.parse_args().check
    new, old = as_csv(catalogue()), CATALOGUE.read_text(encoding="utf-8") if CATALOGUE.exists() else ""
    for sign, lines in (("-", without_dates(old) - without_dates(new)), ("+", without_dates(new) - without_dates(old))):
        for line in sorted(lines):
            print(sign, line)
    if not check and without_dates(new) != without_dates(old):
        CATALOGUE.write_text(new, encoding="utf-8")
    return int(check and without_dates(new) != without_dates(old))


if __name__ == "__main__":
    raise SystemExit(main())
