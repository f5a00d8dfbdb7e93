"""The registry's file: what is made of it, and what survives other threads and processes, crashes and forks."""

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.registry import By, Registry, Search
from tenantry.tenant import Status
from tests import registries
from tests.registries import add, spoil, subdomain

path, registry = registries.path, registries.registry

PLATFORM = Path(__file__).resolve().parents[1] / "platform"


def python(code: str, *arguments: object) -> "subprocess.Popen[str]":
    lines = "from pathlib import Path; import os, sys; from tenantry.registry import By, Registry\n"
    lines += "from tenantry.tenant import Status, Tenant, new_uid; from tenantry.address import Address, Kind\n"
    return subprocess.Popen(
        [sys.executable, "-c", lines + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PLATFORM)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def descriptors(path: Path) -> int:
    links = Path("/proc/self/fd") if Path("/proc/self/fd").is_dir() else Path("/dev/fd")
    found = 0
    for link in links.iterdir():
        try:
            found += str(link.readlink()).startswith(str(path))
        except OSError:
            continue
    return found


def test_all_files_of_a_registry_are_their_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with Registry.open(path) as registry:
            add(registry, "acme")
            files = sorted(path.parent.iterdir())
            assert [file.name for file in files] == [path.name, f"{path.name}-shm", f"{path.name}-wal"]
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    finally:
        os.umask(before)


def test_a_registry_keeps_what_it_was_told_after_it_is_closed(path: Path) -> None:
    with Registry.open(path) as registry:
        acme = add(registry, "acme")
    assert list(path.parent.iterdir()) == [path], "everything is in the one file again"
    with Registry.open(path) as registry:
        assert registry.find(subdomain("acme")) == acme


def test_many_openers_of_a_missing_registry_make_one(path: Path) -> None:
    half_made = path.with_name(path.name + ".new")
    half_made.write_bytes(b"left by a maker that was killed")
    opened: list[Registry] = []
    threads = [threading.Thread(target=lambda: opened.append(Registry.open(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    names = [f"site-{number}" for number in range(8)]
    for registry, name in zip(opened, names, strict=True):
        add(registry, name)
    assert [tenant.name for tenant in opened[0].list()] == names
    for registry in opened:
        registry.close()
    assert not half_made.exists()


def test_a_newer_registry_is_refused_by_its_version(path: Path) -> None:
    Registry.open(path).close()
    spoil(path, "UPDATE meta SET schema_version = 7")
    with pytest.raises(Refused, match=r"is of version 7, newer than this Tenantry knows \(3\)\. Upgrade Tenantry\."):
        Registry.open(path)


@pytest.mark.parametrize("content", [b"this is no database, whatever its name says\n" * 100, b""])
def test_a_file_that_is_no_registry_is_unavailable_by_name_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"registry\.sqlite3 is not a (database|registry)"):
        Registry.open(path)
    assert path.read_bytes() == content


def test_somebody_elses_database_is_not_taken_for_a_registry(path: Path) -> None:
    spoil(path, "CREATE TABLE meta (id INTEGER, colour TEXT)")
    with pytest.raises(Unavailable, match="is not a registry"):
        Registry.open(path)


def test_a_registry_that_cannot_be_made_or_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="missing cannot be used"):
        Registry.open(tmp_path / "missing" / "registry.sqlite3")
    with pytest.raises(Unavailable, match="cannot be opened"):
        Registry.open(tmp_path)


def test_a_change_of_a_locked_registry_is_unavailable_and_reading_goes_on(path: Path) -> None:
    with Registry.open(path, patience=0.05) as registry, closing(sqlite3.connect(path)) as other:
        acme = add(registry, "acme")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="is locked by another process"):
            registry.touch(acme.uid, By("ada", "config"))
        assert registry.find(subdomain("acme")) == acme
        other.rollback()
        assert registry.touch(acme.uid, By("ada", "config")).revision == acme.revision + 1


def test_a_change_after_the_file_was_taken_away_is_unavailable_instead_of_lost(registry: Registry, path: Path) -> None:
    acme = add(registry, "acme")
    path.rename(path.with_suffix(".old"))
    with pytest.raises(Unavailable, match="was replaced while it was open"):
        registry.touch(acme.uid, By("ada", "config"))


def test_closing_closes_every_connection_even_one_in_use_and_may_be_done_twice(path: Path) -> None:
    registry = Registry.open(path)
    watch = registry.watch()
    watch.version()
    add(registry, "acme")
    assert descriptors(path) > 0
    lent = registry._connections.take()
    registry.close()
    registry.close()
    lent.close()
    watch.close()
    assert descriptors(path) == 0
    with pytest.raises(Unavailable, match="found right now"):  # a visitor is told no more
        registry.find(subdomain("acme"))
    for question in (registry.revision, watch.version, registry.look):
        with pytest.raises(Unavailable, match="is closed"):
            question()


def test_finding_a_great_many_unknown_hosts_keeps_nothing(registry: Registry, path: Path) -> None:
    def ask(start: int, count: int) -> None:
        for number in range(start, start + count):
            with suppress(Unknown):
                registry.find(subdomain(f"host-{number}"))
                pytest.fail("a host that nobody has was found")
        gc.collect()  # the loops of exceptions and their tracebacks

    ask(0, 200)
    opened = descriptors(path)
    tracemalloc.start()
    try:
        ask(1000, 200)
        before = tracemalloc.get_traced_memory()[0]
        ask(2000, 5000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 16 * 1024
    assert descriptors(path) == opened


# Others: threads, processes, crashes, forks.


def test_eight_threads_draw_distinct_revisions_and_lose_no_change(registry: Registry) -> None:
    acme = add(registry, "acme")
    drawn: list[int] = []

    def change(who: str) -> None:
        for _ in range(10):
            drawn.append(registry.touch(acme.uid, By(who, "config")).revision)
            registry.find(subdomain("acme"))

    threads = [threading.Thread(target=change, args=(f"thread-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = list(range(acme.revision + 1, acme.revision + 81))
    assert sorted(drawn) == expected
    assert (
        sorted(line.revision or 0 for line in registry.journal(Search(limit=1000)) if line.verb == "config") == expected
    )
    assert registry.find(subdomain("acme")).revision == expected[-1]


_ADDER = """
registry = Registry.open(Path(sys.argv[1]))
for name in sys.stdin:
    name = name.strip()
    tenant = Tenant(new_uid(), name, "gazette", Status.ADDING, 0)
    registry.intend(tenant, [Address(Kind.SUBDOMAIN, name)])
    print(registry.activate(tenant.uid, By("child", "add")).uid, flush=True)
registry.close()
"""


def test_a_change_in_another_process_is_seen_by_a_watch_and_told_by_revision(registry: Registry, path: Path) -> None:
    acme = add(registry, "acme")
    with closing(registry.watch()) as watch, python(_ADDER, path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        still = watch.version()
        assert watch.version() == still, "nobody has written"
        print("globex", file=child.stdin, flush=True)
        uid = child.stdout.readline().strip()
        seen = watch.version()
        assert seen != still
        assert registry.find(subdomain("globex")).uid == uid
        assert [tenant.uid for tenant in registry.changes(acme.revision).tenants] == [uid]
        child.stdin.close()
        assert child.wait() == 0
        registry.touch(acme.uid, By("ada", "config"))
        assert watch.version() != seen, "a change of this process counts as well"


def test_a_killed_writer_loses_no_acknowledged_change(path: Path) -> None:
    acknowledged: list[str] = []
    for round_ in range(3):
        with python(_ADDER, path) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            for number in range(40):
                print(f"site-{round_}-{number}", file=child.stdin)
            child.stdin.flush()
            acknowledged += [child.stdout.readline().strip() for _ in range(5 + 3 * round_)]
            child.send_signal(signal.SIGKILL)
            acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    with Registry.open(path) as registry:
        active = {tenant.uid for tenant in registry.list() if tenant.status is Status.ACTIVE}
        told = [line for line in registry.journal(Search(limit=1000)) if line.verb == "add"]
        assert set(acknowledged) <= active
        assert {line.uid for line in told} == active
        assert len({line.revision for line in told}) == len(told)


_FORKER = """
import sqlite3, subprocess, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what is tried here
path = Path(sys.argv[1])
registry = Registry.open(path)
acme = Tenant(new_uid(), "acme", "gazette", Status.ADDING, 0)
address = Address(Kind.SUBDOMAIN, "acme")
registry.intend(acme, [address])
registry.activate(acme.uid, By("parent", "add"))
watch = registry.watch()
watch.version()
over = threading.Event()
def ask():
    while not over.is_set():
        registry.find(address)
        registry.by_uid(acme.uid)
askers = [threading.Thread(target=ask) for _ in range(3)]
for asker in askers:
    asker.start()
told, tell = os.pipe()
children = []
for number in range(6):
    child = os.fork()
    if child == 0:
        try:
            first = watch.version()
            registry.find(address)
            os.read(told, 1)  # until the parent has closed and another process has come and gone
            registry.touch(acme.uid, By(f"child-{number}", "config"))
            os._exit(0 if watch.version() != first else 3)
        except BaseException as error:
            print(type(error), error, flush=True)
            os._exit(4)
    children.append(child)
over.set()
for asker in askers:
    asker.join()
registry.touch(acme.uid, By("parent", "config"))
watch.close()
registry.close()
subprocess.run([sys.executable, "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    "c.execute('select count(*) from journal').fetchone(); c.close()", str(path)], check=True)
os.write(tell, b"x" * 6)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_forked_children_go_on_with_connections_of_their_own_and_lose_nothing(path: Path) -> None:
    with python(_FORKER, path) as parent:
        said, _ = parent.communicate(timeout=60)
    assert said.strip() == "[0, 0, 0, 0, 0, 0]"
    with Registry.open(path) as registry:
        changed = {line.who for line in registry.journal() if line.verb == "config"}
    assert changed == {"parent", *(f"child-{number}" for number in range(6))}


def test_a_registry_that_is_put_in_place_of_another_is_followed_from_the_next_look_on(path: Path) -> None:
    """As when a backup is restored under a running server: nothing of the old one is answered any more."""
    with Registry.open(path) as registry:
        acme = add(registry, "acme")
        with closing(sqlite3.connect(path)) as raw, closing(sqlite3.connect(path.with_name("backup"))) as backup:
            raw.backup(backup)
        watch = registry.watch()
        registry.remove(acme.uid, By("ada", "remove"))
        seen, at = registry.changes(0).revision, watch.version()
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        path.with_name("backup").replace(path)
        assert watch.version() != at
        assert registry.find(subdomain("acme")) == acme
        assert registry.changes(seen).rewound
        assert not registry.changes(acme.revision).rewound
        with pytest.raises(Unavailable, match="was replaced while it was open"):
            registry.touch(acme.uid, By("ada", "restart"))
