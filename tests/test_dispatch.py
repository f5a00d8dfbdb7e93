"""The dispatchers: by which rule a request finds its tenant, and what it gets where there is none."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, request, url_for
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

import tenantry
from tenantry import address
from tenantry.address import Kind
from tenantry.dispatch import DomainDispatcher, Leasing, PathDispatcher, SubdomainDispatcher
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown
from tenantry.pool import Build, Lease, Limits, Pool
from tenantry.tenant import Status, Tenant
from tests.sites import Factory, ask, begin, environ_of, eventually, on_threads, warm

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Apps:
    """A `create_app` as users write it: remembers whom it was asked for; some names it does not have."""

    def __init__(self, *unknown: str, answer: Any = None) -> None:
        self.asked: Counter[str] = Counter()
        self.unknown = unknown
        self.answer = answer

    def __call__(self, name: str) -> Any:
        self.asked[name] += 1
        return self.answer if name in self.unknown else self.make(name)

    def make(self, name: str) -> "WSGIApplication":
        def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{name} {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

        return app


def front(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer for the default application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"front {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]


@pytest.fixture
def apps() -> Apps:
    return Apps("nobody", answer=NotFound("no such user"))


@pytest.fixture
def subdomains(apps: Apps) -> SubdomainDispatcher:
    return SubdomainDispatcher("example.com", apps)


@pytest.fixture
def paths() -> PathDispatcher:
    return PathDispatcher(front, Apps("nobody"))


def asked(dispatcher: Any) -> Counter[str]:
    """Tell whom a dispatcher's `create_app` was asked for."""
    made = dispatcher._alone._create_app
    assert isinstance(made, Apps)
    return made.asked


# The manual's own example


MANUAL = """
from myapplication import create_app, get_user_for_subdomain
from werkzeug.exceptions import NotFound

def make_app(subdomain):
    user = get_user_for_subdomain(subdomain)
    if user is None:
        # if there is no user for that subdomain we still have
        # to return a WSGI application that handles that request.
        # We can then just return the NotFound() exception as
        # application which will render a default 404 page.
        # You might also redirect the user to the main page then
        return NotFound()

    # otherwise create the application for the specific user
    return create_app(user)

application = SubdomainDispatcher('example.com', make_app)
"""

MANUAL_BY_PATH = """
from myapplication import create_app, default_app, get_user_for_prefix

def make_app(prefix):
    user = get_user_for_prefix(prefix)
    if user is not None:
        return create_app(user)

application = PathDispatcher(default_app, make_app)
"""


def users_app(user: str) -> Flask:
    """Make the application of one user, as the manual leaves to its reader."""
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: f"{user} at {url_for('index')}")
    return app


