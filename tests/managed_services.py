"""The managed services under the reference application: DynamoDB and S3 of moto, over HTTP, with signatures and the
emitted role's policy checked; OpenSearch of osmem, a program of others that speaks OpenSearch's interface in memory.

Neither is AWS. What they cannot show: throttling, limits of an account, how OpenSearch weighs and analyzes text.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import boto3
import httpx
from app_server import API_KEY, App, environment_of_apps, wait_for_port
from osmem_server import resolve_binary
from postgres_server import free_port

from pretamane_analysis.emit.tree import OF_CLUSTER, emitted
from pretamane_analysis.stack.stack import example

REGION = "us-east-1"
EXPRESSIONS = ("var.region", "aws_dynamodb_table.main.name", "aws_s3_bucket.objects.id",
               '"https://${aws_opensearch_domain.main.endpoint}"')  # what Terraform knows once everything is made
# One request after the other: moto's transactions put a copy of the whole table back when a condition does not hold.
# That copy shares the items, which keeps a transaction from taking a second in a table of a thousand; what an update
# changed is not put back, so of the parts of a transaction the update must come first.
SERVE = """
import copy
import sys
from collections import defaultdict
from moto.dynamodb.models.table import Table
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

def copied(table, _):
    found = copy.copy(table)
    found.items = defaultdict(dict, {key: copy.copy(each) for key, each in table.items.items()})
    return found

Table.__deepcopy__ = copied
served = DomainDispatcherApplication(create_backend_app)
make_server("127.0.0.1", int(sys.argv[1]), served, threaded=False).serve_forever()
"""


class Moto:
    """A fake AWS of one's own; once `strict`, it checks signatures and policies"""

    def __init__(self) -> None:
        """Start serving"""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, str(self.port)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for_port(self.port, seconds=60)

    def client(self, service: str, key: tuple[str, str] = ("first", "any")):
        """A client of boto3"""
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, aws_access_key_id=key[0],
                            aws_secret_access_key=key[1])

    def strict(self) -> None:
        """Check signatures and policies from now on"""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0",
                   headers={"Content-Type": "application/octet-stream"}).raise_for_status()

    def stop(self) -> None:
        """Stop serving; all is forgotten"""
        self.process.kill()
        self.process.wait(10)


class Osmem:
    """OpenSearch's interface, in memory"""

    def __init__(self) -> None:
        """Start serving"""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen([resolve_binary(), "-no-ja", "-parent-pid", str(os.getpid()), "-no-stdin-watch",
                                         "-addr", f"127.0.0.1:{self.port}"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for_port(self.port)

    def documents(self) -> dict[str, dict]:
        """What the index `documents` holds, by id"""
        answer = httpx.post(f"{self.url}/documents/_search", json={"size": 1000}).json()
        return {each["_id"]: each["_source"] for each in answer.get("hits", {"hits": []})["hits"]}

    def stop(self) -> None:
        """Stop serving; all is forgotten"""
        self.process.kill()
        self.process.wait(10)


def emitted_terraform() -> str:
    """The Terraform of the managed side of the example"""
    return "\n".join(text for path, text in emitted(example(), ["eks"], OF_CLUSTER).items() if path.endswith(".tf"))


def table_of(text: str, name: str) -> dict:
    """The table as Terraform describes it, for CreateTable"""
    block = re.search(r'resource "aws_dynamodb_table" "main" \{(.*?)^\}', text, re.DOTALL | re.MULTILINE)[1]
    keys = {kind: re.search(rf'{kind}_key +?= "(\w+)"', block)[1] for kind in ("hash", "range")}
    kinds = dict(re.findall(r'name = "(\w+)"\s+type = "(\w)"', block))
    return {"TableName": name, "BillingMode": re.search(r'billing_mode += "(\w+)"', block)[1],
            "KeySchema": [{"AttributeName": each, "KeyType": kind.upper()} for kind, each in keys.items()],
            "AttributeDefinitions": [{"AttributeName": each, "AttributeType": kinds[each]} for each in keys.values()]}


def policy_of(text: str, bucket: str) -> dict:
    """What the emitted role may do with table and bucket, and what moto asks for where AWS asks for something else:
    about no table in particular; for the transaction as such, beside what is written in it; for HeadBucket, where AWS
    takes ListBucket"""
    block = re.search(r'resource "aws_iam_role_policy" "application" \{(.*?)^\}', text, re.DOTALL | re.MULTILINE)[1]
    found = {sid: re.findall(r'"([a-z0-9]+:\w+)"', actions)
             for sid, actions in re.findall(r'Sid\s+= "(\w+)".*?Action\s+= (\[.*?\]|"[^"]*")', block, re.DOTALL)}
    found["Table"].append("dynamodb:TransactWriteItems")
    found["ListObjects"].append("s3:HeadBucket")
    places = {"Table": "*", "Objects": f"arn:aws:s3:::{bucket}/*", "ListObjects": f"arn:aws:s3:::{bucket}"}
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": found[sid], "Resource": place}
                                                   for sid, place in places.items()]}


