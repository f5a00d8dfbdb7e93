"""The housekeeper: one thread that does its chores whatever happens, and follows the registry."""

import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tenantry.housekeeper import Follower, Housekeeper
from tests.sites import eventually, on_threads


class Chore:
    """Something to do: counts how often it was done; raises what it is told to."""

    def __init__(self) -> None:
        self.done = 0
        self.error: BaseException | None = None
        self.again = threading.Event()

    def __call__(self) -> None:
        self.done += 1
        self.again.set()
        if self.error is not None:
            raise self.error


@pytest.fixture
def chore() -> Chore:
    return Chore()


@pytest.fixture
def keeper(chore: Chore) -> Iterator[Housekeeper]:
    """A housekeeper that does its chores when it begins and then not for a long time."""
    made = Housekeeper([chore], period=60)
    yield made
    made.stop()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "housekeeper"]


def test_nothing_is_done_before_it_is_started(keeper: Housekeeper, chore: Chore) -> None:
    assert not keeper.running
    assert not threads()
    assert chore.done == 0


def test_it_begins_with_a_round_and_does_another_each_period(chore: Chore) -> None:
    keeper = Housekeeper([chore], period=0.001)
    keeper.start()
    assert keeper.running
    eventually(lambda: chore.done >= 5)
    keeper.stop()


def test_however_many_start_it_there_is_one_thread(keeper: Housekeeper) -> None:
    on_threads(*[keeper.start] * 20)
    assert threads() == ["housekeeper"]


def test_stopping_waits_for_the_round_under_way_and_may_be_done_twice(chore: Chore) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        assert go_on.wait(10)
        chore()

    keeper = Housekeeper([slow], period=60)
    keeper.start()
    assert inside.wait(10)
    stopping = threading.Thread(target=keeper.stop, daemon=True)
    stopping.start()
    assert stopping.is_alive()
    go_on.set()
    stopping.join(10)
    assert not stopping.is_alive()
    assert chore.done == 1
    assert not threads()
    keeper.stop()


def test_once_stopped_it_does_not_begin_again(keeper: Housekeeper, chore: Chore) -> None:
    keeper.stop()
    keeper.start()
    assert not threads()
    assert chore.done == 0


def test_a_chore_may_stop_it() -> None:
    chores: list[Callable[[], None]] = []
    made = Housekeeper(chores, period=60)
    chores.append(made.stop)
    made.start()
    eventually(lambda: not threads())


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
def test_a_chore_that_raises_keeps_neither_the_others_nor_the_next_round(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    failing, other = Chore(), Chore()
    failing.error = error
    keeper = Housekeeper([failing, other], period=0.001)
    keeper.start()
    eventually(lambda: other.done >= 3)
    keeper.stop()
    assert failing.done >= 3
    assert caplog.text.count("a chore of the housekeeper fails") == 1


def test_a_chore_that_fails_again_after_it_succeeded_is_logged_again(
    chore: Chore, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Housekeeper([chore])
    for error in (ValueError("one"), ValueError("two"), None, ValueError("three")):
        chore.error = error
        keeper.round()
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        ("one",),
        ("three",),
    ]


def test_a_forked_child_begins_again_although_threads_do_not_cross_a_fork(keeper: Housekeeper, chore: Chore) -> None:
    keeper.start()
    assert chore.again.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: this process has threads
        pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        was_running = keeper.running
        chore.again.clear()
        keeper.start()
        done = chore.again.wait(10)
        keeper.stop()
        os._exit(0 if done and not was_running else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert keeper.running


# Following


@dataclass
class Changes:
    """What has changed, up to a revision."""

    revision: int
    since: int


class Book:
    """A registry that counts how often it is read."""

    def __init__(self) -> None:
        self.at = 1
        self.revision = 5
        self.reads: list[int] = []
        self.applied: list[Changes] = []
        self.error: Exception | None = None

    def version(self) -> int:
        return self.at

    def changes(self, since: int) -> Changes:
        self.reads.append(since)
        return Changes(self.revision, since)

    def apply(self, changes: Any) -> None:
        if self.error is not None:
            raise self.error
        self.applied.append(changes)

    def write(self) -> None:
        self.at += 1
        self.revision += 1


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def follow(book: Book) -> Follower:
    return Follower(book.version, book.changes, book.apply, seen=3)


def test_what_happened_before_the_first_look_is_followed(book: Book, follow: Follower) -> None:
    follow()
    assert book.applied == [Changes(revision=5, since=3)]


def test_nothing_is_read_while_nothing_is_written(book: Book, follow: Follower) -> None:
    for _ in range(5):
        follow()
    assert book.reads == [3]


def test_each_change_is_followed_once_from_where_the_last_ended(book: Book, follow: Follower) -> None:
    follow()
    for _ in range(2):
        book.write()
        follow()
        follow()
    assert [(changes.since, changes.revision) for changes in book.applied] == [(3, 5), (5, 6), (6, 7)]


def test_what_could_not_be_followed_is_tried_again(book: Book, follow: Follower) -> None:
    follow()
    book.write()
    book.error = OSError("busy")
    for _ in range(2):
        with pytest.raises(OSError, match="busy"):
            follow()
    book.error = None
    follow()
    follow()
    assert book.reads == [3, 5, 5, 5]
    assert book.applied[1:] == [Changes(revision=6, since=5)]


def test_what_is_written_while_it_reads_is_seen_in_the_next_round(book: Book) -> None:
    def changes(since: int) -> Changes:
        found = book.changes(since)
        if len(book.reads) == 1:
            book.write()  # after the read, before it is applied
        return found

    follow = Follower(book.version, changes, book.apply, seen=3)
    follow()
    follow()
    follow()
    assert [(applied.since, applied.revision) for applied in book.applied] == [(3, 5), (5, 6)]
