"""Requests as strangers may spell them, most of them near the border between one tenant and another.

Hosts in other letters, with dots, ports and odd bytes; paths encoded once, twice and wrongly, with doubled slashes,
dots that lead elsewhere, separators that are none; targets that name a host themselves; headers that name a third.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.proofs import hosts

NUMBER = "X-Number"


@dataclass(frozen=True, slots=True)
class Town:
    """What there is to ask for: hosts that lead somewhere, the base domain, and names below its `/t/`."""

    domain: str
    hosts: Sequence[str]
    names: Sequence[str]


def requests(town: Town, seed: int, number: int) -> Iterator[tuple[str, bytes]]:
    """Spell so many requests, each behind the host it is about, the same for the same seed; its number is a header."""
    asking = _Asking(town, Random(seed))
    for count in range(number):
        yield asking.request(count)


class _Asking:
    def __init__(self, town: Town, chance: Random) -> None:
        self._town = town
        self._chance = chance

    def request(self, number: int) -> tuple[str, bytes]:
        chance = self._chance
        host = self._host()
        target = self._path(host == self._town.domain)
        for change in chance.choices(_CHANGES, k=chance.choice((0, 0, 1, 1, 1, 2, 3))):
            target = change(target, chance, self._other())
        if chance.random() < 0.1:
            target = self._absolute(target)
        spelled = host if chance.random() < 0.5 else hosts.spellings(host, chance.getrandbits(32), 2)[1]
        method, version = chance.choices(("GET", "POST"), (9, 1))[0], chance.choices(("1.1", "1.0"), (19, 1))[0]
        lines = [f"{method} {_one_line(target)} HTTP/{version}", f"Host: {_one_line(spelled)}", f"{NUMBER}: {number}"]
        if method == "POST":
            lines.append("Content-Length: 0")
        if version == "1.0":
            lines.append("Connection: keep-alive")
        if chance.random() < 0.1:
            lines.insert(chance.randrange(1, len(lines)), self._claim())
        return host, ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def _host(self) -> str:
        chance = self._chance
        if chance.random() < 0.4:
            return self._town.domain
        if chance.random() < 0.8:
            return chance.choice(self._town.hosts)
        name = chance.choice(self._town.names)
        odd = (f"a.{name}.{self._town.domain}", f"{name}{self._town.domain}", f"{name}.{self._town.domain}.example")
        return chance.choice((*odd, f"nobody.{self._town.domain}", "127.0.0.1", "localhost", "[::1]", ""))

    def _path(self, base: bool) -> str:
        chance = self._chance
        rest = chance.choice(("", "/", "/", "/entries/7", "/entries?page=2", "/a/b/c/", "/t/acme/", "/%C3%A9?x=%2F"))
        if chance.random() < (0.85 if base else 0.2):
            return f"/t/{self._other()}{rest}"
        return chance.choice(
            (rest or "/", rest or "/", "/t", "/t/", "/-/healthz", "/-/files/x/y", f"/{self._other()}/")
        )

    def _other(self) -> str:
        return self._chance.choice(self._town.names)

    def _absolute(self, target: str) -> str:
        chance = self._chance
        host = self._host()
        scheme = chance.choice(
            ("http://", "https://", "HTTP://", "//", "http:/", "http:///", f"http://{self._host()}@")
        )
        return f"{scheme}{host}{chance.choice(('', '', ':80', '.'))}{target}"

    def _claim(self) -> str:
        """Name another host where only a proxy may, or a second time."""
        names = ("Host", "X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server")
        paths = ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Script-Name")
        chance = self._chance
        if chance.random() < 0.5:
            return f"{chance.choice(names)}: {chance.choice(self._town.hosts)}"
        return f"{chance.choice(paths)}: /t/{self._other()}/"


Change = Callable[[str, Random, str], str]

_LEADING = (
    *("/../{}/", "/../{}", "/./", "/.", "/..", "//", "///", "/%2e%2e/{}/", "/.%2e/{}/", "/%2E./{}/x", "/..%2f{}%2f"),
    *("%2f..%2f{}%2f", "%2F", "%5c", "\\", "\\..\\{}\\", "/..;/{}/", ";x=1", ";/../{}/", "%3b/", "/%2e/", "%252f"),
    *("/%252e%252e/{}/", "%252e%252e%252f{}", "/t/{}/", "/../t/{}/", "/../../t/{}/", "/../../../{}/", "/%2e%2e%2f"),
)
_ODD = (
    *("%00", "%0a", "%0d%0a", "%0d%0aHost:%20{}", "%20", " ", "+", "\t", "%09", "%7f", "\x7f", "?", "%3f", "#", "%23"),
    *("%c0%af", "%c0%ae%c0%ae/", "%e3%80%82", "\udcff", "\u00e9", "%", "%2", "%zz", "%u002f", "&", "=", ":", "@", "*"),
    *(
        "%3f/../{}",
        "?/../{}/",
        "#/../{}/",
        "%23/../{}",
        ".",
        "..",
        "~",
        "|",
        "<",
        '"',
        "'",
        "`",
        "{{}}",
        "$host",
        "%25",
    ),
)


def _inserted(words: Sequence[str]) -> Change:
    def change(text: str, chance: Random, other: str) -> str:
        at = chance.randrange(1, len(text) + 1)
        return text[:at] + chance.choice(words).format(other) + text[at:]

    return change


def _at_a_border(text: str, chance: Random, other: str) -> str:
    """Insert where a segment ends."""
    ends = [at for at, one in enumerate(text) if one == "/" and at] + [len(text)]
    at = chance.choice(ends)
    return text[:at] + chance.choice(_LEADING).format(other) + text[at:].removeprefix("/")


def _encoded(text: str, chance: Random, _: str) -> str:
    at = chance.randrange(len(text))
    if ord(text[at]) > 127:
        return text
    spelled = f"%{ord(text[at]):{chance.choice('xX')}}" if ord(text[at]) > 15 else text[at]
    return text[:at] + spelled.replace("%", chance.choice(("%", "%", "%", "%25"))) + text[at + 1 :]


def _cased(text: str, chance: Random, _: str) -> str:
    return "".join(chance.choice((one.upper(), one.lower())) for one in text)


def _dropped(text: str, chance: Random, _: str) -> str:
    at = chance.randrange(1, len(text) + 1)
    return text[:at] + text[at + 1 :]


def _led_in(text: str, chance: Random, other: str) -> str:
    """Begin with what is gone once dots and slashes are resolved."""
    return (
        chance.choice(("/", "/.", "/x/..", "/t/..", f"/t/{other}/../..", "/%2e", "/t/%2e%2e", "/x%2f..", "//")) + text
    )


_CHANGES: Sequence[Change] = (
    *(_at_a_border, _at_a_border, _inserted(_LEADING), _inserted(_ODD)),
    *(_encoded, _encoded, _encoded, _cased, _dropped, _led_in),
)


def _one_line(text: str) -> str:
    """Keep a header from becoming two, which anybody may send."""
    return text.replace("\r", "").replace("\n", "")
