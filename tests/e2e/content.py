"""What is on the host to lose: rows, objects, and how much of them."""
from __future__ import annotations

import json
from hashlib import sha256

REPOSITORY = {"RESTIC_REPOSITORY": "s3:http://127.0.0.1:5055/backups/backups"}
ROWS = ("SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM (SELECT 'c', to_jsonb(contacts)::text "
        "FROM contacts "
        "UNION ALL SELECT 'd', (to_jsonb(documents) - 'indexed_at')::text FROM documents) AS t")


def rows(stage):
    """One hash over all that the application keeps in its database"""
    return stage.run("docker", "exec", "pretamane-postgresql-1", "psql", "-U", "postgres", "-d", "pretamane", "-Atc",
                     ROWS).stdout.strip()


def objects(stage):
    """Hash by name of what is in the object store"""
    folder = stage.run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}",
                       "pretamane_minio-data").stdout.strip()
    root = stage.path(folder)
    return {str(each.relative_to(root)): sha256(each.read_bytes()).hexdigest()
            for each in root.rglob("*") if each.is_file() and "/." not in f"/{each.relative_to(root)}"}


def sql(stage, query):
    """The answer of the database"""
    return stage.run("docker", "exec", "pretamane-postgresql-1", "psql", "-U", "postgres", "-d", "pretamane", "-Atc",
                     query).stdout.strip()


def how_much(stage):
    """What there is to lose, in words: without it nobody knows what the seconds stand for"""
    size = sql(stage, "select pg_database_size('pretamane')")
    count = sql(stage, "select (select count(*) from contacts) || ' contacts, ' || (select count(*) from documents) "
                "|| ' documents'")
    folder = stage.run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}",
                       "pretamane_minio-data").stdout.strip()
    stored = sum(each.stat().st_size for each in stage.path(folder).rglob("*") if each.is_file())
    kept = sum(each["Size"] for each in json.loads(stage.beside(
        "import boto3, json\ns3 = boto3.client('s3')\npages = s3.get_paginator('list_objects_v2').paginate("
        "Bucket='backups')\nprint(json.dumps([{'Size': each['Size']} for page in pages for each in "
        "page.get('Contents', [])]))")))
    return f"a database of {int(size):,} bytes ({count}), {stored:,} bytes of objects, {kept:,} bytes of backups"
