"""Names: one verdict at every door, and an override that the journal keeps."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from tenantry.errors import Invalid, Refused, TenantryError
from tenantry.operations import Clone, NewTenant, Operations, names
from tenantry.registry import stamp, utc_now
from tests import shops
from tests.shops import NOTES, nothing_but, verbs

operations, root, shop = shops.operations, shops.root, shops.shop

Door = Callable[[Operations, str, bool], object]

DOORS: dict[str, Door] = {
    "add": lambda desk, name, override: desk.add(NewTenant(name, application=NOTES, override=override)),
    "add --path": lambda desk, name, override: desk.add(
        NewTenant(name, application=NOTES, path=True, override=override)
    ),
    "clone": lambda desk, name, override: desk.clone("acme", Clone(name, override=override)),
    "rename": lambda desk, name, override: desk.rename("acme", name, override=override),
}
# What is asked for, the family, what it says, and whether an operator may have it nevertheless.
VERDICTS = [
    ("www", Invalid, "reserved", True),
    ("vvvvvv", Invalid, "looks like 'www', which is reserved", True),
    ("globex", Refused, "taken", False),
    ("g1obex", Refused, "looks like 'globex'", True),
    ("initech", Refused, "retired until", True),
    ("Acme", Invalid, "no name", False),
    ("-acme", Invalid, "no name", False),
    ("a" * 41, Invalid, "no name", False),
    ("", Invalid, "no name", False),
]


@pytest.fixture
def town(operations: Operations) -> Operations:
    """Three who stand, and one name that was given up."""
    for name in ("acme", "globex", "initech"):
        operations.add(NewTenant(name, application=NOTES))
    operations.remove("initech")
    return operations


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_same_verdict_on_a_name(town: Operations, root: Path, door: str) -> None:
    for name, family, says, _ in VERDICTS:
        with pytest.raises(TenantryError, match=says) as caught:
            DOORS[door](town, name, False)
        assert type(caught.value) is family, name
    nothing_but(root, tenants=2, trash=1)


@pytest.mark.parametrize("door", DOORS)
def test_an_operator_may_override_a_rule_and_the_journal_says_which(town: Operations, door: str) -> None:
    for name, _, says, may in VERDICTS:
        if may:
            DOORS[door](town, name, True)
            assert says in str(town.journal(name)[0].detail["override"])
            if door == "rename":
                town.rename(name, "acme")


def test_no_override_gives_a_taken_or_a_misspelled_name(town: Operations, root: Path) -> None:
    for door in DOORS.values():
        for name, family, says, may in VERDICTS:
            if not may:
                with pytest.raises(family, match=says):
                    door(town, name, True)
    nothing_but(root, tenants=2, trash=1)


def test_where_no_rule_stands_against_it_an_override_leaves_no_trace(town: Operations) -> None:
    for door in DOORS.values():
        name = f"fresh{len(verbs(town))}"
        door(town, name, True)
        assert "override" not in town.journal(name)[0].detail


def test_a_removed_tenant_gets_a_name_back_that_another_has_given_up_since_only_by_override(town: Operations) -> None:
    town.add(NewTenant("initech", application=NOTES, override=True))
    first = next(entry.uid for entry in town.journal() if entry.verb == "remove")
    with pytest.raises(Refused, match="another tenant is called so"):
        town.undo_remove(first, override=True)
    town.remove("initech")
    with pytest.raises(Refused, match="retired"):
        town.undo_remove(first)
    assert town.undo_remove(first, override=True).tenant.uid == first
    assert "retired" in str(town.journal(first)[0].detail["override"])


def test_only_a_rule_that_can_be_overridden_is_asked_about_twice() -> None:
    """Whatever else refuses would do so again, or, if it has gone meanwhile, be kept as a rule that was broken."""
    asked = []

    def attempt(override: bool, _: object) -> None:
        asked.append(override)
        raise Refused("acme was changed by somebody else at the same time.")

    with pytest.raises(Refused, match="somebody else"):
        names.overriding(True, attempt)
    assert asked == [False]


@pytest.mark.parametrize("override", [False, True])
def test_an_old_name_that_is_not_to_be_had_keeps_nobody_from_coming_back(
    operations: Operations, override: bool
) -> None:
    """It is lost, unless the operator insists."""
    uid = operations.add(NewTenant("acme", application=NOTES)).tenant.uid
    operations.rename("acme", "apex", timedelta(days=1))
    operations.remove("apex")
    operations.add(NewTenant("acme", application=NOTES, override=True))
    operations.rename("acme", "other", timedelta(), override=True)
    restored = operations.undo_remove(uid, override=override)
    assert restored.urls == ("http://apex.localhost:8000/",)
    assert restored.lost == (() if override else ("http://acme.localhost:8000/",))
    old = [place.address.value for place in operations.show("apex").places if place.until]
    assert old == (["acme"] if override else [])


def test_an_old_name_whose_grace_is_over_is_asked_about_no_more(operations: Operations) -> None:
    uid = operations.add(NewTenant("acme", application=NOTES)).tenant.uid
    operations.rename("acme", "apex", timedelta(seconds=1))
    operations.remove("apex")
    until = operations.journal(uid)[0].detail["until"]
    assert isinstance(until, dict)
    operations.add(NewTenant("acme", application=NOTES, override=True))
    operations.rename("acme", "other", timedelta(), override=True)
    while stamp(utc_now()) < max(until.values()):
        Event().wait(0.02)
    restored = operations.undo_remove(uid)
    assert (restored.urls, restored.lost) == (("http://apex.localhost:8000/",), ())


def test_a_name_that_is_old_elsewhere_is_not_to_be_had_while_it_leads_there(operations: Operations) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    operations.rename("acme", "apex", timedelta(days=1))
    for override in (False, True):
        with pytest.raises(Refused):
            operations.add(NewTenant("acme", application=NOTES, override=override))