@pytest.fixture
def myapplication(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("myapplication")
    users = {"acme": "Acme", "globex": "Globex"}
    module.create_app = users_app
    module.default_app = front
    module.get_user_for_subdomain = module.get_user_for_prefix = users.get
    monkeypatch.setitem(sys.modules, "myapplication", module)


def run_manual(text: str) -> Any:
    """Run an example of the manual with our classes in the place of its own."""
    names: dict[str, Any] = {
        "SubdomainDispatcher": tenantry.SubdomainDispatcher,
        "PathDispatcher": tenantry.PathDispatcher,
    }
    exec(text, names)
    return names["application"]


@pytest.mark.usefixtures("myapplication")
def test_the_manuals_subdomain_example_runs_with_our_class_in_place() -> None:
    application = run_manual(MANUAL)
    assert ask(application, "acme.example.com").body == "Acme at /"
    assert ask(application, "globex.example.com:8000").body == "Globex at /"
    assert ask(application, "nobody.example.com").code == 404
    assert repr(application.pool).startswith("<Pool 2 live of 200, 0 building, 0 failing, ")


@pytest.mark.usefixtures("myapplication")
def test_the_manuals_path_example_runs_with_our_class_in_place() -> None:
    application = run_manual(MANUAL_BY_PATH)
    assert ask(application, path="/acme/").body == "Acme at /acme/"
    assert ask(application, path="/globex/").body == "Globex at /globex/"
    assert ask(application, path="/nobody/").body == "front  /nobody/"


def test_both_classes_are_names_of_the_package_itself() -> None:
    assert tenantry.SubdomainDispatcher is SubdomainDispatcher
    assert tenantry.PathDispatcher is PathDispatcher
    with pytest.raises(AttributeError):
        _ = tenantry.FlaskDispatcher


# By subdomain


@pytest.mark.parametrize(
    "host",
    ["acme.example.com", "ACME.Example.COM", "acme.example.com.", "acme.example.com:8000", "AcMe.example.com.:65535"],
)
def test_one_tenant_answers_at_every_spelling_of_its_host(subdomains: SubdomainDispatcher, host: str) -> None:
    for _ in range(2):
        assert ask(subdomains, host).body == "acme  /"
        assert ask(subdomains, "acme.example.com").body == "acme  /"
    assert asked(subdomains) == {"acme": 1}


def test_the_bare_domain_asks_for_the_empty_name(subdomains: SubdomainDispatcher) -> None:
    assert ask(subdomains, "example.com").body == "  /"
    assert ask(subdomains, "EXAMPLE.com.:80").body == "  /"
    assert asked(subdomains) == {"": 1}


@pytest.mark.parametrize(
    "host",
    [
        "evilexample.com",
        "acme.evilexample.com",
        "a.b.example.com",
        "example.com.evil.org",
        "example.org",
        "com",
        "127.0.0.1",
        "[::1]",
        "[2001:db8::1]:8000",
        "1234.example.com",
        "a--b.example.com",
        "xn--bcher-kva.example.com",
        "a" * 41 + ".example.com",
    ],
)
def test_a_host_that_is_not_one_name_below_the_domain_is_unknown_and_reaches_no_factory(
    subdomains: SubdomainDispatcher, host: str
) -> None:
    assert ask(subdomains, host).code == 404
    assert not asked(subdomains)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        ".example.com",
        "acme..example.com",
        "-acme.example.com",
        "acme-.example.com",
        "a_b.example.com",
        "acme.example.com, globex.example.com",
        "acme.example.com:0",
        "acme.example.com:080",
        "acme.example.com:65536",
        "acme.example.com:80:80",
        "acme.example.com:",
        "../../etc.example.com",
        "acme.example.com/x",
        "acme@example.com",
        "acme .example.com",
        "acme.example.com\n",
        "acme\x00.example.com",
        "ac\xe9.example.com",
        "[::1",
        "[::g]",
        "::1",
        "a" * 64 + ".example.com",
        "a." * 130 + "example.com",
    ],
)
def test_a_host_that_is_none_is_a_bad_request_and_reaches_no_factory(
    subdomains: SubdomainDispatcher, host: str
) -> None:
    answer = begin(subdomains, environ_of(host))
    answer.read()
    assert answer.code == 400
    assert not asked(subdomains)


def test_a_request_without_a_host_is_a_bad_request(subdomains: SubdomainDispatcher) -> None:
    assert begin(subdomains, environ_of(None)).code == 400
    assert not asked(subdomains)


def test_what_a_stranger_sent_cannot_write_into_the_page(subdomains: SubdomainDispatcher) -> None:
    answer = begin(subdomains, environ_of("<script>alert(1)</script>"))
    assert "<script>" not in answer.read()


ODD = st.text(st.sampled_from("acme.-:0189AZ[]/\\%@ \t\r\n\x00é_*'"), max_size=24)
LABELS = st.text(st.sampled_from("abcxyz-0129ABZ"), min_size=1, max_size=44)
HOSTS = st.one_of(
    ODD,
    st.builds("{}example.com{}".format, ODD, ODD),
    st.builds("{}.example.com{}".format, LABELS, st.sampled_from(["", ".", ":80", ".:80", "..", ":0"])),
    st.builds("{}.{}.example.com".format, LABELS, LABELS),
    st.builds("{}.example.com".format, st.text(max_size=8)),
)
_everybody = Apps()
_everybody.make = lambda _: NotFound()  # type: ignore[assignment,method-assign]
_open_to_all = SubdomainDispatcher("example.com", _everybody)


@given(HOSTS)
def test_nothing_but_one_name_below_the_domain_ever_reaches_create_app(host: str) -> None:
    _everybody.asked.clear()
    answer = begin(_open_to_all, environ_of(host))
    answer.read()
    assert answer.code in {400, 404}
    if _everybody.asked:
        (name,) = _everybody.asked
        assert not name or address.is_name(name)
        assert host.lower().partition(":")[0].removesuffix(".") == f"{name}.example.com".removeprefix(".")


def test_a_domain_may_be_given_with_capitals_a_port_and_a_dot() -> None:
    dispatcher = SubdomainDispatcher("Example.COM.:8000", Apps())
    assert ask(dispatcher, "acme.example.com").body == "acme  /"


def test_a_domain_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(Invalid):
        SubdomainDispatcher("exa mple", Apps())


# What create_app may do


def test_a_returned_http_exception_is_served_and_not_kept(subdomains: SubdomainDispatcher) -> None:
    for times in (1, 2):
        answer = ask(subdomains, "nobody.example.com")
        assert answer.code == 404
        assert "no such user" in answer.body
        assert asked(subdomains) == {"nobody": times}
    assert repr(subdomains.pool) == "<Pool 0 live of 200, 0 building, 0 failing, 0 retired, 0 leases>"


