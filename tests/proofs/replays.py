"""Session and remember-me cookies of each tenant shown at every other one, key files distinct and forced equal.

Each cookie is shown under the name that it was given, and under the name of whoever it is shown to; every other tenant
is asked below its path, where browsers really send a neighbour's cookies.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tenantry.assembly.desk import open_operations
from tenantry.assembly.platform import open_platform
from tenantry.operations import NewTenant
from tenantry.placement import Instance
from tests.proofs.marks import Door, spelled_cookies
from tests.proofs.shared import Share
from tests.wsgi import Application, call, environ

CLUB = "tests.proofs.members:create_app"
DOMAIN = "clubs.example"
_STRANGER = "nobody, nothing"
_KINDS = ("session", "remember")
_PROCESSES = 2

Cookie = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Club:
    """One tenant: its uid, and where it is asked."""

    name: str
    uid: str
    door: Door


@dataclass(slots=True)
class Replayed:
    """How many pairs were tried, which cookies were accepted by whom, and which were refused where they came from."""

    pairs: int = 0
    replays: int = 0
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, other: "Replayed") -> None:
        """Take in what another process has tried."""
        self.pairs += other.pairs
        self.replays += other.replays
        self.accepted += other.accepted
        self.refused += other.refused

    def __str__(self) -> str:
        return f"{self.replays:,} replays of {self.pairs:,} ordered pairs, {len(self.accepted):,} accepted"


def run(folder: Path, tenants: int, *, equal_keys: bool, careless: bool = False) -> Replayed:
    """Let a member into each tenant and show the cookies to all others; `careless` makes the application at fault."""
    clubs = _settle(folder, tenants, careless)
    if equal_keys:
        _force_equal(folder, clubs)
    replayed = Replayed()
    with open_platform(folder, _settings(folder, tenants)) as platform:
        cookies = [_come_in(platform.application, club) for club in clubs]
    for share in [Share(partial(_replay, folder, clubs, cookies, number)) for number in range(_PROCESSES)]:
        replayed.add(share.result())
    return replayed


def _settings(folder: Path, tenants: int) -> dict[str, object]:
    return {
        "instance": folder / "instance",
        "domain": DOMAIN,
        "application": CLUB,
        "capacity": tenants,
        "log_level": "critical",
    }


def _settle(folder: Path, tenants: int, careless: bool) -> list[Club]:
    clubs = []
    Instance(folder / "instance").prepare()
    with open_operations(folder, _settings(folder, tenants)) as operations:
        for number in range(tenants):
            name, by_path = f"club-{number:03}", number % 2 == 0
            config = {"CARELESS": careless}
            uid = operations.add(NewTenant(name, path=by_path, config=config)).tenant.uid
            clubs.append(Club(name, uid, Door(DOMAIN, f"/t/{name}") if by_path else Door(f"{name}.{DOMAIN}")))
    return clubs


def _force_equal(folder: Path, clubs: Sequence[Club]) -> None:
    """Copy the first tenant's key file over all others', as a careless restore might."""
    instance = Instance(folder / "instance")
    first, *others = (instance.placement(club.uid).key for club in clubs)
    for key in others:
        shutil.copyfile(first, key)
    assert len({instance.placement(club.uid).key.read_bytes() for club in clubs}) == 1


def _come_in(application: Application, club: Club) -> dict[str, str]:
    """Come in at one tenant and return the value of each cookie that it gives."""
    given: list[tuple[str, str]] = []

    def start_response(_: str, headers: list[tuple[str, str]], __: object = None) -> None:
        given.extend(headers)

    asked = environ(club.door.host, f"{club.door.mount}/come-in", REQUEST_METHOD="POST")
    body = application(asked, start_response)
    try:
        page = b"".join(body)
    finally:
        getattr(body, "close", tuple)()
    assert page == b"welcome", page.decode()
    pairs = [value.partition(";")[0].partition("=") for name, value in given if name == "Set-Cookie"]
    cookies = {kind: value for name, _, value in pairs for kind in _KINDS if name == f"{kind}_{club.uid}"}
    assert cookies.keys() == set(_KINDS), f"{club.name} gives {given}"
    return cookies


def _replay(folder: Path, clubs: Sequence[Club], cookies: Sequence[dict[str, str]], number: int) -> Replayed:
    """Show all cookies to the clubs of one share, each club's own as a control."""
    replayed = Replayed()
    with open_platform(folder, _settings(folder, len(clubs))) as platform:
        for club in clubs[number::_PROCESSES]:
            for other, theirs in zip(clubs, cookies, strict=True):
                replayed.pairs += other is not club
                for kind in _KINDS:
                    seen = _show(platform.application, club, other, (kind, theirs[kind]))
                    if other is club:
                        replayed.refused += [f"{kind} of {club.name}: {seen}"] if seen == _STRANGER else []
                        continue
                    replayed.replays += 1
                    if seen != _STRANGER:
                        replayed.accepted.append(f"{kind} of {other.name} at {club.name}: {seen}")
    return replayed


def _show(application: Application, club: Club, other: Club, cookie: Cookie) -> str:
    """Show a cookie of another club, under both names, and return who the club says is there."""
    kind, value = cookie
    names = dict.fromkeys((f"{kind}_{other.uid}", f"{kind}_{club.uid}"))
    header = spelled_cookies([(name, value) for name in names])
    answer = call(application, club.door.host, f"{club.door.mount}/who", HTTP_COOKIE=header)
    assert answer.status == 200, f"{club.name} answers {answer.status}: {answer.text}"
    return answer.text
