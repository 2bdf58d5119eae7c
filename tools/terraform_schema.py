"""The schemas of the AWS and the Cloudflare provider without the providers: read from the typed bindings that PyPI
carries.

    python tools/terraform_schema.py aws_instance data.aws_ami > schema.json

The wheel `cdktf-cdktf-provider-aws` holds, for each resource, JavaScript with its TypeScript source in the source
map; the
source says of each attribute whether it is required, optional or computed, and of each block how it nests. What it
does not say
(which attributes are write-only, ephemeral resources) stands in the tables below.
"""
from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Provider:
    """A provider of Terraform, and the bindings that describe it"""

    name: str  # also how the names of its kinds begin
    owner: str  # in the registry
    version: str  # of the provider
    bindings: str  # version of the bindings
    sha256: str  # of their wheel
    nested: str  # how a block within a block is written: as `blocks`, or as `attributes` that hold objects

    @property
    def package(self) -> str:
        """The name of the bindings"""
        return f"cdktf-cdktf-provider-{self.name}"

    @property
    def archive(self) -> str:
        """The place of the sources in the wheel"""
        return f"{self.package.replace('-', '_')}/_jsii/provider-{self.name}@{self.bindings}.jsii.tgz"


AWS = Provider("aws", "hashicorp", "6.25.0", "21.22.1",
               "603c647c4de622ed0a2b5e0f1518d81a89b31eed84b67d23410840041e7df924", "blocks")
CLOUDFLARE = Provider("cloudflare", "cloudflare", "5.14.0", "13.9.1",
                      "6b376cdeebd0a116f2d456a0c49b2330296041db33331810c888c501a82f408d", "attributes")
TEMPLATES = Path(__file__).resolve().parent.parent / "pretamane_analysis" / "templates"
PROVIDERS = {each.name: each for each in (AWS, CLOUDFLARE)}

# As the provider's schema of 5.100.0 has them; the bindings know neither.
WRITE_ONLY = {"aws_ssm_parameter": {"value_wo"}, "aws_secretsmanager_secret_version": {"secret_string_wo"},
              "aws_db_instance": {"password_wo"}}
SENSITIVE = {"cloudflare_zero_trust_tunnel_cloudflared_token": {"token"},
             "cloudflare_zero_trust_tunnel_cloudflared": {"tunnel_secret"}, "aws_ssm_parameter": {"value", "value_wo"},
             "aws_secretsmanager_secret_version": {"secret_string", "secret_string_wo"}}
_SWITCHES = ("exclude_lowercase", "exclude_numbers", "exclude_punctuation", "exclude_uppercase", "include_space",
             "require_each_included_type")
EPHEMERAL = {"aws_secretsmanager_random_password": {"version": 0, "block": {"attributes": {
    "exclude_characters": {"type": "string", "optional": True}, "password_length": {"type": "number", "optional": True},
    "random_password": {"type": "string", "computed": True, "sensitive": True},
    **{name: {"type": "bool", "optional": True} for name in _SWITCHES}}}}}

SIMPLE = {"getStringAttribute": "string", "getBooleanAttribute": "bool", "getNumberAttribute": "number",
          "getListAttribute": ["list", "string"], "getNumberListAttribute": ["list", "number"],
          "getStringMapAttribute": ["map", "string"],
          "getBooleanMapAttribute": ["map", "bool"], "getNumberMapAttribute": ["map", "number"],
          "getAnyMapAttribute": ["map", "string"],
          "cdktf.StringMap": ["map", "string"], "cdktf.BooleanMap": ["map", "bool"],
          "cdktf.NumberMap": ["map", "number"], "cdktf.StringMapList": ["list", ["map", "string"]]}
DECLARED = {"string": "string", "number": "number", "boolean | cdktf.IResolvable": "bool",
            "string[]": ["list", "string"], "{ [key: string]: string }": ["map", "string"]}
