"""Lanes share threads fairly: half for one key, a quarter kept for quiet ones, the surplus waits outside threads."""

import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from time import monotonic
from typing import Any

import pytest

from tenantry.server.lanes import FULL, LATE, Lanes, Load, Ticket
from tests.servers import PATIENCE, until


class Visit:
    """A request without a connection: it runs until it is let go, and remembers what became of it."""

    def __init__(self, lanes: Lanes, key: str, order: list[str], park_on: "Future[Any] | None" = None) -> None:
        self.ticket: Ticket = lanes.ticket(self, key)
        self.name = f"{key}{id(self)}"
        self.began = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()
        self.order = order
        self.park_on = park_on
        self.park_when = threading.Event()
        self.park_when.set()
        self.thread = ""

    def lane(self) -> Hashable:
        return self.ticket.key

    def answer(self) -> "Future[Any] | None":
        self.thread = threading.current_thread().name
        self.order.append(str(self.ticket.key))
        self.began.set()
        if self.park_on is not None and self.ticket.may_park and self.ticket.runs == 1:
            assert self.park_when.wait(PATIENCE)
            return self.park_on
        if not self.ticket.refused:
            assert self.go.wait(PATIENCE)
        self.ended.set()
        return None

    def parked(self) -> None:
        pass


class House:
    """Lanes with their threads, and a way to send visits in; `ahead` is how far their clock is before the world's."""

    def __init__(self, threads: int, size: int = 100, wait: float = PATIENCE, grace: float = 10 * PATIENCE) -> None:
        self.ahead = 0.0
        self.lanes = Lanes(threads, size, wait, grace, clock=lambda: monotonic() + self.ahead)
        self.order: list[str] = []
        self.visits: list[Visit] = []

    def visit(self, key: str, park_on: "Future[Any] | None" = None) -> Visit:
        visit = Visit(self.lanes, key, self.order, park_on)
        self.visits.append(visit)
        self.lanes.enter(visit.ticket)
        return visit

    def known(self, *keys: str) -> None:
        """Have it known of these keys that their requests are quick."""
        for key in keys:
            visit = self.visit(key)
            visit.go.set()
            assert visit.ended.wait(PATIENCE)
        until(lambda: not self.lanes.load())
        del self.visits[:], self.order[:]

    def began(self) -> int:
        return sum(visit.began.is_set() for visit in self.visits)


@pytest.fixture(name="house")
def house_fixture() -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(*args: Any, **kwargs: Any) -> House:
        made.append(House(*args, **kwargs))
        made[-1].lanes.start()
        return made[-1]

    yield make
    for house in made:
        for visit in house.visits:
            visit.go.set()
        until(lambda house=house: not house.lanes.load())  # type: ignore[misc]
        house.lanes.stop(PATIENCE)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tenantry-")]


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (16, 8)])
def test_one_key_runs_on_at_most_half_of_the_threads(house: Callable[..., House], threads: int, most: int) -> None:
    """A key with more to do than half of the threads has half of them and waits with the rest."""
    lanes = house(threads)
    for _ in range(threads * 2):
        lanes.visit("loud")
    until(lambda: lanes.began() == most)
    assert lanes.lanes.load() == Load(running=most, waiting=threads * 2 - most, refusing=0)


@pytest.mark.parametrize(("threads", "noisy"), [(4, 3), (8, 6), (16, 12)])
def test_the_last_quarter_of_the_threads_is_kept_for_quiet_keys(
    house: Callable[..., House], threads: int, noisy: int
) -> None:
    """Two keys with endless work leave a quarter of the threads to keys that are quick and have nothing running."""
    lanes = house(threads)
    lanes.known(*[f"quiet-{number}" for number in range(threads - noisy)])
    for key in ("loud", "louder"):
        for _ in range(threads):
            lanes.visit(key)
    until(lambda: lanes.began() == noisy)
    assert lanes.lanes.load().running == noisy
    for number in range(threads - noisy):
        visit = lanes.visit(f"quiet-{number}")
        assert visit.began.wait(PATIENCE)
        assert lanes.lanes.load().running == noisy + number + 1


