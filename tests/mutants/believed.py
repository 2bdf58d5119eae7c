"""Small defects in what a checker could take for granted: labels, names, folders, thresholds."""
from __future__ import annotations

from mutants import Mutant, replaced, substituted

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
