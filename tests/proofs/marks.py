"""What tells one tenant from another wherever it is seen, and the tally of what was seen where."""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from itsdangerous.encoding import base64_decode

from tests.proofs.aviary import MEDIA

CANARY = re.compile(r"canary-[0-9a-f]{32}", re.ASCII)
NAME = re.compile(r"bird-[0-9]{4}", re.ASCII)
_LINE = re.compile(r"^([a-z ]+)=(.*)$", re.MULTILINE)
_TOLD = 20  # of what is wrong, the first few are as good as all


@dataclass(frozen=True, slots=True)
class Door:
    """One address of a tenant: a host, and the prefix of a path tenant."""

    host: str
    mount: str = ""


@dataclass(frozen=True, slots=True)
class Bird:
    """One tenant, the canary that nobody else has, and where it is asked for."""

    name: str
    uid: str
    canary: str
    doors: tuple[Door, ...]


class Flock:
    """All tenants, by whatever tells one of them."""

    def __init__(self, birds: Iterable[Bird]) -> None:
        self.birds = list(birds)
        self._whose = {mark: bird for bird in self.birds for mark in (bird.canary, bird.name, bird.uid)}
        self._uids = frozenset(bird.uid for bird in self.birds)

    def named_in(self, text: str) -> set[Bird]:
        """Tell of which tenants a text tells, by canary, name or uid."""
        marks = {*CANARY.findall(text), *NAME.findall(text)}
        marks |= {word for word in re.findall(r"[a-z2-7]{12}", text) if word in self._uids}
        # A canary that nobody was given would be a fault of this proof: better loud than unseen.
        return {self._whose[mark] for mark in marks}


@dataclass(slots=True)
class Tally:
    """What was seen: own canaries by medium, foreign ones and whatever else is wrong with how it came about."""

    seen: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    raised: int = 0
    hung_up: int = 0
    sockets: int = 0
    builds: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """Count the requests that were answered, by the application or by the platform."""
        return sum(self.statuses.values())

    @property
    def unseen(self) -> list[str]:
        """Name the media in which no canary was seen at all, where none foreign could have been found either."""
        return [medium for medium in MEDIA if not self.seen[medium]]

    def look(self, bird: Bird, medium: str, text: str) -> int:
        """Look at what belongs to one tenant; count its own canaries and return how many there are."""
        found = CANARY.findall(text)
        own = found.count(bird.canary)
        if own < len(found):
            self.foreign[medium] += len(found) - own
            if len(self.told) < _TOLD:
                strange = next(mark for mark in found if mark != bird.canary)
                self.told.append(f"{medium} of {bird.name} shows {strange}: {text[:300]!r}")
        return own

    def read(self, bird: Bird, page: str) -> None:
        """Look at a page of the application, each line of which names the medium that it shows."""
        read = 0
        for medium, value in _LINE.findall(page):
            own = self.look(bird, "context" if medium == "before" else medium, value)
            read += own
            self.seen[medium] += own
            if medium == "before" and value:
                self.fault(f"{bird.name} was called in a context in which somebody had been: {value}")
            elif medium == "key" and self.keys.setdefault(bird.name, value) != value:
                self.fault(f"the key of {bird.name} has changed")
            elif medium == "uid" and value != bird.uid:
                self.fault(f"{bird.name} is taken for {value}")
        if read < len(CANARY.findall(page)):
            self.look(bird, "body", _LINE.sub("", page))

    def look_at_headers(self, bird: Bird, headers: Iterable[tuple[str, str]]) -> None:
        """Look at an answer's headers, its cookies unfolded."""
        for name, value in headers:
            if name.lower() == "set-cookie":
                self.seen["cookie"] += self.look(bird, "cookie", unfolded(value))
            elif own := self.look(bird, "header", value):
                self.seen["header"] += own

    def fault(self, says: str) -> None:
        """Note what is wrong."""
        if len(self.wrong) < _TOLD:
            self.wrong.append(says)

    def add(self, other: "Tally") -> None:
        """Take in what another one has seen."""
        for mine, others in ((self.seen, other.seen), (self.foreign, other.foreign)):
            mine.update(others)
        self.statuses.update(other.statuses)
        self.told += other.told
        self.wrong += other.wrong
        self.raised += other.raised
        self.hung_up += other.hung_up
        self.sockets += other.sockets
        self.builds += other.builds
        for name, key in other.keys.items():
            if self.keys.setdefault(name, key) != key:
                self.fault(f"the key of {name} has changed")

    def __str__(self) -> str:
        def spelled(counted: Counter[str]) -> str:
            return ", ".join(f"{number:,} {medium}" for medium, number in sorted(counted.items()) if number)

        statuses = ", ".join(f"{number:,} of {status}" for status, number in sorted(self.statuses.items()))
        return (
            f"{self.requests:,} requests in {self.seconds:.0f} s, {self.sockets:,} of them on sockets: {statuses}; "
            f"{self.raised:,} exceptions, {self.hung_up:,} hang-ups, {self.builds:,} builds; "
            f"own canaries: {spelled(self.seen)}; foreign: {spelled(self.foreign) or 'none'}"
        )


def unfolded(cookie: str) -> str:
    """Spell a Set-Cookie with what a signed session holds in the clear."""
    value = cookie.partition("=")[2].partition(";")[0].strip('"')
    packed = value.startswith(".")
    try:
        content = base64_decode(value.lstrip(".").partition(".")[0])
        return f"{cookie} {(zlib.decompress(content) if packed else content).decode()}"
    except (ValueError, zlib.error):
        return cookie


def spelled_cookies(values: Sequence[tuple[str, str]]) -> str:
    """Spell a Cookie header."""
    return "; ".join(f"{name}={value}" for name, value in values)
