# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The files of a backup: copies of volumes that change while they are copied, the manifest, and the proof of both.

Needs Python 3.9 and nothing else.
"""
import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import sys
import tarfile
from contextlib import closing
from datetime import datetime, timezone

SQLITE = b"SQLite format 3\0"
BESIDE_SQLITE = ("-wal", "-shm", "-journal")


class Failed(Exception):
    """Something that ends the program with a message."""


def walk(folder):
    """Folders and regular files below a folder, as paths relative to it, sorted; anything that vanishes meanwhile is
    left out."""
    pending = [""]
    while pending:
        here = pending.pop()
        try:
            entries = sorted(os.scandir(os.path.join(folder, here)), key=lambda each: each.name, reverse=True)
        except FileNotFoundError:
            continue
        for entry in entries:
            path = os.path.join(here, entry.name)
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
                yield path, True
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                yield path, False


def like(source, target):
    """Owner, mode, times and extended attributes of a file given to another."""
    shutil.copystat(source, target, follow_symlinks=False)
    if os.geteuid() == 0:
        found = os.lstat(source)
        os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)


def copy_file(source, target):
    """One file; of an SQLite database, a copy that is whole although it is in use."""
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    else:
        with open(source, "rb") as start:
            database = start.read(len(SQLITE)) == SQLITE
        if database:
            with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True,
                                         timeout=60)) as live, closing(sqlite3.connect(target)) as copy:
                live.backup(copy)
                if copy.execute("pragma integrity_check").fetchone() != ("ok",):
                    raise Failed(f"{source} is a damaged SQLite database")
        else:
            shutil.copyfile(source, target)
    like(source, target)


def link_file(source, target):
    """One file that its owner replaces but never rewrites: a second name for it costs no space. A copy across file
    systems."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        copy_file(source, target)


def beside_sqlite(path):
    """Whether a file belongs to the SQLite database beside it, whose copy already holds what is in it."""
    for suffix in BESIDE_SQLITE:
        base = path[: -len(suffix)]
        if path.endswith(suffix) and os.path.isfile(base):
            with open(base, "rb") as start:
                return start.read(len(SQLITE)) == SQLITE
    return False


def take(source, target, one):
    """A folder's content into a new folder, each file with the function `one`."""
    os.makedirs(target)
    folders = [""]
    for path, is_folder in walk(source):
        here, there = os.path.join(source, path), os.path.join(target, path)
        try:
            if is_folder:
                os.mkdir(there)
                folders.append(path)
            elif not (one is copy_file and beside_sqlite(here)):
                one(here, there)
        except FileNotFoundError:
            if os.path.lexists(here):
                raise
    for path in reversed(folders):  # last, since each new entry changes the time of its folder
        try:
            like(os.path.join(source, path), os.path.join(target, path))
        except FileNotFoundError:
            continue


def hash_of(source):
    """SHA-256 of what is read from an open file."""
    found = hashlib.sha256()
    for block in iter(lambda: source.read(1 << 20), b""):
        found.update(block)
    return found.hexdigest()


def digest(path):
    """SHA-256 of a file, or of where a link points."""
    if os.path.islink(path):
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    with open(path, "rb") as source:
        return hash_of(source)


def tree(folder, cache=None):
    """Files, bytes and one hash for a folder: names, owners, modes and content. `cache` maps a path to what was
    hashed before."""
    total, known, fresh = {"files": 0, "bytes": 0}, cache or {}, {}
    whole = hashlib.sha256()
    for path, is_folder in walk(folder):
        found = os.lstat(os.path.join(folder, path))
        line = [path, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid]
        if not is_folder:
            key = [found.st_ino, found.st_mtime_ns, found.st_size]
            before = known.get(path)
            content = before[3] if before and before[:3] == key else digest(os.path.join(folder, path))
            fresh[path] = [*key, content]
            line.append(content)
            total["files"] += 1
            total["bytes"] += found.st_size
        whole.update(json.dumps(line).encode() + b"\n")
    if cache is not None:
        cache.clear()
        cache.update(fresh)
    return {**total, "sha256": whole.hexdigest()}


