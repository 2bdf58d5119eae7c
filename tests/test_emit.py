"The emitted tree: the committed copy, the compose schema, what the stack names, and careful writing."
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.sizing import needs
from pretamane_analysis.cli.main import main
from pretamane_analysis.emit.containers import containers
from pretamane_analysis.emit.host.operations import backup_plan
from pretamane_analysis.emit.tree import (
    EMITTERS,
    LOCK,
    diff,
    emitted,
    model_hash,
    sized,
    write_tree,
)
from pretamane_analysis.stack.stack import Stack, example

REPOSITORY = Path(__file__).parent.parent
INFRA = REPOSITORY / "infra"


@pytest.fixture(scope="module")
def files():
    return emitted(example())


@pytest.fixture(scope="module")
def compose(files):
    return yaml.safe_load(files["compose/compose.yaml"])


def changed(**services):
    "The example stack with some keys of some services changed."
    data = example().model_dump(exclude_unset=True)
    for name, keys in services.items():
        data["services"][name] |= keys
    return Stack.model_validate(data)


# The committed tree

def test_infra_is_what_the_example_stack_emits(files):
    on_disk = {each.relative_to(INFRA).as_posix(): each.read_bytes() for each in INFRA.rglob("*") if each.is_file()}
    assert on_disk == {path: text.encode() for path, text in files.items()}


def test_another_process_emits_the_same_bytes(files):
    code = ("from pretamane_analysis.emit.tree import LOCK, emitted; from pretamane_analysis.stack.stack "
            "import example; " \
           "print(emitted(example())[LOCK], end='')")
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "PYTHONPATH": str(REPOSITORY)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == files[LOCK]


def test_each_emitter_alone_gives_its_part_of_the_whole(files):
    parts = [emitted(example(), [name]) for name in EMITTERS]
    assert {path: text for part in parts for path, text in part.items()} == {
        path: text for path, text in files.items() if path not in (LOCK, ".gitignore", "README.md")}


def test_every_file_names_its_model(files):
    models = {True: model_hash(example(), sized(example())), False: model_hash(example())}
    assert json.loads(files[LOCK])["model"] == models[True]
    with_sizes = emitted(example(), ["terraform"])
    assert all(any(f"from model {models[path in with_sizes]}." in line for line in text.splitlines()[:2])
               for path, text in files.items() if not path.endswith(".json"))
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in files.values())


@pytest.mark.parametrize("more", [{}, {"scenario": "high"}, {"memory": "16Gi"}, {"memory": "16Gi", "scenario": "high"},
                                  {"purchase_option": "Spot-typical"}])
