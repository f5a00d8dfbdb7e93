"""Maintenance: what visitors are told, and the link by which somebody looks nevertheless."""

from pathlib import Path

import pytest

from tenantry.errors import Invalid, Refused, Unavailable
from tenantry.operations import Maintenance, NewTenant, Operations
from tenantry.tenant import Status
from tests import shops
from tests.shops import NOTES, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


@pytest.fixture
def acme(operations: Operations) -> Operations:
    operations.add(NewTenant("acme", application=NOTES))
    return operations


def secret(link: str | None) -> str:
    """Take the secret out of a bypass link."""
    assert link is not None
    assert link.startswith("http://acme.localhost:8000/-/maintenance/")
    return link.rpartition("/")[2]


def test_visitors_are_told_and_the_link_is_told_once(acme: Operations, root: Path) -> None:
    begun = acme.maintenance_on("acme", Maintenance("Back at noon.", 120))
    tenant = acme.get("acme")
    assert tenant.status is Status.MAINTENANCE
    with pytest.raises(Unavailable, match="Back at noon") as caught:
        tenant.admit()
    assert caught.value.retry_after == 120
    assert tenant.notice is not None
    assert tenant.notice.opens(secret(begun.link))
    assert not tenant.notice.opens("")
    assert acme.show("acme").notice == tenant.notice
    registry = root / "instance" / "registry.sqlite3"
    for path in registry.parent.glob(f"{registry.name}*"):
        assert secret(begun.link).encode() not in path.read_bytes()


def test_the_same_words_again_change_nothing_and_tell_no_link(acme: Operations) -> None:
    begun = acme.maintenance_on("acme", Maintenance("Back at noon."))
    again = acme.maintenance_on("acme", Maintenance("Back at noon."))
    assert (again.changed, again.link) == (False, None)
    assert again.tenant.notice == begun.tenant.notice
    assert verbs(acme) == ["add", "maintenance on"]


def test_other_words_keep_the_link(acme: Operations) -> None:
    begun = acme.maintenance_on("acme", Maintenance("Back at noon."))
    for words in (Maintenance("Back at one."), Maintenance("Back at one.", 60)):
        changed = acme.maintenance_on("acme", words)
        assert (changed.changed, changed.link) == (True, None)
        assert changed.tenant.notice is not None
        assert changed.tenant.notice.opens(secret(begun.link))


def test_a_new_link_makes_the_old_one_worthless(acme: Operations) -> None:
    old = secret(acme.maintenance_on("acme", Maintenance("Back at noon.")).link)
    renewed = acme.maintenance_on("acme", Maintenance("Back at noon.", new_link=True))
    notice = renewed.tenant.notice
    assert notice is not None
    assert (notice.message, notice.opens(secret(renewed.link)), notice.opens(old)) == ("Back at noon.", True, False)


def test_maintenance_ends_and_its_link_with_it(acme: Operations) -> None:
    acme.maintenance_on("acme", Maintenance())
    assert acme.maintenance_off("acme").changed
    tenant = acme.get("acme")
    assert (tenant.status, tenant.notice) == (Status.ACTIVE, None)
    assert not acme.maintenance_off("acme").changed
    assert verbs(acme) == ["add", "maintenance on", "maintenance off"]


@pytest.mark.parametrize(
    "wanted",
    [
        Maintenance("x" * 501),
        Maintenance("two\nlines"),
        Maintenance("bell\a"),
        Maintenance(retry_after=0),
        Maintenance(retry_after=604801),
    ],
)
def test_what_visitors_are_told_has_bounds(acme: Operations, wanted: Maintenance) -> None:
    with pytest.raises(Invalid):
        acme.maintenance_on("acme", wanted)
    assert acme.get("acme").status is Status.ACTIVE


def test_a_suspended_tenant_is_resumed_first(acme: Operations) -> None:
    acme.suspend("acme", "unpaid")
    with pytest.raises(Refused, match="tenantry resume acme"):
        acme.maintenance_on("acme", Maintenance())
    assert not acme.maintenance_off("acme").changed


def test_a_tenant_in_maintenance_can_be_suspended_and_is_not_opened_by_mistake(acme: Operations) -> None:
    begun = acme.maintenance_on("acme", Maintenance("Back at noon."))
    with pytest.raises(Refused, match="tenantry maintenance acme off"):
        acme.resume("acme")
    acme.suspend("acme", "unpaid")
    again = acme.resume("acme").tenant
    assert (again.status, again.notice) == (Status.MAINTENANCE, begun.tenant.notice)


def test_what_is_not_given_stays_as_it_was_told(acme: Operations) -> None:
    first = acme.maintenance_on("acme", Maintenance("Back at noon.", 7200))
    assert not acme.maintenance_on("acme", Maintenance()).changed
    renewed = acme.maintenance_on("acme", Maintenance(new_link=True))
    assert renewed.link != first.link
    notice = renewed.tenant.notice
    assert notice is not None
    assert (notice.message, notice.retry_after) == ("Back at noon.", 7200)


def test_a_tenant_in_maintenance_comes_back_from_a_removal_in_maintenance(acme: Operations) -> None:
    begun = acme.maintenance_on("acme", Maintenance("Back at noon."))
    acme.remove("acme")
    back = acme.undo_remove("acme").tenant
    assert (back.status, back.notice) == (Status.MAINTENANCE, begun.tenant.notice)


def test_a_restart_is_one_journal_line_and_a_new_revision(acme: Operations) -> None:
    before = acme.get("acme").revision
    assert acme.restart("acme").tenant.revision > before
    acme.maintenance_on("acme", Maintenance())
    acme.restart("acme")
    assert verbs(acme) == ["add", "restart", "maintenance on", "restart"]
