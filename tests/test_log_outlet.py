"""Getting lines out: nobody waits for who reads them, nothing is lost that flows, and what is lost is counted."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import pytest

from tenantry import log
from tenantry.log.entries import event
from tenantry.log.lines import Ended, as_json, text
from tenantry.log.outlet import BYTES, ENDED, LINES, Outlet
from tenantry.log.target import Target
from tests import logs
from tests.logs import Stderr, run, script
from tests.servers import PATIENCE, until

stderr = logs.stderr


class Pipe:
    """A pipe whose reader reads only when told to; `name` is where a logger writes into it."""

    def __init__(self) -> None:
        self.read, write = os.pipe()
        self.stream: TextIO = os.fdopen(write, "w")
        self.outlet = Outlet(Target(self.stream), as_json, logging.INFO)
        self._reading: threading.Thread | None = None
        self._seen = b""
        self._ends = 0

    def say(self, message: str = "x", level: int = logging.INFO) -> None:
        self.outlet.take(event("tests", level, message), level)

    def stall(self) -> None:
        """Fill the pipe, and wait until the writer holds one line that it cannot write."""
        os.set_blocking(self.stream.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.stream.fileno(), b"\n" * 512)
        os.set_blocking(self.stream.fileno(), True)
        self.say("held")
        until(self.outlet._writing.locked)

    def _flow(self) -> None:
        while data := os.read(self.read, 1 << 16):
            self._seen += data

    def lines(self) -> list[Any]:
        """Begin to read, wait until all is written, and return every line."""
        if self._reading is None:
            self._reading = threading.Thread(target=self._flow)
            self._reading.start()
        assert self.outlet.wait(PATIENCE)
        # What was written last may still be in the pipe.
        self._ends += os.write(self.stream.fileno(), b"#")
        until(lambda: self._seen.count(b"#") == self._ends)
        return [json.loads(line) for line in self._seen.decode().replace("#", "").splitlines() if line]

    def close(self) -> None:
        self.lines()
        self.outlet.rest()
        self.stream.close()
        if self._reading is not None:
            self._reading.join()
        os.close(self.read)


@contextmanager
def pipe() -> Iterator[Pipe]:
    """Open a pipe for a while."""
    made = Pipe()
    try:
        yield made
    finally:
        made.close()


ENDED_ONE = Ended(0.0, "", "", "", "", "GET", "/", 200, 5, 0.001, False)


def test_a_reader_that_stops_stops_nobody_and_hears_how_much_it_missed() -> None:
    with pipe() as stalled:
        stalled.stall()
        for number in range(LINES + 1000):
            stalled.say(f"line {number}")
        for _ in range(234):
            stalled.say("bad", logging.ERROR)
        assert not stalled.outlet.wait(0.05)
        found = stalled.lines()
        kept = [line["message"] for line in found if line["logger"] == "tests"]
        assert kept == ["held", *(f"line {number}" for number in range(LINES))]
        (told,) = [line for line in found if "dropped" in line]
        assert told["message"] == "1,234 log lines were dropped: 234 ERROR, 1,000 INFO"
        assert told["dropped"] == {"ERROR": 234, "INFO": 1000}
        stalled.say("after")
        assert stalled.lines()[-1]["message"] == "after"


def test_the_access_log_gives_way_first() -> None:
    with pipe() as stalled:
        stalled.stall()
        for _ in range(ENDED + 100):
            stalled.outlet.note(ENDED_ONE)
        stalled.say("bad", logging.ERROR)
        found = stalled.lines()
        assert [line["message"] for line in found if line["level"] == "ERROR"] == ["bad"]
        assert sum(line["logger"] == "tenantry.access" for line in found) == ENDED


def test_what_waits_holds_no_more_than_its_share_of_memory() -> None:
    with pipe() as stalled:
        for _ in range(4 * BYTES >> 13):
            stalled.say("x" * 8000)
        assert stalled.outlet._bytes <= BYTES
        assert any("dropped" in line for line in stalled.lines())
        assert stalled.outlet._bytes == 0


def test_lines_longer_than_a_pipe_takes_at_once_come_out_whole() -> None:
    with pipe() as narrow:
        for number in range(20):
            narrow.say(f"{number} " + "x" * 8000)
        assert [line["message"].partition(" ")[0] for line in narrow.lines()] == [str(number) for number in range(20)]


def test_whoever_reads_no_more_makes_nothing_fail() -> None:
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    outlet = Outlet(Target(stream), text, logging.INFO)
    os.close(read)
    for _ in range(200):
        outlet.take(event("tests", logging.INFO, "x"), logging.INFO)
    assert outlet.wait(10)
    assert outlet._dropped["INFO"] == 200
    outlet.rest()
    stream.close()


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "closed"])
def test_without_standard_error_lines_go_nowhere(stream: TextIO | None) -> None:
    outlet = Outlet(Target(stream), text, logging.INFO)
    if stream is not None:
        stream.close()
    outlet.take(event("tests", logging.INFO, "x"), logging.INFO)
    assert outlet.wait(10)
    outlet.rest()


def test_a_line_that_cannot_be_made_ends_nothing() -> None:
    def form(line: Any) -> str:
        if line.message == "bad":
            raise ValueError("bad")
        return as_json(line)

    stream = io.StringIO()
    outlet = Outlet(Target(stream), form, logging.INFO)
    for message in ("one", "bad", "two"):
        outlet.take(event("tests", logging.INFO, message), logging.INFO)
    outlet.rest()
    found = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert found == ["one", "a line cannot be written: ValueError", "two"]


def test_the_thread_that_writes_ends_and_another_begins() -> None:
    stream = io.StringIO()
    outlet = Outlet(Target(stream), text, logging.INFO)
    for number in range(3):
        outlet.take(event("tests", logging.INFO, str(number)), logging.INFO)
        outlet.rest()
        assert outlet._thread is None
        assert len(stream.getvalue().splitlines()) == number + 1
    outlet.take(event("tests", logging.INFO, "idle"), logging.INFO)
    until(lambda: outlet._thread is None)
    assert stream.getvalue().endswith("idle\n")


def test_many_threads_lose_and_double_nothing() -> None:
    stream = io.StringIO()
    outlet = Outlet(Target(stream), text, logging.INFO)

    def work(who: int) -> None:
        for number in range(100):
            outlet.take(event("tests", logging.INFO, f"{who}-{number}"), logging.INFO)
            if number % 20 == 0:
                outlet.rest()

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outlet.rest()
    found = sorted(line.rpartition(" ")[2] for line in stream.getvalue().splitlines())
    assert found == sorted(f"{who}-{number}" for who in range(8) for number in range(100))


# The end of a process


def test_nothing_is_lost_at_a_normal_end() -> None:
    found = run("for number in range(3000): logger.info('%d', number)")
    assert [json.loads(line)["message"] for line in found] == [str(number) for number in range(3000)]


def test_what_is_logged_while_the_process_ends_comes_out_too() -> None:
    code = "import atexit\natexit.register(logger.warning, 'early')\nlogging.shutdown()\nlogger.info('x')\n"
    late = "class Late:\n    def __del__(self): logger.warning('late')\nlate = Late()\n"
    found = [json.loads(line)["message"] for line in run(code + late)]
    assert found in (["early", "x", "late"], ["x", "early", "late"])


def test_a_crash_comes_out_as_one_line() -> None:
    (line,) = run("def fails(): raise ValueError('a\\nb')\nfails()", expected=1)
    found = json.loads(line)
    assert found["level"] == "CRITICAL"
    assert found["message"] == "this process ends: nobody has caught ValueError"
    assert "in fails" in found["exc_info"]


def test_a_thread_that_fails_a_finalizer_and_a_warning_are_lines() -> None:
    code = """
