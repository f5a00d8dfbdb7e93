"""Many tenants hang, flood and compute at once: the threads that can answer stay as many as they should be."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tenantry.server import refusers
from tenantry.server.lanes import FULL, GRACE, Lanes, Load, Ticket
from tests.servers import PATIENCE, until
from tests.test_lanes import House, Visit, house_fixture

house = house_fixture

Make = Callable[..., House]

# Short enough for a test, and long enough that whoever computes is seen to, on a machine that has other things to do.
SHORT = 0.04


def running(lanes: House) -> list[str]:
    return sorted(str(visit.ticket.key) for visit in lanes.visits if visit.began.is_set() and not visit.ended.is_set())


# Threads that are replaced.


def test_a_thread_that_waits_for_too_long_is_replaced(house: Make) -> None:
    """Eight tenants hang on all eight threads, and yet eight others are answered."""
    lanes = house(8, grace=SHORT)
    for number in range(8):
        lanes.visit(f"hangs-{number}")
    until(lambda: lanes.began() == 8)
    others = [lanes.visit(f"other-{number}") for number in range(6)]
    for visit in others:
        assert visit.began.wait(PATIENCE)
    assert lanes.lanes.load() == Load(running=14, waiting=0, refusing=0)


def test_twenty_tenants_with_two_hanging_requests_each_leave_room_for_one_more(house: Make) -> None:
    """All forty hang on threads of their own, and a good tenant's requests come and go."""
    lanes = house(8, grace=SHORT)
    for _ in range(2):
        for number in range(20):
            lanes.visit(f"hangs-{number}")
    until(lambda: lanes.began() == 40)
    for _ in range(20):
        visit = lanes.visit("good")
        visit.go.set()
        assert visit.ended.wait(PATIENCE)


def test_whoever_begins_to_hang_makes_others_wait_once_and_no_more(house: Make) -> None:
    """Twenty tenants that were quick hang at one moment: once threads are replaced, some are left for others."""
    lanes = house(8, grace=0.3)
    hanging = [f"hangs-{number}" for number in range(20)]
    lanes.known("good", *hanging)
    for key in hanging * 2:
        lanes.visit(key)
    until(lambda: lanes.began() == 8)
    first = lanes.visit("good")
    first.go.set()
    assert first.ended.wait(PATIENCE)
    lanes.lanes._grace = 10 * PATIENCE  # from now on nobody is replaced
    for _ in range(30):
        visit = lanes.visit("good")
        visit.go.set()
        assert visit.ended.wait(PATIENCE)


def test_one_tenant_cannot_eat_the_spare_threads(house: Make) -> None:
    """What is replaced counts for its tenant as before: half of the threads and no more, however long it hangs."""
    lanes = house(8, grace=SHORT)
    for _ in range(30):
        lanes.visit("hangs")
    for number in range(20):
        lanes.visit(f"other-{number}")
    until(lambda: lanes.began() == 24)
    assert running(lanes).count("hangs") == 4


def test_the_more_tenants_hang_the_smaller_is_the_share_of_each(house: Make) -> None:
    """Forty tenants hang with four requests each: none has more than one of the 64 spare threads beyond its first."""
    lanes = house(8, size=1000, grace=SHORT)
    for _ in range(4):
        for number in range(40):
            lanes.visit(f"hangs-{number}")
    until(lambda: len(set(running(lanes))) == 40)
    good = lanes.visit("good")
    good.go.set()
    assert good.ended.wait(PATIENCE)
    counts = [running(lanes).count(key) for key in set(running(lanes))]
    assert max(counts) <= 2


def test_spare_threads_end_when_the_held_ones_are_back(house: Make) -> None:
    """Afterwards there are as many threads as at first."""
    before = threading.active_count()
    lanes = house(4, grace=SHORT)
    started = threading.active_count()
    for number in range(12):
        lanes.visit(f"hangs-{number}")
    until(lambda: lanes.began() == 12)
    assert threading.active_count() > started
    for visit in lanes.visits:
        visit.go.set()
    until(lambda: threading.active_count() == started)
    assert started - before == 4 + 2
    again = lanes.visit("again")
    again.go.set()
    assert again.ended.wait(PATIENCE)


