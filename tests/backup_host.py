"""A host with a real PostgreSQL, an object store's files and an SQLite database, for tests of backup and restore."""
from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import yaml
from operations_host import Host, tree
from postgres_server import PostgresServer, find_binaries

# Whatever a dump could get wrong: text in many scripts, bytes, NULL, numbers at their limits, inheritance, partitions,
# a
# column and a table with odd names, large objects, sequences that count down, rights, an extension, a view, comments.
SEED = r"""
create role pretamane login password 'of the day of the backup';
create role readers;
grant readers to pretamane;
create database pretamane owner pretamane;
\connect pretamane
create extension "uuid-ossp";
set role pretamane;
create table contacts (id bigserial primary key, name text not null, born date, wealth numeric, weight double precision, photo bytea,
                       seen timestamptz default now(), tags text[], notes jsonb);
insert into contacts (name, born, wealth, weight, photo, tags, notes)
select format('%s %s', (array['Ko Aung', 'Grüße', 'မင်္ဂလာပါ', '日本語', E'tab\tand\nline', '''; drop table contacts; --', '🎉'])[1 + i % 7], i),
       date '1900-01-01' + i, case when i % 11 = 0 then null else i * 1e20 + 0.1 end, 1.0 / nullif(i % 13, 0),
       decode(md5(i::text), 'hex'), array[i::text, null, 'x,"y'], jsonb_build_object('n', i, 't', 'ü')
from generate_series(1, 3000) i;
create table "Odd ""name"" of a table" (t text, "select" int);
insert into "Odd ""name"" of a table" values ('t', 1), (null, null), ('t', 1);
create table empty (id int);
create table events (at date, what text) partition by range (at);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create table events_rest partition of events default;
insert into events select date '2025-12-01' + i, 'event ' || i from generate_series(1, 100) i;
create table animals (name text);
create table dogs (breed text) inherits (animals);
insert into animals values ('cat');
insert into dogs values ('rex', 'collie');
create view named as select name from contacts;
create sequence down increment -1 maxvalue 1000 minvalue 1 start 1000;
select nextval('down') from generate_series(1, 7);
grant select on contacts to readers;
comment on table contacts is 'with a comment';
reset role;
create table schema_migrations (version int);
insert into schema_migrations values (1);
select lo_from_bytea(0, decode(repeat(md5(i::text), 400), 'hex')) from generate_series(1, 5) i;
"""  # noqa: E501
HASHES = """select json_object_agg(name, hash order by name) from (
  select 'contacts' as name, (select md5(string_agg(t::text, '|' order by id)) from contacts t) as hash
  union all select 'odd', (select md5(string_agg(t::text, '|' order by t::text)) from "Odd ""name"" of a table" t)
  union all select 'events', (select md5(string_agg(t::text, '|' order by at)) from events t)
  union all select 'animals', (select md5(string_agg(tableoid::regclass || t::text, '|' order by t::text)) from animals t)
  union all select 'objects', (select md5(string_agg(encode(lo_get(oid), 'hex'), '|' order by oid)) from pg_largeobject_metadata)
  union all select 'rights', (select string_agg(relname || coalesce(relacl::text, '') || relowner::regrole, '|' order by relname)
                              from pg_class where relnamespace = 'public'::regnamespace)
  union all select 'comment', obj_description('contacts'::regclass)) parts"""  # noqa: E501
PASSWORDS = {"postgres_superuser_password": "superuser of this host",
             "postgres_password": "application of this host's store"}


def make_server() -> PostgresServer:
    """An empty cluster, running, whose log goes where the emitted settings say, below its own folder"""
    command = yaml.safe_load(tree()["compose/compose.yaml"])["services"]["postgresql"]["command"]
    settings = dict(word.split("=", 1) for word in command[2::2])
    server = PostgresServer(find_binaries())
    (server.folder / "archive").mkdir()
    (server.folder / "archive").chmod(0o777)
    line = settings["archive_command"].replace("/archive", f"{server.folder}/archive")
    with (server.data / "postgresql.conf").open("a") as file:
        file.write(f"archive_mode = {settings['archive_mode']}\narchive_command = '{line}'\n")
    server.start()
    return server


def fill_objects(folder: Path) -> None:
    """Files as an object store keeps them: names in many scripts, attributes, its own folder"""
    for name, text in {"documents/a.pdf": "a" * 5000, "documents/ကျေးဇူး/ü b.txt": "unicode", "documents/empty": "",
                       ".sys/format.json": "{}", "documents/deep/er/still/x": "x"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "documents" / "a.pdf").chmod(0o640)
    if os.geteuid() == 0:
        for each in (folder, *folder.rglob("*")):
            os.chown(each, 1000, 1000)
    try:
        os.setxattr(folder / "documents" / "a.pdf", "user.content-type", b"application/pdf")
    except OSError:
        pass  # a file system without extended attributes


def attributes(folder: Path) -> dict[str, tuple]:
    """Everything about the files of a folder that a restore must bring back"""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        extended = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        found[str(path.relative_to(folder))] = (facts.st_mode, facts.st_uid, facts.st_gid, extended,
                                                path.read_bytes() if path.is_file() else None)
    return found


def make_host(folder: Path, server: PostgresServer, repository: Path) -> Host:
    """A host with the example's release, whose database is `server`"""
    folder.mkdir()
    host = Host(folder)
    host.install("a" * 64)
    (host.secrets / "host" / "restic_password").write_text("the key of this test")
    (host.secrets / "postgresql").mkdir()
    for name, value in PASSWORDS.items():
        (host.secrets / "postgresql" / name).write_text(value)
    host.environment |= {"RESTIC_REPOSITORY": str(repository)}
    host.save(environment={"postgresql": {"PGHOST": str(server.folder), "PGPORT": str(server.port)}},
              replace={"/run/secrets/": f"{host.secrets}/postgresql/"})
    for volume in ("minio-data", "grafana-data", "postgres-data", "logs-data"):
        host.volume(volume)
    archive = host.volume("postgresql-archive")
    archive.rmdir()
    archive.symlink_to(server.folder / "archive")  # where a server that is not root can write
    host.start("postgresql", "minio", "grafana", "fastapi-app-blue", "caddy")
    return host


def grafana(host: Host) -> sqlite3.Connection:
    """Grafana's database, open and in use: what was written is not in its main file yet"""
    live = sqlite3.connect(host.volume("grafana-data") / "grafana.db", isolation_level=None, check_same_thread=False)
    live.execute("pragma journal_mode = wal")
    live.execute("pragma wal_autocheckpoint = 0")
    live.execute("create table preferences (id integer primary key, theme text)")
    live.executemany("insert into preferences (theme) values (?)", [("dark",), ("hell",)] * 50)
    (host.volume("grafana-data") / "plugins").mkdir()
    (host.volume("grafana-data") / "plugins" / "note.txt").write_text("kept")
    return live
