"""The directory: it remembers who is where, and never longer than that is true."""

import os
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable

import pytest

from tenantry.address import Address, Kind
from tenantry.directory import Directory
from tenantry.errors import Unavailable, Unknown
from tenantry.tenant import Status, Tenant
from tests.sites import hurried, on_threads


class Book:
    """Where addresses are looked up: counts the looks, and does what it is told in the middle of one."""

    def __init__(self, **uids: str) -> None:
        self.uids = uids
        self.named: dict[str, tuple[str, str]] = {}
        self.looks: list[Address] = []
        self.revision = 1
        self.meanwhile: Callable[[], object] = lambda: None

    def find(self, address: Address) -> Tenant:
        self.looks.append(address)
        if address.value not in self.uids:
            raise Unknown("nobody there")
        uid = self.uids[address.value]
        name, domain = self.named.get(uid, (address.value, ""))
        found = Tenant(uid, name, "hello", Status.ACTIVE, self.revision, domain=domain)
        self.meanwhile()
        return found


@pytest.fixture
def book() -> Book:
    return Book(acme="aaa", globex="ggg", initech="iii")


def sizes(directory: Directory) -> int:
    return len(directory) + sum(map(len, directory._last.values()))


def test_a_found_address_is_looked_up_once(book: Book) -> None:
    directory = Directory(book.find)
    tenants = [directory.find(Kind.SUBDOMAIN, "acme") for _ in range(3)]
    assert {tenant.uid for tenant in tenants} == {"aaa"}
    assert book.looks == [Address(Kind.SUBDOMAIN, "acme")]


def test_the_kinds_of_addresses_are_kept_apart(book: Book) -> None:
    directory = Directory(book.find)
    for kind in Kind:
        directory.find(kind, "acme")
    assert book.looks == [Address(kind, "acme") for kind in Kind]
    assert len(directory) == 3


def test_an_unknown_address_is_never_kept(book: Book) -> None:
    directory = Directory(book.find)
    for number in range(100):
        with pytest.raises(Unknown):
            directory.find(Kind.SUBDOMAIN, f"unknown{number}")
    assert len(directory) == 0
    book.uids["unknown1"] = "uuu"
    assert directory.find(Kind.SUBDOMAIN, "unknown1").uid == "uuu"


def test_a_tenant_that_has_changed_is_looked_up_again_at_each_of_its_addresses(book: Book) -> None:
    directory = Directory(book.find)
    for kind in Kind:
        directory.find(kind, "acme")
    directory.find(Kind.SUBDOMAIN, "globex")
    book.revision = 2
    directory.forget(["aaa", "nobody"])
    assert len(directory) == 1
    assert directory.find(Kind.PATH, "acme").revision == 2
    assert directory.find(Kind.SUBDOMAIN, "globex").revision == 1


def test_what_changes_while_it_is_looked_up_is_answered_and_not_kept(book: Book) -> None:
    directory = Directory(book.find)
    book.meanwhile = lambda: directory.forget(["somebody"])
    assert directory.find(Kind.SUBDOMAIN, "acme").revision == 1
    book.meanwhile = lambda: None
    book.revision = 2
    assert directory.find(Kind.SUBDOMAIN, "acme").revision == 2
    assert directory.find(Kind.SUBDOMAIN, "acme").revision == 2
    assert len(book.looks) == 2


def test_an_address_that_leads_elsewhere_is_answered_and_not_kept(book: Book) -> None:
    """An old name's grace ends without any change in the registry: nobody would tell the directory."""
    book.uids |= {"old": "aaa", "old.example": "aaa", "new.example": "aaa"}
    book.named = {"aaa": ("new", "new.example")}
    directory = Directory(book.find)
    for kind, value in ((Kind.SUBDOMAIN, "old"), (Kind.PATH, "old"), (Kind.DOMAIN, "old.example")):
        assert directory.find(kind, value).home(kind, value) != value
        assert directory.peek(kind, value) is None
    assert len(directory) == 0
    assert directory.find(Kind.DOMAIN, "new.example").uid == directory.peek(Kind.DOMAIN, "new.example")
    del book.uids["old"]
    with pytest.raises(Unknown):
        directory.find(Kind.SUBDOMAIN, "old")


def test_memory_alone_is_asked_without_a_look(book: Book) -> None:
    """Also of those whose tenant has changed since: their lane stays the same meanwhile."""
    directory = Directory(book.find)
    assert directory.peek(Kind.SUBDOMAIN, "acme") is None
    found = directory.find(Kind.SUBDOMAIN, "acme")
    assert directory.peek(Kind.SUBDOMAIN, "acme") == found.uid
    assert directory.peek(Kind.PATH, "acme") is None
    for forgotten in ([found.uid], None):
        directory.forget(forgotten)
        assert directory.peek(Kind.SUBDOMAIN, "acme") == found.uid
    assert len(book.looks) == 1


