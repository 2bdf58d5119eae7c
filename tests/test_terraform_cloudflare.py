"""Cloudflare's side of the tunnel under the real Terraform, with the provider's typed schema: format, validation, and
that a plan fits the host that the same stack emits."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from terraform_runner import PROGRAM, Configuration, needs_terraform, ready, resources

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example, load

pytestmark = needs_terraform
IDS = tuple(f"-var={name}={'0123456789abcdef' * 2}" for name in ("account_id", "zone_id"))
HERE = Path(__file__).parent


def guarded(**changes: object) -> Stack:
    """The example with Cloudflare's side"""
    content = example().model_dump(exclude_unset=True)
    content["provisioning"] = {"cloudflare": {"administrators": ["ada@example.org", "@example.com"]}, **changes}
    return Stack.model_validate(content)


def plain() -> Stack:
    """A tunnel in front of a stack without a door for administrators, whose edge has ports and a name of its own"""
    return Stack.model_validate({
        "name": "notes", "domain": "notes.example.net", "environment": "staging",
        "provisioning": {"cloudflare": {"administrators": ["@example.net"], "session": "30m"}},
        "services": {
            "front": {"image": "caddy:2.11.7", "role": "edge", "memory": "64Mi", "ports": {"http": 9080},
                      "networks": ["edge"], "secrets": []},
            "notes": {"image": "example/notes:1", "role": "application", "memory": "64Mi", "ports": {"http": 8000},
                      "networks": ["edge"], "routes": [{"path": "/", "auth": "none"}]},
            "way-in": {"image": "cloudflare/cloudflared:2026.10.0", "role": "tunnel", "memory": "64Mi",
                       "networks": ["edge"], "secrets": ["connector"]}},
        "secrets": {"connector": {"source": "provided"}}})


def sides(stack: Stack) -> dict[str, str]:
    """What is emitted for Cloudflare"""
    return {path: text for path, text in emitted(stack, ["cloudflare"]).items() if "backend" not in path}


@pytest.fixture(scope="module", params=[guarded, plain])
def made(request) -> tuple[Stack, Configuration, dict]:
    """A stack, its configuration, and what the first apply would do"""
    stack = request.param()
    configuration = ready(renamed, request.param)
    more = ["-var=team_name=example"] if "team_name" in sides(stack)["cloudflare/variables.tf"] else []
    return stack, configuration, configuration.plan_plain(*IDS, *more)


def renamed(stack: Stack) -> dict[str, str]:
    """The same files where the runner looks for them"""
    return {path.replace("cloudflare/", "terraform/"): text for path, text in sides(stack).items()}


def test_format_and_validity(made):
    """`terraform fmt` would change nothing, and every name and type is one of the provider's"""
    _, configuration, _ = made
    done = subprocess.run([PROGRAM, "fmt", "-check", "-diff"], cwd=configuration.folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    configuration.must("validate", "-no-color")


def test_the_tunnel_leads_to_the_listeners_of_the_edge(made):
    """The port of each name is one on which the emitted edge listens, and nothing else is let in"""
    stack, _, plan = made
    (config,) = resources(plan, "cloudflare_zero_trust_tunnel_cloudflared_config").values()
    *named, last = config["config"]["ingress"]
    assert last["service"] == "http_status:404" and not last.get("hostname")
    caddyfile = emitted(stack, ["caddy"])["caddy/Caddyfile"]
    edge = next(iter(stack.with_role("edge")))
    for each in named:
        host, port = re.fullmatch(r"http://([\w-]+):(\d+)", each["service"]).groups()
        assert host == edge and re.search(rf"(^|:){port} \{{$", caddyfile, re.MULTILINE), each
    wanted = [stack.domain, stack.admin_domain][:len(named)]
    assert [each["hostname"] for each in named] == wanted
    records = resources(plan, "cloudflare_dns_record").values()
    assert sorted(each["name"] for each in records) == sorted(wanted)
    assert all(each["proxied"] and each["type"] == "CNAME" for each in records)


def test_nobody_else_comes_to_the_administrators_door(made):
    """Where paths want the administrators' password, their name is behind Access, for those alone, and the tunnel asks for Access, too"""  # noqa: E501
    stack, _, plan = made
    policies = list(resources(plan, "cloudflare_zero_trust_access_policy").values())
    if not any(route.auth == "basic" for each in stack.services.values() for route in each.routes):
        assert policies == []
        return
    (policy,), (door,) = policies, resources(plan, "cloudflare_zero_trust_access_application").values()
    told = {(each.get("email") or {}).get("email") or f"@{each['email_domain']['domain']}"
            for each in policy["include"]}
    assert policy["decision"] == "allow" and told == {"ada@example.org", "@example.com"}
    assert door["domain"] == stack.admin_domain and len(door["policies"]) == 1
    (config,) = resources(plan, "cloudflare_zero_trust_tunnel_cloudflared_config").values()
    asked = {each.get("hostname"): (each.get("origin_request") or {}).get("access")
             for each in config["config"]["ingress"]}
    assert asked[stack.admin_domain]["required"] is True and asked[stack.domain] is None


def test_the_token_is_where_the_host_reads_it(made):
    """Under the path of the host's secrets, encrypted, named as the secret of the tunnel's service"""
    stack, _, plan = made
    (parameter,) = resources(plan, "aws_ssm_parameter").values()
    (service,) = stack.with_role("tunnel").values()
    assert parameter["type"] == "SecureString" and not parameter.get("value")
    assert parameter["name"] == f"/{stack.name}/{stack.environment}/{service.secrets[0]}"
    assert f'"{service.secrets[0]}"' in emitted(stack, ["bootstrap"])["bootstrap/secrets.manifest.json"]


@pytest.mark.parametrize(("old", "new", "said"), [
    ("config_src = ", "config_source = ", "config_source"), ('service = "http_status:404"', 'target = "http_status:404"', "service"),  # noqa: E501
    ("proxied = true", 'proxied = "sometimes"', "bool"), ("cloudflared.main.id\n", "cloudflared.main.uuid\n", "uuid")])
def test_a_slip_is_noticed(old, new, said, tmp_path):
    """A wrong argument, one within an object, a wrong type, an attribute that does not exist"""
    copy = ready(renamed, guarded).mutated(tmp_path)
    place = copy.folder / "main.tf"
    assert old in place.read_text()
    place.write_text(place.read_text().replace(old, new))
    done = copy.run("validate", "-no-color")
    assert done.returncode != 0 and said in done.stdout + done.stderr


def test_the_tree_has_no_finding():
    """`check` reads the folder beside the host's Terraform"""
    tree = emitted(guarded())
    assert check(Tree(tree, as_of=example().day())) == []
    page = tree["README.md"]
    assert "| `cloudflare/` |" in page and "-chdir=cloudflare apply" in page and "/tunnel_token" not in page
    assert "cloudflare/" not in "".join(emitted(example()))


@pytest.mark.parametrize("change", [{"edge": "direct"}, {"tunnel": "dev-quick"}])
def test_without_a_named_tunnel_there_is_no_such_side(change):
    """Refused with place and remedy"""
    stack = guarded()
    stack = stack.model_copy(update={"host": stack.host.model_copy(update=change)})
    with pytest.raises(PretamaneError, match="no named Cloudflare tunnel") as error:
        emitted(stack, ["cloudflare"])
    assert error.value.place == "provisioning.cloudflare" and error.value.remedy
    assert emitted(load(HERE / "stacks" / "wiki.yaml"), ["cloudflare"]) == {}
