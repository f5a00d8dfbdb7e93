"""What the whole front door adds to a warm request, in process: gateway, fences, meters, marks, and the access log.

The core added 1.29 times of what werkzeug's ProxyFix around the manual's recipe adds; with everything that has come
since it may be one and a half times of that. The baseline writes no log.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

from tenantry.log import Served
from tenantry.policy import FENCES, FENCES_OFF
from tests.benchmarks import places, recipe
from tests.benchmarks.applications import answer, name_of, trivial
from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.timing import Series, fetch, interleave, per_call, proxied

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CORE, MORE = 1.29, 1.5
FENCED, BARE = places.host(0), places.host(1)


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure what is added to a request with the headers of one proxy, all candidates in turn."""
    with candidates(folder) as applications:
        calls = effort.choose(1000, 500)
        cost = interleave(
            {
                name: partial(per_call, application, environ, calls)
                for name, (application, environ) in applications.items()
            },
            effort.choose(301, 11),
        )
    ours, theirs = cost.added("logged", to="bare"), cost.added("recipe", to="bare")
    return [
        Figure(
            name="cost",
            what="added to a trivial application by all of the front door, its access log included, against ProxyFix "
            "and recipe",
            unit="us",
            measured=ours,
            baseline=theirs,
            value=ratio(ours, theirs),
            reach=Reach(limit=round(CORE * MORE, 2)),
            detail=_detail(cost),
        )
    ]


def _detail(cost: Series) -> str:
    fences, line = cost.added("ours", to="unfenced"), cost.added("logged", to="ours")
    return (
        f"the core was at {CORE}x; the trivial application alone: {cost.median('bare'):.2f} us; of what is added "
        f"{fences:.2f} us are the fences' and {line:.2f} us the access log's"
    )


Candidate = tuple["WSGIApplication", "WSGIEnvironment"]


@contextmanager
def candidates(folder: Path) -> Iterator[dict[str, Candidate]]:
    """Open the platform with two warm tenants, one of them without fences, beside the recipe and the application."""
    with places.desk(folder) as operations:
        places.add(operations, places.name(0), name_of(trivial))
        places.add(operations, places.name(1), name_of(trivial), **{FENCES_OFF: sorted(FENCES)})
    with _nowhere(), places.opened(folder, proxies=1, log_level="info", log_format="json") as platform:
        known = ProxyFix(recipe.SubdomainDispatcher(places.DOMAIN, lambda _: answer), x_for=1, x_proto=1, x_host=0)
        fenced, unfenced = proxied(FENCED), proxied(BARE)
        asked = platform.asks.access
        assert asked is not None, "the access log is off"
        found: dict[str, Candidate] = {
            "bare": (answer, fenced),
            "recipe": (known, fenced),
            "unfenced": (platform.application, unfenced),
            "ours": (platform.application, fenced),
            "logged": (_logged(platform.application, asked), fenced),
        }
        for name, (application, environ) in found.items():
            status, body = fetch(application, environ)
            assert (status, body) == ("200 OK", b"hello"), f"{name} answers {status}"
        yield found


def _logged(application: "WSGIApplication", access: Callable[[Served], None]) -> "WSGIApplication":
    """Tell of each request that has ended, as the server does."""

    def logged(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        begin = perf_counter()
        body = application(environ, start_response)
        seconds = perf_counter() - begin
        access(
            Served(
                method="GET",
                target="/x/y",
                status=200,
                sent=5,
                seconds=seconds,
                client="198.51.100.7",
                environ=environ,
                cut=False,
            )
        )
        return body

    return logged


@contextmanager
def _nowhere() -> Iterator[None]:
    """Send what is logged nowhere, for the time of a `with`."""
    sys.stderr.flush()
    kept, stream = os.dup(2), sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a descriptor is what is wanted
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stderr = stream
            os.dup2(kept, 2)
            os.close(kept)