def test_it_is_bounded_and_forgets_the_oldest_first() -> None:
    book = Book(**{f"t{number}": f"uid{number}" for number in range(1000)})
    directory = Directory(book.find, bound=100)
    for number in range(1000):
        directory.find(Kind.SUBDOMAIN, f"t{number}")
        assert len(directory) <= 100
    assert directory.peek(Kind.SUBDOMAIN, "t999") is not None
    assert directory.peek(Kind.SUBDOMAIN, "t0") is None
    directory.forget()
    for number in range(200):
        directory.find(Kind.SUBDOMAIN, f"t{number}")
        assert sizes(directory) <= 100
    assert len(directory._places[Kind.SUBDOMAIN]) == len(directory)


def test_while_the_registry_is_away_nobody_is_forgotten_for_room() -> None:
    """Who is known could not be found again; who finds no room is answered and not kept."""
    book = Book(**{f"t{number}": f"uid{number}" for number in range(10)})
    directory = Directory(book.find, bound=5)
    for number in range(3):
        directory.find(Kind.SUBDOMAIN, f"t{number}")
    directory.hold(True)
    for number in range(10):
        assert directory.find(Kind.SUBDOMAIN, f"t{number}").uid == f"uid{number}"
    assert [directory.peek(Kind.SUBDOMAIN, f"t{number}") is not None for number in range(10)] == [True] * 5 + [
        False
    ] * 5
    directory.hold(False)
    directory.find(Kind.SUBDOMAIN, "t9")
    assert directory.peek(Kind.SUBDOMAIN, "t9") == "uid9"


def test_a_closed_directory_knows_nobody_until_it_is_opened(book: Book) -> None:
    directory = Directory(book.find)
    directory.find(Kind.SUBDOMAIN, "acme")
    looks = len(book.looks)
    directory.close()
    for name in ("acme", "globex", "unknown"):
        with pytest.raises(Unavailable, match="right now"):
            directory.find(Kind.SUBDOMAIN, name)
    assert len(book.looks) == looks
    assert len(directory) == 0
    assert directory.peek(Kind.SUBDOMAIN, "acme") == "aaa"  # its lane stays its own
    directory.open()
    assert directory.find(Kind.SUBDOMAIN, "acme").uid == "aaa"


def test_what_was_dropped_for_room_is_still_forgotten_with_its_tenant() -> None:
    book = Book(**{f"t{number}": "one-uid" for number in range(30)})
    directory = Directory(book.find, bound=10)
    for number in range(30):
        directory.find(Kind.SUBDOMAIN, f"t{number}")
    directory.forget(["one-uid"])
    assert len(directory) == 0
    assert not any(directory._places.values())


def test_an_address_costs_little_memory() -> None:
    """Its text, its uid and its application are in memory once, however often they are found."""
    name = "tests.applications:" + "long" * 20
    uids = {f"tenant-{number:05}": f"uid-{number:08}" for number in range(4000)}

    def find(address: Address) -> Tenant:
        spelled = address.value.encode().decode()
        return Tenant(uids[spelled], spelled, sys.intern(name.encode().decode()), Status.ACTIVE, 1)

    directory = Directory(find)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for value in list(uids):
            directory.find(Kind.SUBDOMAIN, value.encode().decode())
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(directory) == 4000
    assert (after - before) / len(directory) < 300


def test_no_stale_tenant_is_kept_under_threads_and_constant_change() -> None:
    """Each thread checks what a request relies on: who asks after a change was followed sees it."""
    book = Book(acme="aaa", globex="ggg")
    directory = Directory(book.find)
    done = threading.Event()
    asking = threading.Barrier(4)

    def follow() -> None:
        asking.wait(10)
        for _ in range(2000):
            book.revision += 1
            directory.forget(["aaa"])
            assert directory.find(Kind.SUBDOMAIN, "acme").revision == book.revision
        done.set()

    def ask() -> None:
        asking.wait(10)
        while not done.is_set():
            before = book.revision
            # One change may be written and not yet followed; more than one never is.
            assert directory.find(Kind.SUBDOMAIN, "acme").revision >= before - 1
            assert directory.find(Kind.SUBDOMAIN, "globex").uid == "ggg"

    with hurried():
        on_threads(follow, ask, ask, ask)
    assert directory.find(Kind.SUBDOMAIN, "acme").revision == book.revision


def test_a_forked_child_begins_with_nothing_and_is_not_blocked(book: Book) -> None:
    directory = Directory(book.find)
    directory.find(Kind.SUBDOMAIN, "acme")
    directory._lock.acquire()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            held = len(directory)
            directory.find(Kind.SUBDOMAIN, "globex")
            os._exit(0 if (held, len(directory)) == (0, 1) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        directory._lock.release()
    assert len(directory) == 1
