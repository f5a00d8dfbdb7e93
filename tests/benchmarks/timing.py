"""Time calls in this process: many short blocks of each candidate, in turn, so that noise falls on all of them."""

import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


class FileWrapper:
    """Stand for a server's own wrapper; no application here returns one."""


def request(host: str, path: str = "/x/y", **more: object) -> "WSGIEnvironment":
    """Make the environ that waitress would, for a browser's GET."""
    return {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "bench",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_HOST": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "QUERY_STRING": "",
        "HTTP_HOST": host,
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
        "HTTP_CONNECTION": "keep-alive",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        **more,
    }


def proxied(host: str, path: str = "/x/y") -> "WSGIEnvironment":
    """Make the same as it comes from behind one proxy."""
    return request(host, path, HTTP_X_FORWARDED_FOR="198.51.100.7", HTTP_X_FORWARDED_PROTO="https")


def fetch(application: "WSGIApplication", environ: "WSGIEnvironment") -> tuple[str, bytes]:
    """Call an application as a server does and return status and body."""
    seen: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        seen.append(status)
        return _forget

    body = application(dict(environ), start_response)
    try:
        content = b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return seen[-1], content


def call(application: "WSGIApplication", environ: "WSGIEnvironment", times: int = 1) -> None:
    """Call an application so often, each time with a copy of the environ, the body read and closed."""
    for _ in range(times):
        body = application(dict(environ), _ignore)
        for _chunk in body:
            pass
        if type(body) is not list:
            body.close()  # type: ignore[attr-defined]


def per_call(application: "WSGIApplication", environ: "WSGIEnvironment", calls: int, threads: int = 1) -> float:
    """Time one block of calls, shared by so many threads; microseconds of wall time a call."""
    if threads == 1:
        begin = time.perf_counter()
        call(application, environ, calls)
        return (time.perf_counter() - begin) / calls * 1e6
    return _together(lambda: call(application, environ, calls // threads), threads) / calls * 1e6


def calls_in(seconds: float, application: "WSGIApplication", environ: "WSGIEnvironment") -> int:
    """Tell how many calls take about so long."""
    return max(100, round(seconds * 1e6 / min(per_call(application, environ, 500) for _ in range(5))))


def _together(work: Callable[[], None], threads: int) -> float:
    """Run the same work on several threads that begin at one moment; seconds until the last has ended."""
    ready = threading.Barrier(threads + 1)
    begun = threading.Event()

    def run() -> None:
        ready.wait()
        begun.wait()
        work()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    begun.set()
    for thread in running:
        thread.join()
    return time.perf_counter() - begin


@dataclass(frozen=True, slots=True)
class Series:
    """What each candidate took in each round, a round being one block of each, close together in time."""

    taken: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Return what a candidate took."""
        return median(self.taken[name])

    def added(self, name: str, to: str) -> float:
        """Return what a candidate took more than another in the same round."""
        return median(more - less for more, less in zip(self.taken[name], self.taken[to], strict=True))


def interleave(candidates: Mapping[str, Callable[[], float]], rounds: int) -> Series:
    """Time each candidate in turn, `rounds` times, and once before to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, timed in candidates.items():
            value = timed()
            if turn:
                taken[name].append(value)
    return Series(taken)


def _ignore(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
    return _forget


def _forget(data: bytes) -> object:
    raise AssertionError("nothing here uses the old write callable")
