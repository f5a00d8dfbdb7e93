"""The log: one event is one line, whoever wrote into it; and it tells whose it is."""

import json
import logging
import sys
import time
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry import log
from tenantry.log.entries import EXTRAS, MESSAGE, RESERVED, TRACEBACK, Entry, entry
from tenantry.log.lines import Ended, as_json, text
from tests import logs
from tests.logs import Stderr

logger = logging.getLogger("tests.log")
ours = logging.getLogger("tenantry.tests")
stderr = logs.stderr

ACME = log.Mark("acme", "aaaabbbbcccc")


def within(act: Callable[[], object], whose: log.Mark = ACME) -> None:
    """Do something as in a request of a tenant."""

    def request() -> None:
        log.mark.set(whose)
        log.request.set("f00-1")
        log.client.set("203.0.113.9")
        act()

    Context().run(request)


def fails(message: str = "went wrong") -> None:
    try:
        raise ValueError(message)
    except ValueError:
        logger.exception("it %s", "failed")


def frozen(message: object = "x", *args: object, name: str = "tests.log", **extra: object) -> Entry:
    made = logging.getLogger(name).makeRecord(name, logging.INFO, "x.py", 1, message, args, None)
    for key, value in extra.items():
        setattr(made, key, value)
    return entry(made)


# Text


def test_a_line_of_text_has_time_level_logger_and_message(stderr: Stderr) -> None:
    log.configure("text", "info")
    logger.info("opened %s", "acme")
    (line,) = stderr.lines()
    assert line[8:] == " INFO    tests.log: opened acme"
    assert line[2] == line[5] == ":"


def test_a_line_tells_whose_it_is_of_which_request_and_from_where(stderr: Stderr) -> None:
    log.configure("text", "info")

    def request() -> None:
        log.mark.set(ACME)
        logger.warning("one")
        log.request.set("f00-1")
        logger.warning("two")
        log.client.set("2001:db8::1")
        logger.warning("three")

    Context().run(request)
    logger.warning("four")
    assert [line[9:] for line in stderr.lines()] == [
        "WARNING tests.log[acme/aaaabbbbcccc]: one",
        "WARNING tests.log[acme/aaaabbbbcccc f00-1]: two",
        "WARNING tests.log[acme/aaaabbbbcccc f00-1 2001:db8::1]: three",
        "WARNING tests.log: four",
    ]


@pytest.mark.parametrize("args", [True, False], ids=["as an argument", "in the message"])
def test_a_strangers_newline_begins_no_line_of_its_own(stderr: Stderr, args: bool) -> None:
    log.configure("text", "info")
    strange = "x\n12:00:00 INFO    forged\r\n\t\x1b[31mred\x7f\x85\u061c\u2028\u2029\u202e\u2066\U000e0041"
    if args:
        logger.info("asked for %s", strange)
    else:
        logger.info("asked for " + strange)
    (line,) = stderr.lines()
    shown = r"x\n12:00:00 INFO    forged\r\n\t\x1b[31mred\x7f\x85\u061c\u2028\u2029\u202e\u2066\U000e0041"
    assert line.endswith(f"asked for {shown}")


@pytest.mark.parametrize("name", ["x\n12:00:00 INFO    y", "tests[globex/bbbb]: forged", "\x1b[2J"])
def test_a_loggers_name_cannot_pass_for_more_than_a_name(name: str) -> None:
    line = text(frozen("x", name=name))
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "[" not in line.partition(": ")[0]


def test_a_stranger_cannot_break_out_of_the_marks_either(stderr: Stderr) -> None:
    log.configure("text", "info")
    ours.info("x", extra={"tenant": "a\nb", "request_id": "c]: \x1bd", "client": "e [f]"})
    assert stderr.lines()[0].endswith(r"tenantry.tests[a_nb c_:__x1bd e__f_]: x")


def test_a_traceback_follows_in_lines_that_are_indented_so_that_none_can_be_forged(stderr: Stderr) -> None:
    log.configure("text", "info")
    fails("first\n12:00:00 INFO    forged\n\x1b[2J\u2028")
    first, *rest = stderr.lines()
    assert first.endswith("ERROR   tests.log: it failed")
    assert any("test_log.py" in line for line in rest)
    assert all(line.startswith("    ") for line in rest)
    assert not any("\x1b" in line for line in rest)


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_is_logged_no_line_but_the_first_begins_at_the_margin(
    message: str, tenant: str, name: str, trace: str
) -> None:
    event = Entry(0.0, "INFO", name, tenant, "", "", "", message, trace=trace)
    first, *rest = text(event).splitlines()
    assert " INFO " in first
    assert all(line.startswith("    ") for line in rest)
    assert len(rest) == (trace.count("\n") + 1 if trace else 0)
    assert as_json(event).isascii()
    assert as_json(event).splitlines() == [as_json(event).rstrip("\n")]


