"""A dry run: every verdict is real, and nothing is written."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown
from tenantry.operations import Clone, Maintenance, NewTenant, Operations
from tenantry.placement import Placement
from tenantry.tenant import Status
from tests import shops
from tests.shops import NOTES, SOON, everything, rehearsing

operations, root, shop = shops.operations, shops.root, shops.shop

Verb = Callable[[Operations], object]

CHANGES: dict[str, Verb] = {
    "add": lambda desk: desk.add(NewTenant("fresh", path=True, domains=["f.example.com"], config={"A": 1}, trust=True)),
    "clone": lambda desk: desk.clone("acme", Clone("fresh")),
    "suspend": lambda desk: desk.suspend("acme", "unpaid"),
    "resume": lambda desk: desk.resume("late"),
    "maintenance on": lambda desk: desk.maintenance_on("acme", Maintenance("Soon.")),
    "maintenance off": lambda desk: desk.maintenance_off("shut"),
    "restart": lambda desk: desk.restart("acme"),
    "rename": lambda desk: desk.rename("acme", "fresh"),
    "domain add": lambda desk: desk.domain_add("acme", "b.example.com", primary=True, trust=True),
    "domain remove": lambda desk: desk.domain_remove("acme", "a.example.com"),
    "remove": lambda desk: desk.remove("acme"),
    "undo remove": lambda desk: desk.undo_remove("gone"),
    "purge": lambda desk: desk.purge("gone"),
    "config set": lambda desk: desk.config_set("acme", {"A": 2}),
    "config set secret": lambda desk: desk.config_set_secret("acme", {"PASSWORD": "x"}),
    "config unset": lambda desk: desk.config_unset("acme", ["A"]),
}
REFUSALS: dict[str, tuple[Verb, type[TenantryError], str]] = {
    "add": (lambda desk: desk.add(NewTenant("acme")), Refused, "taken"),
    "a retired name": (lambda desk: desk.add(NewTenant("gone")), Refused, "retired"),
    "a broken application": (lambda desk: desk.add(NewTenant("fresh", application="nowhere:x")), Unknown, "nowhere"),
    "clone": (lambda desk: desk.clone("acme", Clone("a1")), Refused, "looks like"),
    "rename": (lambda desk: desk.rename("acme", "late"), Refused, "taken"),
    "domain": (lambda desk: desk.domain_add("late", "a.example.com"), Refused, "taken"),
    "maintenance": (lambda desk: desk.maintenance_on("late", SOON), Refused, "suspended"),
    "purge": (lambda desk: desk.purge("acme"), Refused, "not removed"),
    "unknown": (lambda desk: desk.remove("acmee"), Unknown, "acme"),
    "grace": (lambda desk: desk.rename("acme", "fresh", timedelta(-1)), Invalid, "days"),
}


@pytest.fixture
def town(operations: Operations) -> Operations:
    """Tenants in all states."""
    operations.add(NewTenant("acme", application=NOTES, domains=["a.example.com"], config={"A": 1}, trust=True))
    for name in ("late", "shut", "gone", "al"):
        operations.add(NewTenant(name, application=NOTES))
    operations.suspend("late", "unpaid")
    operations.maintenance_on("shut", SOON)
    operations.remove("gone")
    return operations


def test_every_verb_answers_as_if_it_were_done_and_writes_nothing(town: Operations, root: Path) -> None:
    before = everything(root)
    with rehearsing(root) as desk:
        for name, verb in CHANGES.items():
            answer = verb(desk)
            assert getattr(answer, "changed", True), name
            assert everything(root) == before, name


def test_every_verb_refuses_what_it_would_refuse(town: Operations, root: Path) -> None:
    before = everything(root)
    with rehearsing(root) as desk:
        for verb, family, says in REFUSALS.values():
            with pytest.raises(family, match=says):
                verb(desk)
    assert everything(root) == before


def test_the_answers_are_those_of_the_real_thing(town: Operations, root: Path) -> None:
    with rehearsing(root) as desk:
        added = desk.add(NewTenant("fresh", path=True))
        assert (added.tenant.status, len(added.urls), added.owner_link) == (Status.ACTIVE, 2, None)
        renamed = desk.rename("acme", "apex", timedelta(days=2))
        assert renamed.urls == ("http://apex.localhost:8000/", "http://a.example.com:8000/")
        assert renamed.until
        domains = desk.domain_add("acme", "b.example.com", primary=True, trust=True).domains
        assert [(one.domain, one.primary) for one in domains] == [("a.example.com", False), ("b.example.com", True)]
        assert desk.undo_remove("gone").urls == ("http://gone.localhost:8000/",)
        said = desk.purge("gone")
    done = town.purge("gone")
    assert (said.files, said.size) == (done.files, done.size)


def test_a_folder_that_is_missing_is_missed_in_a_dry_run_as_well(town: Operations, root: Path) -> None:
    folder = town.path("acme")
    folder.rename(root / "elsewhere")
    (trashed,) = (root / "instance" / "trash").iterdir()
    trashed.rename(root / "nowhere")
    with rehearsing(root) as desk:
        with pytest.raises(Unavailable, match="missing"):
            desk.clone("acme", Clone("fresh"))
        with pytest.raises(Refused, match="neither"):
            desk.undo_remove("gone")


def test_a_link_that_leads_elsewhere_is_found_in_a_dry_run_as_well(town: Operations, root: Path) -> None:
    (Placement(town.path("acme")).files / "link").symlink_to("/etc")
    with rehearsing(root) as desk, pytest.raises(Refused, match="leads elsewhere"):
        desk.clone("acme", Clone("fresh"))


def test_a_dry_run_recovers_nothing(town: Operations, root: Path) -> None:
    (root / "instance" / "staging" / "aaaaaaaaaaaa").mkdir()
    with rehearsing(root) as desk:
        assert desk.recover() == ()
        desk.add(NewTenant("fresh"))
    assert (root / "instance" / "staging" / "aaaaaaaaaaaa").is_dir()
