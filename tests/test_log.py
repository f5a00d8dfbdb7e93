"""The log: one event is one line, whoever wrote into it; and it tells whose it is."""

import json
import logging
import sys
from collections.abc import Iterator
from contextvars import Context
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry import log

logger = logging.getLogger("tests.log")


class Stderr:
    """What was written to standard error so far."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._seen = ""

    def getvalue(self) -> str:
        self._seen += self._capture.readouterr().err
        return self._seen


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Stderr]:
    """Standard error, and logging put back afterwards as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    quiet = {name: logging.getLogger(name).level for name in ("waitress.queue", "alembic")}
    yield Stderr(capsys)
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def lines(stream: Stderr) -> list[str]:
    return stream.getvalue().splitlines()


def fails(message: str = "went wrong") -> None:
    try:
        raise ValueError(message)
    except ValueError:
        logger.exception("it %s", "failed")


# Text


def test_a_line_of_text_has_time_level_and_message(stderr: Stderr) -> None:
    log.configure("text", "info")
    logger.info("opened %s", "acme")
    (line,) = lines(stderr)
    assert line[8:] == " INFO    opened acme"
    assert line[2] == line[5] == ":"


def test_a_line_tells_whose_it_is_and_of_which_request(stderr: Stderr) -> None:
    log.configure("text", "info")

    def request() -> None:
        log.mark.set(log.Mark("acme", "aaaabbbbcccc"))
        logger.warning("one")
        log.request.set("f00-1")
        logger.warning("two")

    Context().run(request)
    logger.warning("three")
    assert [line[9:] for line in lines(stderr)] == ["WARNING [acme] one", "WARNING [acme/f00-1] two", "WARNING three"]


def test_what_a_caller_says_of_its_line_wins_over_the_context(stderr: Stderr) -> None:
    log.configure("text", "info")

    def request() -> None:
        log.mark.set(log.Mark("acme"))
        logger.warning("x", extra={"tenant": "globex", "request_id": "1"})

    Context().run(request)
    assert lines(stderr)[0].endswith("[globex/1] x")


@pytest.mark.parametrize("args", [True, False], ids=["as an argument", "in the message"])
def test_a_strangers_newline_begins_no_line_of_its_own(stderr: Stderr, args: bool) -> None:
    log.configure("text", "info")
    strange = "x\n12:00:00 INFO    forged\r\n\x1b[31mred\x85\u2028\u2029\u202e"
    if args:
        logger.info("asked for %s", strange)
    else:
        logger.info("asked for " + strange)
    (line,) = lines(stderr)
    assert line.endswith(r"asked for x\n12:00:00 INFO    forged\r\n\x1b[31mred\x85\u2028\u2029\u202e")


def test_a_stranger_cannot_break_out_of_the_marks_either(stderr: Stderr) -> None:
    log.configure("text", "info")
    logger.info("x", extra={"tenant": "a\nb", "request_id": "c\x1bd"})
    assert lines(stderr)[0].endswith(r"[a\nb/c\x1bd] x")


def test_a_traceback_follows_in_lines_that_are_indented_so_that_none_can_be_forged(stderr: Stderr) -> None:
    log.configure("text", "info")
    fails("first\n12:00:00 INFO    forged\n\x1b[2J")
    first, *rest = lines(stderr)
    assert first.endswith("ERROR   it failed")
    assert any("test_log.py" in line for line in rest)
    assert all(line.startswith("    ") for line in rest)
    assert not any("\x1b" in line for line in rest)


@given(st.text(), st.text())
def test_whatever_is_logged_no_line_but_the_first_begins_at_the_margin(message: str, tenant: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%s", (message,), None)
    record.tenant = tenant
    first, *rest = log.Text("%(levelname)s %(where)s%(message)s").format(record).splitlines()
    assert first.startswith("INFO ")
    assert not rest


def test_formatting_leaves_the_record_to_other_handlers_as_it_was() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%s", ("a\nb",), None)
    before = dict(record.__dict__)
    log.Text("%(message)s").format(record)
    assert record.__dict__ == before


# JSON


def test_a_line_of_json_is_one_object_with_stable_keys(stderr: Stderr) -> None:
    log.configure("json", "info")

    def request() -> None:
        log.mark.set(log.Mark("acme", "aaaabbbbcccc"))
        log.request.set("f00-1")
        logger.info("asked for %s", "x\ny\u2028", extra={"path": "/entries"})

    Context().run(request)
    text = stderr.getvalue()
    assert text.count("\n") == 1
    found = json.loads(text)
    assert found.pop("at")
    assert found == {
        "level": "INFO",
        "logger": "tests.log",
        "tenant": "acme",
        "uid": "aaaabbbbcccc",
        "request_id": "f00-1",
        "message": "asked for x\ny\u2028",
        "path": "/entries",
    }


def test_a_line_of_json_tells_the_time_in_utc(stderr: Stderr) -> None:
    log.configure("json", "info")
    before = datetime.now(UTC).replace(microsecond=0)
    logger.info("x")
    at = datetime.strptime(json.loads(stderr.getvalue())["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert before <= at <= datetime.now(UTC)


def test_a_traceback_is_part_of_its_line_of_json(stderr: Stderr) -> None:
    log.configure("json", "info")
    fails()
    assert stderr.getvalue().count("\n") == 1
    assert "ValueError: went wrong" in json.loads(stderr.getvalue())["exc_info"]


# Settings


def test_auto_is_json_where_there_is_no_terminal(stderr: Stderr) -> None:
    log.configure("auto", "info")
    logger.info("x")
    assert json.loads(stderr.getvalue())["message"] == "x"


def test_auto_is_text_on_a_terminal(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    log.configure("auto", "info")
    logger.info("x")
    assert stderr.getvalue().endswith("INFO    x\n")


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_nothing_below_the_level_is_logged(stderr: Stderr, level: str, seen: int) -> None:
    log.configure("text", level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(number, "x")
    assert len(lines(stderr)) == seen


def test_configuring_twice_logs_once_and_keeps_loggers_that_were_there(stderr: Stderr) -> None:
    for _ in range(2):
        log.configure("text", "info")
    logger.info("x")
    assert len(lines(stderr)) == 1


def test_waitress_does_not_complain_of_its_queue(stderr: Stderr) -> None:
    log.configure("text", "info")
    logging.getLogger("waitress.queue").warning("Task queue depth is 1")
    assert not lines(stderr)