def test_a_key_that_hangs_on_all_it_may_have_does_not_delay_another(house: Callable[..., House]) -> None:
    """While one key hangs on half of the threads with more waiting, another key's requests come and go."""
    lanes = house(4)
    hanging = [lanes.visit("hangs") for _ in range(10)]
    until(lambda: lanes.began() == 2)
    for _ in range(20):
        visit = lanes.visit("good")
        visit.go.set()
        assert visit.ended.wait(PATIENCE)
    assert sum(visit.began.is_set() for visit in hanging) == 2


def test_what_waits_runs_in_its_order_when_a_thread_is_free(house: Callable[..., House]) -> None:
    """The requests of one key run in the order in which they came."""
    lanes = house(2)
    visits = [lanes.visit("a") for _ in range(5)]
    for before, visit in enumerate(visits):
        assert visit.began.wait(PATIENCE)
        assert [other.began.is_set() for other in visits] == [True] * (before + 1) + [False] * (4 - before)
        visit.go.set()


def test_lanes_take_turns_and_those_with_nothing_running_come_first(house: Callable[..., House]) -> None:
    """Freed threads go round the waiting keys, not to the one that has waited with the most."""
    lanes = house(1)
    gate = lanes.visit("gate")
    for key in ("a", "a", "a", "b", "c"):
        lanes.visit(key).go.set()
    gate.go.set()
    until(lambda: lanes.began() == 6)
    assert lanes.order == ["gate", "a", "b", "c", "a", "a"]


def test_a_quiet_key_goes_before_a_busy_one_that_has_waited_for_longer(house: Callable[..., House]) -> None:
    """A key with nothing running gets the next thread even if one with something running came first."""
    lanes = house(4)
    running = [lanes.visit(key) for key in ("a", "b", "c", "d")]
    until(lambda: lanes.began() == 4)
    busy, quiet = lanes.visit("a"), lanes.visit("e")
    running[1].go.set()
    assert quiet.began.wait(PATIENCE)
    assert not busy.began.is_set()


def test_a_full_lane_refuses_aside_of_the_workers(house: Callable[..., House]) -> None:
    """With no room to wait a request is answered at once, by a thread that is no worker."""
    lanes = house(2, size=3)
    waiting = [lanes.visit("loud") for _ in range(4)]
    refused = lanes.visit("loud")
    assert refused.ended.wait(PATIENCE)
    assert refused.ticket.refused == FULL
    assert refused.thread.startswith("tenantry-refuser")
    assert not any(visit.ticket.refused for visit in waiting)


def test_who_has_waited_for_too_long_is_refused_and_others_go_on(house: Callable[..., House]) -> None:
    """Past its deadline a waiting request is answered aside, and the running one is left alone."""
    lanes = house(2, wait=0.05)
    first, second = lanes.visit("slow"), lanes.visit("slow")
    assert second.ended.wait(PATIENCE)
    assert second.ticket.refused == LATE
    assert not first.ticket.refused
    assert lanes.lanes.load().running == 1


def test_a_parked_request_leaves_its_thread_and_comes_back_when_the_future_is_done(
    house: Callable[..., House],
) -> None:
    """While parked it holds no thread; with the result, a failure or a cancelled future it runs again."""
    lanes = house(1)
    finishes: tuple[Callable[[Future[Any]], object], ...] = (
        lambda future: future.set_result(1),
        lambda future: future.set_exception(ValueError()),
        lambda future: future.cancel(),
    )
    for finish in finishes:
        future: Future[Any] = Future()
        visit = lanes.visit("a", park_on=future)
        until(lambda: lanes.lanes.load() == Load(running=0, waiting=1, refusing=0))
        other = lanes.visit("a")
        other.go.set()
        assert other.ended.wait(PATIENCE)
        visit.go.set()
        finish(future)
        assert visit.ended.wait(PATIENCE)
        assert visit.ticket.runs == 2
        until(lambda: not lanes.lanes.load())


