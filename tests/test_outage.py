"""The registry is away: locked, damaged, missing. Who is known is served on, and nobody is called unknown."""

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import pytest

from tenantry.address import Address, Kind
from tenantry.assembly.desk import open_operations
from tenantry.assembly.platform import Platform, open_platform
from tenantry.errors import TenantryError, Unavailable, Unknown
from tenantry.housekeeper import LASTS, Outage
from tenantry.operations import NewTenant
from tenantry.registry import Registry
from tenantry.registry.reach import Reach
from tests.sites import on_threads
from tests.wsgi import call, wait_until

APPLICATION = "tests.applications:notes"
_LOCKER = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


class Site:
    """A platform with `known`, whom somebody has visited, and `stranger`, whom nobody has; and its registry's file."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.book = platform.settings.instance / "registry.sqlite3"

    def status(self, name: str) -> int:
        return call(self.platform.application, f"{name}.localhost").status

    def ready(self) -> bool:
        return call(self.platform.application, "localhost", "/-/readyz").status == 200

    def away(self) -> bool:
        """Tell whether the housekeeper has noticed, and the door says so."""
        return self.platform._outage.since is not None and not self.ready()

    def back(self) -> bool:
        return self.platform._outage.since is None and self.ready()

    def take_away(self) -> Path:
        """Move the registry away, as a whole: what is in its log too."""
        kept = self.book.with_name("kept.sqlite3")
        with closing(sqlite3.connect(self.book)) as source, closing(sqlite3.connect(kept)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # as many tools leave a copy
        self.clear()
        return kept

    def clear(self) -> None:
        for ending in ("", "-wal", "-shm"):
            found = self.book.with_name(self.book.name + ending)
            if found.is_dir():
                found.rmdir()
            else:
                found.unlink(missing_ok=True)

    def put_back(self, kept: Path) -> None:
        self.clear()
        kept.replace(self.book)


@contextmanager
def opened(folder: Path, outage: float = LASTS) -> Iterator[Site]:
    with open_platform(folder, {"application": APPLICATION}, outage=outage) as platform:
        for name in ("known", "stranger"):
            platform.operations.add(NewTenant(name=name))
        site = Site(platform)
        assert site.ready()  # and so the housekeeper has begun
        wait_until(lambda: platform._follower.seen == platform._registry.revision())
        assert site.status("known") == 200
        yield site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with opened(tmp_path) as made:
        yield made


@contextmanager
def locked(book: Path) -> Iterator[None]:
    """Have another process hold the registry exclusively."""
    with subprocess.Popen(
        [sys.executable, "-c", _LOCKER, str(book)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as locker:
        assert locker.stdout is not None
        assert locker.stdout.readline() == "held\n"
        yield


def junk(book: Path) -> None:
    book.write_bytes(os.urandom(1 << 16))


def nothing(book: Path) -> None:
    book.touch()


def folder(book: Path) -> None:
    book.mkdir()


def endless(book: Path) -> None:
    book.symlink_to(book.name)


def failing_disk(book: Path) -> None:
    book.symlink_to("/proc/self/mem" if Path("/proc/self/mem").exists() else "/dev/fd/99")


def missing(book: Path) -> None:
    assert not book.exists()


# Whatever has become of it


@pytest.mark.parametrize("become", [junk, nothing, folder, endless, failing_disk, missing])
def test_the_known_are_served_on_and_the_others_are_not_called_unknown(
    site: Site, become: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    kept = site.take_away()
    become(site.book)
    wait_until(site.away)
    assert {site.status("stranger") for _ in range(50)} == {503}
    assert {site.status("nobody-at-all") for _ in range(50)} == {503}
    assert {site.status("known") for _ in range(50)} == {200}
    assert caplog.text.count("the registry is away") == 1
    assert caplog.text.count("an address cannot be found") <= 1
    site.put_back(kept)
    wait_until(lambda: site.status("stranger") == 200)
    wait_until(site.back)
    assert site.status("nobody-at-all") == 404
    assert caplog.text.count("the registry is back") == 1


def test_a_file_that_is_damaged_where_it_lies_is_noticed_although_nobody_has_written_it(site: Site) -> None:
    """SQLite's own sign of a change does not move, and open connections go on from what they remember."""
    kept = site.book.with_name("kept.sqlite3")
    with closing(sqlite3.connect(site.book)) as source, closing(sqlite3.connect(kept)) as target:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        source.backup(target)
    size = site.book.stat().st_size
    with site.book.open("r+b") as file:
        file.write(os.urandom(size))
    wait_until(site.away)
    assert site.status("known") == 200
    assert site.status("stranger") == 503
    site.put_back(kept)
    wait_until(lambda: site.status("stranger") == 200)


def test_a_registry_that_another_holds_exclusively_is_read_on(site: Site) -> None:
    """Its log lets readers and a writer go together, however long the one writes."""
    with locked(site.book):
        assert site.status("stranger") == 200
        assert site.ready()


def test_a_locked_registry_lets_no_crowd_of_strangers_wait(site: Site) -> None:
    """In the older mode of a copy that some tool has made, whoever writes keeps readers out."""
    kept = site.take_away()
    with locked(kept):
        kept.replace(site.book)
        codes = on_threads(*[lambda number=number: site.status(f"stranger-{number}") for number in range(30)])
        assert set(codes) == {503}
        assert site.status("known") == 200
        wait_until(site.away)
        assert not site.platform._registry.reachable
    wait_until(lambda: site.status("stranger") == 200)
    wait_until(site.back)


