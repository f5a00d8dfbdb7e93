"""One verdict on a name, at whichever door: adding, cloning, renaming, by path, by subdomain, in the registry.

`agree` puts one text to all doors. `settle` lets operators do what they like with names that are taken, retired,
reserved or look alike, and sees that in the end each tenant is reached at its addresses and no two share one.
"""

import shutil
import string
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial, reduce
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import NotFound

from tenantry import PathDispatcher, SubdomainDispatcher, address
from tenantry.address import RESERVED, Address, Kind
from tenantry.assembly.platform import open_platform
from tenantry.errors import TenantryError
from tenantry.operations import Clone, NewTenant, Operations
from tenantry.placement import Instance
from tenantry.tenant import Status
from tests.proofs import stage
from tests.proofs.flaws import flaws, unserial
from tests.sites import ask

_OPEN = {"SIGN_UP_OPEN": True}
_NOW = timedelta()


# What is generated.

_LETTERS = string.ascii_lowercase + string.digits
_ALIKE = ["0o", "1l", "mrn", "wvv", "dcl"]
_TAKEN = ["acme", "globex", "apex", "hooli", "initech", "umbrella"]
_RENAMED = "quixotic"
_OTHERS = "taken.example.org"
_names = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)
_looks = st.sampled_from([("o", "0"), ("l", "1"), ("m", "rn"), ("rn", "m"), ("w", "vv"), ("d", "cl"), ("e", "е")])


@st.composite
def _near(draw: st.DrawFn, words: Sequence[str]) -> str:
    """One of these words, or what looks or sounds like it."""
    word = draw(st.sampled_from(words))
    old, new = draw(_looks)
    changes: list[Callable[[str], str]] = [
        str,
        str.upper,
        str.title,
        lambda text: text.replace(old, new),
        lambda text: text.replace(old, new, 1),
        lambda text: f"{text}.",
        lambda text: f"-{text}",
        lambda text: f"{text[:1]}-{text[1:]}",
        lambda text: f"{text[:1]}--{text[1:]}",
        lambda text: f" {text}",
        lambda text: f"{text}\n",
        lambda text: f"xn--{text}",
        lambda text: f"{text}/",
        lambda text: f"{text}%2e",
    ]
    return draw(st.sampled_from(changes))(word)


_long = st.integers(38, 42).map(lambda length: ("long-" * 9)[: length - 1] + "x")
_digits = st.text(string.digits, min_size=1, max_size=5)
texts = st.one_of(
    _names,
    _near(_TAKEN),
    _near(sorted(RESERVED)),
    _long,
    _digits,
    st.text(_LETTERS + "-._", max_size=12),
    st.text(max_size=12),
)
domains = st.one_of(
    _near([_OTHERS, "shop.example.org", "acme.example.com", "example.com", "localhost", "xn--bcher-kva.example"]),
    st.sampled_from([_OTHERS, f"{_OTHERS}.", "www.acme.example.com", "bücher.example", "www.bücher.example"]),
    st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,2}\.?", fullmatch=True),
    st.text(string.ascii_letters + ".-:[]1", max_size=14),
)

# Those that are always among them: taken, left by a rename, retired, reserved, and what looks like each.
_TEXTS = ("acme", "acrne", "ACME", "hooli", "h00li", "initech", "lnitech", "1nitech", "www", "vvvvvv", "a" * 41, "7")
_DOMAINS = (_OTHERS, "TAKEN.example.org.", "acme.example.com", "bücher.example", "shop.example.org", "10.0.0.1")


def _all(some: Sequence[str]) -> Callable[[Any], Any]:
    """Have each of these among the examples."""
    return lambda tried: reduce(lambda made, one: example(one)(made), some, tried)


# One text at all doors.


@dataclass(slots=True)
class Verdicts:
    """How many texts were put to the doors, how they were judged, and how many addresses were asked in the end."""

    names: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    towns: int = 0
    tenants: int = 0
    addresses: int = 0

    def __str__(self) -> str:
        def told(counted: Counter[str]) -> str:
            return ", ".join(f"{number} {verdict}" for verdict, number in sorted(counted.items()))

        return (
            f"names: {told(self.names)}; domains: {told(self.domains)}; "
            f"{self.addresses} addresses of {self.tenants} tenants in {self.towns} towns"
        )


def prepare(root: Path) -> Path:
    """Make a stage on which names are taken, retired by a removal, and left by a rename."""
    root.mkdir()
    Instance(root / "instance").prepare()
    with stage.opened(root) as operations:
        for name in ("acme", "globex", "hooli", "initech", _RENAMED):
            operations.add(NewTenant(name, path=True, config=_OPEN))
        operations.rename("hooli", "apex")
        operations.remove("initech")
        operations.domain_add("apex", _OTHERS, trust=True)
    return root


