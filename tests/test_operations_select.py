"""Looking: lists that come page by page, selections, the journal's filters, and what `show` tells."""

from contextlib import closing
from pathlib import Path

import pytest

from tenantry.assembly.desk import open_desk
from tenantry.errors import Unavailable, Unknown
from tenantry.operations import NewTenant, Operations, Search, Selection
from tenantry.placement import Placement
from tenantry.settings import read
from tenantry.tenant import Status
from tests import shops
from tests.shops import NOTES, SOON

operations, root, shop = shops.operations, shops.root, shops.shop


@pytest.fixture
def town(operations: Operations) -> Operations:
    """Five tenants in all states, of two applications."""
    for name in ("shop-a", "shop-b", "acme", "zoo", "gone"):
        operations.add(NewTenant(name, application=NOTES, path=name == "zoo"))
    operations.add(NewTenant("cafe", config={"SIGN_UP_OPEN": True}))
    operations.suspend("shop-b", "unpaid")
    operations.maintenance_on("zoo", SOON)
    operations.remove("gone")
    return operations


def names(operations: Operations, *wanted: str, **more: object) -> list[str]:
    return [tenant.name for tenant in operations.select(Selection(wanted, **more))]  # type: ignore[arg-type]


def test_a_list_comes_page_by_page_with_the_addresses_of_each(town: Operations) -> None:
    first = town.list(limit=2)
    assert [(one.tenant.name, one.urls) for one in first.tenants] == [
        ("acme", ("http://acme.localhost:8000/",)),
        ("cafe", ("http://cafe.localhost:8000/",)),
    ]
    assert first.after is not None
    rest = town.list(after=first.after)
    assert [one.tenant.name for one in rest.tenants] == ["shop-a", "shop-b", "zoo"]
    assert rest.tenants[-1].urls == ("http://zoo.localhost:8000/", "http://localhost:8000/t/zoo/")
    assert rest.after is None


def test_a_list_and_a_count_know_the_same_selections(town: Operations) -> None:
    for selection, wanted in {
        Selection(): 5,
        Selection(removed=True): 6,
        Selection(status=Status.REMOVED): 1,
        Selection(status=Status.SUSPENDED): 1,
        Selection(application=NOTES): 4,
        Selection(("shop-*", "acme")): 3,
        Selection(("shop-*",), status=Status.ACTIVE): 1,
    }.items():
        assert (town.count(selection), len(town.list(selection).tenants)) == (wanted, wanted)


def test_a_selection_is_in_the_order_of_the_names_given_and_without_doubles(town: Operations) -> None:
    assert names(town, "zoo", "shop-*", "zoo", "*a*") == ["zoo", "shop-a", "shop-b", "acme", "cafe"]
    assert names(town) == ["acme", "cafe", "shop-a", "shop-b", "zoo"]


def test_who_is_there_and_not_of_the_status_that_is_asked_for_is_left_out(town: Operations) -> None:
    assert names(town, "acme", "shop-b", status=Status.SUSPENDED) == ["shop-b"]
    assert names(town, "z*", "acme", status=Status.SUSPENDED) == []
    assert names(town, application="shop:create_app") == ["cafe"]
    assert names(town, "acme", application="shop:create_app") == []


@pytest.mark.parametrize(
    ("wanted", "says"),
    [("acmee", "Did you mean 'acme'"), ("x*", r"like x\*"), ("gone", "--undo"), ("G*", "like"), ("..", "no tenant")],
)
def test_a_name_that_no_tenant_has_and_a_glob_that_is_like_none_are_unknown(
    town: Operations, wanted: str, says: str
) -> None:
    with pytest.raises(Unknown, match=says):
        names(town, "acme", wanted)


def test_removed_tenants_are_selected_where_they_are_asked_for(town: Operations) -> None:
    assert names(town, "g*", "acme", removed=True) == ["gone", "acme"]
    assert names(town, "gone", status=Status.REMOVED) == ["gone"]
    assert names(town, status=Status.REMOVED) == ["gone"]
    assert names(town, town.get("gone").uid, status=Status.REMOVED) == ["gone"]


def test_the_journal_is_searched_by_verb_who_and_since(town: Operations) -> None:
    assert [line.verb for line in town.journal("shop-b", Search(verb="suspend"))] == ["suspend"]
    assert {line.verb for line in town.journal(search=Search(verb="add"))} == {"add"}
    assert town.journal(search=Search(who="nobody")) == []
    middle = town.journal("shop-b")[0].revision
    assert middle is not None
    assert [line.verb for line in town.journal(search=Search(since=str(middle)))] == ["remove", "maintenance on"]
    assert len(town.journal(search=Search(limit=3))) == 3
    revisions = [line.revision for line in town.journal()]
    assert revisions == sorted(filter(None, revisions), reverse=True)


def test_a_journal_line_tells_what_was_before_and_after(town: Operations) -> None:
    line = town.journal("shop-b")[0]
    assert (line.before, line.after) == ({"status": "active"}, {"status": "suspended", "reason": "unpaid"})
    added = town.journal("zoo")[-1]
    assert (added.before, added.after["addresses"]) == ({}, ["subdomain:zoo", "path:zoo"])


def test_show_tells_of_a_notice_and_of_a_verb_that_is_not_at_its_end(operations: Operations, root: Path) -> None:
    with open_desk(root, read(root).settings) as desk:
        hasty = Operations(desk, patience=0.0)
        hasty.add(NewTenant("acme", application=NOTES))
        hasty.maintenance_on("acme", SOON)
        shown = hasty.show("acme")
        assert shown.notice is not None
        assert (shown.notice.message, shown.notice.retry_after, shown.pending) == ("Back at noon.", 60, "")
        with closing(Placement(hasty.path("acme")).hold()), pytest.raises(Unavailable):
            hasty.remove("acme")
        assert [pending.verb for pending in desk.registry.pending()] == ["remove"]
        hasty.recover()
        assert desk.registry.pending() == []
