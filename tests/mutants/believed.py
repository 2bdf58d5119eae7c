"""Small defects in what a checker could take for granted: labels, names, folders, thresholds."""
from __future__ import annotations

from mutants import Mutant, replaced, substituted

PROMETHEUS, COMPOSE, BACKUP = "prometheus/prometheus.yml", "compose/compose.yaml", "systemd/pretamane-backup.service"
ALLOY, ROUTES, META = "alloy/config.alloy", "alertmanager/alertmanager.yml", "prometheus/rules/meta.yml"
UNIT, CADDY = "systemd/pretamane.service", "caddy/Caddyfile"

MUTANTS = [
    Mutant("D73", "a label that rules ask for is made no more",
           replaced(ALLOY, '      "level" = "",\n    }', "    }"), "X06"),
    Mutant("D70", "the watchdog has another name than its route", replaced(META, "Watchdog", "Heartbeat"), "X12"),
    Mutant("D70", "a route waits for an alert that is called otherwise",
           replaced(ROUTES, "Watchdog", "DeadMan"), "X12"),
    Mutant("D33", "the engine keeps its data elsewhere",
           replaced("bootstrap/daemon.json", "/data/docker", "/srv/docker"), "X32"),
    Mutant("D71", "a severity that no route knows",
           substituted("prometheus/rules/infra.yml", "severity: (ticket|page)", "severity: urgent"), "X12"),
    Mutant("D64", "the edge answers its health at another path",
           substituted(CADDY, "/healthz", "/alive", count=0), "X31"),
    Mutant("D22", "a unit starts a program that is not there",
           replaced(UNIT, "ExecStart=/usr/bin/docker", "ExecStart=/usr/bin/dokcer"), "S07"),
]
MUTANTS += [
    Mutant("D55", "an alert fires at twice the burn rate",
           substituted("prometheus/rules/slo-availability.yml", r">= 0\.072\b", ">= 0.144", count=0),
           "tool:promtool test rules"),
]
# The same kinds of defect in other files and under other names.
MUTANTS += [
    Mutant("D73", "a label that rules ask for is called otherwise",
           replaced(ALLOY, '      "level" = "",\n    }', '      "severity" = "level",\n    }'), "X06"),
    Mutant("D73", "the label of the service is called otherwise",
           replaced(ALLOY, '      "service" = "",\n      "lev', '      "container" = "service",\n      "lev'), "X06"),
    Mutant("D70", "an alert that silences others is called otherwise",
           replaced("prometheus/rules/synthetic.yml", "alert: EdgeDown", "alert: EdgeGone"), "X12"),
    Mutant("D70", "an alert that an inhibition names is called otherwise",
           replaced(META, "alert: TargetDown", "alert: TargetLost"), "X12"),
    Mutant("D33", "the logs are read where the engine does not keep them",
           replaced(COMPOSE, "source: /data/docker/containers", "source: /var/lib/docker/containers"), "X32"),
    Mutant("D33", "the engine keeps its data where it does by itself",
           replaced("bootstrap/daemon.json", '  "data-root": "/data/docker",\n', ""), "X32"),
    Mutant("D71", "a severity of backups that no route knows",
           substituted("prometheus/rules/backup.yml", "severity: page", "severity: critical"), "X12"),
    Mutant("D71", "a route waits for a severity that no alert has",
           replaced(ROUTES, 'matchers: [severity="ticket"]', 'matchers: [severity="warning"]'), "X12"),
    Mutant("D71", "an inhibition waits for a category that no alert has",
           replaced(ROUTES, 'category="host"', 'category="machine"'), "X12"),
    Mutant("D64", "a probe asks for a path that the edge does not answer",
           replaced(PROMETHEUS, "http://caddy:8082/healthz", "http://caddy:8082/health"), "X31"),
    Mutant("D64", "the health check of the edge asks for another path",
           replaced(COMPOSE, "http://127.0.0.1:8082/healthz", "http://127.0.0.1:8082/alive"), "X31"),
    Mutant("D22", "a unit starts a script that the release does not have",
           replaced(BACKUP, "scripts/backup.sh", "scripts/back-up.sh"), "S07"),
    Mutant("D22", "a unit stops by a program whose name is misspelt",
           replaced(UNIT, "ExecStop=/usr/bin/docker", "ExecStop=/usr/bin/doker"), "S07"),
    Mutant("D22", "a unit reloads by a script in another folder",
           replaced(UNIT, "current/scripts/deploy.sh", "current/bin/deploy.sh"), "S07"),
    Mutant("D55", "an alert of latency fires at twice the burn rate",
           lambda files: substituted("prometheus/rules/slo-latency.yml", r">= 0\.144\b", ">= 0.288", count=0)(
               {path: text for path, text in files.items()  # the others take long and say nothing of it
                if not path.endswith(".test.yml") or path.endswith("/slo-latency.test.yml")}),
           "tool:promtool test rules"),
]