class Doors:
    """The doors of one stage: a desk at which one rehearses, and one where it is done, and undone again."""

    def __init__(self, rehearsal: Operations, operations: Operations) -> None:
        self._rehearsal = rehearsal
        self._operations = operations

    def agree(self, text: str) -> str:
        """Put a name to every door and return the verdict: `accepted`, or the family of the error, with its words."""
        desk, plain, by_path = self._rehearsal, NewTenant(text, config=_OPEN), NewTenant(text, path=True, config=_OPEN)
        verdicts = {
            "add": _verdict(lambda: desk.add(plain)),
            "add --path": _verdict(lambda: desk.add(by_path)),
            "clone": _verdict(lambda: desk.clone("acme", Clone(text))),
            "clone --path": _verdict(lambda: desk.clone("acme", Clone(text, path=True))),
            "rename": _verdict(lambda: desk.rename(_RENAMED, text)),
            "really": _verdict(lambda: self._operations.add(by_path)),
        }
        if address.skeleton(text) == address.skeleton(_RENAMED):  # its own
            verdicts["rename"] = verdicts["add"]
        assert len(set(verdicts.values())) == 1, f"{text!r}: {verdicts}"
        try:
            _see_routed(self._operations, text, accepted=verdicts["add"] == _ACCEPTED)
        finally:
            if verdicts["add"] == _ACCEPTED:
                self._operations.remove(text)
                self._operations.purge(text)
        return verdicts["add"]

    def agree_on_domain(self, text: str) -> str:
        """Put a custom domain to every door, and each spelling of one that is accepted to another tenant."""
        desk, done = self._rehearsal, self._operations
        verdicts = {
            "add": _verdict(lambda: desk.add(NewTenant("fresh", domains=(text,), config=_OPEN, trust=True))),
            "domain add": _verdict(lambda: desk.domain_add("acme", text, trust=True)),
            "domain add --primary": _verdict(lambda: desk.domain_add("acme", text, primary=True, trust=True)),
            "really": _verdict(lambda: done.domain_add("acme", text, trust=True)),
        }
        assert len(set(verdicts.values())) == 1, f"{text!r}: {verdicts}"
        if verdicts["really"] == _ACCEPTED:
            canonical = address.domain(text)
            assert address.host(canonical) == canonical == done.domain_list("acme")[0].domain
            for same in (text, canonical, canonical.upper()):
                assert _verdict(partial(desk.domain_add, "globex", same)).startswith("Refused")
            done.domain_remove("acme", text)
        return verdicts["really"]


_ACCEPTED = "accepted"


def _verdict(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except TenantryError as error:
        return f"{type(error).__name__}: {error.says}"
    return _ACCEPTED


def _see_routed(operations: Operations, text: str, *, accepted: bool) -> None:
    """See that the dispatchers hand over exactly what is spelled as a name, and the desk has whom it accepted."""
    spelled = address.is_name(text)
    assert spelled or not accepted, f"{text!r} was accepted and is no name"
    by_host, by_path = _heard_by_host(f"{text}.{stage.DOMAIN}"), _heard_by_path(text)
    assert by_host <= {text.lower().removesuffix(".")}, f"{text!r} was heard as {by_host}"
    assert by_path <= {text.partition("/")[0]}, f"{text!r} was heard as {by_path} in a path"
    if spelled:
        assert by_host == by_path == {text}, f"{text!r} is a name and was heard as {by_host}, {by_path}"
        for same in (text.upper(), f"{text}.{stage.DOMAIN.upper()}:80".partition(".")[0]):
            assert _heard_by_host(f"{same}.{stage.DOMAIN}") == {text}
    elif by_host:
        assert text != text.lower().removesuffix("."), f"{text!r} is no name and was heard"
    if accepted:
        shown = operations.show(text)
        assert shown.urls == tuple(dict.fromkeys(shown.urls))
        assert [url for url in shown.urls if address.host(url.split("/")[2]) == f"{text}.{stage.DOMAIN}"]


def _heard_by_host(host: str) -> set[str]:
    """Return the names that a dispatcher on its own understands in a Host."""
    heard: set[str] = set()

    def create(name: str) -> Any:
        heard.add(name)
        return NotFound()

    with suppress(UnicodeError):
        ask(SubdomainDispatcher(stage.DOMAIN, create), host.encode().decode("latin-1"))
    return heard - {""}


def _heard_by_path(segment: str) -> set[str]:
    heard: set[str] = set()

    def create(name: str) -> Any:
        heard.add(name)

    with suppress(UnicodeError):
        ask(PathDispatcher(NotFound(), create), stage.DOMAIN, f"/{segment}/".encode().decode("latin-1"))
    return heard


# What operators do with names.

_numbers = st.integers(0, 3)
_few = st.one_of(st.sampled_from(["acme", "acrne", "alpha", "a1pha", "beta", "www", "gamma"]), _names)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _few, st.booleans()),
        st.tuples(st.just("clone"), _few, st.booleans()),
        st.tuples(st.just("rename"), _few, st.booleans()),
        st.tuples(st.just("rename at once"), _few, st.booleans()),
        st.tuples(st.just("remove"), _numbers, st.booleans()),
        st.tuples(st.just("undo"), _few, st.booleans()),
        st.tuples(st.just("purge"), _few, st.booleans()),
        st.tuples(
            st.just("domain"),
            st.sampled_from(["shop.example.org", "Shop.Example.Org.", "b.example.org"]),
            st.booleans(),
        ),
    ),
    min_size=2,
    max_size=9,
)
Action = tuple[str, Any, bool]