def read(path, default=None):
    """A JSON file, or the default where there is none."""
    try:
        with open(path, encoding="utf-8") as source:
            return json.load(source)
    except FileNotFoundError:
        if default is None:
            raise
        return default


def write(path, content):
    """A JSON file, whole or not at all."""
    with open(f"{path}.part", "w", encoding="utf-8") as out:
        json.dump(content, out, indent=1, sort_keys=True)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(f"{path}.part", path)


def dumps(folder):
    """SHA-256 and size of each file of the database dumps, by path."""
    top = os.path.join(folder, "databases")
    files = [path for path, is_folder in walk(top) if not is_folder] if os.path.isdir(top) else []
    return {path: {"bytes": os.path.getsize(os.path.join(top, path)), "sha256": digest(os.path.join(top, path))}
            for path in sorted(files)}


def volumes(folder, cache=None):
    """What `tree` says of each saved volume."""
    top = os.path.join(folder, "volumes")
    names = sorted(os.listdir(top)) if os.path.isdir(top) else []
    return {name: tree(os.path.join(top, name), None if cache is None else cache.setdefault(name, {}))
            for name in names}


def make(folder, facts, cache):
    """Write `manifest.json`: what is in the backup, and what is not."""
    known = read(cache, {})
    content = {"made": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), **facts,
               "dumps": dumps(folder), "volumes": volumes(folder, known)}
    content["bytes"] = sum(each["bytes"] for each in [*content["dumps"].values(), *content["volumes"].values()])
    write(os.path.join(folder, "manifest.json"), content)
    write(cache, known)


def members(archive, top):
    """What a tar archive has below a folder: path -> whether it is a folder, mode, user, group, size and hash."""
    found = {}
    for each in archive:
        path = each.name.strip("/").partition(f"{top}/")[2]
        if not path:
            continue
        size, content = each.size, None
        if each.issym():
            target = os.fsencode(each.linkname)
            size, content = len(target), hashlib.sha256(target).hexdigest()
        elif each.islnk():
            size, content = found[each.linkname.strip("/").partition(f"{top}/")[2]][4:]
        elif each.isfile():
            content = hash_of(archive.extractfile(each))
        found[path] = (each.isdir(), stat.S_IMODE(each.mode), each.uid, each.gid, size, content)
    return found


def stream_tree(stream, top):
    """What `tree` says of a folder, from a tar archive of it that is only read."""
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:
        found = members(archive, top)
    inside, total, whole = {}, {"files": 0, "bytes": 0}, hashlib.sha256()
    for path in found:
        inside.setdefault(os.path.dirname(path), []).append(path)
    pending = [""]
    while pending:  # in the order of `walk`
        for path in sorted(inside.get(pending.pop(), ()), key=os.path.basename, reverse=True):
            is_folder, mode, user, group, size, content = found[path]
            if is_folder:
                pending.append(path)
            else:
                total["files"] += 1
                total["bytes"] += size
            line = [path, mode, user, group] + ([] if is_folder else [content])
            whole.update(json.dumps(line).encode() + b"\n")
    return {**total, "sha256": whole.hexdigest()}


def differences(kind, expected, now, names):
    """Where parts of a backup are not what its manifest says, as text."""
    for name in sorted(names):
        if expected.get(name) != now.get(name):
            yield f"{kind}/{name}: {expected.get(name)} in the manifest, {now.get(name)} found"


def streamed(folder, name):
    """Where a volume that comes in as a tar archive is not what the manifest says, as text."""
    expected = read(os.path.join(folder, "manifest.json"))["volumes"]
    yield from differences("volumes", expected, {name: stream_tree(sys.stdin.buffer, f"volumes/{name}")}, [name])


def fetched(names, elsewhere):
    """The volumes of some that are fetched: those that are not `elsewhere`, where `*` stands for all."""
    return {*()} if "*" in elsewhere else {*names} - {*elsewhere}