def test_who_is_parked_is_asked_for_its_key_while_nobody_is_held_up(house: Callable[..., House]) -> None:
    """Reading a host takes as long as it does: until then the lanes take and give as ever."""
    lanes = house(2)
    free: list[bool] = []

    class Renamed(Visit):
        def lane(self) -> str:
            free.append(inside.acquire(timeout=PATIENCE))
            if free[-1]:
                inside.release()
            return "uid"

    inside, future = lanes.lanes._lock, Future[Any]()
    visit = Renamed(lanes.lanes, "domain", lanes.order, future)
    lanes.visits.append(visit)
    lanes.lanes.enter(visit.ticket)
    until(lambda: lanes.lanes.load().waiting == 1)
    future.set_result(None)
    visit.go.set()
    assert visit.ended.wait(PATIENCE)
    assert free == [True]
    assert lanes.order == ["domain", "uid"]


def test_who_cannot_tell_its_key_any_more_runs_by_the_one_it_had(house: Callable[..., House]) -> None:
    """A connection that ends at that moment has no request to read a key from, and harms nobody."""
    lanes = house(2)

    class Gone(Visit):
        def lane(self) -> str:
            raise IndexError

    future = Future[Any]()
    visit = Gone(lanes.lanes, "domain", lanes.order, future)
    lanes.visits.append(visit)
    lanes.lanes.enter(visit.ticket)
    until(lambda: lanes.lanes.load().waiting == 1)
    future.set_result(None)
    visit.go.set()
    assert visit.ended.wait(PATIENCE)
    assert lanes.order == ["domain", "domain"]


def test_parking_on_a_future_that_is_done_runs_again_at_once(house: Callable[..., House]) -> None:
    """A future that is done by the time of parking loses no wake-up."""
    lanes = house(1)
    future: Future[Any] = Future()
    future.set_result(None)
    visit = lanes.visit("a", park_on=future)
    visit.go.set()
    assert visit.ended.wait(PATIENCE)


def test_parked_requests_count_as_waiting_and_find_no_room_when_it_is_taken(house: Callable[..., House]) -> None:
    """Where all places are taken a request is told that it may not park."""
    lanes = house(4, size=1)
    future: Future[Any] = Future()
    parked = lanes.visit("a", park_on=future)
    until(lambda: lanes.lanes.load().waiting == 1)
    other = lanes.visit("b", park_on=future)
    assert other.began.wait(PATIENCE)
    assert not other.ticket.may_park
    parked.go.set()
    future.set_result(None)
    assert parked.ended.wait(PATIENCE)


def test_who_waits_for_a_build_that_hangs_gives_way_to_other_keys(house: Callable[..., House]) -> None:
    """A crowd at one tenant that does not get ready takes neither the places nor the threads of another one."""
    lanes = house(2, size=4)
    never: Future[Any] = Future()
    crowd = []
    for number in range(1, 5):
        crowd.append(lanes.visit("hangs", park_on=never))
        until(lambda number=number: lanes.lanes.load() == Load(running=0, waiting=number, refusing=0))  # type: ignore[misc]
    own: Future[Any] = Future()
    cold = lanes.visit("cold", park_on=own)
    assert crowd[-1].ended.wait(PATIENCE)
    assert crowd[-1].ticket.refused == FULL
    assert cold.ticket.may_park
    busy = [lanes.visit("busy") for _ in range(2)]
    assert crowd[-2].ended.wait(PATIENCE)
    for visit in (cold, *busy, *crowd):
        visit.go.set()
    own.set_result(None)
    for visit in (cold, *busy):
        assert visit.ended.wait(PATIENCE)
        assert not visit.ticket.refused
    never.set_result(None)
    until(lambda: not lanes.lanes.load())


