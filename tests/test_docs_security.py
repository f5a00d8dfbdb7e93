"""The page of promises is true: what it names as proof is there, and each promise is tried by somebody."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tenantry.doctor.attack import PARTS
from tenantry.policy import FENCES
from tenantry.settings import PREFIX, Settings
from tests.docs_runner import prose, rows, section

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "security.md"
PROMISES = {row[0]: row for row in rows(section(PAGE, "Promises"))}
ID = re.compile(r"\b[A-Z]{3,6}-[1-9]\b")


def named(cell: str) -> list[str]:
    """Return what stands in code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def functions(file: Path) -> set[str]:
    """Name the tests of a file that are run each time, which those marked `full` are not."""
    found = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    return {test.name for test in found if "mark.full" not in " ".join(map(ast.unparse, test.decorator_list))}


def test_every_promise_has_an_id_of_its_own() -> None:
    assert len(PROMISES) == len(rows(section(PAGE, "Promises")))
    assert all(ID.fullmatch(promise) and len(row) == 4 and row[1].endswith(".") for promise, row in PROMISES.items())


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_the_parts_that_try_it(promise: str) -> None:
    assert named(PROMISES[promise][2]) == [part.name for part in PARTS if promise in part.promises]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_tests_that_there_are(promise: str) -> None:
    """At least one, among those that are run each time."""
    tests = named(PROMISES[promise][3])
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        assert (TESTS / file).is_file(), test
        assert name in functions(TESTS / file), test


def test_no_part_tries_what_is_not_promised() -> None:
    assert {promise for part in PARTS for promise in part.promises} <= PROMISES.keys()


def test_the_page_names_no_promise_and_no_test_that_there_is_not() -> None:
    text = prose(PAGE)
    assert set(ID.findall(text)) == PROMISES.keys()
    for test in re.findall(r"`([\w/]+\.py)::(\w+)`", text):
        assert test[1] in functions(TESTS / test[0]), test


def test_every_promise_has_its_place_in_the_sheet_of_owasp() -> None:
    """In an answer to one of its sections, or among what lies beyond them."""
    answers = " ".join(row[1] for row in rows(section(PAGE, "OWASP")))
    assert set(ID.findall(answers)) == PROMISES.keys()


def test_every_fence_stands_there() -> None:
    """With what it keeps out and when it would be taken down."""
    table = rows(section(PAGE, "Fences"))
    assert sorted(cell for row in table for cell in named(row[0])) == sorted(FENCES)
    assert all(all(row) for row in table)


def test_limits_are_settings_with_their_defaults() -> None:
    defaults = {PREFIX + field.name.upper(): field.default for field in fields(Settings)}
    for name, default, what in rows(section(PAGE, "Limits")):
        value = defaults[name.strip("`")]
        assert default.strip("`") == (f"{value:g}" if isinstance(value, float) else str(value))
        assert what
