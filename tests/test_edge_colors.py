"""Nobody notices: reloads, containers that come and go, under load with a real Caddy. The load is bounded and stays
here."""
from __future__ import annotations

import http.client
import select
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
import yaml
from edge import HEALTH_INTERVAL, TUNNEL, caddy, running, until, varied
from edge_behaviors import BLUE, GREEN
from needed import needs as needs_program

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.sizing import needs
from pretamane_analysis.check.read.tree import Tree
from pretamane_analysis.check.rules.registry import check
from pretamane_analysis.emit.tree import emitted
from pretamane_analysis.stack.stack import Stack, example

pytestmark = needs_program("caddy")
CLIENTS, ATTEMPTS = 12, 3


@pytest.fixture(scope="module")
def edge():
    """One Caddy for all of this"""
    with running(varied()) as found:
        yield found


def closed(connection) -> bool:
    """Whether the other side has hung up"""
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


class Load:
    """Twelve clients: a third keeps its connection, a third makes new ones, a third asks for what takes a while

    As every HTTP library does, a client looks whether a connection that it kept is still open. A request whose
    connection
    ends without a word is a cut: it is sent again at once and, where a busy machine has one reload reach into
    the second
    attempt, once more after a moment. Requests have numbers, so that one that a service saw twice shows.
    """

    def __init__(self, edge):
        self.edge, self.going, self.slowest, self.lock = edge, True, 0.0, threading.Lock()
        self.answers, self.failures, self.cuts, self.posts = {}, [], [], []
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(CLIENTS)]

    def client(self, number):
        kind, connection = ("kept", "new", "slow")[number % 3], self.connect()
        for count in range(10_000):
            if not self.going:
                return
            if kind != "kept" or closed(connection):
                connection = self.connect()
            method, name, began = "POST" if count % 2 else "GET", f"{id(self)}-{number}-{count}", time.monotonic()
            for attempt in range(ATTEMPTS):
                try:
                    found = self.once(connection, kind, method, name)
                    break
                except (OSError, http.client.HTTPException) as error:
                    found, connection = repr(error), self.connect()
                    if attempt < ATTEMPTS - 1:
                        self.note(self.cuts, kind, method, found)
                        time.sleep(0.05 * attempt)
            if found != "good":
                self.note(self.failures, kind, method, found)
            with self.lock:
                self.answers[kind, method] = self.answers.get((kind, method), 0) + 1
                self.slowest = max(self.slowest, time.monotonic() - began - (0.7 if kind == "slow" else 0))
                self.posts += [name] * (method == "POST")
            time.sleep(0.05)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.edge.ports["public"], timeout=30,
                                          source_address=(TUNNEL, 0))

    @staticmethod
    def once(connection, kind, method, number):
        body = b"x" * 2000 if method == "POST" else None
        connection.request(method, "/contacts/slow?seconds=0.7" if kind == "slow" else "/documents", body=body,
                           headers={"Host": "app.example.com", "X-Number": number})
        response = connection.getresponse()
        content = response.read()
        good = (response.status == 200 and b'"upstream": "fastapi-app-' in content
                and f'"body": {len(body or "")}'.encode() in content)
        return "good" if good else f"{response.status} {content[:80]!r}"

    def note(self, where, *what):
        with self.lock:
            where.append(what)

    @property
    def total(self):
        """How many were asked"""
        return sum(self.answers.values())

    def repeated(self):
        """POSTs that the services did not see exactly once"""
        done = [self.edge.behind[each].done for each in (BLUE, GREEN)]
        return [each for each in self.posts if sum(one.get(each, 0) for one in done) != 1]

    def __str__(self):
        return (f"{self.total} requests, {len(self.failures)} failed, {len(self.cuts)} cut and sent again, slowest "
                f"{self.slowest:.2f} s")


@contextmanager
def load(edge):
    """Clients that ask for as long as the block lasts"""
    found = Load(edge)
    for each in found.threads:
        each.start()
    try:
        yield found
    finally:
        found.going = False
        for each in found.threads:
            each.join(30)
    print(found, found.answers)


def test_reloads_under_load_fail_nobody(edge):
    """CA7: a reload every 300 ms, half of them with the colors in another order

    No request that a service has begun is lost, none is answered wrongly. Go drops a connection that it has
    accepted and not
    yet read when a server ends, up to one at each reload here: such a request reached nobody, and may be sent again.
    """
    other = _swapped(edge.config)
    with load(edge) as found:
        for count in range(10):
            time.sleep(0.3)
            edge.load(other if count % 2 == 0 else edge.config)
    assert (found.failures, found.repeated()) == ([], [])
    assert len(found.cuts) <= found.total / 10
    assert found.total > 100 and {kind for kind, _ in found.answers} == {"kept", "new", "slow"}