def test_what_is_billed_is_what_is_emitted(more, capsys, tmp_path):
    """`emit` takes the options of `cost`, and its host is the one on that bill: type, disk, way of buying"""
    options = [word for name, value in more.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert main(["cost", *options, "--format", "json"]) == 0
    bill = json.loads(capsys.readouterr().out)
    assert main(["emit", str(tmp_path), "--only", "terraform", *options]) == 0
    variables, compute = ((tmp_path / "terraform" / name).read_text() for name in ("variables.tf", "compute.tf"))
    lines = {(line["resource"], line["usage_type"].partition(":")[0]): line for line in bill["lines"]}
    kind = lines["EC2 host", "BoxUsage"]["usage_type"].partition(":")[2]
    assert f'"{kind}"' in variables
    gb = lines["data disk", "EBS"]["PricingQuantity"]
    assert re.search(rf'variable "data_volume_gb" {{[^}}]*default += {gb}\n', variables)
    assert ("spot" in compute) == (more.get("purchase_option") == "Spot-typical")


def test_a_file_that_changes_has_another_hash(tmp_path):
    """The same path under the same hash is the same text: usage sizes disks, so files with sizes name another model"""
    for scenario in ("low", "high"):
        assert main(["emit", str(tmp_path / scenario), "--scenario", scenario]) == 0
    for path in sorted(each.relative_to(tmp_path / "low") for each in (tmp_path / "low").rglob("*.tf")):
        low, high = ((tmp_path / scenario / path).read_text() for scenario in ("low", "high"))
        assert low.splitlines()[0] != high.splitlines()[0] or low == high, path
    assert (tmp_path / "low" / "compose" / "compose.yaml").read_text() == (
        tmp_path / "high" / "compose" / "compose.yaml").read_text()


def test_both_colors_are_counted(files):
    """Terraform names the memory limits that `size` adds up, both colors included"""
    assert f'{needs(example()).memory_mib} MiB of memory limits' in files["terraform/variables.tf"]


# Compose

def compose_schema():
    import check_jsonschema
    vendored = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(vendored.read_text(encoding="utf-8"))


def test_compose_is_valid_by_the_schema_of_compose(compose):
    jsonschema.validate(compose, compose_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose | {"services": {"caddy": {"image": "caddy:2", "mem_limits": "1m"}}},
                            compose_schema())


def test_compose_names_everything_that_the_stack_names(compose):
    stack = example()
    assert list(compose["services"]) == [each.name for each in containers(stack)]
    assert {each.of for each in containers(stack)} == set(stack.services)
    assert list(compose["volumes"]) == [*stack.volumes, "postgresql-archive"]
    assert set(compose["networks"]) == {each for service in stack.services.values() for each in service.networks}
    assert {each for each, network in compose["networks"].items() if network.get("internal")} == {"data", "obs"}


def test_each_consumer_of_a_secret_has_a_file_of_its_own(compose):
    expected = {f"{of}.{secret}": f"${{SECRETS_DIR:-/run/pretamane/secrets}}/{of}/{secret}"
                for of, service in example().services.items() for secret in service.secrets}
    assert {name: each["file"] for name, each in compose["secrets"].items()} == expected
    assert len(set(expected.values())) == len(expected)


@pytest.mark.parametrize("container", containers(example()), ids=lambda each: each.name)
def test_each_container_gets_what_the_stack_says_and_no_more(compose, container):
    service, found = container.service, compose["services"][container.name]
    assert found["networks"] == service.networks
    assert [(each["source"], each["target"])
            for each in found.get("secrets", [])] == [(f"{container.of}.{each}", each) for each in service.secrets]
    assert found["mem_limit"] == f"{service.memory_mib}m"
    assert found["cpus"] == float(service.cpu_cores)
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    given = {"alloy": "0:473", "meilisearch": "1000:1000", "minio": "1000:1000"}
    assert found.get("user") == (service.user or given.get(container.name))
    assert all(f"uid={service.user.split(':')[0]}" in each for each in found.get("tmpfs", []) if service.user)
    assert not {"ports", "container_name", "privileged"} & set(found)
    if container.kind == "job":
        assert (found["command"] == service.jobs[container.name] and found["restart"] == "no"
                and "healthcheck" not in found)
    else:
        asked = [each.replace("$$", "$") for each in found.get("healthcheck", {}).get("test", [])]
        assert asked == (service.health_check.test if service.health_check else [])
        assert found["restart"] == "unless-stopped"


def test_containers_wait_for_what_the_stack_says(compose):
    def waits(name):
        return {other: each["condition"] for other, each in compose["services"][name].get("depends_on", {}).items()}

    healthy = dict.fromkeys(("postgresql", "meilisearch", "minio"), "service_healthy")
    assert waits("migrate") == waits("bucket-init") == healthy
    completed = dict.fromkeys(("migrate", "bucket-init"), "service_completed_successfully")
    assert waits("fastapi-app-blue") == waits("fastapi-app-green") == healthy | completed
    assert waits("cloudflared") == {"caddy": "service_healthy"}


def test_one_color_runs_unless_somebody_says_otherwise(compose, files):
    services = compose["services"]
    assert (services["fastapi-app-blue"]["profiles"],
            services["fastapi-app-green"]["profiles"]) == (["blue"], ["green"])
    assert services["migrate"]["profiles"] == ["blue", "green"]
    assert files["compose/.env"].splitlines()[-1] == "COMPOSE_PROFILES=blue,obs,tunnel"


def test_the_tunnel_is_a_named_one_unless_the_stack_asks_for_less(compose):
    assert compose["services"]["cloudflared"]["command"][-3:] == ["run", "--token-file", "/run/secrets/tunnel_token"]
    data = example().model_dump(exclude_unset=True) | {"environment": "dev"}
    data["host"] = {"tunnel": "dev-quick"}
    quick = yaml.safe_load(
        emitted(Stack.model_validate(data))["compose/compose.yaml"])["services"]["cloudflared"]["command"]
    assert quick[-2:] == ["--url", "http://caddy:8080"] and "run" not in quick


def test_another_object_store_is_one_word(files):
    data = example().model_dump(exclude_unset=True)
    before = data["services"]["minio"]
    data["services"]["minio"] = {"engine": "versitygw",
                                 **{key: before[key] for key in ("memory", "cpu", "networks", "mounts", "secrets")}}
    store = yaml.safe_load(emitted(Stack.model_validate(data))["compose/compose.yaml"])["services"]["minio"]
    assert store["image"].startswith("versity/versitygw:") and store["environment"] == {"ROOT_ACCESS_KEY": "pretamane"}
    assert store["command"][0] == "/usr/local/bin/versitygw" and "ROOT_SECRET_KEY" in store["entrypoint"][-1]


def test_every_mounted_or_built_folder_of_the_tree_is_emitted(compose, files):
    sources = {each["source"] for service in compose["services"].values()
               for each in service.get("volumes", []) if isinstance(each, dict)}
    sources |= {service["build"]["context"] for service in compose["services"].values() if "build" in service}
    of_tree = {source.removeprefix("../") for source in sources if source.startswith("..")}
    of_the_host = {"bootstrap", "runbooks", "scripts", "systemd", "terraform"}
    assert of_tree == {path.split("/")[0] for path in files if "/" in path} - {"compose"} - of_the_host


def test_every_configuration_file_in_a_command_is_mounted(compose, files):
    for name, service in compose["services"].items():
        mounts = {each["target"]: each["source"] for each in service.get("volumes", []) if isinstance(each, dict)}
        for word in service.get("command", []):
            path = word.partition("=")[2] if word.startswith("-") else word
            if path.startswith("/etc/"):
                folder, _, file = path.rpartition("/")
                assert f"{mounts[folder].removeprefix('../')}/{file}" in files, name


def test_a_dollar_stands_for_itself(compose):
    found = yaml.safe_load(emitted(changed(grafana={"environment": {"A": "p$a"}}))["compose/compose.yaml"])
    assert found["services"]["grafana"]["environment"]["A"] == "p$$a"


@pytest.mark.parametrize("image", ["minio/minio:RELEASE.2025-09-07", "caddy:latest", "caddy"])
def test_images_that_cannot_be_pulled_again_are_refused(image):
    with pytest.raises(PretamaneError, match="service 'grafana'") as error:
        emitted(changed(grafana={"image": image}))
    assert error.value.place == "services.grafana.image" and error.value.remedy


# Writing

def test_a_second_write_changes_nothing(tmp_path, files):
    assert write_tree(tmp_path, files).written == [path for path in files if path != LOCK]
    before = {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*")}
    assert write_tree(tmp_path, files).written == []
    assert {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*")} == before
    assert diff(tmp_path, files) == ""


def test_only_what_changed_is_written(tmp_path, files):
    write_tree(tmp_path, {path: text for path, text in files.items()})
    other = dict(files) | emitted(example(), ["caddy"])
    other["loki/loki.yaml"] += "# more\n"
    other[LOCK] = files[LOCK]
    assert write_tree(tmp_path, other).written == ["loki/loki.yaml"]


def test_a_change_by_hand_is_named_and_kept(tmp_path, files):
    write_tree(tmp_path, files)
    (tmp_path / "caddy/Caddyfile").write_text("by hand\n")
    newer = emitted(changed(grafana={"memory": "256Mi"}))
    with pytest.raises(PretamaneError, match=r"caddy/Caddyfile \(changed by hand\)") as error:
        write_tree(tmp_path, newer)
    assert "--force" in str(error.value) and "--diff" in str(error.value)
    assert "compose/compose.yaml" not in str(error.value)
    assert (tmp_path / "compose/compose.yaml").read_text() == files["compose/compose.yaml"]
    assert "-by hand\n" in diff(tmp_path, newer) and "+    mem_limit: 256m\n" in diff(tmp_path, newer)
    write_tree(tmp_path, newer, force=True)
    assert diff(tmp_path, newer) == ""


def test_a_strangers_file_is_kept(tmp_path, files):
    (tmp_path / "caddy").mkdir()
    (tmp_path / "caddy/Caddyfile").write_text("mine\n")
    with pytest.raises(PretamaneError, match=r"caddy/Caddyfile \(not written by pretamane\)"):
        write_tree(tmp_path, files)
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == ["Caddyfile"]


def test_files_no_longer_emitted_go_unless_changed(tmp_path, files):
    write_tree(tmp_path, files)
    (tmp_path / "alloy/config.alloy").write_text("mine\n")
    data = example().model_dump(exclude_unset=True)
    data["services"] = {name: each for name, each in data["services"].items() if name not in ("loki", "alloy")}
    summary = write_tree(tmp_path, emitted(Stack.model_validate(data)))
    assert (summary.removed, summary.kept) == (
        ["grafana/dashboards/logs.json", "loki/loki.yaml", "loki/rules/fake/logs.yaml", "runbooks/error-logs.md",
         "runbooks/logs-missing.md"],
        ["alloy/config.alloy"])
    assert not (tmp_path / "loki").exists() and (tmp_path / "alloy/config.alloy").read_text() == "mine\n"


def test_a_part_of_the_tree_removes_nothing(tmp_path, files):
    write_tree(tmp_path, files)
    edge = [path for path in files if path.startswith("caddy/")]
    assert write_tree(tmp_path, emitted(changed(caddy={"ports": {"http": 8090}}), ["caddy"])).written == edge
    assert (tmp_path / "compose/compose.yaml").exists()
    assert write_tree(tmp_path, files).written == edge


@pytest.mark.parametrize("survived", range(9))
def test_a_write_that_was_killed_is_not_taken_for_a_change_by_hand(tmp_path, files, monkeypatch, survived):
    write_tree(tmp_path, files)
    second, third = (emitted(example().model_copy(update={"name": name})) for name in ("second", "third"))
    left = iter(range(survived))

    def killed(part, place):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return replace(part, place)

    replace = os.replace
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_tree(tmp_path, second)
    monkeypatch.undo()
    write_tree(tmp_path, third)
    assert {each.relative_to(tmp_path).as_posix(): each.read_text()
            for each in tmp_path.rglob("*") if each.is_file()} == third


# What is no default

def test_a_quick_tunnel_that_was_asked_for_is_no_finding():
    from pretamane_analysis.check.read.tree import Tree
    from pretamane_analysis.check.rules.registry import check

    data = example().model_dump(exclude_unset=True) | {"environment": "dev"}
    data["host"] = data["host"] | {"tunnel": "dev-quick"}
    files = emitted(Stack.model_validate(data))
    assert check(Tree(files)) == []
    unasked = {**files, "compose/compose.yaml": files["compose/compose.yaml"].replace("    x-dev: true\n", "")}
    assert [each.rule for each in check(Tree(unasked))] == ["C40"]


def test_an_engine_past_its_end_is_a_warning_when_asked_for_and_an_error_otherwise():
    from pretamane_analysis.check.read.tree import Tree
    from pretamane_analysis.check.rules.registry import check

    data = example().model_dump(exclude_unset=True)
    before = data["services"]["alloy"]
    kept = {key: before[key] for key in ("memory", "cpu", "networks", "mounts", "profile",
                                         "depends_on") if key in before}
    data["services"]["alloy"] = {"engine": "promtail", "allow_eol": True, **kept}
    files = emitted(Stack.model_validate(data))
    assert [(each.rule, each.severity) for each in check(Tree(files))] == [("X17", "warning")]
    unasked = {**files, "compose/compose.yaml": files["compose/compose.yaml"].replace("    x-allow-eol: true\n", "")}
    assert ("X17", "error") in [(each.rule, each.severity) for each in check(Tree(unasked))]


def test_the_audit_trail_is_in_the_backup():
    """Where the application keeps who did what, on a volume that a backup holds"""
    stack = example()
    service = next(each for each in stack.services.values() if "AUDIT_FOLDER" in each.environment)
    volume = next(mount.volume
                  for mount in service.mounts if service.environment["AUDIT_FOLDER"].startswith(mount.path))
    assert ("copy", volume) in {(each.kind, each.volume) for each in backup_plan(stack)}


def test_mail_is_made_ready_only_for_who_may_send_it():
    """An identity that no role may use is a loose end"""
    stack = example()
    sender = stack.model_copy(
        update={"provisioning": stack.provisioning.model_copy(update={"mail_senders": ["fastapi-app"]})})
    assert ["terraform/mail.tf" in emitted(each, ["terraform"]) for each in (stack, sender)] == [False, True]
