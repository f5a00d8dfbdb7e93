"""The dispatchers: the manual's own examples, what a `create_app` may do, and leases from elsewhere."""

import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, url_for
from werkzeug.exceptions import Forbidden, NotFound

import tenantry
from tenantry.address import Kind
from tenantry.dispatch import DomainDispatcher, PathDispatcher, SubdomainDispatcher
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown
from tenantry.pool import Build, Lease, Limits
from tenantry.tenant import Status
from tests.doors import Street, tenant
from tests.sites import Apps, ask, asked, begin, environ_of, eventually, front, on_threads, warm

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@pytest.fixture
def apps() -> Apps:
    return Apps("nobody", answer=NotFound("no such user"))


@pytest.fixture
def subdomains(apps: Apps) -> SubdomainDispatcher:
    return SubdomainDispatcher("example.com", apps)


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
    assert caplog.text.count("a build has failed: SystemExit: acme") == 1


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


def test_names_that_were_served_are_not_remembered_without_end(subdomains: SubdomainDispatcher) -> None:
    subdomains.pool.limits = Limits(capacity=2)
    assert subdomains._alone is not None
    for number in range(20):
        assert ask(subdomains, f"t{number}.example.com").code == 200
        assert len(subdomains._alone._names) <= 3
    subdomains.pool.verify()


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


# With a lease from elsewhere: the platform's way


def test_a_dispatcher_leases_from_where_it_is_told() -> None:
    street = Street(tenant("acme"))
    for _ in range(2):
        by_host = SubdomainDispatcher("example.com", None, lease=street.leasing.by_subdomain)
        assert ask(by_host).body == "acme at 1"
        by_path = PathDispatcher(front, None, lease=street.leasing.by_path)
        assert ask(by_path, path="/acme/").body == "acme/acme at 1"
        assert ask(by_path, path="/elsewhere/").code == 404
    assert street.factory.calls == {"acme": 1, "acme/acme": 1}
    with pytest.raises(AttributeError):
        _ = by_host.pool
    street.pool.close()


def test_a_custom_domain_leads_to_its_tenant() -> None:
    street = Street(tenant("acme"))
    street.known[Kind.DOMAIN, "shop.example.org"] = tenant("acme")
    dispatcher = DomainDispatcher(lease=street.leasing.by_domain)
    assert ask(dispatcher, "Shop.Example.org.:443").body == "acme at 1"
    assert ask(dispatcher, "other.example.org").code == 404
    assert begin(dispatcher, environ_of("a_b")).code == 400
    street.pool.close()


@pytest.mark.parametrize(
    ("status", "family", "code"),
    [(Status.SUSPENDED, Refused, 403), (Status.ADDING, Unavailable, 503), (Status.REMOVED, Unavailable, 503)],
)
def test_only_an_active_tenant_lets_visitors_in(status: Status, family: type[TenantryError], code: int) -> None:
    street = Street(tenant("acme", status))
    lease = street.leasing.by_subdomain
    assert ask(SubdomainDispatcher("example.com", None, lease=lease)).code == code
    dispatcher = SubdomainDispatcher("example.com", None, lease=lease, refuse=street.refuse)
    assert ask(dispatcher).code == 400
    assert [type(error) for error in street.refused] == [family]
    assert not street.factory.calls


def test_a_tenant_that_is_suspended_while_warm_is_refused_at_once() -> None:
    street = Street(tenant("acme"))
    dispatcher = SubdomainDispatcher("example.com", None, lease=street.leasing.by_subdomain)
    assert ask(dispatcher).code == 200
    street.known[Kind.SUBDOMAIN, "acme"] = tenant("acme", Status.SUSPENDED)
    assert ask(dispatcher).code == 403
    street.pool.close()


def test_every_family_of_errors_is_passed_to_refuse() -> None:
    street = Street()
    dispatcher = SubdomainDispatcher("example.com", None, lease=street.leasing.by_subdomain, refuse=street.refuse)
    for host in ("a_b", "elsewhere.org", "nobody.example.com"):
        assert begin(dispatcher, environ_of(host)).code == 400
    assert [type(error) for error in street.refused] == [Invalid, Unknown, Unknown]


class Parked(BaseException):
    """How a server takes a request off its thread."""


def test_a_request_that_awaits_a_build_is_handed_to_a_server_that_can_wait_outside_threads() -> None:
    street = Street(tenant("acme"))
    dispatcher = SubdomainDispatcher("example.com", None, lease=street.leasing.by_subdomain)
    paths = PathDispatcher(front, None, lease=street.leasing.by_path)
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
    street.pool.close()


def test_a_lone_dispatcher_never_hands_its_requests_to_the_platforms_server(subdomains: SubdomainDispatcher) -> None:
    def park(_: Future[Any]) -> None:
        raise AssertionError("parked by somebody who does not know the build")

    assert begin(subdomains, environ_of() | {"tenantry.park": park}).code == 200


def test_a_busy_tenant_is_answered_with_503_and_without_waiting() -> None:
    street = Street(tenant("acme"))
    street.pool.limits = Limits(in_flight=1)
    dispatcher = SubdomainDispatcher("example.com", None, lease=street.leasing.by_subdomain)
    warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    held: Lease = street.pool.lease(tenant("acme"))
    answer = ask(dispatcher)
    assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
    held.close()
    assert ask(dispatcher).code == 200
    street.pool.close()