def _swapped(config):
    """A configuration with green before blue"""
    def swap(found):
        if isinstance(found, list):
            return [swap(each) for each in found]
        if isinstance(found, dict):
            return {key: each[::-1] if key == "upstreams" else swap(each) for key, each in found.items()}
        return found

    return swap(config)


def test_the_order_of_the_colors_decides_who_answers(edge):
    """A deployment switches with one line and a reload"""
    assert edge.ask("/contacts/x").upstream == BLUE
    edge.load(_swapped(edge.config))
    assert edge.ask("/contacts/x").upstream == GREEN
    edge.load()
    assert edge.ask("/contacts/x").upstream == BLUE


def test_two_files_say_which_color_comes_first(edge):
    """None, some, most or all of the requests go to the second color, from one request to the next and without a
    reload"""
    folder = edge.folder / "second-first"
    folder.mkdir()

    def share(*files, number=320):
        for each in ("some", "most"):
            (folder / each).unlink(missing_ok=True)
        for each in files:
            (folder / each).touch()
        return sum(edge.ask("/contacts/x").upstream == GREEN for _ in range(number))

    assert [share(number=20), share("some", "most", number=20)] == [0, 20]
    assert 3 <= share("some") <= 60 and 260 <= share("most") <= 317
    edge.behind[GREEN].ready = False
    try:
        until(lambda: share("some", "most", number=5) == 0)
        assert share("some", "most", number=20) == 0, "a preferred color that is not ready gets nothing"
    finally:
        edge.behind[GREEN].ready = True
        share(number=0)


def test_a_color_is_asked_for_its_health_by_each_listener_and_not_by_each_path(edge):
    """Two listeners, each with two orders of the colors; what a check costs the application must not grow with its
    routes"""
    before, began = edge.behind[BLUE].looks, time.monotonic()
    time.sleep(2)
    assert edge.behind[BLUE].looks - before <= 4 * ((time.monotonic() - began) / HEALTH_INTERVAL + 1)


