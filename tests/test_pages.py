"""Promises of the platform's own pages."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.gateway.pages import Page, error_page, front_page, maintenance_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
STATUSES = [400, 403, 404, 405, 500, 503, 418, 599]


def headers(page: Page) -> dict[str, str]:
    return dict(page[1])


def body(page: Page) -> str:
    return page[0].decode()


class Tags(HTMLParser):
    """Every tag that was opened, and whether each was closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("status", STATUSES)
def test_every_error_is_a_whole_page_of_its_own(status: int) -> None:
    page = error_page(status, "This is so.", "Do this next.", BROWSER, "r3qu3st")
    assert headers(page)["Content-Type"] == "text/html; charset=utf-8"
    assert headers(page)["Content-Length"] == str(len(page[0]))
    assert headers(page)["Cache-Control"] == "no-store"
    assert headers(page)["X-Content-Type-Options"] == "nosniff"
    tags = Tags(body(page))
    assert (tags.open, tags.seen.count("h1"), tags.seen.count("title")) == ([], 1, 1)
    assert str(status) in body(page)
    assert not re.search(r"<script|<link|<img|src=|url\(|https?:", body(page))


def test_what_is_so_and_what_to_do_stand_on_the_page() -> None:
    page = body(error_page(403, "This site is suspended.", "Its owner can ask the operator.", BROWSER))
    assert "This site is suspended." in page
    assert "Its owner can ask the operator." in page


def test_an_error_without_words_finds_some() -> None:
    assert "The site cannot answer at this moment." in body(error_page(503, "", "", BROWSER))
    assert "I&#x27;m a Teapot" in body(error_page(418, "", "", BROWSER))


def test_what_a_stranger_sent_is_escaped() -> None:
    page = error_page(400, "'<script>alert(1)</script>' is not a host.", "<b>", BROWSER)
    assert "<script>" not in body(page)
    assert "&lt;script&gt;" in body(page)
    assert "<b>" not in body(page)


@pytest.mark.parametrize("accept", [BROWSER, "application/json"])
def test_an_unknown_and_a_retired_name_get_identical_bytes(accept: str) -> None:
    unknown = error_page(404, "No tenant 'acmee'.", "Did you mean 'acme'?", accept, "one")
    retired = error_page(404, "The name 'globex' is retired.", "", accept, "two")
    assert unknown == retired
    assert not re.search("acme|globex|one<|two<", body(unknown))


@pytest.mark.parametrize(("status", "shows"), [(500, True), (503, True), (404, False), (403, False), (400, False)])
def test_only_what_may_be_our_own_mistake_shows_its_request(status: int, shows: bool) -> None:
    assert ("r3qu3st" in body(error_page(status, "So.", "", BROWSER, "r3qu3st"))) is shows
    problem = json.loads(error_page(status, "So.", "", "application/json", "r3qu3st")[0])
    assert (problem.get("request_id") == "r3qu3st") is shows


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        BROWSER,
        "text/*",
        "text/html, application/json;q=0.9",
        "application/json;q=0",
        "image/png",
        "json",
        "x" * 30_000,
    ],
)
def test_people_get_html(accept: str) -> None:
    assert headers(error_page(503, "So.", "", accept))["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/problem+json",
        "application/json, text/plain, */*",
        "application/json, */*;q=0.5",
        "text/html;q=0.5, Application/JSON",
        "text/html;q=0, application/problem+json;q=0.1",
    ],
)
def test_programs_that_ask_for_json_get_a_problem(accept: str) -> None:
    page = error_page(503, "This site is being prepared.", "Try again.", accept)
    assert headers(page)["Content-Type"] == "application/problem+json"
    assert headers(page)["Content-Length"] == str(len(page[0]))
    assert json.loads(page[0]) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "This site is being prepared. Try again.",
    }


@given(
    accept=st.text(max_size=200)
    | st.lists(st.sampled_from(["application/json", ",", ";q=", "1", "*/*", '"'])).map("".join)
)
def test_no_accept_header_breaks_a_page(accept: str) -> None:
    assert error_page(404, "", "", accept)[0]


def test_a_page_given_twice_shares_no_list() -> None:
    first = error_page(404, "", "", BROWSER)
    first[1].append(("Retry-After", "5"))
    assert "Retry-After" not in headers(error_page(404, "", "", BROWSER))


def test_a_maintenance_is_a_whole_page_that_looks_intended() -> None:
    page = maintenance_page("We move today.\nBack at 18:00.", 120, BROWSER)
    tags = Tags(body(page))
    assert (tags.open, tags.seen.count("h1"), tags.seen.count("title")) == ([], 1, 1)
    assert "<h1>Back soon</h1>" in body(page)
    assert "We move today.\nBack at 18:00." in body(page)
    assert not re.search(r"503|report|mistake|cannot|<script|<link|<img|src=|url\(|https?:", body(page))
    assert headers(page)["Cache-Control"] == "no-store"
    assert headers(page)["Content-Length"] == str(len(page[0]))


def test_what_an_operator_says_of_a_maintenance_is_escaped() -> None:
    page = body(maintenance_page("<script>alert('a') & $style</script>", 120, BROWSER))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(&#x27;a&#x27;) &amp; $style&lt;/script&gt;" in page


@pytest.mark.parametrize(("method", "after", "seconds"), [("GET", 120, 120), ("GET", 86400, 600), ("POST", 120, 0)])
def test_a_page_of_maintenance_that_was_asked_for_by_get_looks_again_by_itself(
    method: str, after: int, seconds: int
) -> None:
    page = body(maintenance_page("So.", after, BROWSER, method))
    assert re.findall('<meta http-equiv="refresh" content="(.*?)">', page) == ([str(seconds)] if seconds else [])
    assert ("by itself" in page) is bool(seconds)


def test_programs_get_the_operators_words_about_a_maintenance() -> None:
    page = maintenance_page("We move\nhouse <today>.", 120, "application/json")
    assert headers(page)["Content-Type"] == "application/problem+json"
    assert json.loads(page[0]) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "We move\nhouse <today>.",
    }


@pytest.mark.parametrize(
    "page",
    [
        error_page(404, "", "", BROWSER),
        maintenance_page("", 1, BROWSER),
        front_page("http://localhost:8000/"),
    ],
)
def test_the_policy_lets_in_the_pages_own_style_and_nothing_else(page: Page) -> None:
    (style,) = re.findall("<style>(.*?)</style>", body(page), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = headers(page)["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "style=" not in body(page)


def test_the_front_page_says_what_this_is_and_names_no_tenant() -> None:
    page = front_page("https://example.com/")
    tags = Tags(body(page))
    assert (tags.open, tags.seen.count("h1")) == ([], 1)
    assert "https://<b>name</b>.example.com" in body(page)
    assert headers(page)["Content-Length"] == str(len(page[0]))
    assert not re.search(r"<script|<link|<img|src=|href=|url\(", body(page))
