"""Making do: who gives back what when descriptors or memory run short, and in which order."""

import ctypes
import gc
import os
import resource
from collections.abc import Callable
from dataclasses import replace

import pytest

from tenantry.housekeeper import Thrift
from tenantry.pool import Limits, Pool
from tenantry.pool.slots import LEAST
from tenantry.rations import Rations
from tenantry.settings import Settings
from tests import pools as fixtures
from tests.sites import Factory, Wanted, eventually, leased, warm

collected, factory, pools = fixtures.collected, fixtures.factory, fixtures.pools
MANY = [Wanted(f"tenant{number}") for number in range(20)]
DEFAULT = Settings()


def of(limit: int = 1000, reserve: int = 30, memory: int = 0) -> Rations:
    return Rations(settings=replace(DEFAULT, memory=memory), limit=limit, reserve=reserve)


class Process:
    """What a process uses, at a moment of a clock: descriptors, None where they cannot be counted, and memory."""

    def __init__(self, opened: int | None = 0) -> None:
        self.opened = opened
        self.used = 0
        self.now = 100.0

    def thrift(self, pool: Pool, given: Rations) -> Thrift:
        return Thrift(pool, given, opened=lambda: self.opened, resident=lambda: self.used << 20, clock=lambda: self.now)


@pytest.fixture
def full(pools: Callable[..., Pool], factory: Factory) -> Pool:
    """A pool of twenty live applications, all idle."""
    made = pools(factory, Limits())
    warm(made, *MANY)
    return made


def test_nothing_is_shed_while_descriptors_are_free(full: Pool, factory: Factory) -> None:
    Process(990).thrift(full, of(1 << 20)).descriptors()
    assert full.live == 20
    assert not any(site.rests for site in factory.sites)


def test_what_is_missing_is_shed_and_told_once(full: Pool, factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    process = Process(980)
    thrift = process.thrift(full, of())
    thrift.descriptors()
    eventually(lambda: sum(site.rests for site in factory.sites) == 4)
    process.opened = 1000
    thrift.descriptors()
    process.opened = 960  # enough, and not yet well enough
    thrift.descriptors()
    process.opened = 980
    thrift.descriptors()
    assert caplog.text.count("980 of 1000 open files are in use") == 1
    process.opened = 100
    thrift.descriptors()
    process.opened = 990
    thrift.descriptors()
    assert caplog.text.count("open files are in use") == 2


def test_there_is_room_for_fewer_while_shedding_is_not_enough_and_for_more_once_all_was_well_for_a_while(
    full: Pool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, collected: list[None]
) -> None:
    """Applications may hold files of their own, which nobody can know beforehand."""
    process = Process(999)
    monkeypatch.setattr("tenantry.pool.pool._SHRINKING", 0.0)
    full.limits = replace(full.limits, capacity=20)
    full._room = 20
    thrift = process.thrift(full, of(reserve=450))
    thrift.descriptors()
    assert full.room == 20
    thrift.descriptors()
    assert full.room == full.live == LEAST
    assert len(collected) == 2
    process.opened = 10
    for seconds, room in ((1, LEAST), (58, LEAST), (2, 5), (2, 5), (60, 6)):
        process.now += seconds
        thrift.descriptors()
        assert full.room == room, seconds
    said = [int(line.rpartition(" live")[0].rpartition(" ")[2]) for line in caplog.messages if "there is room" in line]
    assert said == [LEAST, 5, 6]


def test_where_they_cannot_be_counted_they_are_tried(full: Pool, factory: Factory) -> None:
    thrift = Process(None).thrift(full, of())
    thrift.descriptors()
    assert not any(site.rests for site in factory.sites)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 10, hard))  # noqa: PTH208
    try:
        thrift.descriptors()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: sum(site.rests for site in factory.sites) == 10)


def test_idle_applications_go_while_too_much_memory_is_in_use_and_never_the_last(
    full: Pool, factory: Factory, caplog: pytest.LogCaptureFixture, collected: list[None]
) -> None:
    process = Process()
    thrift = process.thrift(full, of(memory=500))
    busy = leased(full, MANY[0])
    process.used = 400
    thrift.memory()
    assert full.live == 20
    process.used = 600
    lives = []
    for _ in range(40):
        thrift.memory()
        lives.append(full.live)
        process.now += 1.0
    assert lives[:3] == [18, 16, 14]
    assert lives[-1] == LEAST
    assert len(collected) == 2 * (len(set(lives)))
    assert caplog.text.count("600 MiB are in use and TENANTRY_MEMORY is 500") == 1
    eventually(lambda: len(factory.left()) == LEAST)
    assert "tenant0 at 1" in factory.left()
    busy.close()


def test_rounds_lie_apart_and_an_episode_ends(
    full: Pool, caplog: pytest.LogCaptureFixture, collected: list[None]
) -> None:
    process = Process()
    thrift = process.thrift(full, of(memory=500))
    process.used = 600
    thrift.memory()
    thrift.memory()
    assert full.live == 18
    process.used, process.now = 400, 102.0
    thrift.memory()
    process.used = 600
    thrift.memory()
    assert full.live == 16
    assert caplog.text.count("TENANTRY_MEMORY is 500") == 2


def test_without_a_target_nobody_looks(full: Pool) -> None:
    process = Process()
    process.used = 1 << 20
    process.thrift(full, of()).memory()
    assert full.live == 20


def test_memory_goes_back_also_where_the_library_cannot_give_it(
    full: Pool, monkeypatch: pytest.MonkeyPatch, collected: list[None]
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # a library without malloc_trim
    process = Process()
    process.used = 600
    process.thrift(full, of(memory=500)).memory()
    assert len(collected) == 2


def test_the_longer_collecting_takes_the_more_seldom_it_is_done(full: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()

    def slow() -> None:
        process.now += 1.0

    monkeypatch.setattr(gc, "collect", slow)
    process.used = 600
    thrift = process.thrift(full, of(memory=500))
    thrift.memory()
    process.now += 39
    thrift.memory()
    assert full.live == 18
    process.now += 2
    thrift.memory()
    assert full.live == 16