def test_any_http_exception_is_served_as_what_it_is() -> None:
    dispatcher = SubdomainDispatcher("example.com", Apps("acme", answer=Forbidden("pay first")))
    answer = ask(dispatcher)
    assert answer.code == 403
    assert "pay first" in answer.body


def test_no_application_at_a_subdomain_is_unknown() -> None:
    assert ask(SubdomainDispatcher("example.com", Apps("acme"))).code == 404


def test_a_factory_that_fails_is_answered_with_503_and_when_to_come_again(caplog: pytest.LogCaptureFixture) -> None:
    def create_app(name: str) -> Any:
        raise SystemExit(name)

    dispatcher = SubdomainDispatcher("example.com", create_app)
    for _ in range(2):
        answer = ask(dispatcher)
        assert answer.code == 503
        assert int(answer.headers["Retry-After"]) >= 1
    assert "SystemExit" in dispatcher.pool.failure("acme")
    assert "SystemExit" not in answer.body


def test_an_application_that_raises_is_left_to_the_server(subdomains: SubdomainDispatcher) -> None:
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        raise LookupError("of the application")

    dispatcher = SubdomainDispatcher("example.com", lambda _: app)
    with pytest.raises(LookupError, match="of the application"):
        begin(dispatcher, environ_of())
    assert repr(dispatcher.pool).endswith("0 leases>")


def test_a_cold_tenant_is_built_once_for_all_who_come_at_once() -> None:
    built = threading.Event()
    apps = Apps()

    def create_app(name: str) -> Any:
        built.wait(10)
        return apps(name)

    dispatcher = SubdomainDispatcher("example.com", create_app)

    def release() -> None:
        eventually(lambda: dispatcher.pool._waiters.counts.get("acme") == 10)
        built.set()

    bodies = on_threads(*[lambda: ask(dispatcher).body] * 10, release)[:10]
    assert bodies == ["acme  /"] * 10
    assert apps.asked == {"acme": 1}


