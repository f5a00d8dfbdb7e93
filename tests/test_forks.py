"""A fork while another thread holds a lock: the child holds none of them and goes on."""

import ast
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flask import Flask

from tenantry import forks
from tenantry.application import Catalog
from tenantry.builder.sharing import Shared, install
from tenantry.databases import Opened
from tenantry.errors import Unavailable
from tenantry.registry.reach import Reach
from tenantry.schema import migrate
from tests.sites import eventually, in_child

HOUSE = Path(__file__).resolve().parent.parent / "platform" / "tenantry"
LOCKS = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"}
# Whose locks another one makes anew.
RENEWED_BY = {
    "pool/build.py": "pool/pool.py",
    "log/outlet.py": "log/setup.py",
    "meters/disk.py": "meters/__init__.py",
    "meters/rates.py": "meters/__init__.py",
}


@contextmanager
def held_elsewhere(*locks: object) -> Iterator[None]:
    """Have another thread hold these locks."""
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as all_of_them:
            for lock in locks:
                assert isinstance(lock, type(threading.Lock()) | type(threading.RLock()))
                all_of_them.enter_context(lock)
            inside.set()
            go_on.wait(30)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert inside.wait(10)
    try:
        yield
    finally:
        go_on.set()
        thread.join(10)


def test_connections_are_counted_in_a_child() -> None:
    """By SQLAlchemy's events: what hung here would be the first query of the child."""
    count = Opened()
    count.opened()

    def go_on() -> None:
        count.opened()
        assert count.weight() == 2
        count.closed()

    with held_elsewhere(count._lock):
        assert in_child(go_on) == 0


def test_a_child_may_try_the_registry_although_another_thread_was_trying() -> None:
    """Else nobody there would ever find out that it is back."""
    reach = Reach()
    reach.fail("asked", Unavailable("away"))
    with held_elsewhere(reach._trying):

        def retry() -> str:
            try:
                return reach.retry(lambda: "found")
            except Unavailable:
                return ""

        def go_on() -> None:
            eventually(lambda: retry() == "found")

        assert not retry()
        assert in_child(go_on) == 0


def test_a_child_imports_what_another_thread_was_importing() -> None:
    catalog = Catalog(HOUSE.parent.parent)
    importing = catalog._importing["tests.applications"]

    def go_on() -> None:
        assert catalog.get("tests.applications:notes").name == "tests.applications:notes"

    with held_elsewhere(catalog._lock, importing):
        assert in_child(go_on) == 0


def test_a_child_shares_what_applications_have_in_common() -> None:
    install()
    shared, app = Shared(), Flask("child")

    def go_on() -> None:
        shared.settle(app)
        assert app.url_map in shared._maps.values()

    with held_elsewhere(shared._lock):
        assert in_child(go_on) == 0


def test_a_child_migrates(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()

    def go_on() -> None:
        assert migrate.head(tmp_path) is None

    with held_elsewhere(migrate._ALONE):
        assert in_child(go_on) == 0


def test_who_is_gone_is_not_renewed() -> None:
    """Nothing is kept alive for the sake of a fork."""

    class Counting:
        def renew(self) -> None:
            renewals.append(1)

    renewals: list[int] = []
    one, other = Counting(), Counting()
    forks.renewed(one)
    forks.renewed(other)
    del other

    def go_on() -> None:
        assert len(renewals) == 1

    assert in_child(go_on) == 0
    assert not renewals
    assert one in set(forks._members)


def test_no_lock_of_the_house_is_forgotten_in_a_fork() -> None:
    """Whatever file makes one says what becomes of it; a server serves in the process that has opened it."""
    forgotten = []
    for path in sorted(HOUSE.rglob("*.py")):
        name = str(path.relative_to(HOUSE))
        text = path.read_text("utf-8")
        if name.startswith("server/") or not _makes_locks(text):
            continue
        renewing = (HOUSE / RENEWED_BY.get(name, name)).read_text("utf-8")
        if "forks.renewed(" not in renewing and "os.register_at_fork(" not in renewing:
            forgotten.append(name)
    assert not forgotten


def _makes_locks(text: str) -> bool:
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return any(isinstance(func, ast.Attribute) and func.attr in LOCKS for func in calls)
