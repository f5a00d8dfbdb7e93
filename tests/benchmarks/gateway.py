"""The whole gateway behind one proxy, in process, beside werkzeug's ProxyFix around the manual's recipe."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

from tests.benchmarks import places, recipe
from tests.benchmarks.applications import answer, name_of, trivial
from tests.benchmarks.figure import Effort, Figure, Reach
from tests.benchmarks.timing import fetch, interleave, per_call, proxied

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ENVIRON = proxied(places.host(0))


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure what the gateway adds to one request with proxy headers."""
    with candidates(folder) as applications:
        calls = effort.choose(1000, 500)
        cost = interleave(
            {name: partial(per_call, application, ENVIRON, calls) for name, application in applications.items()},
            effort.choose(301, 11),
        )
    ours, theirs = cost.added("ours", to="bare"), cost.added("recipe", to="bare")
    return [
        Figure(
            name="gateway",
            what="added to a trivial application by the whole gateway with proxy headers, against ProxyFix and recipe",
            unit="us",
            measured=ours,
            baseline=theirs,
            value=ours - theirs,
            reach=Reach(limit=2.0, unit="us more"),
            detail=f"the trivial application alone: {cost.median('bare'):.2f} us",
        )
    ]


@contextmanager
def candidates(folder: Path) -> "Iterator[dict[str, WSGIApplication]]":
    """Open the platform with one warm tenant, and put beside it the recipe and the trivial application itself."""
    places.fill(folder, 1, name_of(trivial))
    with places.opened(folder, proxies=1) as platform:
        applications: dict[str, WSGIApplication] = {
            "bare": answer,
            # What the platform believes of a proxy, and no more: the host is what the proxy passes.
            "recipe": ProxyFix(
                recipe.SubdomainDispatcher(places.DOMAIN, lambda _: answer), x_for=1, x_proto=1, x_host=0
            ),
            "ours": platform.application,
        }
        for name, application in applications.items():
            status, body = fetch(application, ENVIRON)
            assert (status, body) == ("200 OK", b"hello"), f"{name} answers {status}"
        yield applications
