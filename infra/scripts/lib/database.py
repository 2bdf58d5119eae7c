# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""PostgreSQL in a container: a dump and the fingerprints of what is in it, taken at one moment; restore; compare.

Everything after `--` is the command that runs a program where the server is, such as
`docker compose exec -T postgresql`. Needs Python 3.9 and nothing else.
"""
import argparse
import json
import os
import subprocess
import sys
from urllib.parse import quote

DATABASES = "select datname from pg_database where datallowconn and not datistemplate order by 1"
# A row as text must not depend on the settings of a server or of a role.
SETTINGS = """set client_encoding = 'UTF8'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres';
set timezone = 'UTC'; set extra_float_digits = 3; set bytea_output = 'hex';
set search_path = pg_catalog; set row_security = off;
set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;"""
# Bookkeeping that an application writes into an empty database when it first starts.
BOOKKEEPING = "(^|_)(migrations?|migration_history)$|^alembic_version$"
OF_EXTENSION = ("exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and "
                "d.deptype = 'e')")
USER_TABLES = f"""pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r'
and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and not {OF_EXTENSION}"""
# A sum of hashes knows nothing of the order of rows and needs no memory.
HASH = "coalesce(sum(('x' || substr({0}, 1, 16))::bit(64)::bigint::numeric), 0) || '/' || " \
       "coalesce(sum(('x' || substr({0}, 17, 16))::bit(64)::bigint::numeric), 0)"
END = "--end of answer--"


class Failed(Exception):
    """Something that ends the program with a message."""


class Session:
    """One psql, kept open, so that a transaction can span several questions."""

    def __init__(self, command, user, database):
        self.process = subprocess.Popen([*command, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", user,
                                         "-d", database],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def __enter__(self):
        self.ask(SETTINGS)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def ask(self, question):
        """The lines of the answer."""
        lines = []
        try:
            self.process.stdin.write(f"{question.rstrip().rstrip(';')};\n\\echo {END}\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                if line.rstrip("\n") == END:
                    return lines
                lines.append(line.rstrip("\n"))
        except BrokenPipeError:
            pass
        raise Failed(f"psql ended with {self.process.wait()} at: {' '.join(question.split())[:120]}")

    def values(self, question):
        """The rows of a query as Python values."""
        return [json.loads(line) for line in self.ask(f"select to_json(row_) from ({question}) row_")]


def identifier(name):
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def databases(command, user):
    """The names of all databases that can hold data."""
    with Session(command, user, "template1") as session:
        return [row["datname"] for row in session.values(DATABASES)]


def fingerprint(session):
    """What is in a database: rows and their hash by table, large objects, sequences, extensions."""
    tables = {}
    for row in session.values(f"select n.nspname as schema, c.relname as name from {USER_TABLES} order by 1, 2"):
        source = f"{identifier(row['schema'])}.{identifier(row['name'])}"
        count, = session.values(f"select count(*) as rows, {HASH.format('md5(_row_::text)')} as hash from only "
                                f"{source} as _row_")
        tables[source] = count
    objects, = session.values(f"select count(*) as rows, "
                              f"{HASH.format('md5(oid::text || encode(lo_get(oid), $$hex$$))')} as hash "
                              "from pg_largeobject_metadata")
    sequences = session.values("select format('%I.%I', schemaname, sequencename) as name, last_value, increment_by "
                               "from pg_sequences order by 1")
    extensions = session.values("select extname as name, extversion as version from pg_extension order by 1")
    return {"tables": tables, "large_objects": objects, "sequences": {each["name"]: each for each in sequences},
            "extensions": {each["name"]: each["version"] for each in extensions}}


def run(command, *arguments, **options):
    """A program beside the server. Raises Failed."""
    done = subprocess.run([*command, *arguments], check=False, **options)
    if done.returncode:
        raise Failed(f"{arguments[0]} ended with {done.returncode}")
    return done


def dump(command, user, folder):
    """All databases and roles into a folder, with `databases.json`: what each held at the moment of its dump."""
    found = {}
    with open(os.path.join(folder, "globals.sql"), "wb") as out:
        run(command, "pg_dumpall", "--globals-only", "-U", user, "-l", "template1", stdout=out)
    version = run(command, "pg_dump", "--version", capture_output=True, text=True).stdout.strip()
    for name in databases(command, user):
        file = f"{quote(name, safe='')}.dump"
        with Session(command, user, name) as session, open(os.path.join(folder, file), "wb") as out:
            session.ask("begin isolation level repeatable read")
            snapshot, = session.ask("select pg_export_snapshot()")
            content = fingerprint(session)
            run(command, "pg_dump", "-Fc", f"--snapshot={snapshot}", "-U", user, "-d", name, stdout=out)
            session.ask("commit")
        found[name] = {"file": file, **content}
    with Session(command, user, "template1") as session:
        roles = [row["rolname"]
                 for row in session.values("select rolname from pg_roles where rolname !~ '^pg_' order by 1")]
        server, = session.ask("show server_version")
    with open(os.path.join(folder, "databases.json"), "w", encoding="utf-8") as out:
        json.dump({"server": server, "tool": version, "roles": roles, "databases": found}, out, indent=1,
                  sort_keys=True)


def occupied(command, user):
    """What a restore would overwrite, as text; empty where nothing is."""
    reasons = []
    for name in databases(command, user):
        with Session(command, user, name) as session:
            tables = session.values(f"select n.nspname as schema, c.relname as name from {USER_TABLES} and c.relname "
                                    f"!~ '{BOOKKEEPING}'")
            for row in tables:
                source = f"{identifier(row['schema'])}.{identifier(row['name'])}"
                if session.ask(f"select exists (select from only {source})") == ["t"]:
                    reasons.append(f"database {name} has rows in {source}")
            if session.ask("select exists (select from pg_largeobject_metadata)") == ["t"]:
                reasons.append(f"database {name} has large objects")
    return reasons


def saved(folder):
    """What `dump` wrote about a folder."""
    with open(os.path.join(folder, "databases.json"), encoding="utf-8") as source:
        return json.load(source)


def restore_roles(command, user, folder):
    """Roles and their memberships; a role that exists is altered, not created."""
    with Session(command, user, "template1") as session:
        existing = set(session.ask("select format('CREATE ROLE %I;', rolname) from pg_roles"))
    with open(os.path.join(folder, "globals.sql"), encoding="utf-8") as source:
        statements = "".join(line for line in source if line.rstrip("\n") not in existing)
    run(command, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", "template1", input=statements.encode(),
        stdout=subprocess.DEVNULL)


def clear(session, name, aside):
    """Make room for a database: one that exists is renamed, or dropped where `aside` is empty."""
    if session.ask(f"select exists (select from pg_database where datname = {literal(name)})") != ["t"]:
        return
    if not aside:
        session.ask(f"drop database {identifier(name)} with (force)")
        return
    session.ask(f"alter database {identifier(name)} allow_connections false")
    session.ask(f"select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = {literal(name)}")
    session.ask(f"alter database {identifier(name)} rename to {identifier(name + aside)}")
    session.ask(f"alter database {identifier(name + aside)} allow_connections true")
    print(f"the old database is kept as {name + aside}", file=sys.stderr)


def restore(command, user, folder, aside):
    """Roles and databases from a folder that `dump` wrote."""
    restore_roles(command, user, folder)
    for name, content in saved(folder)["databases"].items():
        with Session(command, user, "template1") as session:
            clear(session, name, aside)
        with open(os.path.join(folder, content["file"]), "rb") as source:
            run(command, "pg_restore", "--exit-on-error", "-C", "-U", user, "-d", "template1", stdin=source)
        with Session(command, user, name) as session:
            session.ask("analyze")


def differences(expected, found):
    """Where a restored database is not what the dump held, as text."""
    for kind in ("tables", "extensions"):
        for name in sorted({*expected[kind], *found[kind]}):
            before, after = expected[kind].get(name), found[kind].get(name)
            if before != after:
                yield f"{name}: {before} in the backup, {after} now"
    if expected["large_objects"] != found["large_objects"]:
        yield f"large objects: {expected['large_objects']} in the backup, {found['large_objects']} now"
    for name, before in expected["sequences"].items():
        after = found["sequences"].get(name, {}).get("last_value")
        behind = before["last_value"] is not None and (after is None
                                                       or (after - before["last_value"]) * before["increment_by"] < 0)
        if behind or name not in found["sequences"]:
            yield f"sequence {name}: {before['last_value']} in the backup, {after} now"


def compare(command, user, folder):
    """Every difference between a folder that `dump` wrote and the server, as text."""
    expected, found = saved(folder), []
    for name, content in expected["databases"].items():
        with Session(command, user, name) as session:
            found += [f"database {name}: {each}" for each in differences(content, fingerprint(session))]
    with Session(command, user, "template1") as session:
        roles = {row["rolname"] for row in session.values("select rolname from pg_roles")}
    return found + [f"role {each} is missing" for each in expected["roles"] if each not in roles]


def main():
    """Run one verb; 0 when all is well, 1 on failure, 3 where something is found that should not be there."""
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["dump", "occupied", "restore", "compare"])
    parser.add_argument("folder", nargs="?", default=".")
    parser.add_argument("--user", required=True, help="role that owns everything")
    parser.add_argument("--aside", default="", help="suffix for a database that is in the way; left out: it is dropped")
    chosen, command = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1:]
    found = []
    try:
        if chosen.verb == "dump":
            dump(command, chosen.user, chosen.folder)
        elif chosen.verb == "restore":
            restore(command, chosen.user, chosen.folder, chosen.aside)
        else:
            found = occupied(command,
                             chosen.user) if chosen.verb == "occupied" else compare(command, chosen.user, chosen.folder)
    except (Failed, OSError, ValueError) as error:
        sys.exit(f"{chosen.verb}: {error}")
    for each in found:
        print(each, file=sys.stderr)
    sys.exit(3 if found else 0)


if __name__ == "__main__":
    main()
