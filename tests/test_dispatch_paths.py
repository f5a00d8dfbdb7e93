"""Dispatch by path: which tenant a path means, and how its application sees itself mounted there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, request, url_for
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import Forbidden
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from tenantry import address
from tenantry.dispatch import PathDispatcher
from tests.sites import Apps, ask, asked, begin, environ_of, front

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@pytest.fixture
def paths() -> PathDispatcher:
    return PathDispatcher(front, Apps("nobody"))


# By path


def test_the_first_segment_is_the_name_and_the_mount(paths: PathDispatcher) -> None:
    for _ in range(2):
        assert ask(paths, path="/acme/").body == "acme /acme /"
        assert ask(paths, path="/acme/entries/7").body == "acme /acme /entries/7"
        assert ask(paths, path="/globex//x/").body == "globex /globex //x/"
    assert asked(paths) == {"acme": 1, "globex": 1}


def test_the_mount_stands_below_an_outer_script_name(paths: PathDispatcher) -> None:
    outer = {"SCRIPT_NAME": "/outer", "REQUEST_URI": "/outer/acme/x?y"}
    for _ in range(2):
        assert ask(paths, path="/acme/x", **outer).body == "acme /outer/acme /x"
    assert ask(paths, path="/acme/x").body == "acme /acme /x"
    assert asked(paths) == {"acme": 2}


def test_it_works_inside_werkzeugs_own_dispatcher(paths: PathDispatcher) -> None:
    both = DispatcherMiddleware(front, {"/inner": paths})
    for _ in range(2):
        assert ask(both, path="/inner/acme/x").body == "acme /inner/acme /x"


def test_a_proxy_may_take_the_outer_prefix_off_the_path(paths: PathDispatcher) -> None:
    behind = ProxyFix(paths, x_prefix=1)
    for _ in range(2):
        assert ask(behind, path="/acme/x", HTTP_X_FORWARDED_PREFIX="/outer").body == "acme /outer/acme /x"
    answer = ask(behind, path="/acme", HTTP_X_FORWARDED_PREFIX="/outer")
    assert answer.headers["Location"] == "/outer/acme/"


@pytest.mark.parametrize(
    ("outer", "raw"),
    [("/@team", "/@team"), ("/caf\xc3\xa9", "/caf%C3%A9"), ("/a b", "/a%20b"), ("/~x/y", "/%7ex/y")],
)
def test_the_outer_prefix_may_be_spelled_as_browsers_spell_it(paths: PathDispatcher, outer: str, raw: str) -> None:
    for _ in range(2):
        answer = ask(paths, path="/acme/x", SCRIPT_NAME=outer, REQUEST_URI=f"{raw}/acme/x")
        assert answer.body.startswith("acme ")
    answer = ask(paths, path="/acme", SCRIPT_NAME=outer, REQUEST_URI=f"{raw}/acme")
    assert answer.code == 308


def test_the_root_of_a_tenant_without_its_slash_is_redirected_there_with_its_query(paths: PathDispatcher) -> None:
    for _ in range(2):
        answer = ask(paths, path="/acme", QUERY_STRING="a=1&b=%C3%A9", REQUEST_URI="/acme?a=1&b=%C3%A9")
        assert answer.code == 308
        assert answer.headers["Location"] == "/acme/?a=1&b=%C3%A9"
        assert ask(paths, path="/acme", SCRIPT_NAME="/o", REQUEST_URI="/o/acme").headers["Location"] == "/o/acme/"
    assert repr(paths.pool).endswith("0 leases>")


def test_the_redirect_never_leads_to_another_host(paths: PathDispatcher) -> None:
    answer = begin(paths, environ_of(path="/acme", SCRIPT_NAME="//evil.example", REQUEST_URI=None))
    answer.read()
    assert answer.headers["Location"] == "/evil.example/acme/"


def test_a_name_that_nobody_has_falls_to_the_default_application_and_is_not_redirected(paths: PathDispatcher) -> None:
    for _ in range(2):
        assert ask(paths, path="/nobody").body == "front  /nobody"
        assert ask(paths, path="/nobody/x").body == "front  /nobody/x"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "//acme/", "/favicon.ico", "/Acme/", "/acme%/", "/.well-known/x", "/-/healthz", "/a--b/"),
        *("/42/", "/a_b/", "/acme /", "/acm\xe9/", "/" + "a" * 41 + "/", "/acme\x00/"),
    ],
)
def test_what_is_no_name_falls_to_the_default_application_without_asking(paths: PathDispatcher, path: str) -> None:
    assert begin(paths, environ_of(path=path)).read() == f"front  {path}"
    assert not asked(paths)


def test_a_path_that_does_not_begin_with_a_slash_is_nobodys_even_when_it_looks_warm(paths: PathDispatcher) -> None:
    ask(paths, path="/acme/x")
    for path in ("Xacme/x", "xacme", "*"):
        answer = begin(paths, environ_of(path=path, REQUEST_URI=None))
        assert answer.read() == f"front  {path}"


@pytest.mark.parametrize(
    "raw",
    [
        *("//acme/", "///acme/", "/%61cme/", "/acme%2fx", "/acme%2Fx/", "/acm%65", "/x/../acme/", "http://h/acme/"),
        *("/ACME/", "/acme\\x", "/acme;x/", "acme/", "?/acme/", "/", "*"),
    ],
)
@pytest.mark.parametrize("variable", ["REQUEST_URI", "RAW_URI"])
def test_a_target_spelled_in_two_ways_is_a_bad_request_cold_and_warm(
    paths: PathDispatcher, raw: str, variable: str
) -> None:
    spelled = {"REQUEST_URI": None, variable: raw}
    for warm_up in (False, True):
        if warm_up:
            ask(paths, path="/acme/")
        for path in ("/acme/", "/acme/x", "/acme"):
            answer = begin(paths, environ_of(path=path, **spelled))
            answer.read()
            assert answer.code == 400
        assert asked(paths)["acme"] == warm_up


def test_what_follows_the_tenants_part_may_be_encoded_as_it_likes(paths: PathDispatcher) -> None:
    for _ in range(2):
        answer = ask(paths, path="/acme/a/b \xe9", REQUEST_URI="/acme/%61%2fb%20%E9?q=//")
        assert answer.code == 200


@pytest.mark.parametrize("rest", ["..", "../globex/", "x/../../globex/", "x//.././../y", "./..", "x/../.."])
def test_a_path_whose_dots_lead_out_of_the_mount_is_a_bad_request_cold_and_warm(
    paths: PathDispatcher, rest: str
) -> None:
    for _ in range(2):
        for raw in (rest, rest.replace("..", "%2e%2E"), rest.replace("/", "%2f")):
            assert begin(paths, environ_of(path=f"/acme/{rest}", REQUEST_URI=f"/acme/{raw}")).code == 400
        ask(paths, path="/acme/")
    assert asked(paths) == {"acme": 1}


@pytest.mark.parametrize("rest", ["...", "x/..", "x/../y", "..x/..", "x/y/../../z", ".", "x..", "/x/.."])
def test_dots_that_stay_inside_the_mount_are_the_applications_own_matter(paths: PathDispatcher, rest: str) -> None:
    assert ask(paths, path=f"/acme/{rest}").body == f"acme /acme /{rest}"


def test_a_server_that_does_not_tell_the_raw_target_is_believed(paths: PathDispatcher) -> None:
    for _ in range(2):
        assert ask(paths, path="/acme/x", REQUEST_URI=None).body == "acme /acme /x"


def test_a_returned_http_exception_is_served_under_a_path_too() -> None:
    dispatcher = PathDispatcher(front, Apps("acme", answer=Forbidden("pay first")))
    assert ask(dispatcher, path="/acme/").code == 403
    assert ask(dispatcher, path="/acme").code == 403


def test_a_long_path_is_dispatched_in_one_look(paths: PathDispatcher) -> None:
    assert ask(paths, path="/acme" + "/" * 250_000).body == "acme /acme " + "/" * 250_000


@given(st.text(st.sampled_from("/acme-%.0Aé \\?#;"), max_size=16), st.sampled_from(["", "/o", "/o/p"]))
def test_a_request_for_a_path_goes_to_its_first_segment_or_to_the_default(path: str, outer: str) -> None:
    dispatcher = PathDispatcher(front, _everybody_by_path)
    answer = begin(dispatcher, environ_of(path=f"/{path}", SCRIPT_NAME=outer, REQUEST_URI=None))
    body = answer.read()
    name, slash, rest = path.partition("/")
    if not address.is_name(name):
        assert body == f"front {outer} /{path}"
    elif slash:
        assert body == f"{name} {outer}/{name} /{rest}"
    else:
        assert answer.headers["Location"].startswith(f"{outer}/{name}/")


_everybody_by_path = Apps()


# Applications of Flask


def flask_app(name: str) -> Flask:
    app = Flask(name)

    @app.get("/")
    def index() -> str:
        return f"{name} {url_for('index')} {url_for('index', _external=True)}"

    @app.post("/echo")
    def echo() -> bytes:
        return request.get_data()

    @app.get("/slashed/")
    def slashed() -> str:
        return "slashed"

    return app


@pytest.fixture
def by_path() -> Callable[..., Any]:
    return PathDispatcher(front, flask_app)


def test_flask_makes_its_urls_below_the_mount(by_path: "WSGIApplication") -> None:
    assert ask(by_path, path="/acme/").body == "acme /acme/ http://acme.example.com/acme/"
    outer = ask(by_path, path="/acme/", SCRIPT_NAME="/outer", REQUEST_URI="/outer/acme/")
    assert outer.body == "acme /outer/acme/ http://acme.example.com/outer/acme/"


def test_flasks_own_redirects_stay_below_the_mount(by_path: "WSGIApplication") -> None:
    answer = ask(by_path, path="/acme/slashed")
    assert answer.code == 308
    assert answer.headers["Location"] == "http://acme.example.com/acme/slashed/"


def test_werkzeugs_test_client_works_below_an_outer_prefix(by_path: "WSGIApplication") -> None:
    client: Client = Client(by_path)
    for _ in range(2):
        with client.get("/acme/", base_url="http://localhost/outer") as response:
            assert response.get_data(as_text=True) == "acme /outer/acme/ http://localhost/outer/acme/"
        with client.post("/acme/echo", data=b"hello") as response:
            assert response.data == b"hello"
