"""Names in the registry: who may have which, renaming, and what becomes of the old one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.errors import Refused, Unknown
from tenantry.registry import By, Place, Registry, Terms
from tenantry.tenant import Status
from tests import registries
from tests.registries import add, domain, intend, subdomain

path, registry = registries.path, registries.registry

BY = By("ada", "rename")
MONTH = timedelta(days=30)


class Calendar:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, days: float) -> None:
        self.now += timedelta(days=days)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


def test_a_renamed_tenant_is_found_by_both_names_until_the_grace_has_ended(path: Path, calendar: Calendar) -> None:
    with Registry.open(path, clock=calendar) as registry:
        acme = add(registry, "acme", subdomain("acme"), Address(Kind.PATH, "acme"), domain("acme.org"))
        apex = registry.rename(acme.uid, "apex", MONTH, BY)
        assert (apex.uid, apex.name, apex.status) == (acme.uid, "apex", Status.ACTIVE)
        for where in (subdomain("acme"), subdomain("apex"), Address(Kind.PATH, "acme"), domain("acme.org")):
            assert registry.find(where) == apex
        assert apex.home(Kind.SUBDOMAIN, "acme") == apex.home(Kind.PATH, "apex") == "apex"
        assert registry.addresses(acme.uid) == [subdomain("apex"), Address(Kind.PATH, "apex"), domain("acme.org")]
        assert [place.until[:10] for place in registry.places(acme.uid)] == ["", "", "", "2026-03-31", "2026-03-31"]
        with pytest.raises(Unknown, match=r"^acme was renamed to apex\.$"):
            registry.get("acme")
        calendar.pass_(30)
        with pytest.raises(Unknown):
            registry.find(subdomain("acme"))
        assert len(registry.places(acme.uid)) == 3
        with pytest.raises(Unknown, match="There is no tenant 'acme'"):
            registry.get("acme")


def test_an_old_name_is_nobody_elses_during_its_grace_nor_while_it_is_retired(path: Path, calendar: Calendar) -> None:
    with Registry.open(path, clock=calendar) as registry:
        acme = add(registry, "acme")
        registry.rename(acme.uid, "apex", MONTH, BY)
        for says in ("is an old name of 'apex' and leads there until 2026-03-31", "is retired until 2026-06-29"):
            with pytest.raises(Refused, match=says):
                intend(registry, "acme")
            calendar.pass_(60)
        calendar.pass_(1)
        assert add(registry, "acme").uid != acme.uid


def test_no_override_gets_an_old_name_that_still_leads_somewhere(registry: Registry) -> None:
    registry.rename(add(registry, "acme").uid, "apex", MONTH, BY)
    with pytest.raises(Refused, match="'acme' is an old name of 'apex' and leads there"):
        intend(registry, "acme", override=True)


def test_a_tenant_may_have_its_own_old_names_back(registry: Registry) -> None:
    acme = add(registry, "acme")
    for name in ("apex", "zenith", "acme", "apex"):
        assert registry.rename(acme.uid, name, MONTH, BY).name == name
        assert registry.find(subdomain(name)).home(Kind.SUBDOMAIN, name) == name
    old = {place.address.value for place in registry.places(acme.uid) if place.until}
    assert old == {"acme", "zenith"}
    with pytest.raises(Refused, match="taken"):
        intend(registry, "apex")


def test_for_how_long_a_name_is_retired_is_the_platforms_to_say(path: Path, calendar: Calendar) -> None:
    with Registry.open(path, clock=calendar, terms=Terms(retired_days=7)) as registry:
        registry.remove(add(registry, "acme").uid, By("ada", "remove"))
        with pytest.raises(Refused, match="retired until 2026-03-08"):
            intend(registry, "acme")
        calendar.pass_(7)
        intend(registry, "acme")


@pytest.mark.parametrize(
    ("mine", "yours"), [("paypal", "paypa1"), ("modern", "modem"), ("cool", "c00l"), ("vvv", "wv")]
)
def test_a_name_that_looks_like_anothers_is_refused_at_every_door(registry: Registry, mine: str, yours: str) -> None:
    add(registry, mine)
    other = add(registry, "other")
    gone = add(registry, "gone")
    registry.rename(gone.uid, yours, timedelta(), BY, override=True)
    registry.remove(gone.uid, By("ada", "remove"))
    doors: list[Callable[[], object]] = [
        lambda: intend(registry, yours),
        lambda: registry.rename(other.uid, yours, MONTH, BY),
        lambda: registry.bring_back(gone.uid, [Place(subdomain(yours))], By("ada", "undo remove")),
    ]
    for door in doors:
        before = registry.revision()
        with pytest.raises(Refused, match=f"'{yours}' (looks like '{mine}'|is retired)"):
            door()
        assert registry.revision() == before
    registry.rename(other.uid, yours, MONTH, BY, override=True)


def test_a_clock_that_was_wrong_for_a_while_frees_no_name(path: Path, calendar: Calendar) -> None:
    with Registry.open(path, clock=calendar) as registry:
        registry.remove(add(registry, "acme").uid, By("ada", "remove"))
        calendar.pass_(30_000)
        registry.remove(add(registry, "globex").uid, By("ada", "remove"))
        calendar.pass_(-30_000)
        for name in ("acme", "globex"):
            with pytest.raises(Refused, match="retired"):
                intend(registry, name)


def test_a_removal_does_not_shorten_for_how_long_an_old_name_is_kept(path: Path, calendar: Calendar) -> None:
    with Registry.open(path, clock=calendar) as registry:
        acme = add(registry, "acme")
        registry.rename(acme.uid, "apex", timedelta(days=3000), BY)
        registry.remove(acme.uid, By("ada", "remove"))
        calendar.pass_(2000)
        with pytest.raises(Refused, match="retired"):
            intend(registry, "acme")


def test_a_look_alike_of_a_retired_name_is_refused_too(registry: Registry) -> None:
    registry.remove(add(registry, "paypal").uid, By("ada", "remove"))
    with pytest.raises(Refused, match="'paypa1' looks like 'paypal'"):
        intend(registry, "paypa1")
    assert intend(registry, "paypa1", override=True).name == "paypa1"


def test_no_override_gets_a_name_or_an_address_that_is_taken(registry: Registry) -> None:
    add(registry, "acme", subdomain("acme"), domain("acme.org"))
    globex = add(registry, "globex")
    for addresses in ([subdomain("acme")], [subdomain("fresh"), domain("acme.org")]):
        with pytest.raises(Refused, match="taken"):
            intend(registry, "fresh", *addresses, override=True)
    with pytest.raises(Refused, match="taken"):
        registry.rename(globex.uid, "acme", MONTH, BY, override=True)
    assert registry.get("globex") == globex


def test_nobody_is_called_like_anothers_uid(registry: Registry) -> None:
    globex = add(registry, "globex")
    acme = registry.activate(intend(registry, "acme", uid="abcdefgh2345").uid, By("ada", "add"))
    registry.remove(acme.uid, By("ada", "remove"))
    with pytest.raises(Refused, match="taken"):
        intend(registry, acme.uid, override=True)
    with pytest.raises(Refused, match="taken"):
        registry.rename(globex.uid, acme.uid, MONTH, BY, override=True)


def test_a_rename_that_is_refused_leaves_everything_as_it_was(registry: Registry) -> None:
    acme, _ = add(registry, "acme"), add(registry, "globex")
    before = registry.places(acme.uid), registry.revision(), registry.journal()
    with pytest.raises(Refused, match="taken"):
        registry.rename(acme.uid, "globex", MONTH, BY)
    assert (registry.places(acme.uid), registry.revision(), registry.journal()) == before
