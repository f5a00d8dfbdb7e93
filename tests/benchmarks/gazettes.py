"""The two sides of what a gazette costs: under the platform, and made by its plain factory as the manual would.

Each is opened in a process of its own: the platform teaches Flask to share what all tenants have in common, and the
plain side must not profit from that.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from tenants.gazette import create_app
from tests.benchmarks import places, recipe
from tests.benchmarks.timing import fetch, request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Answer = Callable[[str], float]


@contextmanager
def platform(folder: Path) -> Iterator[Answer]:
    """Serve all tenants of the instance below `folder` from the platform."""
    with places.opened(folder, capacity=10_000) as opened:

        def settle() -> None:
            opened.pool.sweep()
            opened.pool.reap()

        yield lambda question: resident(settle) if question == "resident" else first_page(opened.application, question)


@contextmanager
def plain(folder: Path) -> Iterator[Answer]:
    """Serve the same tenants, from the same databases, as the manual's recipe does with the gazette's own factory."""
    with places.desk(folder) as operations:
        placements = {listed.tenant.name: operations.path(listed.tenant.name) for listed in operations.list().tenants}

    def create(name: str) -> "WSGIApplication":
        database = URL.create("sqlite", database=str(placements[name] / "database.sqlite3"))
        return create_app(
            str(placements[name] / "files"), {"SECRET_KEY": f"key of {name}", "SQLALCHEMY_DATABASE_URI": database}
        )

    application = recipe.SubdomainDispatcher(places.DOMAIN, create)
    yield lambda question: resident() if question == "resident" else first_page(application, question)


def first_page(application: "WSGIApplication", number: str) -> float:
    """Ask a tenant for its first page, which must show its row; milliseconds."""
    environ = request(places.host(int(number)), "/")
    begin = time.perf_counter()
    status, page = fetch(application, environ)
    taken = time.perf_counter() - begin
    assert status == "200 OK", f"tenant {number} answers {status}"
    assert f"Entry of {places.name(int(number))}".encode() in page, f"tenant {number} shows no row"
    return taken * 1e3


def resident(settle: Callable[[], None] = lambda: None) -> float:
    """Return the process' resident memory in bytes, after everything that can be let go of was."""
    settle()
    gc.collect()
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