def settings_of(text: str, known: dict[str, str]) -> dict[str, str]:
    """What the emitted output tells the application"""
    block = re.search(r'^output "settings" \{(.*?)^\}', text, re.DOTALL | re.MULTILINE)[1]
    given = dict(re.findall(r"^      (\w+) += (.*)$", block, re.MULTILINE))
    return {name: known[value] if value in known else json.loads(value) for name, value in given.items()}


class ManagedPlatform:
    """What the application needs on the managed side: table, bucket, index, a role's credentials, keys of callers"""

    side = "managed"

    def __init__(self) -> None:
        """Make what Terraform makes; the layout is noted by the application's own job"""
        self.aws, self.search, self.apps = Moto(), Osmem(), []
        self.name, self.folder = f"app-{uuid4().hex[:8]}", Path(tempfile.mkdtemp(prefix="managed-"))
        self.key = self._make(emitted_terraform())
        self.aws.strict()
        (self.folder / "api").write_text(f"{API_KEY}\n")
        self.environment = environment_of_apps() | settings_of(emitted_terraform(), self._known()) | {
            "AWS_ENDPOINT_URL": self.aws.url, "AWS_ACCESS_KEY_ID": self.key[0], "AWS_SECRET_ACCESS_KEY": self.key[1],
            "AWS_EC2_METADATA_DISABLED": "true", "API_KEY_FILE": str(self.folder / "api"),
            "AUDIT_FOLDER": str(self.folder),
            "DB_STATEMENT_TIMEOUT_SECONDS": "30"}  # moto takes a while for forty at once

    def _known(self) -> dict[str, str]:
        """What Terraform would know after it made everything"""
        return dict(zip(EXPRESSIONS, (REGION, self.name, self.name, self.search.url), strict=True))

    def _make(self, text: str) -> tuple[str, str]:
        self.aws.client("s3").create_bucket(Bucket=self.name)
        self.aws.client("dynamodb").create_table(**table_of(text, self.name))
        iam = self.aws.client("iam")
        keys = []
        for user, policy in (("application", policy_of(text, self.name)), ("test", {
                "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})):
            iam.create_user(UserName=user)
            iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=json.dumps(policy))
            made = iam.create_access_key(UserName=user)["AccessKey"]
            keys.append((made["AccessKeyId"], made["SecretAccessKey"]))
        self.own = keys[1]
        return keys[0]

    def app(self, source: Path | None = None, **environment: str | None) -> App:
        """The application on this platform, not yet started"""
        self.apps.append(App(self, *[source] if source else [], environment=environment))
        return self.apps[-1]

    def prepare(self) -> None:
        """Run the jobs that come before the application"""
        app = self.app()
        for module in ("app.migrate", "app.bucket_init"):
            done = app.run("-m", module)
            assert done.returncode == 0, done.stdout + done.stderr
        app.remove()

    def stored(self, document_id: str) -> bytes | None:
        """What the bucket has of a document"""
        client = self.aws.client("s3", self.own)
        try:
            return client.get_object(Bucket=self.name, Key=f"documents/{document_id}")["Body"].read()
        except client.exceptions.NoSuchKey:
            return None

    def statements(self) -> str:
        """What the database notes of what it was asked: DynamoDB has no log that a caller could write a word into"""
        return ""

    def contacts_of(self, company: str) -> int:
        """How many contacts name a company"""
        pages = self.aws.client("dynamodb", self.own).get_paginator("query").paginate(
            TableName=self.name, KeyConditionExpression="pk = :pk", FilterExpression="company = :company",
            ExpressionAttributeValues={":pk": {"S": "CONTACTS"}, ":company": {"S": company}})
        return sum(page["Count"] for page in pages)

    def wrong_key(self) -> tuple[dict[str, str], list[str], str]:
        """Settings with a key that AWS refuses, what is down then, what the bucket's job says of it"""
        return ({"AWS_SECRET_ACCESS_KEY": "another secret"}, ["database", "object_store"],
                "look at the credentials of the pod")

    def remove(self) -> None:
        """Remove everything"""
        for each in self.apps:
            each.remove()
        self.aws.stop()
        self.search.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