def test_who_computes_is_not_replaced(house: Make) -> None:
    """One more thread would only wait for the interpreter as well."""
    lanes = house(2, grace=0.4)
    stop = threading.Event()

    class Computing(Visit):
        def answer(self) -> "Future[Any] | None":
            self.began.set()
            while not stop.is_set():
                sum(range(1000))
            self.ended.set()
            return None

    try:
        for key in ("computes", "computes too"):
            visit = Computing(lanes.lanes, key, lanes.order)
            lanes.visits.append(visit)
            lanes.lanes.enter(visit.ticket)
        until(lambda: lanes.began() == 2)
        waiting = lanes.visit("waits")
        # Three times the grace, by which a thread that waits is replaced.
        assert not waiting.began.wait(1.2)
    finally:
        stop.set()
    assert waiting.began.wait(PATIENCE)


def test_when_all_spare_threads_are_used_up_the_rest_waits_and_the_operator_is_told(
    house: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Ninety tenants hang, 64 of them on spare threads; a tenant that is known to be quick finds the last one free."""
    caplog.set_level(logging.WARNING)
    lanes = house(8, size=1000, grace=SHORT)
    lanes.known("good")
    for number in range(90):
        lanes.visit(f"hangs-{number}")
    until(lambda: lanes.lanes.load() == Load(running=71, waiting=19, refusing=0))
    until(lambda: any("no more threads are started" in record.message for record in caplog.records))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    for _ in range(5):
        visit = lanes.visit("good")
        visit.go.set()
        assert visit.ended.wait(PATIENCE)


# Who goes first.


def test_half_of_the_kept_threads_is_for_keys_that_are_known_to_be_quick(house: Make) -> None:
    """Whoever has never been seen may hang: a hundred strangers leave a thread to a tenant that is known."""
    lanes = house(8)
    lanes.known("good")
    for number in range(100):
        lanes.visit(f"stranger-{number}")
    until(lambda: lanes.lanes.load() == Load(running=7, waiting=93, refusing=0))
    for _ in range(5):
        visit = lanes.visit("good")
        visit.go.set()
        assert visit.ended.wait(PATIENCE)


def test_a_key_whose_requests_were_slow_leaves_the_kept_threads_alone(house: Make) -> None:
    """Who has hung before is not quiet, although nothing of it runs."""
    lanes = house(8, grace=0.12)
    slow = [lanes.visit(f"slow-{number}") for number in range(20)]
    until(lambda: lanes.began() == 20)
    lanes.ahead += 1.0
    for visit in slow:
        visit.go.set()
    until(lambda: not lanes.lanes.load())
    patient = House(8)  # it knows what all have spent, and nobody is replaced any more
    patient.ahead = lanes.ahead
    patient.lanes._spending = lanes.lanes._spending
    patient.lanes.start()
    try:
        for number in range(20):
            patient.visit(f"slow-{number}")
        until(lambda: patient.began() == 6)
        assert patient.lanes.load().running == 6
        assert patient.visit("fresh").began.wait(PATIENCE)
    finally:
        for visit in patient.visits:
            visit.go.set()
        until(lambda: not patient.lanes.load())
        patient.lanes.stop(PATIENCE)


def test_who_has_used_less_goes_first(house: Make) -> None:
    """Of those that wait, the one that has held threads for the least time gets the next one, whoever came first."""
    lanes = house(1)
    long = lanes.visit("much")
    assert long.began.wait(PATIENCE)
    lanes.ahead += 1.0
    waiting = [lanes.visit(key) for key in ("much", "much", "little")]
    for visit in waiting:
        visit.go.set()
    long.go.set()
    until(lambda: lanes.began() == 4)
    assert lanes.order == ["much", "little", "much", "much"]


def test_a_full_house_refuses_the_one_who_fills_it(house: Make) -> None:
    """Where all places to wait are taken, the last of the longest lane makes room for somebody else."""
    lanes = house(2, size=4)
    crowd = [lanes.visit("crowd") for _ in range(5)]
    assert lanes.visit("other").began.wait(PATIENCE)
    second = lanes.visit("other")
    until(crowd[-1].ended.is_set)
    assert crowd[-1].ticket.refused == FULL
    assert not second.ticket.refused
    third = lanes.visit("other")  # three wait for the crowd, one for this one
    assert not third.ticket.refused
    fourth = lanes.visit("other")  # two and two: it would not be the shorter one any more
    assert fourth.ended.wait(PATIENCE)
    assert fourth.ticket.refused == FULL


# Keys that change, and refusals that are held up.


def test_requests_that_came_by_another_key_count_for_their_tenant_once_it_is_known(house: Make) -> None:
    """A tenant reached first by a new domain has no more than its share when its uid is known."""
    lanes = house(8, grace=SHORT)

    class Newcomer(Visit):
        def lane(self) -> str:
            return "uid"

    for number in range(4):
        newcomer = Newcomer(lanes.lanes, f"domain-{number}", lanes.order)
        lanes.visits.append(newcomer)
        lanes.lanes.enter(newcomer.ticket)
    until(lambda: lanes.began() == 4)
    for number in range(8):  # threads are scarce, so that somebody looks
        lanes.visit(f"other-{number}")
    until(lambda: all(visit.ticket.key == "uid" for visit in lanes.visits[:4]))
    late = lanes.visit("uid")
    later = [lanes.visit(f"later-{number}") for number in range(4)]
    for visit in later:
        assert visit.began.wait(PATIENCE)
    assert not late.began.is_set()
    lanes.visits[0].go.set()
    assert late.began.wait(PATIENCE)


def test_refusals_go_on_while_one_is_held_up(house: Make) -> None:
    """Whoever cannot be answered holds up itself alone: another thread refuses the others."""
    lanes = house(2, size=1, grace=SHORT)
    held = threading.Event()

    class Held(Visit):
        def answer(self) -> "Future[Any] | None":
            self.began.set()
            assert held.wait(PATIENCE)
            self.ended.set()
            return None

    try:
        for _ in range(2):
            lanes.visit("crowd")
        stuck = [Held(lanes.lanes, "crowd", lanes.order) for _ in range(3)]
        lanes.visits.extend(stuck)
        for visit in stuck:
            lanes.lanes.enter(visit.ticket)
        for _ in range(3):
            refused = lanes.visit("crowd")
            assert refused.ended.wait(PATIENCE)
            assert refused.ticket.refused == FULL
    finally:
        held.set()
    assert refusers._MOST > 4


def test_a_refuser_that_cannot_start_is_tried_again() -> None:
    """However often the system had no thread for it: once there is one, whoever was held up is answered."""
    spawned: list[Callable[[], None]] = []
    scarce = threading.Event()

    def spawn(_: str, target: Callable[[], None]) -> None:
        if scarce.is_set():
            raise RuntimeError("can't start new thread")
        spawned.append(target)

    lanes, some = Lanes(1, 1, 1.0), refusers.Refusers(spawn)
    some.begin()
    some.put(lanes.ticket(Visit(lanes, "a", []), "a"))
    scarce.set()
    for now in range(3 * refusers._MOST):
        some.look(now, 0.0)
    assert len(spawned) == 1
    scarce.clear()
    for now in range(3 * refusers._MOST):
        some.look(now, 0.0)
    assert len(spawned) == refusers._MOST


def test_a_watch_that_meets_a_broken_key_goes_on(house: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a connection says of itself, deadlines are kept and threads replaced."""
    lanes = house(4, grace=SHORT)

    class Broken(Visit):
        def lane(self) -> str:
            if not self.ended.is_set() and not broken.is_set():
                broken.set()
                raise IndexError
            return "broken"

    broken = threading.Event()
    visit = Broken(lanes.lanes, "broken", lanes.order)
    lanes.visits.append(visit)
    lanes.lanes.enter(visit.ticket)
    for number in range(8):
        lanes.visit(f"hangs-{number}")
    until(lambda: lanes.began() == 9)
    assert broken.is_set()
    assert "looked after" in caplog.text


def test_all_is_counted_right_after_a_crowd_that_hangs(house: Make) -> None:
    """Two hundred requests of forty tenants end in any order: nothing runs, waits or is stuck, portions are whole."""
    lanes = house(8, size=1000, grace=0.02)
    for number in range(200):
        lanes.visit(f"key-{number % 40}")
    for visit in lanes.visits[::3] + lanes.visits[1::3] + lanes.visits[2::3]:
        visit.go.set()
    until(lambda: all(visit.ended.is_set() for visit in lanes.visits))
    until(lambda: not lanes.lanes.load() and len(lanes.lanes._workers) == len(lanes.lanes._idle) == 8)
    inside = lanes.lanes
    assert (inside._stuck, inside._portions.stuck, inside._waiting.count) == (0, 0, 0)
    spending = [inside._spending.of(f"key-{number}") for number in range(40)]
    assert all((one.running, one.stuck, one.lane, one.turn) == (0, 0, None, None) for one in spending)
    assert all(one._began == 0.0 for one in spending)


def test_the_usual_grace_is_short_enough_to_go_unnoticed() -> None:
    """A visitor who has to wait for a thread to be replaced waits for less than half a second."""
    assert 0.1 <= GRACE < 0.5
    lanes = Lanes(1, 1, 1.0)
    assert lanes._grace == GRACE
    assert isinstance(lanes.ticket(Visit(lanes, "a", []), "a"), Ticket)