def test_freezing_leaves_the_record_to_other_handlers_as_it_was() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%s", ("a\nb",), None)
    before = dict(record.__dict__)
    entry(record)
    assert record.__dict__ == before


# JSON


def test_a_line_of_json_is_one_object_with_stable_keys(stderr: Stderr) -> None:
    log.configure("json", "info")
    within(lambda: logger.info("asked for %s", "x\ny\u2028", extra={"path": "/entries"}))
    written = stderr.getvalue()
    assert written.count("\n") == 1
    found = json.loads(written)
    assert found.pop("at")
    assert found == {
        "level": "INFO",
        "logger": "tests.log",
        "tenant": "acme",
        "uid": "aaaabbbbcccc",
        "request_id": "f00-1",
        "client": "203.0.113.9",
        "message": "asked for x\ny\u2028",
        "path": "/entries",
    }


def test_a_line_of_json_tells_the_time_in_utc(stderr: Stderr) -> None:
    log.configure("json", "info")
    before = datetime.now(UTC)
    logger.info("x")
    at = datetime.fromisoformat(json.loads(stderr.getvalue())["at"])
    assert at.utcoffset() is not None
    assert before.timestamp() - 0.001 <= at.timestamp() <= time.time()


def test_a_traceback_is_part_of_its_line_of_json(stderr: Stderr) -> None:
    log.configure("json", "info")
    fails()
    assert stderr.getvalue().count("\n") == 1
    assert "ValueError: went wrong" in json.loads(stderr.getvalue())["exc_info"]


# Nobody forges


@pytest.mark.parametrize("name", ["shop", "tenantry.gateway"])
def test_in_a_request_the_platform_says_whose_a_line_is(name: str) -> None:
    found: dict[str, Any] = {}
    forged = dict.fromkeys(RESERVED - {"message", "exc_info", "stack_info"}, "forged")
    within(lambda: found.update(json.loads(as_json(frozen("x", name=name, **forged)))))
    assert found["tenant"] == "acme"
    assert found["uid"] == "aaaabbbbcccc"
    assert found["request_id"] == "f00-1"
    assert found["client"] == "203.0.113.9"
    assert found["level"] == "INFO"
    assert found["logger"] == name
    assert {key for key, value in found.items() if value == "forged"} == {f"extra_{key}" for key in forged}


def test_outside_of_requests_the_platform_alone_may_say_it_in_extra() -> None:
    assert frozen(name="tenantry.pool", uid="aaaabbbbcccc", request_id="1").uid == "aaaabbbbcccc"
    for name in ("shop", "tenantry.tenant.bbbb", "tenantryx"):
        event = frozen(name=name, uid="aaaabbbbcccc")
        assert event.uid == ""
        assert json.loads(as_json(event))["extra_uid"] == "aaaabbbbcccc"


def test_a_record_that_calls_itself_the_access_log_is_not_it() -> None:
    assert frozen(name="tenantry.access").logger != "tenantry.access"


# Frozen when it is logged


