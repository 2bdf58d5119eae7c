"""A stand-in for Alloy that reads the emitted configuration and does to lines what its reference says its stages do.

It knows exactly the stages that are emitted, and fails on any other: a stage that it does not know must not be
passed over.
Only the template that is emitted is understood. Go's regular expressions are run by Python's, which differ in
nothing used here.
"""
from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pretamane_analysis.check.read.alloy import Block, blocks

TEMPLATE = "{{ if .Value }}{{ ToLower .Value }}{{ else }}unknown{{ end }}"


@dataclass
class Entry:
    """One line on its way"""

    line: str
    labels: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    extracted: dict[str, Any] = field(default_factory=dict)
    time: str = ""
    dropped: bool = False


def text(value: Any) -> str | None:
    """Return a value as a stage reads it: a name that was never found is not a value"""
    return None if value is None else value if isinstance(value, str) else json.dumps(value)


def _path(value: Any, expression: str) -> Any:
    """Return what a JMESPath of plain and quoted keys finds"""
    for quoted, plain in re.findall(r'"([^"]+)"|([^".]+)', expression):
        value = value.get(quoted or plain) if isinstance(value, dict) else None
    return value


def _json(entry: Entry, stage: Block) -> None:
    try:
        found = json.loads(entry.line)
    except ValueError:
        return
    if isinstance(found, dict):
        entry.extracted |= {name: _path(found, expression or name)
                            for name, expression in stage.attributes["expressions"].items()}


def _docker(entry: Entry, stage: Block) -> None:
    found = json.loads(entry.line)
    entry.extracted |= {"output": found["log"], "stream": found["stream"], "timestamp": found["time"]}
    entry.labels["stream"], entry.line, entry.time = found["stream"], found["log"], found["time"]


def _regex(entry: Entry, stage: Block) -> None:
    source = stage.attributes.get("source")
    value = text(entry.extracted.get(source)) if source else entry.line
    if value is not None and (found := re.search(stage.attributes["expression"], value)):
        entry.extracted |= found.groupdict()


def _template(entry: Entry, stage: Block) -> None:
    assert stage.attributes["template"] == TEMPLATE
    value = text(entry.extracted.get(stage.attributes["source"]))
    entry.extracted[stage.attributes["source"]] = value.lower() if value else "unknown"


def _labels(entry: Entry, stage: Block) -> None:
    for name, source in stage.attributes["values"].items():
        if value := text(entry.extracted.get(source or name)):
            entry.labels[name] = value


def _metadata(entry: Entry, stage: Block) -> None:
    for name, source in stage.attributes["values"].items():
        if value := text(entry.extracted.get(source or name)):
            entry.metadata[name] = value


def _drop(entry: Entry, stage: Block) -> None:
    value = text(entry.extracted.get(stage.attributes["source"]))
    entry.dropped |= value is not None and re.search(stage.attributes["expression"], value) is not None


def _label_drop(entry: Entry, stage: Block) -> None:
    for name in stage.attributes["values"]:
        entry.labels.pop(name, None)


STAGES = {"json": _json, "docker": _docker, "regex": _regex, "template": _template, "labels": _labels,
          "structured_metadata": _metadata, "drop": _drop, "label_drop": _label_drop}


class Shipper:
    """The emitted pipeline: from files to the address of Loki"""

    def __init__(self, configuration: str) -> None:
        components = {f"{each.name}.{each.label}": each for each in blocks(configuration)}

        def after(component: Block) -> Block:
            return components[component.attributes["forward_to"][0].path.rpartition(".")[0]]

        self.process = after(next(each for each in components.values() if each.name == "loki.source.file"))
        self.url = after(self.process).blocks[0].attributes["url"]

    def entry(self, line: str, file: str = "x-json.log") -> Entry:
        """Return what the pipeline makes of one line of a file"""
        entry = Entry(line, {"filename": file})
        for stage in self.process.blocks:
            STAGES[stage.name.removeprefix("stage.")](entry, stage)
            if entry.dropped:
                break
        return entry

    def push(self, lines: list[str], url: str) -> None:
        """Send lines as Loki takes them"""
        streams: dict[tuple, list] = {}
        for entry in map(self.entry, lines):
            if not entry.dropped:
                nanoseconds = str(int(datetime.fromisoformat(entry.time[:26] + "+00:00").timestamp() * 1e9))
                streams.setdefault(tuple(sorted(entry.labels.items())),
                                   []).append([nanoseconds, entry.line, entry.metadata])
        body = {"streams": [{"stream": dict(labels), "values": values} for labels, values in streams.items()]}
        urllib.request.urlopen(urllib.request.Request(url, data=json.dumps(body).encode(),
                                                      headers={"Content-Type": "application/json"}), timeout=30).close()