_CLASS = re.compile(r"^export class (\w+) extends cdktf\.\w+ \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(r"^  // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)$", re.MULTILINE)
_FIELD = re.compile(r"#(\w+)\}\n(?:[^\n]*\n)*?  \*/\n  readonly \w+\??: ([^;]+);")
_NESTED = re.compile(r'new (\w+?)(List|Map|OutputReference)\(this, "\w+"(?:, (true|false))?\)')


def folder_of(kind: str) -> str:
    """Return the folder of the bindings that holds `kind`, such as `aws_instance` or `data.aws_ami`"""
    if kind == "provider":
        return "provider"
    provider, _, name = kind.removeprefix("data.").replace("_", "-").partition("-")
    return f"data-{provider}-{name}" if kind.startswith("data.") else name


class Source:
    """The TypeScript of one kind: its classes and what each member is"""

    def __init__(self, text: str, nested: str = "blocks"):
        """Keep `text`, split into classes"""
        self.nested = nested
        self.classes = dict(_CLASS.findall(text))
        self.text = text

    def members(self, name: str) -> Iterator[tuple[str, dict[str, bool], str]]:
        """Yield each member of a class: name, flags, the code that follows"""
        body = self.classes[name]
        found = list(_MEMBER.finditer(body))
        for each, following in zip(found, [*found[1:], None], strict=False):
            flags = {flag: value == "true"
                     for flag, value in zip(("computed", "optional", "required"), each.groups()[1:], strict=True)}
            if flags["required"]:  # Within objects the bindings say of some that they are computed, too
                flags["computed"] = False
            yield each[1], flags, body[each.end() : following.start() if following else len(body)]

    def block(self, name: str) -> dict[str, Any]:
        """Return the block that a class describes"""
        attributes, blocks = {}, {}
        for member, flags, code in self.members(name):
            found = _NESTED.search(code)
            simple = next((kind for getter, kind in SIMPLE.items() if f"{getter}(" in code), None)
            if found and not found[1].startswith("cdktf") and f"{found[1]}OutputReference" in self.classes:
                self._nested(member, flags, found, attributes, blocks)
            elif (declared := re.search(r"private _\w+\?: (\w+)\[\] \| cdktf\.IResolvable;",
                                        code)) and declared[1][0].isupper():
                blocks[member] = {"nesting_mode": "list", "block": {"attributes": self._fields(declared[1])}}
            else:
                kind = ["set", simple[1]] if "cdktf.Fn.tolist(" in code and simple else simple or self._declared(code)
                attributes[member] = {"type": kind} | {flag: True for flag, value in flags.items() if value}
        return {"attributes": attributes, "block_types": blocks}

    def _declared(self, code: str) -> Any:
        "The type of a member of the provider, which has no getter of its own"
        found = re.search(r"private _\w+\?: ([^;]+);", code)
        return DECLARED.get(found[1], "string") if found else "string"

    def _fields(self, name: str) -> dict[str, Any]:
        "The arguments of a block of the provider, which is an interface and no class"
        body = re.search(rf"^export interface {name} \{{$(.*?)^\}}$", self.text, re.MULTILINE | re.DOTALL)[1]
        return {member: {"type": DECLARED.get(kind, "string"),
                         "optional": True} for member, kind in _FIELD.findall(body)}

    def _nested(self, member: str, flags: dict[str, bool], found: re.Match, attributes: dict, blocks: dict) -> None:
        inner, single = f"{found[1]}OutputReference", found[2] == "OutputReference"
        if self.nested == "attributes":
            mode = "single" if single else "map" if found[2] == "Map" else "set" if found[3] == "true" else "list"
            attributes[member] = {"nested_type": {"nesting_mode": mode, "attributes": self.block(inner)["attributes"]},
                                  **{flag: True for flag, value in flags.items() if value}}
            return
        nesting = "map" if found[2] == "Map" else "set" if found[3] == "true" else "list"
        if flags["computed"]:
            attributes[member] = {"type": [nesting, self._object(inner)]} | {flag: True
                                                                             for flag, value in flags.items() if value}
            return
        block = {"nesting_mode": "single" if member == "timeouts" else nesting, "block": self.block(inner)}
        if single and member != "timeouts":
            block["max_items"] = 1
        if flags["required"]:
            block["min_items"] = 1
        blocks[member] = block

    def _object(self, name: str) -> list:
        block = self.block(name)
        inner = {member: each["type"] for member, each in block["attributes"].items()}
        inner |= {member: [each["nesting_mode"], ["object", {}]] for member, each in block["block_types"].items()}
        return ["object", inner]


class Bindings:
    """The archive of the bindings, opened once"""

    def __init__(self, archive: Path, provider: Provider):
        """Open `archive`, the wheel of a provider's bindings"""
        self.nested = provider.nested
        with zipfile.ZipFile(archive) as wheel:
            self.tar = tarfile.open(fileobj=wheel.open(provider.archive), mode="r:gz")

    def sources(self, names: Iterable[str]) -> dict[str, Source]:
        """Return the source of each kind that exists"""
        wanted = {f"package/lib/{folder_of(kind)}/index.js": kind for kind in names}
        found = {}
        for member in self.tar:
            if member.name in wanted:
                script = self.tar.extractfile(member).read().decode()
                mapping = json.loads(base64.b64decode(script.rsplit("base64,", 1)[1]))
                found[wanted[member.name]] = Source(mapping["sourcesContent"][0], self.nested)
                if len(found) == len(wanted):
                    break
        return found


def _schema(kind: str, source: Source) -> dict[str, Any]:
    """Return the schema of one kind"""
    name = next(name
                for name in source.classes if re.search(rf"export class {name} extends cdktf\.Terraform", source.text))
    block = source.block(name)
    plain = kind.removeprefix("data.")
    for member in WRITE_ONLY.get(plain, ()):
        block["attributes"][member]["write_only"] = True
    for member in SENSITIVE.get(plain, ()):
        block["attributes"][member]["sensitive"] = True
    return {"version": 0, "block": block}


def wheel(folder: Path, provider: Provider) -> Path:
    """Return the wheel of the bindings, fetched by pip into `folder` unless it is there"""
    place = folder / f"{provider.package.replace('-', '_')}-{provider.bindings}-py3-none-any.whl"
    if not place.is_file():
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                            "--dest", fresh, f"{provider.package}=={provider.bindings}"], check=True,
                           stdout=subprocess.DEVNULL)
            found = Path(fresh, place.name)
            digest = hashlib.sha256(found.read_bytes()).hexdigest()
            if digest != provider.sha256:
                raise SystemExit(f"{found.name}: SHA-256 {digest}, expected {provider.sha256}")
            found.replace(place)
    return place


