"""The life of a tenant in the registry: maintenance, domains, verbs of several steps, purging, rehearsals."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tenantry.address import Kind
from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.registry import PURGE, REMOVE, UNDO_REMOVE, By, Pending, Place, Registry, Search, Terms
from tenantry.tenant import Notice, Status, digest
from tests import registries
from tests.registries import add, domain, intend, spoil, subdomain

path, registry = registries.path, registries.registry

BY = By("ada", "try")


# Maintenance.


def test_a_tenant_in_maintenance_tells_its_visitors_and_goes_back_to_what_it_was(registry: Registry) -> None:
    acme = add(registry, "acme")
    notice = Notice("Back at noon.", 3600, digest("secret"))
    kept = registry.maintain(acme.uid, notice, BY)
    assert kept == registry.find(subdomain("acme"))
    assert (kept.status, kept.notice) == (Status.MAINTENANCE, notice)
    with pytest.raises(Unavailable, match=r"^Back at noon\.$") as caught:
        kept.admit()
    assert caught.value.retry_after == 3600
    assert notice.opens("secret")
    assert not notice.opens("other")
    assert not Notice().opens("")
    back = registry.maintain(acme.uid, None, BY)
    assert (back.status, back.notice) == (Status.ACTIVE, None)


def test_a_removed_tenant_comes_back_in_maintenance_if_it_was(registry: Registry) -> None:
    acme = add(registry, "acme")
    registry.maintain(acme.uid, Notice("Soon."), BY)
    registry.remove(acme.uid, BY)
    back = registry.bring_back(acme.uid, [Place(subdomain("acme"))], BY)
    assert (back.status, back.notice) == (Status.MAINTENANCE, Notice("Soon."))


def test_maintenance_begins_only_where_visitors_were_admitted(registry: Registry) -> None:
    acme = add(registry, "acme")
    with pytest.raises(Refused, match="acme is active and cannot be taken out of maintenance"):
        registry.maintain(acme.uid, None, BY)
    registry.set_status(acme.uid, Status.SUSPENDED, "unpaid", BY)
    with pytest.raises(Refused, match="acme is suspended and cannot be put into maintenance"):
        registry.maintain(acme.uid, Notice(), BY)


def test_a_maintenance_outlasts_a_suspension_and_a_removal(registry: Registry) -> None:
    acme, notice = add(registry, "acme"), Notice("Soon.", 60, digest("secret"))
    registry.maintain(acme.uid, notice, BY)
    assert registry.set_status(acme.uid, Status.SUSPENDED, "unpaid", BY).status is Status.SUSPENDED
    registry.remove(acme.uid, BY)
    assert registry.bring_back(acme.uid, [Place(subdomain("acme"))], BY).status is Status.SUSPENDED
    again = registry.set_status(acme.uid, Status.ACTIVE, "", BY)
    assert (again.status, again.notice, again.reason) == (Status.MAINTENANCE, notice, "")


@pytest.mark.parametrize("told", ["{", "[]", '{"retry_after": "soon"}', '{"pigeon": 1}', "7"])
def test_a_damaged_notice_hurts_only_its_own_tenant(registry: Registry, path: Path, told: str) -> None:
    acme, globex = add(registry, "acme"), add(registry, "globex")
    spoil(path, "UPDATE tenants SET notice = ? WHERE uid = ?", told, acme.uid)
    with pytest.raises(Unavailable, match="out of order"):
        registry.find(subdomain("acme"))
    assert registry.find(subdomain("globex")) == globex


# Domains.


def test_of_several_domains_one_is_primary_and_the_others_lead_to_it(registry: Registry) -> None:
    acme = add(registry, "acme", subdomain("acme"), domain("shop.example.com"), domain("example.com"))
    assert acme.domain == "shop.example.com", "the first that was given"
    assert acme.home(Kind.DOMAIN, "example.com") == "shop.example.com"
    assert acme.home(Kind.SUBDOMAIN, "acme") == "acme"
    assert registry.add_domain(acme.uid, "acme.org", False, BY).domain == "shop.example.com"
    assert registry.add_domain(acme.uid, "acme.org", True, BY).domain == "acme.org"
    assert registry.drop_domain(acme.uid, "acme.org", BY).domain == "example.com"
    assert registry.drop_domain(acme.uid, "example.com", BY).domain == "shop.example.com"
    assert registry.drop_domain(acme.uid, "shop.example.com", BY).domain == ""
    assert registry.addresses(acme.uid) == [subdomain("acme")]
    assert registry.add_domain(acme.uid, "acme.org", False, BY).domain == "acme.org"


def test_a_domain_belongs_to_one_tenant_until_it_is_given_up(registry: Registry) -> None:
    acme, globex = add(registry, "acme", subdomain("acme"), domain("acme.org")), add(registry, "globex")
    with pytest.raises(Refused, match=r"domain address 'acme\.org' is taken by 'acme'"):
        registry.add_domain(globex.uid, "acme.org", True, BY)
    with pytest.raises(Unknown, match=r"globex has no domain 'acme\.org'"):
        registry.drop_domain(globex.uid, "acme.org", BY)
    registry.drop_domain(acme.uid, "acme.org", BY)
    assert registry.add_domain(globex.uid, "acme.org", False, BY) == registry.find(domain("acme.org"))


# Verbs of several steps.


def test_a_tenant_that_is_being_removed_or_brought_back_takes_no_other_change(registry: Registry) -> None:
    acme = add(registry, "acme")
    registry.remove(acme.uid, BY)
    assert registry.pending() == [Pending(acme.uid, "acme", REMOVE)]
    registry.settle(acme.uid)
    assert registry.pending() == []
    registry.returning(acme.uid, BY)
    assert registry.pending() == [Pending(acme.uid, "acme", UNDO_REMOVE)]
    with pytest.raises(Refused, match="acme is being brought back"):
        registry.purge(acme.uid, BY)
    registry.bring_back(acme.uid, [Place(subdomain("acme"))], BY)
    assert registry.pending() == []


def test_a_removal_that_is_not_finished_may_be_taken_back_or_purged(registry: Registry) -> None:
    acme, globex = add(registry, "acme"), add(registry, "globex")
    for tenant in (acme, globex):
        registry.remove(tenant.uid, BY)
    registry.returning(acme.uid, BY)
    registry.bring_back(acme.uid, [Place(subdomain("acme"))], BY)
    assert registry.purge(globex.uid, BY).status is Status.PURGING
    assert registry.pending() == [Pending(globex.uid, "globex", PURGE)]


def test_a_purged_tenant_leaves_a_tombstone_and_its_journal_and_cannot_come_back(registry: Registry) -> None:
    acme = add(registry, "acme")
    with pytest.raises(Refused, match="acme is active and cannot be purged"):
        registry.purge(acme.uid, BY)
    registry.remove(acme.uid, BY)
    before = registry.purge(acme.uid, By("ada", "purge")).revision
    with pytest.raises(Refused, match="acme is being purged"):
        registry.bring_back(acme.uid, [], BY)
    assert registry.removed("acme").status is Status.PURGING
    assert registry.list() == []
    registry.erase(acme.uid)
    with pytest.raises(Unknown):
        registry.by_uid(acme.uid)
    assert registry.changes(before).gone == (acme.uid,)
    left = registry.journal(Search(uid=acme.uid))
    assert [line.verb for line in left] == ["purge", "try", "add"]
    assert all(not (line.detail or line.before or line.after) for line in left), "titles and domains are its own"
    with pytest.raises(Refused, match="retired"):
        intend(registry, "acme")


def test_what_a_purged_tenant_was_called_and_told_is_in_no_file_of_the_registry(registry: Registry, path: Path) -> None:
    acme = add(registry, "acme", subdomain("acme"), domain("private-clinic.example"))
    registry.set_status(acme.uid, Status.SUSPENDED, "owes ninety pounds", BY)
    registry.remove(acme.uid, BY)
    registry.purge(acme.uid, BY)
    registry.erase(acme.uid)
    registry.tell(acme.uid, "acme", "ValueError: private-clinic.example")
    for file in path.parent.glob(f"{path.name}*"):
        content = file.read_bytes()
        assert b"private-clinic" not in content, file
        assert b"ninety pounds" not in content, file


def test_a_pending_row_whose_uid_is_none_is_nobodys_to_mend(registry: Registry, path: Path) -> None:
    acme = intend(registry, "acme")
    registry.abandon(acme.uid)
    spoil(
        path,
        "INSERT INTO tenants (uid, name, application, status, revision, moved, title, reason, pending)"
        " VALUES ('../victim', 'acme', 'gazette', 'adding', 1, 0, '', '', 'add')",
    )
    assert registry.pending() == []


def test_of_two_that_saw_the_same_tenant_the_first_wins_and_the_other_is_told_who(registry: Registry) -> None:
    acme = add(registry, "acme")
    registry.rename(acme.uid, "apex", timedelta(1), By("ada", "rename", seen=acme.revision))
    late = By("bob", "suspend", seen=acme.revision)
    with pytest.raises(Refused, match=r"apex was changed by somebody else at the same time \(rename by ada\)"):
        registry.set_status(acme.uid, Status.SUSPENDED, "unpaid", late)
    assert registry.get("apex").status is Status.ACTIVE


# The journal and rehearsals.


def test_the_journal_keeps_what_was_before_and_after_and_no_secret(registry: Registry) -> None:
    acme = add(registry, "acme")
    registry.set_status(acme.uid, Status.SUSPENDED, "unpaid", BY)
    registry.set_status(acme.uid, Status.ACTIVE, "", BY)
    registry.rename(acme.uid, "apex", timedelta(1), BY)
    registry.touch(acme.uid, By("ada", "config set", before={"COLOUR": "red"}, after={"COLOUR": "blue"}))
    registry.maintain(acme.uid, Notice("Soon.", 60, digest("secret")), BY)
    told = [(line.before, line.after) for line in reversed(registry.journal())]
    assert told[:5] == [
        (
            {},
            {
                "name": "acme",
                "application": "gazette",
                "status": "active",
                "title": "Acme",
                "addresses": ["subdomain:acme"],
            },
        ),
        ({"status": "active"}, {"status": "suspended", "reason": "unpaid"}),
        ({"status": "suspended", "reason": "unpaid"}, {"status": "active"}),
        (
            {"name": "acme", "addresses": ["subdomain:acme"]},
            {"name": "apex", "addresses": ["subdomain:apex"], "old addresses": ["subdomain:acme"]},
        ),
        ({"COLOUR": "red"}, {"COLOUR": "blue"}),
    ]
    assert digest("secret") not in str(told[5])


def test_the_journal_is_searched_by_verb_by_who_and_since_a_revision_or_a_moment(registry: Registry) -> None:
    acme = add(registry, "acme")
    for who, verb in (("ada", "suspend"), ("bob", "config set"), ("bob", "restart")):
        registry.touch(acme.uid, By(who, verb))

    def verbs(**wanted: str) -> list[str]:
        return [line.verb for line in registry.journal(Search(**wanted))]  # type: ignore[arg-type]

    assert verbs(verb="suspend") == ["suspend"]
    assert verbs(who="bob") == ["restart", "config set"]
    assert verbs(since=str(acme.revision)) == ["restart", "config set", "suspend"]
    assert verbs(since="2020-01-01", who="ada") == ["suspend", "add"]
    assert verbs(since="2999-01") == []


def test_the_journal_is_in_the_order_of_revisions_when_the_clock_steps_back(path: Path) -> None:
    moments = iter([datetime(2026, 5, day, tzinfo=UTC) for day in (9, 9, 3, 7, 1)])
    with Registry.open(path, clock=lambda: next(moments)) as registry:
        acme = add(registry, "acme")
        for verb in ("one", "two", "three"):
            registry.touch(acme.uid, By("ada", verb))
        found = registry.journal()
    assert [line.verb for line in found] == ["three", "two", "one", "add"]
    assert [line.revision for line in found] == sorted((line.revision or 0 for line in found), reverse=True)


def test_a_rehearsal_gives_every_verdict_and_changes_nothing(registry: Registry, path: Path) -> None:
    acme, _ = add(registry, "acme"), add(registry, "globex")
    before = path.stat().st_size, registry.revision(), registry.journal()
    with Registry.open(path, terms=Terms(rehearsal=True)) as rehearsal:
        assert rehearsal.rename(acme.uid, "apex", timedelta(1), BY).name == "apex"
        with pytest.raises(Refused, match="taken"):
            rehearsal.rename(acme.uid, "globex", timedelta(1), BY)
        assert rehearsal.remove(acme.uid, BY).status is Status.REMOVED
        rehearsal.tell(acme.uid, "acme", "no such table")
        assert intend(rehearsal, "fresh").name == "fresh"
        assert rehearsal.get("acme") == acme
    assert (path.stat().st_size, registry.revision(), registry.journal()) == before
