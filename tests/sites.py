"""What the tests of pool and dispatch build, call and wait for."""

import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tenantry.dispatch import SubdomainDispatcher
from tenantry.errors import Unavailable
from tenantry.pool import Lease, Pool

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATIENCE = 10.0


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it has not come about in time"
        pause.wait(0.002)


def in_child(what: object) -> int:
    """Run something in a forked child, within a deadline, and return 0 if it held."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: this process has threads
        pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            assert callable(what)
            what()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def on_threads(*jobs: Callable[[], object]) -> list[Any]:
    """Do all of these at once, each on a thread of its own; give what each returned, or raise what the first raised."""
    results: list[Any] = [None] * len(jobs)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            results[number] = jobs[number]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * PATIENCE)
        assert not thread.is_alive(), "a thread has not come to its end in time"
    if errors:
        raise errors[0]
    return results


@contextmanager
def hurried() -> Iterator[None]:
    """Have threads take turns in the middle of everything, for the time of a `with`."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@contextmanager
def without_collector() -> Iterator[None]:
    """Have nothing collected but by reference counts, for the time of a `with`."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody who wants a slot."""

    uid: str
    revision: int = 1
    moved: int = 0


class Site:
    """What a factory builds. To be called, or disposed of again, after it was disposed of is a failure."""

    def __init__(self, wanted: Wanted, mount: str) -> None:
        self.uid = wanted.uid
        self.revision = wanted.revision
        self.mount = mount
        self.disposed = threading.Event()
        self.rests = 0

    def app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        assert not self.disposed.is_set(), f"{self.uid} was called after it was disposed of"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{self.uid}{self.mount} at {self.revision}".encode()]

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None:
        assert not self.disposed.is_set(), f"{self.uid} was disposed of twice"
        self.disposed.set()


@dataclass
class Gate:
    """Where a factory stands still: `reached` tells that it does, `opened` lets it go on."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


class Factory:
    """Builds sites and remembers them; a shut gate holds the builds of a uid, an error makes them fail."""

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.calls: Counter[str] = Counter()
        self.errors: dict[str, BaseException] = {}
        self._gates: dict[str, Gate] = {}
        self._lock = threading.Lock()

    def shut(self, uid: str) -> Gate:
        """Shut the gate before the builds of a uid."""
        gate = self._gates[uid] = Gate()
        return gate

    def open(self, uid: str) -> None:
        """Open that gate again, for good."""
        self._gates.pop(uid).opened.set()

    def __call__(self, wanted: Wanted, mount: str) -> Site:
        with self._lock:
            self.calls[wanted.uid + mount] += 1
        gate = self._gates.get(wanted.uid)
        if gate is not None:
            gate.reached.set()
            assert gate.opened.wait(2 * PATIENCE)
        if wanted.uid in self.errors:
            raise self.errors[wanted.uid]
        site = self.make(wanted, mount)
        with self._lock:
            self.sites.append(site)
        return site

    def make(self, wanted: Wanted, mount: str) -> Site:
        """Make a site of the kind that this factory builds."""
        return Site(wanted, mount)

    def left(self) -> list[str]:
        """Name the sites that nobody has disposed of."""
        return [f"{site.uid}{site.mount} at {site.revision}" for site in self.sites if not site.disposed.is_set()]


def leased(pool: Pool, wanted: Wanted, mount: str = "") -> Lease:
    """Lease, waiting for the build if one stands between."""
    try:
        return pool.lease(wanted, mount)
    except Unavailable as error:
        if error.awaits is None:
            raise
        error.awaits.result(PATIENCE)
    return pool.lease(wanted, mount)


def warm(pool: Pool, *everybody: Wanted) -> None:
    """Have these built, one after the other, and idle."""
    for wanted in everybody:
        leased(pool, wanted).close()


def begin_build(pool: Pool, wanted: Wanted, mount: str = "") -> Future[Any]:
    """Have a build begin and give what a server would wait for."""
    with pytest.raises(Unavailable, match="starting") as starting:
        pool.lease(wanted, mount)
    assert starting.value.awaits is not None
    return starting.value.awaits


def fail_build(pool: Pool, wanted: Wanted) -> Unavailable:
    """Have a build fail and give what the visitor is told."""
    with pytest.raises(Unavailable) as failed:
        begin_build(pool, wanted).result(5)
    return failed.value


def site_of(lease: Lease) -> Site:
    """Tell which site a lease is on."""
    site = lease.app.__self__
    assert isinstance(site, Site)
    return site


@dataclass
class Answer:
    """What came of a request. Whoever does not close `body` hangs on."""

    body: Any
    status: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    written: list[bytes] = field(default_factory=list)

    @property
    def code(self) -> int:
        return int(self.status[:3])

    def read(self) -> str:
        """Read the body to its end and close it, as a server does."""
        try:
            return b"".join((*self.body, *self.written)).decode()
        finally:
            if hasattr(self.body, "close"):
                self.body.close()


def environ_of(host: str | None = "acme.example.com", path: str = "/", **more: Any) -> "WSGIEnvironment":
    """Make the environ of a request; the raw target is the path unless it is given."""
    environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", "wsgi.input": BytesIO()}
    environ["REQUEST_URI"] = path
    environ.update(more)
    setup_testing_defaults(environ)
    environ["HTTP_HOST"] = host
    if host is None:
        del environ["HTTP_HOST"]
    if environ["REQUEST_URI"] is None:
        del environ["REQUEST_URI"]
    return environ


def begin(app: "WSGIApplication", environ: "WSGIEnvironment") -> Answer:
    """Begin a request and leave its body to the caller."""
    answer = Answer(None)

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        answer.status, answer.headers = status, dict(headers)
        return answer.written.append

    answer.body = app(environ, start_response)
    return answer


def ask(app: "WSGIApplication", host: str | None = "acme.example.com", path: str = "/", **more: Any) -> Answer:
    """Make a whole request, through the standard library's validator, and give its answer with `body` as text."""
    answer = begin(validator(app), environ_of(host, path, **more))
    answer.body = answer.read()
    return answer


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


def asked(dispatcher: Any) -> Counter[str]:
    """Tell whom a dispatcher's `create_app` was asked for."""
    made = dispatcher._alone._create_app
    assert isinstance(made, Apps)
    return made.asked


def leases(dispatcher: SubdomainDispatcher) -> int:
    """Count the leases held right now."""
    dispatcher.pool.verify()
    return int(repr(dispatcher.pool).rpartition(", ")[2].split()[0])


def answering(body: Callable[["WSGIEnvironment"], Any]) -> SubdomainDispatcher:
    """Make a dispatcher whose one application answers with what `body` makes of the environ."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        made: Iterable[bytes] = body(environ)
        return made

    return SubdomainDispatcher("example.com", lambda _: app)
