"""An application that fails in any way costs its own request, and shows its visitor nothing of how."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, render_template_string, session, stream_with_context
from flask.sessions import SecureCookieSessionInterface

from tenantry.log import Mark
from tests.doors import Street, tenant
from tests.gateways import Gate, Runs, answering
from tests.sites import on_threads, warm
from tests.wsgi import Answer, call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SECRET = "the secret of the application"


class Own(BaseException):
    """An exception that an application has thought up."""


RAISED = [
    *(LookupError, RecursionError, MemoryError, AssertionError, UnicodeDecodeError),
    *(SystemExit, KeyboardInterrupt, GeneratorExit, Own),
]
PLACES = [
    *("before", "view", "after", "teardown", "leave", "handler", "template", "stream", "close", "save", "open", "wsgi"),
    "never",
]


# What shall fail in the one request that is under way; some hooks run when there is no request any more.
wanted: dict[str, type[BaseException]] = {}


def trip(here: str) -> None:
    """Raise what the request wants to be raised, where it wants it."""
    kind = wanted.get(here)
    if kind is None:
        return
    if kind is UnicodeDecodeError:
        SECRET.encode("utf-16").decode("utf-8")
    raise kind(SECRET)


class Sessions(SecureCookieSessionInterface):
    """Sessions that can fail to be opened and to be saved."""

    def open_session(self, app: Flask, request: Any) -> Any:
        trip("open")
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: Any, response: Response) -> None:
        trip("save")
        super().save_session(app, session, response)


def view() -> Any:
    trip("view")
    session["seen"] = True
    if "handler" in wanted:
        raise NotImplementedError
    if "template" in wanted:
        return render_template_string("{{ trip('template') }}", trip=trip)
    response = Response(stream_with_context(chunks()) if "stream" in wanted else "fine")
    response.call_on_close(lambda: trip("close"))
    return response


def chunks() -> Iterator[str]:
    trip("stream")
    yield "fine"


def hooked(uid: str) -> "WSGIApplication":
    """Make an application of Flask in which a request can have each hook fail."""
    app = Flask(uid)
    app.secret_key = uid
    app.session_interface = Sessions()
    app.before_request(lambda: trip("before"))

    @app.after_request
    def after(response: Response) -> Response:
        trip("after")
        return response

    app.teardown_request(lambda _: trip("teardown"))
    app.teardown_appcontext(lambda _: trip("leave"))

    @app.errorhandler(NotImplementedError)
    def handler(_: Any) -> str:
        trip("handler")
        return "handled"

    app.add_url_rule("/", view_func=view)

    def outermost(environ: Any, start_response: Any) -> Any:
        environ["tenantry.mark"] = Mark("acme", uid)
        trip("wsgi")
        return app(environ, start_response)

    return outermost


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    street = Street(tenant("acme"), factory=Runs(hooked))
    warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    yield Gate(street)
    street.pool.close()


def ask(gate: Gate, where: str = "", raised: type[BaseException] = LookupError) -> Answer:
    """Ask as a server does, on a worker's thread, for something to fail or for nothing to."""
    wanted.clear()
    wanted[where] = raised
    (answer,) = on_threads(lambda: call(gate.gateway, "acme.example.com"))
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: raised.__name__)
@pytest.mark.parametrize("where", PLACES)
def test_whatever_fails_wherever_the_visitor_gets_a_page_and_the_next_one_is_served(
    gate: Gate, where: str, raised: type[BaseException]
) -> None:
    if where == "close":  # by then the answer is out, and the server's own log tells of it
        with suppress(BaseException):
            ask(gate, where, raised)
    else:
        answer = ask(gate, where, raised)
        assert answer.status == (200 if where == "never" else 500)
        assert SECRET not in answer.text
        assert "Traceback" not in answer.text
    gate.street.pool.verify()
    assert "0 leases" in repr(gate.street.pool)
    assert ask(gate).text == "fine"


def test_what_failed_is_in_the_log_with_the_number_that_the_visitor_sees(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(gate, "wsgi")
    (record,) = [record for record in caplog.records if record.name == "tenantry.gateway.gateway"]
    assert record.__dict__["request_id"] in answer.text
    assert (record.__dict__["tenant"], record.__dict__["uid"]) == ("acme", "acme")
    assert record.exc_info is not None
    assert SECRET in caplog.text


# Bodies


def gate_of(answer: Callable[[Any], Any]) -> Gate:
    """Make a gateway to an application that answers in one way."""
    street = Street(tenant("acme"), factory=Runs(answering(answer)))
    warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    return Gate(street)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_that_fails_at_once_is_a_page_and_was_closed(method: str) -> None:
    closed = threading.Event()

    class Failing:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            raise LookupError(SECRET)

        def close(self) -> None:
            closed.set()

    gate = gate_of(lambda _: Failing())
    answer = call(gate.gateway, "acme.example.com", REQUEST_METHOD=method)
    assert (answer.status, closed.is_set()) == (500, True)
    assert SECRET not in answer.text
    assert "0 leases" in repr(gate.street.pool)
    gate.street.pool.close()


def test_a_body_that_fails_at_once_and_when_it_is_closed_is_a_page_too(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def __iter__(self) -> Iterator[bytes]:
            raise LookupError(SECRET)

        def close(self) -> None:
            raise OSError("closing failed")

    gate = gate_of(lambda _: Failing())
    assert call(gate.gateway, "acme.example.com").status == 500
    assert SECRET in caplog.text
    assert "closing failed" in caplog.text
    assert "0 leases" in repr(gate.street.pool)
    gate.street.pool.close()
