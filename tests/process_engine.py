"""The command lines of `docker` that the emitted scripts use, with a process of this machine in the place of each
container: for the branches of the scripts that end in an error, as any user and in seconds. That they work with a real
engine is what tests/e2e shows; docs/e2e.md says which is proven where.

What would be run inside a container is run here, with names and places of the container replaced by those of the test.
The programs are real: PostgreSQL, Caddy, the application's stand-in. A command line that is not known is an error, so
that nothing passes because nobody looked. PROCESS_ENGINE names a folder with `engine.json` (see
`operations_host.Engine`); every call is noted in `calls`.
"""
from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

# It is started some hundred times in a test: what only some calls need is imported there, and site-packages on demand.
HOME = Path(os.environ["PROCESS_ENGINE"])
ENGINE = json.loads((HOME / "engine.json").read_text())
CONTAINERS, VOLUMES, IMAGES = HOME / "containers", HOME / "volumes", HOME / "images"


def leave(code: int, message: str = "") -> None:
    """End with an exit code and a message"""
    if message:
        print(message, file=sys.stderr)
    sys.exit(code)


# Containers: one JSON file each

def container(name: str) -> dict | None:
    """What is known of a container; None where there is none"""
    file = CONTAINERS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def is_alive(pid: int | None) -> bool:
    """Whether a process runs; 0 stands for one that exists in name only"""
    if not pid:
        return pid == 0
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def fetch(address: str) -> tuple[int, bytes]:
    """GET an address; 0 where nobody answers"""
    host, _, path = address.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    parts = []
    try:
        with socket.create_connection((name, int(port)), 2) as connection:
            connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            while part := connection.recv(65536):
                parts.append(part)
    except OSError:
        return 0, b""
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def health(name: str) -> str:
    """What the engine's health check says"""
    check = ENGINE["health"].get(name)
    if check is None or fetch(check)[0] == 200:
        return "(healthy)"
    return "(health: starting)" if time.time() - container(name)["started"] < 30 else "(unhealthy)"


def status(name: str) -> str:
    """State and status as `docker ps` shows them"""
    found = container(name)
    if name in ENGINE["states"]:
        return ENGINE["states"][name]
    return (f"running Up 3 seconds {health(name)}"
            if is_alive(found["pid"]) else f"exited Exited ({found.get('code', 0)}) 2 seconds ago")


def start(name: str, release: str) -> None:
    """Start a service's process, detached from this one"""
    found = container(name)
    if found and is_alive(found["pid"]):
        return
    program, pid = ENGINE["programs"].get(name), 0
    if program:
        import subprocess
        with open(HOME / f"{name}.log", "ab") as log:
            pid = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                   env=os.environ | {"RELEASE": release}).pid
    (CONTAINERS / f"{name}.json").write_text(json.dumps({"pid": pid, "started": time.time(), "release": release}))


def stop(name: str, seconds: float) -> None:
    """SIGTERM, and SIGKILL for what does not end in time"""
    found = container(name)
    if found is None or not is_alive(found["pid"]):
        return
    deadline, code = time.time() + seconds, 0
    if found["pid"]:
        os.kill(found["pid"], signal.SIGTERM)
        while is_alive(found["pid"]) and time.time() < deadline:
            time.sleep(0.02)
        if is_alive(found["pid"]):
            os.kill(found["pid"], signal.SIGKILL)
            code = 137
    (CONTAINERS / f"{name}.json").write_text(json.dumps(found | {"pid": None, "code": code}))


def wait_healthy(names: list[str], seconds: float) -> None:
    """Until all are healthy; an error when one ends or time is over"""
    deadline = time.time() + seconds
    while not all("(healthy)" in status(name) for name in names):
        if time.time() > deadline or any(status(name).startswith("exited") for name in names):
            leave(1, f"not healthy: {[name for name in names if '(healthy)' not in status(name)]}")
        time.sleep(0.1)


# What happens inside a container

def replaced(text: str) -> str:
    """A text with names of containers and places inside them turned into those of the test"""
    for inside, outside in ENGINE["replace"].items():
        text = text.replace(inside, outside)
    return text


def forward(target) -> None:
    """Standard input line by line, so that a conversation goes on"""
    for line in sys.stdin.buffer:
        target.write(replaced(line.decode(errors="surrogateescape")).encode(errors="surrogateescape"))
        target.flush()
    target.close()


