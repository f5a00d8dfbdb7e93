"""The registry page by page: what is selected comes once each, in order, however many there are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.registry import Registry, Selection
from tenantry.tenant import Status
from tests import registries
from tests.registries import spoil

path, registry = registries.path, registries.registry

COLUMNS = "uid, name, application, status, revision, moved, title, reason"
APPLICATIONS = ("gazette", "store")
LETTERS = str.maketrans("0123456789", "abcdefghij")


def fill(path: Path, number: int) -> None:
    rows = [
        (
            f"{at:012d}".translate(LETTERS),
            f"shop-{at:04d}",
            ("gazette", "store")[at % 2],
            ("active", "suspended")[at % 3 == 0],
        )
        for at in range(number)
    ]
    with closing(sqlite3.connect(path)) as raw:
        raw.executemany(f"INSERT INTO tenants ({COLUMNS}) VALUES (?, ?, ?, ?, 1, 0, '', '')", rows)
        raw.commit()


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_pages_of_any_size_give_every_tenant_once_in_the_order_of_names(
    registry: Registry, path: Path, limit: int
) -> None:
    fill(path, 150)
    found: list[str] = []
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        page = registry.page(Selection(), after, limit)
        assert len(page.tenants) <= limit
        found += [tenant.name for tenant in page.tenants]
        after = page.after
    assert found == [f"shop-{at:04d}" for at in range(150)]
    assert registry.count(Selection()) == 150


def test_a_selection_is_by_names_globs_status_and_application_together(registry: Registry, path: Path) -> None:
    fill(path, 60)

    def names(**wanted: object) -> list[str]:
        chosen = Selection(**wanted)  # type: ignore[arg-type]
        found = [tenant.name for tenant in registry.page(chosen).tenants]
        assert registry.count(chosen) == len(found)
        return found

    assert names(names=("shop-0003", "shop-0001")) == ["shop-0001", "shop-0003"]
    assert names(names=("shop-000?", "shop-0059")) == [*(f"shop-000{at}" for at in range(10)), "shop-0059"]
    assert names(names=("shop-00[12]5",)) == ["shop-0015", "shop-0025"]
    assert len(names(status=Status.SUSPENDED)) == 20
    assert names(names=("*9",), status=Status.SUSPENDED, application="store") == ["shop-0009", "shop-0039"]
    assert names(names=("nobody*",)) == []


def test_removed_tenants_of_one_name_are_each_given_once(registry: Registry, path: Path) -> None:
    fill(path, 5)
    spoil(path, "UPDATE tenants SET status = 'removed', name = 'twin'")
    found: list[str] = []
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        page = registry.page(Selection(removed=True), after, 2)
        found += [tenant.uid for tenant in page.tenants]
        after = page.after
    assert len(found) == len(set(found)) == 5
    assert registry.list() == []


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_damaged_name_neither_ends_the_pages_nor_repeats_them(registry: Registry, path: Path, limit: int) -> None:
    fill(path, 4)
    for at, damaged in enumerate((b"\xff\x00", "No Name")):
        spoil(path, "UPDATE tenants SET name = ? WHERE name = ?", damaged, f"shop-000{at}")
    tenants: list[str] = []
    unreadable: list[str] = []
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        page = registry.page(Selection(), after, limit)
        tenants += [tenant.name for tenant in page.tenants]
        unreadable += page.unreadable
        after = page.after
    assert tenants == ["shop-0002", "shop-0003"]
    assert len(unreadable) == 2


def test_no_question_of_the_daily_work_searches_all_tenants(registry: Registry, path: Path) -> None:
    """What must not grow with the number of tenants is answered from an index, as SQLite itself says."""
    fill(path, 50)
    standing = "status <> 'removed' AND status <> 'purging'"
    questions = {
        "pending <> ''": "tenants_pending",
        f"skeleton IN ('a') AND {standing}": "tenants_skeleton",
        f"name = 'a' AND {standing}": "tenants_name",
        f"{standing} ORDER BY name, uid LIMIT 9": "tenants_name",
        "status = 'removed' ORDER BY name, uid LIMIT 9": "tenants_status",
        "application = 'store' ORDER BY name, uid LIMIT 9": "tenants_application",
        "revision > 3": "tenants_revision",
    }
    with closing(sqlite3.connect(path)) as raw:
        for question, index in questions.items():
            asked = f"EXPLAIN QUERY PLAN SELECT uid FROM tenants WHERE {question}"
            plan = " ".join(str(row[3]) for row in raw.execute(asked))
            assert index in plan, plan
            assert "TEMP B-TREE" not in plan
