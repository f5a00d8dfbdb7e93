"""The pools of the tests, who wants a slot in them, and a probe that does as it is told."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tenantry.pool import Limits, Pool
from tests.sites import PATIENCE, Factory, Gate, Site, Wanted, eventually

ACME = Wanted("acme")
GLOBEX = Wanted("globex")
INITECH = Wanted("initech")


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How often garbage was collected, which takes its time in the process of all tests and is not done."""
    done: list[None] = []
    monkeypatch.setattr(gc, "collect", lambda: done.append(None))
    return done


class Prober:
    """Probes sites and remembers whom; a shut gate holds the probes of a uid, an error makes them fail."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.errors: dict[str, BaseException] = {}
        self._gates: dict[str, Gate] = {}

    def shut(self, uid: str) -> Gate:
        """Shut the gate before the probes of a uid."""
        gate = self._gates[uid] = Gate()
        return gate

    def open(self, uid: str) -> None:
        """Open that gate again, for good."""
        self._gates.pop(uid).opened.set()

    def __call__(self, site: Site) -> None:
        assert not site.disposed.is_set(), f"{site.uid} was probed after it was disposed of"
        self.asked[f"{site.uid}{site.mount} at {site.revision}"] += 1
        gate = self._gates.get(site.uid)
        if gate is not None:
            gate.reached.set()
            assert gate.opened.wait(2 * PATIENCE)
        if site.uid in self.errors:
            raise self.errors[site.uid]


@pytest.fixture
def factory() -> Factory:
    return Factory()


@pytest.fixture
def prober() -> Prober:
    return Prober()


@pytest.fixture
def pool(factory: Factory) -> Iterator[Pool]:
    """A pool of two places that answers two requests of a tenant at a time."""
    made = Pool(factory, Limits(capacity=2, in_flight=2))
    yield made
    made.close()
    made.verify()
    eventually(lambda: not factory.left())


@pytest.fixture
def pools() -> Iterator[Callable[..., Pool]]:
    """Open pools; they are closed at the end, and must be whole then."""
    opened: list[Pool] = []

    def open_pool(*args: Any, **more: Any) -> Pool:
        opened.append(Pool(*args, **more))
        return opened[-1]

    yield open_pool
    for pool in opened:
        pool.verify()
        pool.close()
        pool.verify()