def inside(name: str, command: list[str], environment: dict[str, str]) -> None:
    """Run a command that is meant for the inside of a container"""
    found = container(name)
    if found is None or not is_alive(found["pid"]):
        leave(1, f'service "{name}" is not running')
    words = [replaced(word) for word in command]
    if words[0] == "wget":
        code, content = fetch(words[-1])
        if code != 200:
            leave(1, f"wget: {code}")
        if "/dev/null" not in words:
            text = content.decode()
            for name, address in ENGINE["addresses"].items():
                text = text.replace(address, name)
            sys.stdout.write(text)
        leave(0)
    program = ENGINE["tools"].get(words[0], words[0])
    if words[0] in ("psql", "caddy"):
        import subprocess
        import threading
        child = subprocess.Popen([program, *words[1:]], stdin=subprocess.PIPE, env=os.environ | environment)
        threading.Thread(target=forward, args=[child.stdin], daemon=True).start()
        leave(child.wait())
    os.execvpe(program, [program, *words[1:]], os.environ | environment)


# docker compose

def options(words: list[str], with_value: tuple[str, ...], flags: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Options by name, and what follows them; an unknown one is an error"""
    found, words = {}, list(words)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in with_value:
            found[word] = words.pop(0)
        elif word in flags:
            found[word] = "yes"
        else:
            leave(64, f"process engine: unknown option {word}")
    return found, words


def enabled(file: str) -> list[str]:
    """The services that the profiles turn on, without jobs"""
    sys.path += ENGINE["path"]
    import yaml
    services = yaml.safe_load(Path(file).read_text())["services"]
    profiles = {*os.environ.get("COMPOSE_PROFILES", "").split(",")}
    return [name for name, each in services.items() if each.get("restart") != "no"
            and (not each.get("profiles") or profiles & {*each["profiles"]})]


def require_services(names: list[str], file: str) -> None:
    """An error for a name that the file has not; the text is searched since to read YAML would be slow"""
    text = Path(file).read_text()
    for name in names:
        if f"\n  {name}:\n" not in text.partition("\nservices:")[2]:
            leave(1, f"no such service: {name}")


def up(words: list[str], file: str, dry: bool) -> None:
    """docker compose up"""
    chosen, names = options(words, ("--wait-timeout",),
                            ("--detach", "--wait", "--remove-orphans", "--no-deps", "--no-build", "--force-recreate"))
    release = str(Path(file).resolve().parent.parent)
    require_services(names, file)
    names = names or enabled(file)
    if dry:
        for name in names:
            print(f"DRY-RUN MODE -  Container {name}  {'Recreate' if name in ENGINE['recreated'] else 'Running'}")
        return
    for name in names:
        if "--force-recreate" in chosen:
            stop(name, 10)
        start(name, release)
    if "--wait" in chosen:
        wait_healthy(names, float(chosen.get("--wait-timeout", 60)))


def run_once(words: list[str], file: str) -> None:
    """docker compose run"""
    _, (name, *command) = options(words, (), ("--rm", "--no-deps", "-T"))
    log = HOME / "jobs"
    with log.open("a") as out:
        print(name, *command, Path(file).parent.parent.name, file=out)
    leave(int(ENGINE["jobs"].get(name, 0)))


def compose(words: list[str]) -> None:
    """docker compose …"""
    chosen, (verb, *rest) = options(words, ("--project-name", "--project-directory", "--file"), ("--dry-run",))
    file = chosen["--file"]
    if not Path(file).exists():
        leave(14, f"open {file}: no such file or directory")
    if verb == "config":
        options(rest, (), ("--quiet",))
    elif verb == "up":
        up(rest, file, "--dry-run" in chosen)
    elif verb == "stop":
        import threading
        given, names = options(rest, ("--timeout",), ())
        require_services(names, file)
        threads = [threading.Thread(target=stop, args=[name, float(given["--timeout"])]) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    elif verb == "kill":
        given, names = options(rest, ("--signal",), ())
        for name in names:
            if container(name) is None or not is_alive(container(name)["pid"]):
                leave(1, f"service {name} is not running")
            os.kill(container(name)["pid"], getattr(signal, given["--signal"]))
    elif verb == "start":
        for name in rest:
            start(name, container(name)["release"])
    elif verb == "rm":
        for name in options(rest, (), ("--force",))[1]:
            if container(name) and not is_alive(container(name)["pid"]):
                (CONTAINERS / f"{name}.json").unlink()
    elif verb == "run":
        run_once(rest, file)
    elif verb == "exec":
        _, (name, *command) = options(rest, (), ("-T",))
        inside(name, command, ENGINE["environment"].get(name, {}))
    elif verb == "build":
        sys.path += ENGINE["path"]
        import yaml
        for name in rest:
            image = yaml.safe_load(Path(file).read_text())["services"][name]["image"]
            (IMAGES / image.replace("/", "@")).write_text(Path(file).parent.parent.name)
    elif verb == "pull":
        options(rest, ("--policy",), ("--quiet", "--ignore-buildable"))
    else:
        leave(64, f"process engine: unknown verb compose {verb}")


# docker …

def ps(words: list[str]) -> None:
    """docker ps, by the label of the service or for all of them"""
    form, names = "", sorted(file.stem for file in CONTAINERS.glob("*.json"))
    while words:
        word = words.pop(0)
        if word == "--format":
            form = words.pop(0)
        elif word == "--filter":
            label = words.pop(0)
            if label.startswith("label=com.docker.compose.service="):
                names = [name for name in names if name == label.rpartition("=")[2]]
        elif word != "--all":
            leave(64, f"process engine: unknown option {word}")
    for name in names:
        state, _, text = status(name).partition(" ")
        print(form.replace('{{.Label "com.docker.compose.service"}}',
                           name).replace("{{.State}}", state).replace("{{.Status}}", text))


def scratch_server(words: list[str]) -> None:
    """docker run of a PostgreSQL: a cluster of its own, or one that continues the files of another"""
    sys.path += ENGINE["path"]
    from postgres_server import PostgresServer, find_binaries
    mounts = [words[place + 1].split(":") for place, word in enumerate(words) if word == "--volume"]
    chosen, (image, *_) = options(words, ("--name", "--network", "--memory", "--pids-limit", "--security-opt", "--env",
                                          "--user", "--volume"), ("--detach",))
    if not image.startswith("postgres:") or chosen["--network"] != "none":
        leave(64, "process engine: only a PostgreSQL without a network can be run")
    inside = {target: source for source, target, *_ in mounts}
    server = PostgresServer(find_binaries(), inside.get("/replay"), {"/log/": inside.get("/log", "")})
    server.start(wait=not mounts)
    (HOME / f"scratch-{chosen['--name']}.json").write_text(json.dumps(
        {"pid": server.process.pid, "folder": str(server.folder),
         "environment": {"PGHOST": str(server.folder), "PGPORT": str(server.port)}}))


def main(words: list[str]) -> None:
    """Do what a command line asks for"""
    with (HOME / "calls").open("a") as out:
        print(*words, file=out)
    line = " ".join(words)
    for start_of, code in ENGINE["fail"].items():
        if start_of in line:
            leave(code, f"process engine: {start_of} fails")
    if words[0] == "compose":
        compose(words[1:])
    elif words[0] == "ps":
        ps(words[1:])
    elif words[:2] == ["volume", "inspect"]:
        folder = (VOLUMES / words[-1] / "_data").resolve()
        print(folder if folder.is_dir() else "")  # as the engine does
        folder.is_dir() or leave(1, f"no such volume: {words[-1]}")
    elif words[:2] == ["volume", "create"]:
        (VOLUMES / words[-1] / "_data").mkdir(parents=True)
    elif words[0] == "inspect":
        print(str(is_alive(json.loads((HOME / f"scratch-{words[-1]}.json").read_text())["pid"])).lower())
    elif words[0] == "logs":
        print((Path(json.loads((HOME / f"scratch-{words[-1]}.json").read_text())["folder"]) / "log").read_text())
    elif words[:2] == ["image", "inspect"]:
        leave(0 if (IMAGES / words[2].replace("/", "@")).exists() else 1)
    elif words[0] == "tag":
        (IMAGES / words[2].replace("/", "@")).write_bytes((IMAGES / words[1].replace("/", "@")).read_bytes())
    elif words[0] == "run":
        scratch_server(words[1:])
    elif words[0] == "exec":
        _, (name, *command) = options(words[1:], (), ("-i",))
        found = json.loads((HOME / f"scratch-{name}.json").read_text())
        os.execvpe(command[0], command, os.environ | found["environment"])
    elif words[0] == "rm":
        file = HOME / f"scratch-{words[-1]}.json"
        if file.exists():
            found = json.loads(file.read_text())
            import shutil
            if is_alive(found["pid"]):
                os.kill(found["pid"], signal.SIGQUIT)
            shutil.rmtree(found["folder"], ignore_errors=True)
            file.unlink()
    else:
        leave(64, f"process engine: unknown verb {words[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