def cache() -> Path:
    """Return a folder of the environment, else of the system's temporary files, where the wheel and schemas are kept"""
    for place in (Path(sys.prefix, "share", "terraform-schema"),
                  Path(tempfile.gettempdir(), f"terraform-schema-{AWS.bindings}")):
        try:
            place.mkdir(parents=True, exist_ok=True)
            probe = place / ".probe"
            probe.touch()
            probe.unlink()
            return place
        except OSError:
            continue
    raise SystemExit("no folder for the schema can be written")


def kinds(texts: Iterable[str], provider: str = "aws") -> set[str]:
    """Return the kinds of resources and data sources of a provider that configurations name"""
    found = {(word, kind) for text in texts for word, kind in re.findall(
        rf'^\s*(resource|data|mock_resource|mock_data)\s+"({provider}_\w+)"', text, re.MULTILINE)}
    return {f"data.{kind}" if word.endswith("data") else kind for word, kind in found}


def _written(place: Path, content: Any) -> Any:
    "Write JSON whole or not at all; return it"
    fresh = place.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
    fresh.replace(place)
    return content


def _each(wanted: set[str], provider: Provider, key: str) -> dict[str, Any]:
    """Return the schema of each kind. The bindings are read from end to end for those that are missing, a second of
    a processor, so all that the package's templates name are kept at once"""
    folder = cache() / f"{key}-{provider.name}"
    folder.mkdir(exist_ok=True)
    if not all((folder / f"{kind}.json").is_file() for kind in wanted):
        named = kinds((each.read_text(encoding="utf-8") for each in TEMPLATES.rglob("*.j2")), provider.name)
        found = Bindings(wheel(cache(), provider), provider).sources(wanted | named)
        for kind in wanted | named:  # one that does not exist is kept as such
            _written(folder / f"{kind}.json", _schema(kind, found[kind]) if kind in found else None)
    read = {kind: json.loads((folder / f"{kind}.json").read_text(encoding="utf-8")) for kind in wanted}
    return {kind: each for kind, each in read.items() if each}


def cached_schema(wanted: Iterable[str], provider: Provider = AWS) -> Path:
    """Return a file with the schema of these kinds of one provider, made once, shaped as
    `terraform providers schema -json` prints it"""
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    names = hashlib.sha256("\n".join([provider.name, *sorted(set(wanted))]).encode()).hexdigest()[:16]
    place = cache() / f"{key}-{names}.json"
    if not place.is_file():
        found = _each({"provider", *wanted}, provider, key)
        _written(place, {
            "provider": found.pop("provider"),
            "resource_schemas": {kind: each for kind, each in found.items() if not kind.startswith("data.")},
            "data_source_schemas": {kind.removeprefix("data."): each
                                    for kind, each in found.items() if kind.startswith("data.")},
            "ephemeral_resource_schemas": EPHEMERAL if provider is AWS else {}})
    return place


if __name__ == "__main__":
    print(cached_schema(sys.argv[1:]).read_text(encoding="utf-8"))