class Broken:
    """A value that cannot be spelled."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Sly(str):
    """A text that changes once it is looked at."""

    __slots__ = ()

    def __str__(self) -> str:
        return self

    def isprintable(self) -> bool:
        return True


def test_what_is_changed_after_it_was_logged_stays_as_it_was(stderr: Stderr) -> None:
    log.configure("json", "info")
    words: list[Any] = ["before"]
    logger.info("%s", words, extra={"words": words, "more": {"inner": words}})
    words[:] = [Broken()]
    found = json.loads(stderr.getvalue())
    assert (found["message"], found["words"], found["more"]) == ("['before']", ["before"], {"inner": ["before"]})


def test_what_cannot_be_spelled_is_told_and_ends_nothing(stderr: Stderr) -> None:
    log.configure("json", "info")
    loop: list[Any] = []
    loop.append(loop)
    logger.info("%s", Broken())
    logger.info("%d of %d", *[1])
    logger.info("x", extra={"broken": Broken(), "loop": loop, "nan": float("nan"), "deep": {"x": Broken()}})
    logger.info("after")
    found = [json.loads(line) for line in stderr.lines()]
    assert "cannot be put in: RuntimeError: no" in found[0]["message"]
    assert found[1]["message"].startswith("%d of %d (its arguments cannot be put in: TypeError")
    assert found[2]["broken"] == "<Broken that cannot be spelled>"
    assert found[3]["message"] == "after"


def test_a_text_of_somebodys_own_kind_is_escaped_as_any() -> None:
    assert text(frozen(Sly("x\nforged"))).count("\n") == 1


def test_no_line_is_endless() -> None:
    event = frozen("x" * 10**6, more="y" * 10**6, **{f"key{number}": "z" * 10**4 for number in range(1000)})
    assert len(as_json(event)) < MESSAGE + 2 * EXTRAS
    assert "letters more" in event.message
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "x", (), (ValueError, ValueError("y" * 10**6), None))
    assert len(entry(record).trace) < TRACEBACK + 100


# Paths


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/entries/7?token=abc#x", "/entries/7"),
        ("/", "/"),
        ("*", "*"),
        ("/-/maintenance/short?x", "/-/maintenance/..."),
        ("/t/acme/-/maintenance/short", "/t/acme/-/maintenance/..."),
        ("/welcome/Im93bmVyIg.aQ3x7w.3kfL0s8d7fG-h3jQ", "/welcome/Im93..."),
        ("/reset/0123456789abcdef0123/now", "/reset/0123.../now"),
        ("/%2d/maintenance/Abcdefghijklmnop%51rstuvwx", "/%2d/maintenance/Abcd..."),
        ("/entries/how-we-built-the-new-front-door-in-2026", "/entries/how-we-built-the-new-front-door-in-2026"),
        ("/static/a-rather-long-name.css", "/static/a-rather-long-name.css"),
        ("http://user:word@acme.example.com/x?y", "http://acme.example.com/x"),
        ("user:word@acme.example.com:443", "acme.example.com:443"),
        ("/" + "a/" * 600, "/" + "a/" * 255 + "a..."),
    ],
)
def test_a_path_is_shown_without_what_may_be_secret(target: str, shown: str) -> None:
    assert log.path(target) == shown


ENDED = Ended(0.25, "acme", "aaaabbbbcccc", "f00-1", "::1", "GET", "/x?secret", 200, 512, 0.0031, True)


def test_a_request_is_a_short_line_of_text() -> None:
    line = text(ENDED)
    assert line[8:] == " INFO    tenantry.access[acme/aaaabbbbcccc f00-1 ::1]: GET /x 200 512 bytes 3.1 ms cut\n"
    strange = ENDED._replace(method="GET\n", target="/\x1b[2J\x85 200", client="x]\n")
    assert text(strange).endswith(
        r"[acme/aaaabbbbcccc f00-1 x__n]: GET\n /\x1b[2J\x85 200 200 512 bytes 3.1 ms cut" + "\n"
    )


def test_a_request_is_a_line_of_json_with_its_fields() -> None:
    assert json.loads(as_json(ENDED)) == {
        "at": "1970-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "tenantry.access",
        "tenant": "acme",
        "uid": "aaaabbbbcccc",
        "request_id": "f00-1",
        "client": "::1",
        "message": "GET /x 200",
        "method": "GET",
        "path": "/x",
        "status": 200,
        "bytes": 512,
        "ms": 3.1,
        "cut": True,
    }


# Settings


def test_auto_is_json_where_there_is_no_terminal(stderr: Stderr) -> None:
    log.configure("auto", "info")
    logger.info("x")
    assert json.loads(stderr.getvalue())["message"] == "x"


def test_auto_is_text_on_a_terminal(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    log.configure("auto", "info")
    logger.info("x")
    assert stderr.getvalue().endswith("INFO    tests.log: x\n")


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_nothing_below_the_level_is_logged(stderr: Stderr, level: str, seen: int) -> None:
    log.configure("text", level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(number, "x")
    assert len(stderr.lines()) == seen


def test_configuring_twice_logs_once_and_keeps_loggers_that_were_there(stderr: Stderr) -> None:
    for _ in range(2):
        log.configure("text", "info")
    logger.info("x")
    assert len(stderr.lines()) == 1


def test_waitress_does_not_complain_of_its_queue(stderr: Stderr) -> None:
    log.configure("text", "info")
    logging.getLogger("waitress.queue").warning("Task queue depth is 1")
    assert not stderr.lines()


def test_the_line_in_the_docs_is_one() -> None:
    shown = next(
        line for line in (logs.ROOT / "docs" / "operating.md").read_text().splitlines() if "access[acme/" in line
    )
    ended = Ended(0, "acme", "k3jx7q2m4nab", "5f0c91aa-7", "203.0.113.9", "GET", "/entries/7", 200, 5120, 0.0032, False)
    assert shown.strip("`")[8:] == text(ended)[8:].rstrip("\n")