def test_who_is_known_and_not_live_is_built_meanwhile(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.platform.pool.evict(9)
    site.platform.pool.retire()
    kept = site.take_away()
    wait_until(site.away)
    assert site.status("known") == 200
    assert "Traceback" not in caplog.text
    site.put_back(kept)
    wait_until(site.back)


def test_an_older_registry_that_is_put_in_place_is_followed(site: Site) -> None:
    """Who was added since is gone, who was suspended since is not."""
    older = site.book.with_name("older.sqlite3")
    with closing(sqlite3.connect(site.book)) as source, closing(sqlite3.connect(older)) as target:
        source.backup(target)
    site.platform.operations.add(NewTenant(name="later"))
    site.platform.operations.suspend("known", "unpaid")
    wait_until(lambda: (site.status("later"), site.status("known")) == (200, 403))
    site.take_away()
    wait_until(site.away)
    assert (site.status("later"), site.status("known")) == (200, 403)
    site.put_back(older)
    wait_until(lambda: (site.status("later"), site.status("known")) == (404, 200))


def test_the_journal_of_a_registry_that_came_back_is_written_again(site: Site) -> None:
    """Of how builds go, by the process that follows it; an operator's verb asks for a new process."""
    kept = site.take_away()
    wait_until(site.away)
    site.put_back(kept)
    wait_until(site.back)
    uid = site.platform._registry.list()[0].uid
    site.platform._registry.tell(uid, "known", "broken")
    assert site.platform._registry.trouble(uid) is not None
    with pytest.raises(Unavailable, match="was replaced"):
        site.platform.operations.suspend("known", "unpaid")


def test_after_its_time_nobody_is_served_until_it_is_back(tmp_path: Path) -> None:
    """Who was suspended or removed meanwhile would not be known."""
    with opened(tmp_path, outage=0.2) as site:
        kept = site.take_away()
        wait_until(lambda: site.status("known") == 503)
        assert site.status("stranger") == 503
        site.put_back(kept)
        wait_until(lambda: site.status("known") == 200 == site.status("stranger"))


def test_nobody_begins_a_new_registry_beside_tenants_that_have_lost_theirs(site: Site, tmp_path: Path) -> None:
    """Every server would follow it and answer 404 for all."""
    kept = site.take_away()
    with pytest.raises(Unavailable, match="is missing"), open_operations(tmp_path):
        pass
    with pytest.raises(Unavailable, match="is missing"):
        open_platform(tmp_path)
    assert not site.book.exists()
    assert site.status("known") == 200
    site.put_back(kept)
    wait_until(site.back)


# By the clock that nobody sets


class Routing:
    def __init__(self) -> None:
        self.told: list[object] = []

    def hold(self, away: bool) -> None:
        self.told.append(away)

    def close(self) -> None:
        self.told.append("closed")

    def open(self) -> None:
        self.told.append("open")


class World:
    """A registry that is there or not, at a moment of a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.error: BaseException | None = None
        self.looks = self.follows = 0
        self.routing = Routing()
        self.outage = Outage(self.look, self.follow, self.routing, clock=lambda: self.now)

    def look(self) -> None:
        self.looks += 1
        if self.error is not None:
            raise self.error

    def follow(self) -> None:
        self.follows += 1

    def at(self, moment: float) -> list[object]:
        self.now = moment
        self.outage()
        return self.routing.told


def test_an_outage_is_told_when_it_begins_when_it_has_lasted_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    assert world.at(100) == []
    world.error = Unavailable("gone")
    assert world.at(102) == [True]
    assert world.outage.since == 100
    assert world.at(100 + LASTS - 1) == [True]
    assert world.at(100 + LASTS) == world.at(101 + LASTS) == [True, "closed"]
    world.error = None
    assert world.at(102 + LASTS) == world.at(103 + LASTS) == [True, "closed", False, "open"]
    assert world.outage.since is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "WARNING"]


def test_the_registry_is_read_once_a_second_and_always_while_it_is_away() -> None:
    world = World()
    for step in range(1, 9):
        world.at(100 + step / 4)
    assert (world.looks, world.follows) == (2, 8)
    world.error = OSError("gone")
    for step in range(9, 17):
        world.at(100 + step / 4)
    assert (world.looks, world.follows) == (7, 11)


def test_what_is_no_fault_of_the_registry_is_an_outage_too_and_told_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.error = ZeroDivisionError()
    world.at(110)
    assert "Traceback" in caplog.text


# A crowd


def test_after_a_failure_nobody_asks_for_a_moment_and_then_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reach = Reach()
    asked: list[int] = []
    reach.fail("key", Unavailable("gone"))
    with pytest.raises(Unavailable, match="right now"):
        reach.retry(lambda: asked.append(1))
    monkeypatch.setattr("tenantry.registry.reach._REST", 0.0)
    inside, go_on = Event(), Event()

    def slow() -> None:
        asked.append(2)
        inside.set()
        assert go_on.wait(10)

    def second() -> None:
        assert inside.wait(10)
        with pytest.raises(Unavailable, match="right now"):
            reach.retry(lambda: asked.append(3))
        go_on.set()

    on_threads(lambda: reach.retry(slow), second)
    assert asked == [2]


def test_a_look_asks_again_what_could_not_be_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Else a file that is damaged in one place would be away and back, away and back."""
    path = tmp_path / "registry.sqlite3"
    with Registry.open(path) as registry:
        address = Address(Kind.SUBDOMAIN, "acme")
        path.rename(tmp_path / "away")
        with pytest.raises(Unavailable):
            registry.find(address)
        assert registry._reach.asked == address.key
        with pytest.raises(TenantryError):
            registry.look()
        assert not registry.reachable
        (tmp_path / "away").rename(path)
        registry.look()
        assert registry.reachable
        with pytest.raises(Unknown):
            registry.find(address)
    assert caplog.text.count("cannot be found") == 1