def test_the_command_of_a_deployment_reloads(edge, tmp_path):
    """`caddy reload` over the socket, as scripts call it"""
    done = caddy("reload", "--config", str(edge.folder / "caddy.json"), "--address",
                 f"unix/{edge.folder / 'admin.sock'}", "--force", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert edge.ask("/contacts/x").status == 200


def test_colors_that_come_and_go_under_load_fail_nobody(edge):
    """Each color in turn says that it is not ready, drains, stops, and comes back: not one request fails or is
    sent again

    Drained is a color when nothing is under way and Caddy has let go of the connections that it kept for a second.
    """
    with load(edge) as found:
        for name, other in ((BLUE, GREEN), (GREEN, BLUE), (BLUE, GREEN)):
            edge.behind[name].ready = False
            until(lambda other=other: edge.ask("/contacts/x").upstream == other)
            time.sleep(1.3)
            until(lambda name=name: not edge.behind[name].working)
            edge.behind[name].stop()
            time.sleep(0.2)
            edge.behind[name] = edge.behind[name].again()
            until(lambda: edge.ask("/contacts/x").upstream == BLUE)
    assert (found.failures, found.cuts, found.repeated()) == ([], [], [])
    assert found.total > 100


def test_a_color_that_stops_without_a_word_fails_hardly_anybody(edge):
    """Its listener closes, requests under way are finished: the next ones go to the other color, but for those just
    sent"""
    with load(edge) as found:
        for name in (BLUE, GREEN, BLUE):
            time.sleep(0.3)
            edge.behind[name].stop()
            time.sleep(0.5)
            edge.behind[name] = edge.behind[name].again()
            time.sleep(0.5)
    assert found.cuts == [] and len(found.failures) <= found.total / 100


def test_a_reload_while_one_color_is_down_fails_nobody(edge):
    """What Caddy knew of the colors is forgotten at a reload"""
    edge.behind[BLUE].stop()
    try:
        with load(edge) as found:
            for _ in range(4):
                time.sleep(0.3)
                edge.load()
    finally:
        edge.behind[BLUE] = edge.behind[BLUE].again()
    assert (found.failures, found.repeated()) == ([], [])


def test_a_restart_of_a_single_container_is_waited_for(edge):
    """A tool without a second color: who asks while it restarts gets an answer, later"""
    edge.behind["grafana:3000"].stop()
    back = threading.Timer(0.4, lambda: edge.behind.update({"grafana:3000": edge.behind["grafana:3000"].again()}))
    back.start()
    answer = edge.admin("/grafana/", method="POST", body=b"x")
    back.join()
    assert (answer.status, answer.upstream) == (200, "grafana:3000")


def test_poison_does_not_shut_the_colors_out(edge):
    """A request that makes containers hang up is the fault of that request"""
    until(lambda: max(each["fails"] for each in edge.pool()) == 0)
    for _ in range(3):
        assert edge.ask("/contacts/crash", method="POST").status == 502
        assert edge.ask("/contacts/x").upstream == BLUE


# Several replicas

@pytest.fixture(scope="module")
def several():
    """A Caddy before three replicas of each color"""
    with running(varied(services={"fastapi-app": {"replicas": 3}})) as found:
        yield found


def share(edge, number=120) -> Counter:
    """Who answers so many requests"""
    return Counter(edge.ask("/contacts/x").upstream for _ in range(number))


def replicas(color):
    """The addresses of a color's replicas"""
    return {f"fastapi-app{number}-{color}:8000" for number in ("", "-2", "-3")}


def test_requests_are_spread_over_the_replicas_of_one_color(several):
    """Each replica of the color in service has its share, the other color nothing; a deployment moves them all"""
    found = share(several)
    assert {*found} == replicas("blue") and min(found.values()) > 15, found
    folder = several.folder / "second-first"
    folder.mkdir()
    for each in ("some", "most"):
        (folder / each).touch()
    try:
        found = share(several)
        assert {*found} == replicas("green") and min(found.values()) > 15, found
        (folder / "most").unlink()
        found = share(several, 240)
        assert 3 <= sum(found[each] for each in replicas("green")) <= 50, found
    finally:
        for each in folder.iterdir():
            each.unlink()


def test_a_replica_that_is_not_well_gets_nothing(several):
    """Its share goes to the other replicas of its color; only without any of them does the other color answer"""
    first, *others = sorted(replicas("blue"))
    several.behind[first].ready = False
    try:
        until(lambda: first not in share(several, 30))
        assert {*share(several)} == {*others}
        for each in others:
            several.behind[each].ready = False
        until(lambda: {*share(several, 20)} <= replicas("green"))
        assert {*share(several)} == replicas("green")
    finally:
        for each in replicas("blue"):
            several.behind[each].ready = True
        until(lambda: {*share(several, 60)} == replicas("blue"))


def test_a_replica_that_dies_fails_nobody(several):
    """It stops without a word: who reaches nobody is sent to the next replica"""
    name = sorted(replicas("blue"))[1]
    several.behind[name].stop()
    try:
        assert {several.ask("/contacts/x").status for _ in range(60)} == {200}
    finally:
        several.behind[name] = several.behind[name].again()
    until(lambda: name in share(several, 60))


def test_replicas_without_colors_are_known_by_name_too(tmp_path):
    """A service that is routed and keeps no data has an address for each replica; one of them may be away"""
    stack = varied(services={"meilisearch": {"mounts": [], "replicas": 2}}, volumes={
        name: each for name, each in varied().model_dump(exclude_unset=True)["volumes"].items()
        if name != "meilisearch-data"})
    with running(stack) as edge:
        both = {"meilisearch:7700", "meilisearch-2:7700"}
        assert {edge.admin("/meilisearch/x").upstream for _ in range(30)} == both
        edge.behind["meilisearch:7700"].stop()
        found = [edge.admin("/meilisearch/x") for _ in range(20)]
        assert {each.upstream for each in found} == {"meilisearch-2:7700"} and {each.status for each in found} == {200}


def test_names_and_room_of_replicas():
    """Compose, scripts and Prometheus know each replica; the host has room for both colors of all"""
    one = example()
    data = one.model_dump(exclude_unset=True)
    data["services"]["fastapi-app"]["replicas"] = 3
    stack = Stack.model_validate(data)
    files = emitted(stack)
    defined = yaml.safe_load(files["compose/compose.yaml"])["services"]
    wanted = {each.partition(":")[0] for each in replicas("blue") | replicas("green")}
    assert {each for each in defined if each.startswith("fastapi-app")} == wanted
    assert not any("scale" in each for each in defined.values())
    assert {defined[each]["profiles"][0] for each in wanted} == {"blue", "green"}
    assert "COLORED=(fastapi-app:8000 fastapi-app-2:8000 fastapi-app-3:8000)" in files["scripts/lib/stack.sh"]
    assert "COLOR_MIB=1536" in files["scripts/lib/stack.sh"]
    assert all(f"{each}:9091" in files["prometheus/prometheus.yml"] for each in wanted)
    assert check(Tree(files)) == []
    assert (needs(stack, stack.services).memory_mib - needs(one, one.services).memory_mib) == 4 * 512


def test_a_name_is_not_taken_twice():
    """A replica's name that another service has, and more replicas than the edge can tell apart, are refused"""
    data = varied(services={"fastapi-app": {"replicas": 3}}).model_dump(exclude_unset=True)
    data["services"]["fastapi-app-2"] = {"image": "redis:8.2.1", "memory": "64Mi"}
    with pytest.raises(PretamaneError, match="'fastapi-app-2' is a service"):
        emitted(Stack.model_validate(data), ["compose"])
    with pytest.raises(PretamaneError, match="at most 16 replicas"):
        emitted(varied(services={"fastapi-app": {"replicas": 17}}), ["caddy"])
