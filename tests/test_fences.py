"""Fences: what stands is decided once, each can be taken down, and all else passes as it is."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from tenantry.fences import Border, fenced, names
from tenantry.policy import FENCES
from tests.fencing import HTML, MOUNT, OTHER, UID, Guarded, by_host, by_path
from tests.wsgi import environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "acme.localhost"
EVERYTHING = [
    HTML,
    ("Set-Cookie", "a=b; Domain=localhost"),
    ("Set-Cookie", "a=b; Path=/"),
    ("Service-Worker-Allowed", "/"),
    ("Location", "/x"),
    ("X-Anything", "set-cookie"),
]


def test_with_all_fences_down_all_passes_but_what_commands_the_front() -> None:
    guarded = by_path(*FENCES)
    assert guarded.leaves(*EVERYTHING, ("X-Accel-Redirect", "/-/files/x")) == EVERYTHING
    cookie = {"HTTP_COOKIE": f"session_{OTHER}=a", "REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "cross-site"}
    assert guarded.leaves(HTML, **cookie) == [HTML]
    assert guarded.seen[-1]["HTTP_COOKIE"] == f"session_{OTHER}=a"


@pytest.mark.parametrize("guarded", [by_host(), by_path()])
def test_ordinary_headers_pass_as_they_are_in_their_order(guarded: Guarded) -> None:
    headers = [HTML, ("Content-Length", "5"), ("X-Own", ""), ("etag", '"a"'), ("Cache-Control", "public"), HTML]
    for _ in range(2):
        assert guarded.leaves(*headers) == headers


@pytest.mark.parametrize("down", sorted(FENCES))
def test_each_fence_can_be_taken_down_alone(down: str) -> None:
    """What it would have kept back passes, and what the others keep back does not."""
    left = by_path(down).leaves(*EVERYTHING)
    assert (("Set-Cookie", "a=b; Path=/") in left) is (down == "cookies")
    assert (("Set-Cookie", "a=b; Domain=localhost") in left) is (down == "cookies")
    assert (("Service-Worker-Allowed", "/") in left) is (down == "headers")
    assert (("Location", "/x") in left) is (down == "redirects")
    assert (("Cache-Control", "private") not in left) is (down == "cache")
    guarded = by_path(down)
    cookie = {"HTTP_COOKIE": f"session_{OTHER}=a"}
    guarded.leaves(HTML, **cookie)
    assert ("HTTP_COOKIE" in guarded.seen[-1]) is (down == "cookies")
    if down == "cross-site":
        assert guarded.leaves(HTML, REQUEST_METHOD="POST", HTTP_SEC_FETCH_SITE="cross-site") == [HTML]


@pytest.mark.parametrize("name", ["set-cookie", "SET-COOKIE", "Set-Cookie", "sEt-cOOkie"])
def test_a_header_is_known_however_its_letters_are_spelled(name: str) -> None:
    assert by_host().leaves((name, "a=b; Domain=localhost")) == [("Cache-Control", "private")]
    assert by_path().leaves((name, "a=b"))[0] == (name, f"a=b; Path={MOUNT}/")


@pytest.mark.parametrize("name", ["Set-Cookie ", " Set-Cookie", "Set-Cookie\t", "Set-Cookie:", "", "Set-C\xf6\xf6kie"])
def test_a_header_whose_name_is_none_is_dropped(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Browsers trim some of them, and then they are what no fence has seen."""
    assert by_host().leaves(HTML, (name, "a=b; Domain=localhost")) == [HTML]
    assert "that is no name" in caplog.text


def test_what_was_kept_back_is_told_once_for_each_name(caplog: pytest.LogCaptureFixture) -> None:
    guarded = by_path()
    for _ in range(3):
        guarded.cookie("a\x1b[2J=b; Domain=localhost")
        guarded.cookie("c=d; Domain=localhost")
        guarded.leaves(("Clear-Site-Data", '"*"'))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert "the cookie 'c' has a Domain and is dropped" in caplog.text
    assert "the header clear-site-data is dropped" in caplog.text
    assert "\x1b" not in caplog.text


def test_an_application_that_makes_up_names_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    guarded = by_host()
    for number in range(300):
        assert guarded.cookie(f"c{number}=a; Domain=localhost") is None
    assert len(caplog.records) == 100


def test_names_that_are_made_up_are_not_remembered_without_end() -> None:
    guarded = by_host()
    for number in range(2000):
        assert guarded.leaves((f"X-{number}", "a")) == [(f"X-{number}", "a")]
    assert len(names.ordinary) <= 1024
    names.ordinary.clear()


# WSGI


def run(app: Callable[..., Any], guarded: Border | None = None) -> list[Any]:
    """Call an application behind its fences and tell what start_response was given, and what was written."""
    given: list[Any] = []

    def start_response(*args: Any) -> Any:
        given.append(args)
        return given.append

    given.append(list(fenced(app, guarded or Border(uid=UID, mount=MOUNT))(environ("localhost"), start_response)))
    return given


def test_a_list_that_is_changed_afterwards_changes_nothing() -> None:
    def app(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        headers = [HTML]
        start_response("200 OK", headers)
        headers.append(("Set-Cookie", f"session_{OTHER}=a; Domain=localhost"))
        return []

    assert run(app)[0] == ("200 OK", [HTML])


def test_a_response_that_is_begun_again_passes_the_fences_again() -> None:
    trouble = ValueError("late"), None, None

    def app(_: "WSGIEnvironment", start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [HTML])
        start_response("500 Oh", [("Set-Cookie", "a=b")], trouble)
        start_response("500 Oh", [HTML], exc_info=None)
        return []

    first, second, third, body = run(app)
    assert first == ("200 OK", [HTML])
    assert second == ("500 Oh", [("Set-Cookie", f"a=b; Path={MOUNT}/"), ("Cache-Control", "private")], trouble)
    assert (third, body) == (("500 Oh", [HTML]), [])


def test_what_is_written_early_reaches_the_server() -> None:
    def app(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [HTML])(b"early")
        return [b"late"]

    assert run(app) == [("200 OK", [HTML]), b"early", [b"late"]]


class Lying(str):
    """A text that says one thing to whoever compares it and another to whoever spells it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == "Content-Type"

    def __hash__(self) -> int:
        return hash("Content-Type")

    def __format__(self, _: str) -> str:
        return "Set-Cookie"

    def lower(self) -> str:
        return "content-type"


def test_a_header_is_what_it_is_and_not_what_its_class_says() -> None:
    guarded = by_host()
    guarded.leaves(HTML)
    left = guarded.leaves((Lying("Set-Cookie"), Lying("a=b; Domain=localhost")), (Lying("X-A"), "1"))
    assert [(str, str)] * len(left) == [(type(name), type(value)) for name, value in left]
    assert ("X-A", "1") in left
    assert not [name for name, _ in left if name == "Set-Cookie"]
    with pytest.raises(TypeError, match="bytes"):
        guarded.leaves((b"Set-Cookie", "a"))  # type: ignore[arg-type]


def test_what_an_application_changes_after_it_has_answered_changes_nothing() -> None:
    header: Any = ["X-A", "1"]
    passed: list[Any] = []

    def app(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [header])
        header[:] = ["Set-Cookie", "a=b; Domain=localhost"]
        return []

    for _ in range(2):
        fenced(app, Border(uid=UID, mount=""))(environ(HOST), lambda _, headers, *__: passed.append(headers))  # type: ignore[arg-type]
    assert passed[0] == [("X-A", "1")]