import warnings
def fails(): raise ValueError("in a thread")
thread = threading.Thread(target=fails, name="worker"); thread.start(); thread.join()
class Sly:
    def __del__(self): raise ValueError("in a finalizer")
Sly()
warnings.warn("take\\ncare")
"""
    found = [json.loads(line) for line in run(code)]
    assert [line["logger"] for line in found] == ["tenantry.crash", "tenantry.crash", "py.warnings"]
    assert found[0]["message"] == "the thread worker has failed"
    assert "in a finalizer" in found[1]["exc_info"]


def test_a_forked_child_writes_its_own_lines_and_nobody_elses() -> None:
    code = """
for number in range(500): logger.info("parent %d", number)
child = os.fork()
for number in range(500): logger.info("%s %d", "child" if child == 0 else "later", number)
if child: os.waitpid(child, 0)
"""
    found = [json.loads(line)["message"] for line in run(code)]
    assert sorted(found) == sorted(f"{who} {number}" for who in ("parent", "child", "later") for number in range(500))


def test_the_end_of_a_process_does_not_wait_for_a_reader_for_long(tmp_path: Path) -> None:
    read, write = os.pipe()
    code = "for number in range(20000): logger.info('x' * 100)\n(open('done', 'w')).close()"
    process = subprocess.Popen(script(code), stderr=write, cwd=tmp_path)
    os.close(write)
    try:
        assert process.wait(20) == 0
        assert (tmp_path / "done").exists()
        os.set_blocking(read, False)
        assert os.read(read, 1 << 20).count(b"\n") > 100
    finally:
        process.kill()
        process.wait()
        os.close(read)


def test_printing_to_standard_error_makes_lines_of_the_log(stderr: Stderr) -> None:
    log.configure("text", "info")
    before = sys.stderr
    with log.printed(), log.marked(log.Mark("acme", "aaaabbbbcccc")):
        print("one\x1b[2J\n12:00:00 INFO    two", file=sys.stderr)
        print("three", end="", file=sys.stderr)
        print(" and four", file=sys.stderr, flush=True)
    assert sys.stderr is before
    mark = "WARNING stderr[acme/aaaabbbbcccc]: "
    assert [line[9:] for line in stderr.lines()] == [
        mark + r"one\x1b[2J",
        mark + "12:00:00 INFO    two",
        mark + "three and four",
    ]
