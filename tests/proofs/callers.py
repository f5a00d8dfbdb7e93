"""Callers of the aviaries, each of whom looks at every answer; some hang up, and some bring the cookies of others."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from io import BytesIO, StringIO
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from tests.proofs.marks import Bird, Door, Tally, spelled_cookies
from tests.proofs.wire import Ended, Garbled, Wire

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


class Reading(Enum):
    """How much of a body is taken before it is closed."""

    WHOLE = "whole"
    BEGUN = "begun"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Visit:
    """What is asked for, how it is to be answered, and which lines a whole page must have."""

    path: str
    status: int = 200
    needs: frozenset[str] = frozenset()
    reading: Reading = Reading.WHOLE
    raises: bool = False


def _visit(path: str, *needs: str, **more: Any) -> Visit:
    return Visit(path, needs=frozenset(needs), **more)


# Of a hundred: five raise, in each of the ways in which an application can, and five hang up.
_MIX: Sequence[tuple[int, Visit]] = (
    (42, _visit("/", "body", "context")),
    (12, _visit("/row", "body", "row")),
    (8, _visit("/file", "file")),
    (6, _visit("/log", "body")),
    (12, _visit("/config", "config", "key")),
    (10, _visit("/stream/8", "context", "body")),
    (3, _visit("/raise", "error page", status=500, raises=True)),
    (1, _visit("/burst", status=500, raises=True)),
    (1, _visit("/tear", raises=True)),
    (2, _visit("/stream/5000", reading=Reading.BEGUN)),
    (2, _visit("/stream/5000", reading=Reading.NOTHING)),
    (1, _visit("/file", reading=Reading.NOTHING)),
)
VISITS = [visit for times, visit in _MIX for _ in range(times)]
# What no page of the application is, though the platform may answer so to a crowd: starting, busy, no place.
_TURNED_AWAY = 503


class Guests:
    """Whom callers ask for: most of the time one of a few that change with time, now and then anybody."""

    def __init__(self, birds: Sequence[Bird], few: int, requests: int) -> None:
        self.birds = birds
        self.few = [birds[number * len(birds) // few] for number in range(few)]
        self._numbers = count()
        self._requests = requests

    def more(self) -> bool:
        """Tell whether there is another request to be made, and take it."""
        return next(self._numbers) < self._requests

    def choose(self, chance: Random) -> Bird:
        """Choose whom to ask."""
        return chance.choice(self.birds if chance.random() < 0.02 else self.few)


class Caller(threading.Thread):
    """A caller in this process, with a browser's cookies: asks one tenant after the other until it is enough."""

    def __init__(self, application: "WSGIApplication", guests: Guests, seed: int) -> None:
        super().__init__(name=f"caller {seed}", daemon=True)
        self.tally = Tally()
        self.error: BaseException | None = None
        self._application = application
        self._guests = guests
        self._chance = Random(seed)
        self._jar: dict[str, dict[str, str]] = {}

    def run(self) -> None:
        """Ask until it is enough."""
        try:
            while self._guests.more():
                bird = self._guests.choose(self._chance)
                self._visit(bird, self._chance.choice(bird.doors), self._chance.choice(VISITS))
        except BaseException as error:
            self.error = error

    def _visit(self, bird: Bird, door: Door, visit: Visit) -> None:
        status, headers, content = self._ask(door, visit, self._cookies(bird))
        page = content.decode("utf-8", "replace")
        tally = self.tally
        tally.statuses[status] += 1
        tally.raised += visit.raises
        tally.hung_up += visit.reading is not Reading.WHOLE
        tally.look_at_headers(bird, headers)
        if status == _TURNED_AWAY or visit.path == "/burst":
            if tally.look(bird, "error page", page):
                tally.fault(f"the platform's own page shows a canary: {page[:300]!r}")
        else:
            tally.read(bird, page)
            self._keep(bird, door, headers)
        if status not in {visit.status, _TURNED_AWAY}:
            tally.fault(f"{visit.path} of {bird.name} was answered with {status}: {page[:300]!r}")
        elif status == visit.status and visit.reading is Reading.WHOLE:
            missing = [need for need in visit.needs if f"{need}=" not in page]
            if missing:
                tally.fault(f"{visit.path} of {bird.name} lacks {missing}: {page[:300]!r}")

    def _cookies(self, bird: Bird) -> str:
        """Bring the tenant's cookies, nobody's, or now and then another's: under its name, and under this one's."""
        chance = self._chance.random()
        if chance < 0.1:
            return ""
        own = list(self._jar.get(bird.name, {}).items())
        if chance < 0.15 and self._jar:
            others = self._jar[self._chance.choice(list(self._jar))]
            replayed = [value for name, value in others.items() if name.startswith("session")]
            return spelled_cookies([*others.items(), *((f"session_{bird.uid}", value) for value in replayed)])
        return spelled_cookies(own)

    def _keep(self, bird: Bird, door: Door, headers: Iterable[tuple[str, str]]) -> None:
        """Keep what was set, after a look at where it would be sent."""
        for name, value in headers:
            if name.lower() != "set-cookie":
                continue
            pair, *attributes = (part.strip() for part in value.split(";"))
            key, _, content = pair.partition("=")
            paths = [part[5:] for part in attributes if part.lower().startswith("path=")]
            if any(part.lower().startswith("domain=") for part in attributes):
                self.tally.fault(f"a cookie of {bird.name} goes to other hosts: {value}")
            elif not paths or not f"{paths[-1].rstrip('/')}/".startswith(f"{door.mount}/"):
                self.tally.fault(f"a cookie of {bird.name} leaves {door.mount or 'its host'}: {value}")
            self._jar.setdefault(bird.name, {})[key] = content

    def _ask(self, door: Door, visit: Visit, cookies: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask as a server would, and close the body in any case."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            started.append((status, headers))
            return _write

        content: list[bytes] = []
        with closing(_Closed(self._application(_environ(door, visit.path, cookies), start_response))) as body:
            try:
                if visit.reading is Reading.WHOLE:
                    content.extend(body)
                elif visit.reading is Reading.BEGUN:
                    content.append(next(iter(body), b""))
            except RuntimeError as error:  # the application's own, as its server would see it
                content.append(str(error).encode())
        status, headers = started[-1]
        return int(status[:3]), headers, b"".join(content)


class SocketCaller(Caller):
    """The same from outside, on a connection that is kept until it is hung up; each byte that comes is looked at."""

    def __init__(self, port: int, guests: Guests, seed: int) -> None:
        super().__init__(_nobody, guests, seed)
        self._port = port
        self._wire: Wire | None = None

    def run(self) -> None:
        """Ask until it is enough, then close the connection."""
        super().run()
        self._hang_up()

    def _visit(self, bird: Bird, door: Door, visit: Visit) -> None:
        self.tally.sockets += 1
        try:
            super()._visit(bird, door, visit)
        except (Garbled, Ended) as error:
            self.tally.statuses[0] += 1
            self.tally.fault(f"{visit.path} of {bird.name} was answered with what is no answer: {error!r}")
        if self._wire is not None:
            self.tally.look(bird, "wire", self._wire.drain().decode("latin-1"))
            if not self._wire.stays or visit.reading is not Reading.WHOLE:
                self._hang_up()

    def _ask(self, door: Door, visit: Visit, cookies: str) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._wire is None:
            self._wire = Wire(self._port)
        self._wire.stays = False  # until an answer has come to its end
        self._wire.ask(door.mount + visit.path, {"Host": door.host, **({"Cookie": cookies} if cookies else {})})
        if visit.reading is Reading.NOTHING:
            return visit.status, [], b""
        status, headers = self._wire.head()
        return status, headers, self._wire.body(headers, first=visit.reading is Reading.BEGUN)

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.hang_up()
        self._wire = None


class _Closed:
    """A body that can always be closed."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close it if it has anything to close."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def _environ(door: Door, path: str, cookies: str) -> "WSGIEnvironment":
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": door.mount + path,
        "REQUEST_URI": door.mount + path,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "server.invalid",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": door.host,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if cookies:
        environ["HTTP_COOKIE"] = cookies
    return environ


def _write(_: bytes) -> object:
    raise AssertionError("nothing here uses the old write callable")


def _nobody(_: Any, __: Any) -> Iterable[bytes]:
    raise AssertionError("this caller asks on a socket")
