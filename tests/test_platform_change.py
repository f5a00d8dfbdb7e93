"""Tenants are evicted, suspended, renamed, removed and brought back while others are served: these do not notice."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tenantry import signals
from tenantry.assembly.platform import Platform, open_platform
from tenantry.operations import NewTenant
from tenantry.tenant import Tenant
from tests.proofs import diary
from tests.sites import on_threads
from tests.wsgi import call, wait_until

STEADY = [f"steady-{number}" for number in range(6)]
MOVING = [f"moving-{number}" for number in range(4)]
VISITS = 80


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": diary.NAME, "log_level": "error"}) as opened:
        for name in (*STEADY, *MOVING):
            opened.operations.add(NewTenant(name=name))
        yield opened
        opened.pool.verify()


class Traffic:
    """Visits of steady tenants and of moving ones, while an operator has no rest."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.over = threading.Event()
        self.builds: Counter[str] = Counter()
        self.seen: Counter[int] = Counter()
        self.changed: Counter[str] = Counter()
        self._ended: list[str] = []

    def built(self, _: str, *, tenant: Tenant, **__: Any) -> None:
        self.builds[tenant.name] += 1

    def visit(self, name: str) -> None:
        try:
            for number in range(VISITS):
                answer = call(self.platform.application, diary.host(name))
                assert (answer.status, answer.text) == (200, f"{name} {number + 2}")
        finally:
            self._ended.append(name)
            if len(self._ended) == len(STEADY):
                self.over.set()

    def look(self) -> None:
        while not self.over.is_set():
            for name in MOVING:
                self.seen[call(self.platform.application, diary.host(name)).status] += 1

    def move(self) -> None:
        operations = self.platform.operations
        while not self.over.is_set():
            for name in MOVING:
                operations.suspend(name, "unpaid")
                operations.resume(name)
                operations.rename(name, f"other-{name}")
                operations.rename(f"other-{name}", name)
                operations.remove(name)
                operations.undo_remove(name)
                self.platform.pool.retire([operations.get(name).uid])
                self.changed[name] += 1


def test_what_becomes_of_some_changes_nothing_for_others(platform: Platform) -> None:
    """Each steady tenant is built once, loses no visit and counts each in a database of its own."""
    for name in STEADY:
        assert call(platform.application, diary.host(name)).status == 200
    wait_until(lambda: platform._follower.seen == platform._registry.revision())
    traffic = Traffic(platform)
    with signals.tenant_built.connected_to(traffic.built):
        visits = [partial(traffic.visit, name) for name in STEADY]
        on_threads(*visits, traffic.look, traffic.look, traffic.move)
    assert not set(traffic.builds) & set(STEADY)
    assert set(traffic.seen) <= {200, 308, 403, 404, 503}
    assert traffic.changed
    for name in MOVING:
        wait_until(partial(_answers, platform, name))


def _answers(platform: Platform, name: str) -> bool:
    return call(platform.application, diary.host(name)).status == 200