def faults(folder, elsewhere):
    """Where a backup that was fetched, without the volumes `elsewhere`, is not what its manifest says, as text."""
    manifest = read(os.path.join(folder, "manifest.json"))
    now = {"dumps": dumps(folder), "volumes": volumes(folder)}
    yield from differences("dumps", manifest["dumps"], now["dumps"], {*manifest["dumps"], *now["dumps"]})
    names = fetched({*manifest["volumes"], *now["volumes"]}, elsewhere)
    yield from differences("volumes", manifest["volumes"], now["volumes"], names)
    for path, is_folder in walk(os.path.join(folder, "volumes")):
        file = os.path.join(folder, "volumes", path)
        if is_folder or os.path.islink(file):
            continue
        with open(file, "rb") as start:
            database = start.read(len(SQLITE)) == SQLITE
        if database:
            with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as found:
                if found.execute("pragma integrity_check").fetchone() != ("ok",):
                    yield f"volumes/{path}: a damaged SQLite database"


def unlocked(folder):
    """Where a release is not what its lock file says, as text. A bundle leaves Terraform's files out."""
    for path, expected in read(os.path.join(folder, "stack.lock.json"))["files"].items():
        if path.startswith("terraform/"):
            continue
        file = os.path.join(folder, path)
        if not os.path.isfile(file):
            yield f"{path} is missing"
        elif digest(file) != expected:
            yield f"{path} was changed"


def occupied(folder):
    """Files that a restore would overwrite; folders whose name starts with a dot are an engine's own."""
    for path, is_folder in walk(folder):
        if not is_folder and not path.startswith(".") and not path.startswith("lost+found"):
            yield f"{path} is there"
            return


def counted_bytes(manifest, elsewhere):
    """Bytes of all dumps and of the volumes that are not `elsewhere`; and of the databases once they are restored."""
    dumped = sum(each["bytes"] for each in manifest["dumps"].values())
    kept = sum(manifest["volumes"][name]["bytes"] for name in fetched(manifest["volumes"], elsewhere))
    return dumped + kept, manifest.get("database_bytes", dumped)  # older backups do not say


def move_in(source, target):
    """Everything in a folder moved into another one, which then is like it."""
    for name in os.listdir(source):
        shutil.move(os.path.join(source, name), os.path.join(target, name))
    like(source, target)


VERBS = {  # arguments, and what is done; text that it gives back is a fault
    "mirror": (("source", "target"), lambda chosen: take(chosen.source, chosen.target, link_file)),
    "copy": (("source", "target"), lambda chosen: take(chosen.source, chosen.target, copy_file)),
    "put": (("source", "target"), lambda chosen: move_in(chosen.source, chosen.target)),
    "manifest": (("folder", "cache", "facts"),
                 lambda chosen: make(chosen.folder, json.loads(chosen.facts), chosen.cache)),
    "bytes": (("elsewhere",), lambda chosen: print(*counted_bytes(json.load(sys.stdin), chosen.elsewhere))),
    "faults": (("folder", "elsewhere"), lambda chosen: faults(chosen.folder, chosen.elsewhere)),
    "streamed": (("folder", "volume"), lambda chosen: streamed(chosen.folder, chosen.volume)),
    "unlocked": (("folder",), lambda chosen: unlocked(chosen.folder)),
    "occupied": (("folder",), lambda chosen: occupied(chosen.folder)),
}


def main():
    """Run one verb; 0 when all is well, 1 on failure, 3 where something is found that should not be there."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, (names, _) in VERBS.items():
        each = verbs.add_parser(verb)
        for name in names:
            more = {"nargs": "*", "help": "volumes that do not count; * for all"} if name == "elsewhere" else {}
            each.add_argument(name, **more)
    chosen = parser.parse_args()
    try:
        found = list(VERBS[chosen.verb][1](chosen) or ())
    except (Failed, OSError, ValueError, KeyError, sqlite3.Error, tarfile.TarError) as error:
        sys.exit(f"{chosen.verb}: {error}")
    for each in found:
        print(each, file=sys.stderr)
    sys.exit(3 if found else 0)


if __name__ == "__main__":
    main()