def settle(start: Path, root: Path, doings: Sequence[Action]) -> tuple[int, int]:
    """Do all that, see that no two tenants share an address, and count tenants and addresses."""
    stage.copy(start, root)
    try:
        with stage.opened(root) as operations:
            for number, doing in enumerate(doings):
                with suppress(TenantryError):
                    _do(operations, number, doing)
        assert not (found := flaws(root)), found
        assert not (found := unserial(root)), found
        return _see_reached(root)
    finally:
        shutil.rmtree(root)


def _do(operations: Operations, number: int, doing: Action) -> None:
    verb, text, flag = doing
    standing = [listed.tenant.name for listed in operations.list().tenants]
    some = standing[number % len(standing)] if standing else "acme"
    doable: dict[str, Callable[[], object]] = {
        "add": lambda: operations.add(NewTenant(text, path=not flag, config=_OPEN, override=flag)),
        "clone": lambda: operations.clone(some, Clone(text, override=flag)),
        "rename": lambda: operations.rename(some, text, override=flag),
        "rename at once": lambda: operations.rename(some, text, grace=_NOW, override=flag),
        "remove": lambda: operations.remove(some),
        "undo": lambda: operations.undo_remove(text),
        "purge": lambda: operations.purge(text),
        "domain": lambda: operations.domain_add(some, text, primary=flag, trust=True),
    }
    doable[verb]()


def _see_reached(root: Path) -> tuple[int, int]:
    """Ask the platform at every address; each tenant answers at its own, and the old and other ones lead there."""
    whose: dict[tuple[str, str], str] = {}
    with stage.book(root) as registry, open_platform(root, stage.settings(root)) as platform:
        tenants = [tenant for tenant in registry.list() if tenant.status is Status.ACTIVE]
        for tenant in tenants:
            for place in registry.places(tenant.uid):
                where = _canonical(place.address)
                assert where not in whose, f"{tenant.name} and {whose[where]} share {where}"
                whose[where] = tenant.name
                answer = ask(platform.application, where[0], where[1] + "/")
                kind, value = place.address.kind, place.address.value
                home = not place.until and tenant.home(kind, value) == value
                assert answer.code == (200 if home else 308), f"{where} of {tenant.name}: {answer.code}"
                body = answer.body
                assert not home or body == f"the guestbook of {tenant.name}", f"{where} is {body}"
    return len(tenants), len(whose)


def _canonical(where: Address) -> tuple[str, str]:
    if where.kind is Kind.PATH:
        return stage.DOMAIN, where.mount
    host = where.value if where.kind is Kind.DOMAIN else f"{where.value}.{stage.DOMAIN}"
    return address.host(host), ""


def run(folder: Path, examples: int) -> Verdicts:
    """Generate so many names and hosts, and a tenth as many towns; an AssertionError has the smallest that is wrong."""
    start, verdicts = prepare(folder / "start"), Verdicts()
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    effort = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks)

    @settings(effort, max_examples=max(examples // 10, 5))
    @given(actions)
    def towns(doings: list[Action]) -> None:
        tenants, addresses = settle(start, folder / "town", doings)
        verdicts.towns += 1
        verdicts.tenants += tenants
        verdicts.addresses += addresses

    towns()
    # What is removed and purged here is free again at once, so that each text finds the same stage.
    with stage.opened(start, dry_run=True) as rehearsal, stage.opened(start, retired_days=0.0) as operations:
        doors = Doors(rehearsal, operations)

        @_all(_TEXTS)
        @effort
        @given(texts)
        def names(text: str) -> None:
            verdicts.names[doors.agree(text).partition(":")[0]] += 1

        @_all(_DOMAINS)
        @effort
        @given(domains)
        def hosts(text: str) -> None:
            verdicts.domains[doors.agree_on_domain(text).partition(":")[0]] += 1

        names()
        hosts()
    return verdicts
