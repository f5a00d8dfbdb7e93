"""The registry: what it answers, what it refuses, what its journal tells."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantry.address import Address, Kind
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tenantry.registry import By, Place, Registry, Search, Selection
from tenantry.tenant import Status
from tests import registries
from tests.registries import ADD, add, intend, spoil, subdomain

INSERT = "INSERT INTO tenants (uid, name, application, status, revision, moved, title, reason) VALUES"
NAMES = st.from_regex(r"[a-z0-9]{0,8}[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)

path, registry = registries.path, registries.registry


# What is added is found.


def test_a_tenant_is_found_from_its_intent_on_and_active_once_activated(registry: Registry) -> None:
    intended = intend(registry, "acme", subdomain("acme"), Address(Kind.PATH, "acme"))
    assert intended.status is Status.ADDING
    assert registry.find(subdomain("acme")) == intended
    active = registry.activate(intended.uid, ADD)
    assert (active.status, active.title) == (Status.ACTIVE, "Acme")
    assert registry.find(Address(Kind.PATH, "acme")) == registry.get("acme") == registry.by_uid(active.uid) == active


def test_an_unknown_address_is_told_in_the_same_words_whatever_it_is(registry: Registry) -> None:
    add(registry, "acme")
    for address in (subdomain("acmee"), subdomain("zzz"), Address(Kind.PATH, "acme"), Address(Kind.DOMAIN, "a.b")):
        with pytest.raises(Unknown, match=r"^There is no site at this address\.$"):
            registry.find(address)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(NAMES, min_size=1, max_size=5))
def test_whatever_names_are_intended_each_leads_to_its_own_tenant_and_abandoned_to_none(
    registry: Registry, names: set[str]
) -> None:
    made = {name: intend(registry, name) for name in names}
    assert {name: registry.find(subdomain(name)) for name in names} == made
    assert registry.list() == [made[name] for name in sorted(names)]
    for tenant in made.values():
        registry.abandon(tenant.uid)
    assert registry.list() == []
    for name in names:
        with pytest.raises(Unknown):
            registry.find(subdomain(name))


def test_addresses_come_in_the_order_operators_expect(registry: Registry) -> None:
    shop, path = Address(Kind.DOMAIN, "shop.example.com"), Address(Kind.PATH, "acme")
    acme = add(registry, "acme", shop, path, subdomain("acme"), path)
    globex = add(registry, "globex")
    assert registry.addresses(acme.uid) == [subdomain("acme"), path, shop]
    assert registry.addresses_of([acme.uid, globex.uid]) == {
        acme.uid: [subdomain("acme"), path, shop],
        globex.uid: [subdomain("globex")],
    }


# What is refused.


def test_a_name_an_address_and_a_uid_belong_to_one_tenant(registry: Registry) -> None:
    domain = Address(Kind.DOMAIN, "shop.example.com")
    acme = add(registry, "acme", Address(Kind.PATH, "acme"), domain)
    with pytest.raises(Refused, match="name 'acme' is taken"):
        intend(registry, "acme", subdomain("other"))
    with pytest.raises(Refused, match="name 'acme' is taken"):
        intend(registry, "other", subdomain("acme"))
    with pytest.raises(Refused, match=r"domain address 'shop\.example\.com' is taken by 'acme'"):
        intend(registry, "other", domain)
    with pytest.raises(Refused, match=acme.uid):
        intend(registry, "other", uid=acme.uid)
    with pytest.raises(Invalid):
        intend(registry, "Not A Name", subdomain("fine"))
    assert registry.revision() == acme.revision
    assert registry.list() == [acme]


def test_a_removed_name_is_retired_for_others_ninety_days_and_not_for_its_own_tenant(path: Path) -> None:
    now = [datetime(2026, 1, 31, 12, tzinfo=UTC)]
    with Registry.open(path, clock=lambda: now[0]) as registry:
        acme = add(registry, "acme", subdomain("acme"), Address(Kind.PATH, "anvils"))
        registry.remove(acme.uid, By("ada", "remove"))
        for name in ("acme", "anvils"):
            with pytest.raises(Refused, match=f"name '{name}' is retired until 2026-05-01"):
                intend(registry, name)
        assert registry.bring_back(acme.uid, [Place(subdomain("acme"))], By("ada", "restore")).status is Status.ACTIVE
        registry.remove(acme.uid, By("ada", "remove"))
        now[0] += timedelta(days=90)
        successor = add(registry, "acme")
        assert registry.find(subdomain("acme")).uid == successor.uid != acme.uid
        with pytest.raises(Refused, match="taken"):
            registry.bring_back(acme.uid, [Place(subdomain("acme"))], By("ada", "restore"))
        with pytest.raises(Refused, match="its subdomain is another tenant's"):
            registry.bring_back(acme.uid, [Place(subdomain("other"))], By("ada", "restore"), override=True)
        registry.remove(successor.uid, By("ada", "remove"))
        assert registry.removed("acme").uid == successor.uid


def test_a_step_that_does_not_fit_the_status_is_refused_and_changes_nothing(registry: Registry) -> None:
    active, intended = add(registry, "acme"), intend(registry, "globex")
    by = By("ada", "try")
    before = registry.revision()
    for step in (
        lambda: registry.activate(active.uid, by),
        lambda: registry.abandon(active.uid),
        lambda: registry.bring_back(active.uid, [], by),
        lambda: registry.remove(intended.uid, by),
        lambda: registry.set_status(intended.uid, Status.SUSPENDED, "", by),
        lambda: registry.set_status(active.uid, Status.REMOVED, "", by),
    ):
        with pytest.raises(Refused):
            step()
    with pytest.raises(Unknown):
        registry.touch("aaaaaaaaaaaa", by)
    assert registry.revision() == before


# Changes, revisions, the journal.


def test_every_change_has_a_revision_of_its_own_and_one_journal_line(registry: Registry) -> None:
    acme = add(registry, "acme")
    changed = [
        registry.set_status(acme.uid, Status.SUSPENDED, "unpaid", By("ada", "suspend", {"because": "unpaid"})),
        registry.touch(acme.uid, By("bob", "config")),
        registry.touch(acme.uid, By("bob", "migrate"), moved=True),
        registry.remove(acme.uid, By("ada", "remove")),
        registry.bring_back(acme.uid, [Place(subdomain("acme"))], By("ada", "restore")),
    ]
    revisions = [tenant.revision for tenant in changed]
    assert revisions == list(range(acme.revision + 1, acme.revision + 6))
    assert [tenant.moved == tenant.revision for tenant in changed] == [False, False, True, True, True]
    assert changed[-1].status is Status.SUSPENDED, "brought back as it was, not made active"
    lines = registry.journal()
    assert [line.verb for line in lines] == ["restore", "remove", "migrate", "config", "suspend", "add"]
    assert [line.revision for line in reversed(lines)] == [acme.revision, *revisions]
    suspended = lines[-2]
    assert (suspended.who, suspended.uid, suspended.name) == ("ada", acme.uid, "acme")
    assert suspended.detail == {"because": "unpaid"}
    assert datetime.fromisoformat(suspended.at).utcoffset() == timedelta(0)


def test_a_change_that_fails_leaves_neither_row_nor_line_nor_revision(registry: Registry) -> None:
    class Unspeakable:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    acme = add(registry, "acme")
    with pytest.raises(RuntimeError, match="no words"):
        registry.set_status(acme.uid, Status.SUSPENDED, "", By("ada", "suspend", {"why": Unspeakable()}))
    assert registry.find(subdomain("acme")) == acme
    assert registry.revision() == acme.revision
    assert [line.verb for line in registry.journal()] == ["add"]
    assert registry.touch(acme.uid, By("ada", "config")).revision == acme.revision + 1


def test_changes_tell_who_changed_since_and_who_is_gone(registry: Registry) -> None:
    acme, globex = add(registry, "acme"), add(registry, "globex")
    start = registry.revision()
    assert registry.changes(start) == registry.changes(start)
    assert registry.changes(start).tenants == ()
    initech = intend(registry, "initech")
    removed = registry.remove(globex.uid, By("ada", "remove"))
    registry.abandon(initech.uid)
    told = registry.changes(start)
    assert (told.revision, told.tenants, told.gone) == (registry.revision(), (removed,), (initech.uid,))
    assert registry.changes(0).tenants == (acme, removed)


def test_a_follower_ahead_of_a_restored_registry_is_told_to_forget_everything(registry: Registry) -> None:
    acme = add(registry, "acme")
    told = registry.changes(acme.revision + 1000)
    assert (told.revision, told.rewound, told.tenants) == (acme.revision, True, ())


def test_a_uid_intended_again_is_no_longer_told_as_gone(registry: Registry) -> None:
    first = intend(registry, "acme")
    registry.abandon(first.uid)
    again = intend(registry, "acme", uid=first.uid)
    assert registry.changes(0).gone == ()
    assert registry.changes(0).tenants == (again,)


def test_the_journal_is_read_newest_first_of_one_or_of_all_and_survives_a_damaged_line(
    registry: Registry, path: Path
) -> None:
    acme, globex = add(registry, "acme"), add(registry, "globex")
    registry.tell(acme.uid, "acme", "ZeroDivisionError")
    spoil(path, "UPDATE journal SET detail = '{oops' WHERE uid = ?", globex.uid)
    assert [line.verb for line in registry.journal(Search(uid=acme.uid))] == ["failing", "add"]
    assert [line.name for line in registry.journal(Search(limit=2))] == ["acme", "globex"]
    assert registry.journal(Search(uid=globex.uid))[0].detail == {"damaged": "{oops"}
    assert registry.journal(Search(uid=acme.uid))[0].revision is None


def test_trouble_is_the_last_failing_line_until_recovered_or_changed(registry: Registry) -> None:
    acme = add(registry, "acme")
    assert registry.trouble(acme.uid) is None
    registry.tell(acme.uid, "acme", "ZeroDivisionError")
    trouble = registry.trouble(acme.uid)
    assert trouble is not None
    assert trouble.detail == {"reason": "ZeroDivisionError"}
    registry.tell(acme.uid, "acme", None)
    assert registry.trouble(acme.uid) is None
    registry.tell(acme.uid, "acme", "ZeroDivisionError")
    registry.touch(acme.uid, By("ada", "config"))
    assert registry.trouble(acme.uid) is None


# Guessing.


@pytest.mark.parametrize("typed", ["acmee", "acm", "came", "axme", "Acme", "acme!", "acme-"])
def test_a_misspelled_name_is_answered_with_the_one_meant(registry: Registry, typed: str) -> None:
    add(registry, "acme")
    add(registry, "initech")
    with pytest.raises(Unknown, match=r"Did you mean 'acme'\?"):
        registry.get(typed)


def test_a_guess_finds_the_one_wrong_letter_among_many_neighbours(registry: Registry, path: Path) -> None:
    add(registry, "site-100000")
    rows = [
        (f"aaaaaaa{number:05d}".translate(str.maketrans("0189", "wxyz")), f"syte-{number}") for number in range(5000)
    ]
    with closing(sqlite3.connect(path)) as raw:
        raw.executemany(f"{INSERT} (?, ?, 'gazette', 'active', 1, 0, '', '')", rows)
        raw.commit()
    with pytest.raises(Unknown, match=r"Did you mean 'site-100000'\?"):
        registry.get("sitte-100000")


@pytest.mark.parametrize("typed", ["", "zzz", "\udcff\udcfe", "x" * 5000, "'; drop table tenants; --", "\0"])
def test_a_name_that_is_like_nothing_is_unknown_without_a_guess(registry: Registry, typed: str) -> None:
    add(registry, "acme")
    with pytest.raises(Unknown) as caught:
        registry.get(typed)
    assert caught.value.hint == ""
    assert str(caught.value).isprintable()
    with pytest.raises(Unknown):
        registry.removed("acme")


def test_a_removed_tenant_is_not_got_by_name_and_only_listed_when_asked(registry: Registry) -> None:
    acme, globex = add(registry, "acme"), add(registry, "globex")
    removed = registry.remove(acme.uid, By("ada", "remove"))
    with pytest.raises(Unknown):
        registry.get("acme")
    assert registry.list() == [globex]
    assert registry.list(include_removed=True) == [removed, globex]
    assert registry.addresses(acme.uid) == []


# Poison.


@pytest.mark.parametrize(
    ("column", "value"),
    [("status", "melted"), ("name", "No Name"), ("revision", "x"), ("title", b"\xff\x00"), ("status", b"\xff")],
)
def test_a_row_that_cannot_be_read_hurts_only_its_own_tenant(
    registry: Registry, path: Path, column: str, value: object
) -> None:
    acme, globex = add(registry, "acme"), add(registry, "globex")
    start = registry.revision()
    spoil(path, f"UPDATE tenants SET {column} = ?, revision = revision + 100 WHERE uid = ?", value, acme.uid)
    if column == "revision":
        spoil(path, "UPDATE tenants SET revision = ? WHERE uid = ?", value, acme.uid)
    with pytest.raises(Unavailable, match=r"^This site is out of order\."):
        registry.find(subdomain("acme"))
    with pytest.raises(Unavailable, match=f"{acme.uid}.* is damaged"):
        registry.by_uid(acme.uid)
    assert registry.find(subdomain("globex")) == globex == registry.get("globex")
    assert registry.list() == [globex]
    (named,) = registry.page(Selection(removed=True)).unreadable
    assert acme.uid in named
    assert named.isprintable()
    assert registry.changes(start).gone == (acme.uid,)
    assert registry.touch(globex.uid, By("ada", "config")).name == "globex"


def test_a_malformed_uid_and_a_malformed_address_hurt_nobody_else(registry: Registry, path: Path) -> None:
    globex = add(registry, "globex")
    spoil(path, f"{INSERT} ('../../etc', 'acme', 'gazette', 'active', 1, 0, '', '')")
    spoil(path, "INSERT INTO addresses (key, uid, revision) VALUES ('pigeon:acme', ?, 1)", globex.uid)
    with pytest.raises(Unavailable, match=r"the uid '\.\./\.\./etc' is none"):
        registry.get("acme")
    assert registry.addresses(globex.uid) == [subdomain("globex")]
    assert registry.addresses_of([globex.uid]) == {globex.uid: [subdomain("globex")]}
    assert len(registry.page(Selection(removed=True)).unreadable) == 1