def test_an_evicted_application_is_closed_if_it_can_be() -> None:
    closed: list[str] = []

    class Closing:
        """An application that holds something open."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            return front(environ, start_response)

        def close(self) -> None:
            closed.append(self.name)

    dispatcher = SubdomainDispatcher("example.com", Closing)
    ask(dispatcher)
    dispatcher.pool.retire(["acme"])
    eventually(lambda: closed == ["acme"])


def test_an_unknown_name_does_not_cost_a_known_one_its_place() -> None:
    apps = Apps(*(f"unknown{number}" for number in range(20)), answer=NotFound())
    dispatcher = SubdomainDispatcher("example.com", apps)
    dispatcher.pool.limits = Limits(capacity=1)
    ask(dispatcher)
    for number in range(20):
        assert ask(dispatcher, f"unknown{number}.example.com").code == 404
    assert ask(dispatcher).body == "acme  /"
    assert apps.asked["acme"] == 1


def test_unknown_names_leave_nothing_behind(subdomains: SubdomainDispatcher) -> None:
    subdomains.pool.limits = Limits(capacity=2)
    missing = Apps(*(f"t{number}" for number in range(50)), answer=NotFound())
    dispatcher = SubdomainDispatcher("example.com", missing)
    for number in range(50):
        ask(dispatcher, f"t{number}.example.com")
    assert not dispatcher._names
    assert dispatcher._alone is not None
    assert not dispatcher._alone._names
    dispatcher.pool.verify()


def test_spellings_are_not_remembered_without_end(
    subdomains: SubdomainDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenantry.dispatch.dispatchers._REMEMBERED", 8)
    for port in range(1, 50):
        assert ask(subdomains, f"acme.example.com:{port}").body == "acme  /"
    assert len(subdomains._names) <= 8
    assert asked(subdomains) == {"acme": 1}


def test_a_dispatcher_with_neither_create_app_nor_lease_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        SubdomainDispatcher("example.com", None)


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


# With a lease from elsewhere: the platform's way


def tenant(uid: str, status: Status = Status.ACTIVE) -> Tenant:
    return Tenant(uid, uid, "hello", status, 1)


class Platform:
    """A find and a pool, as the platform has them; what is refused is passed to `refuse`."""

    def __init__(self, *tenants: Tenant) -> None:
        self.known = {(kind, known.name): known for known in tenants for kind in Kind}
        self.factory = Factory()
        self.pool = Pool(self.factory, Limits(wait=5))
        self.leasing = Leasing(self.find, self.pool.lease)
        self.refused: list[TenantryError] = []

    def find(self, kind: Kind, value: str) -> Tenant:
        try:
            return self.known[kind, value]
        except KeyError:
            raise Unknown(f"nobody at {value}") from None

    def refuse(self, error: TenantryError) -> HTTPException:
        self.refused.append(error)
        return BadRequest("refused")


def test_a_dispatcher_leases_from_where_it_is_told() -> None:
    platform = Platform(tenant("acme"))
    for _ in range(2):
        by_host = SubdomainDispatcher("example.com", None, lease=platform.leasing.by_subdomain)
        assert ask(by_host).body == "acme at 1"
        by_path = PathDispatcher(front, None, lease=platform.leasing.by_path)
        assert ask(by_path, path="/acme/").body == "acme/acme at 1"
        assert ask(by_path, path="/elsewhere/").code == 404
    assert platform.factory.calls == {"acme": 1, "acme/acme": 1}
    with pytest.raises(AttributeError):
        _ = by_host.pool
    platform.pool.close()


def test_a_custom_domain_leads_to_its_tenant() -> None:
    platform = Platform(tenant("acme"))
    platform.known[Kind.DOMAIN, "shop.example.org"] = tenant("acme")
    dispatcher = DomainDispatcher(lease=platform.leasing.by_domain)
    assert ask(dispatcher, "Shop.Example.org.:443").body == "acme at 1"
    assert ask(dispatcher, "other.example.org").code == 404
    assert begin(dispatcher, environ_of("a_b")).code == 400
    platform.pool.close()


@pytest.mark.parametrize(
    ("status", "family", "code"),
    [(Status.SUSPENDED, Refused, 403), (Status.ADDING, Unavailable, 503), (Status.REMOVED, Unavailable, 503)],
)
def test_only_an_active_tenant_lets_visitors_in(status: Status, family: type[TenantryError], code: int) -> None:
    platform = Platform(tenant("acme", status))
    lease = platform.leasing.by_subdomain
    assert ask(SubdomainDispatcher("example.com", None, lease=lease)).code == code
    dispatcher = SubdomainDispatcher("example.com", None, lease=lease, refuse=platform.refuse)
    assert ask(dispatcher).code == 400
    assert [type(error) for error in platform.refused] == [family]
    assert not platform.factory.calls


def test_a_tenant_that_is_suspended_while_warm_is_refused_at_once() -> None:
    platform = Platform(tenant("acme"))
    dispatcher = SubdomainDispatcher("example.com", None, lease=platform.leasing.by_subdomain)
    assert ask(dispatcher).code == 200
    platform.known[Kind.SUBDOMAIN, "acme"] = tenant("acme", Status.SUSPENDED)
    assert ask(dispatcher).code == 403
    platform.pool.close()


def test_every_family_of_errors_is_passed_to_refuse() -> None:
    platform = Platform()
    dispatcher = SubdomainDispatcher("example.com", None, lease=platform.leasing.by_subdomain, refuse=platform.refuse)
    for host in ("a_b", "elsewhere.org", "nobody.example.com"):
        assert begin(dispatcher, environ_of(host)).code == 400
    assert [type(error) for error in platform.refused] == [Invalid, Unknown, Unknown]


class Parked(BaseException):
    """How a server takes a request off its thread."""


def test_a_request_that_awaits_a_build_is_handed_to_a_server_that_can_wait_outside_threads() -> None:
    platform = Platform(tenant("acme"))
    dispatcher = SubdomainDispatcher("example.com", None, lease=platform.leasing.by_subdomain)
    paths = PathDispatcher(front, None, lease=platform.leasing.by_path)
    parked: list[Future[Any]] = []

    def park(build: Future[Any]) -> None:
        parked.append(build)
        raise Parked

    for app, path in ((dispatcher, "/"), (paths, "/acme/")):
        environ = environ_of(path=path) | {"tenantry.park": park}
        with pytest.raises(Parked):
            begin(app, environ)
        assert isinstance(parked[-1], Build)
        parked[-1].result(5)
        assert begin(app, environ).code == 200
    assert len(parked) == 2
    platform.pool.close()


def test_a_lone_dispatcher_never_hands_its_requests_to_the_platforms_server(subdomains: SubdomainDispatcher) -> None:
    def park(_: Future[Any]) -> None:
        raise AssertionError("parked by somebody who does not know the build")

    assert begin(subdomains, environ_of() | {"tenantry.park": park}).code == 200


def test_a_busy_tenant_is_answered_with_503_and_without_waiting() -> None:
    platform = Platform(tenant("acme"))
    platform.pool.limits = Limits(in_flight=1)
    dispatcher = SubdomainDispatcher("example.com", None, lease=platform.leasing.by_subdomain)
    warm(platform.pool, tenant("acme"))  # type: ignore[arg-type]
    held: Lease = platform.pool.lease(tenant("acme"))
    answer = ask(dispatcher)
    assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
    held.close()
    assert ask(dispatcher).code == 200
    platform.pool.close()


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