def test_a_request_that_parks_where_the_last_place_was_just_taken_is_refused(house: Callable[..., House]) -> None:
    """Two may park and there is one place: the second is answered aside and neither is lost."""
    lanes = house(4, size=1)
    future: Future[Any] = Future()
    visits = [Visit(lanes.lanes, key, lanes.order, future) for key in ("a", "b")]
    lanes.visits.extend(visits)
    for visit in visits:
        visit.park_when.clear()
        lanes.lanes.enter(visit.ticket)
        assert visit.began.wait(PATIENCE)
    first, second = visits
    first.park_when.set()
    until(lambda: lanes.lanes.load().waiting == 1)
    second.park_when.set()
    assert second.ended.wait(PATIENCE)
    assert second.ticket.refused == FULL
    first.go.set()
    future.set_result(None)
    assert first.ended.wait(PATIENCE)
    assert not first.ticket.refused


def test_a_request_that_parks_after_its_deadline_is_refused(house: Callable[..., House]) -> None:
    """Whoever has run until its deadline does not wait any more."""
    lanes = house(2, wait=0.01)
    visit = Visit(lanes.lanes, "a", lanes.order, Future())
    lanes.visits.append(visit)
    visit.park_when.clear()
    lanes.lanes.enter(visit.ticket)
    until(lambda: monotonic() > visit.ticket.deadline)
    visit.park_when.set()
    assert visit.ended.wait(PATIENCE)
    assert visit.ticket.refused == LATE


def test_past_its_deadline_a_parked_request_is_refused_once(house: Callable[..., House]) -> None:
    """The deadline counts from the arrival; a future that is done afterwards runs nothing."""
    lanes = house(2, wait=0.05)
    future: Future[Any] = Future()
    visit = lanes.visit("a", park_on=future)
    assert visit.ended.wait(PATIENCE)
    assert visit.ticket.refused == LATE
    assert visit.thread.startswith("tenantry-refuser")
    future.set_result(None)
    until(lambda: not lanes.lanes.load())
    assert visit.ticket.runs == 2


def test_a_dropped_request_never_runs(house: Callable[..., House]) -> None:
    """What is dropped while it waits or is parked is gone, and its place is free again."""
    lanes = house(1, size=2)
    future: Future[Any] = Future()
    parked = lanes.visit("b", park_on=future)
    until(lambda: lanes.lanes.load().waiting == 1)
    running = lanes.visit("a")
    assert running.began.wait(PATIENCE)
    waiting = lanes.visit("a")
    assert lanes.lanes.drop(waiting.ticket)
    assert lanes.lanes.drop(parked.ticket)
    assert not lanes.lanes.drop(running.ticket)
    assert lanes.lanes.load() == Load(running=1, waiting=0, refusing=0)
    future.set_result(None)
    running.go.set()
    until(lambda: not lanes.lanes.load())
    assert not waiting.began.is_set()
    assert parked.ticket.runs == 1


def test_every_request_of_a_crowd_is_answered_exactly_once(house: Callable[..., House]) -> None:
    """Eight threads send 4,000 requests of twenty keys, some parking, and none is lost or run twice too often."""
    lanes = house(8, size=10_000)
    futures: list[Future[Any]] = []
    lock = threading.Lock()

    def send(number: int) -> None:
        for turn in range(500):
            future: Future[Any] | None = Future() if turn % 7 == 0 else None
            visit = Visit(lanes.lanes, f"key-{(number + turn) % 20}", lanes.order, future)
            visit.go.set()
            with lock:
                lanes.visits.append(visit)
                if future is not None:
                    futures.append(future)
            lanes.lanes.enter(visit.ticket)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    for future in futures:
        future.set_result(None)
    until(lambda: all(visit.ended.is_set() for visit in lanes.visits))
    until(lambda: not lanes.lanes.load())
    assert sorted({visit.ticket.runs for visit in lanes.visits}) == [1, 2]
    assert sum(visit.ticket.runs == 2 for visit in lanes.visits) == len(futures)
    assert len(lanes.order) == 4000 + len(futures)
