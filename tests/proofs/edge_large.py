"""A gigabyte up, a gigabyte down, a long stream and clients that hang up, through nginx: whole, or seen to be cut.

What was begun is counted by the application: whatever a client hangs up on is closed there, and an upload that does not
arrive whole is never begun. A body that fails on its way must not look whole to whoever takes it. All the while the
memory of the server, and that of nginx, are looked at: bodies go through them, and do not stay.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from time import monotonic

from tenantry.operations import NewTenant
from tests import edges
from tests.edges import DOMAIN, Edge
from tests.proofs import vast
from tests.proofs.vast import MIB

_PLAIN, _SENT = f"vast.{DOMAIN}", f"sent.{DOMAIN}"
_READ = 1 << 18
_LOOK = 0.02
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How large, in MiB, how many lines of a stream and the seconds between them, how many clients hang up a way."""

    size: int = 1024
    lines: int = 121
    pause: float = 0.5
    hang_ups: int = 20
    warm: int = 64


SMALL = Load(size=8, lines=3, pause=0, hang_ups=1, warm=8)


@dataclass(slots=True)
class Held:
    """What was whole, what was wrong, and by how many bytes the server and nginx grew at most."""

    whole: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    server: int = 0
    nginx: int = 0
    looks: int = 0

    def __str__(self) -> str:
        grown = f"the server grew by {self.server / MIB:.1f} MiB at most, nginx by {self.nginx / MIB:.1f} MiB"
        return f"{', '.join(self.whole)}; {grown}, in {self.looks:,} looks"

    def see(self, what: str, wrong: str) -> None:
        """Note how something ended."""
        if wrong:
            self.wrong.append(f"{what}: {wrong}")
        else:
            self.whole.append(what)


def settle(edge: Edge) -> None:
    """Add a tenant whose files the server sends, and one that leaves them to nginx where that may send them."""
    with edge.desk() as desk:
        for name, config in (("vast", {}), ("sent", {"SENDS": True})):
            desk.add(NewTenant(name=name, application=f"{vast.__name__}:create_app", config=config))


def run(edge: Edge, load: Load) -> Held:
    """Do everything once small, to have everything there that is needed, and then large under the eyes of a watch."""
    held = Held()
    digests = {number: vast.digest(number) for number in (load.warm, load.size)}
    _carry(edge, load.warm, digests[load.warm], Held())
    _hang_up(edge, 2, load.warm, Held())
    with _watched(edge, held):
        _carry(edge, load.size, digests[load.size], held)
        _stream(edge, load, held)
        _fail(edge, min(load.size, 16), held)
        _hang_up(edge, load.hang_ups, load.size, held)
    return held


def full(folder: Path, load: Load) -> Held:
    """Do it behind an nginx that sends files itself where it may, and that spools what is sent to it."""
    with edges.edged(folder, edge_files="on", max_body=2 * load.size * MIB) as edge:
        settle(edge)
        return run(edge, load)


# Whole


def _carry(edge: Edge, size: int, digest: str, held: Held) -> None:
    """Send so many MiB, and fetch them: from a file of the server, from one that nginx may send, made on the way."""
    length = {"Content-Length": str(size * MIB)}
    answer = edge.post(_PLAIN, "/take", vast.pieces(size), headers=length)
    held.see(f"{size} MiB up", "" if answer.body == digest.encode() else f"{answer.status}: {answer.body[:200]!r}")
    answer = edge.post(_PLAIN, "/take", vast.pieces(size))
    held.see(f"{size} MiB up in chunks", "" if answer.body == digest.encode() else f"{answer.status}")
    for host, path in ((_PLAIN, "file"), (_SENT, "file"), (_PLAIN, "made")):
        with _asked(edge, host, f"/{path}/{size}") as response:
            made = hashlib.sha256()
            while read := response.read(_READ):
                made.update(read)
        said = "" if made.hexdigest() == digest else "another"
        if host == _SENT and edge.settings.edge_files == "on":
            said = said or _sent_by_nginx(edge, f"/{path}/{size}")
        held.see(f"{size} MiB down ({host.partition('.')[0]}, {path})", said)


def _sent_by_nginx(edge: Edge, target: str) -> str:
    """Say what is wrong unless nginx was the one who sent what was last asked for by a target."""
    _until(lambda: any(line["target"] == target and line["host"] == _SENT for line in edge.nginx.seen()))
    paths = [line["uri"] for line in edge.nginx.seen() if line["target"] == target and line["host"] == _SENT]
    return "" if paths and paths[-1].startswith("/-/files/") else f"nginx did not send it: {paths}"


def _stream(edge: Edge, load: Load, held: Held) -> None:
    """Take a stream line by line, each of which is sent only when the one before it has arrived."""
    begin, said = monotonic(), ""
    with _asked(edge, _PLAIN, f"/stream/{load.lines}/slow") as response:
        for number in range(load.lines):
            got = response.readline()
            if got != vast.line(number):
                said = f"{got!r} in place of line {number}"
                break
            if number < load.lines - 1:
                threading.Event().wait(load.pause)
                edge.get(_PLAIN, "/on/slow")
        said = said or ("more than it should be" if response.read() else "")
    held.see(f"a stream of {monotonic() - begin:.0f} s", said)


# Cut


def _fail(edge: Edge, size: int, held: Held) -> None:
    """Fetch what fails on its way: whoever takes it must see that it is not whole."""
    for length in ("", "?length"):
        said = "it looked whole"
        try:
            with _asked(edge, _PLAIN, f"/broken/{size}{length}") as response:
                while response.read(_READ):
                    pass
                if length and response.length:  # what http.client leaves to whoever reads piece by piece
                    said = ""
        except (OSError, HTTPException):
            said = ""
        held.see(f"a body that fails, {'by its length' if length else 'in chunks'}, cut", said)


def _hang_up(edge: Edge, clients: int, size: int, held: Held) -> None:
    """Hang up on uploads, downloads and streams that have begun; what was begun comes to its end, and nothing stays."""
    before = _told(edge)
    wanted = before.get("begun", 0)
    for number in range(clients):
        _leave_upload(edge, size)
        for path in (f"/made/{size}", f"/file/{size}", f"/stream/{size}/left-{number}"):
            with _asked(edge, _PLAIN, path) as response:
                assert response.read(2)
        wanted += 2
        _let_go(edge, f"/on/left-{number}", wanted)
    told = _told(edge)
    _until(lambda: not _open(edge))
    said = "" if told["begun"] == wanted == told["closed"] else f"{told} and not {wanted} begun and closed"
    held.see(f"{3 * clients} downloads hung up on and closed", said or ", ".join(_open(edge)))
    said = "" if told.get("taken", 0) == before.get("taken", 0) else "an upload that was cut was taken"
    left = [path for path in (edge.nginx.folder / "client_body").rglob("*") if path.is_file()]
    held.see(f"{clients} uploads hung up on and never begun", said or (f"left behind: {left}" if left else ""))


def _let_go(edge: Edge, on: str, wanted: int) -> None:
    """Wait until so many bodies are closed; a stream is found to have lost its client when it goes on."""

    def closed() -> bool:
        edge.get(_PLAIN, on)
        return _told(edge).get("closed", 0) >= wanted

    _until(closed)


def _leave_upload(edge: Edge, size: int) -> None:
    line = edge.client(_PLAIN)
    with closing(line):
        head = f"POST /take HTTP/1.1\r\nHost: {_PLAIN}\r\nContent-Length: {size * MIB}\r\n\r\n"
        line.send(head.encode() + vast.piece(0)[:_READ])


def _open(edge: Edge) -> list[str]:
    """List what the servers hold open of the files that are asked for, and of what is kept for slow clients."""
    links = [path for one in edge.servers for path in Path(f"/proc/{one.pid}/fd").glob("*")]
    named = []
    for link in links:
        with suppress(OSError):
            named.append(str(link.readlink()))
    return [name for name in named if "/vast-" in name or name.endswith("(deleted)")]


def _told(edge: Edge) -> dict[str, int]:
    told: dict[str, int] = json.loads(edge.get(_PLAIN, "/told").body)
    return told


@contextmanager
def _asked(edge: Edge, host: str, path: str) -> Iterator[HTTPResponse]:
    """Ask, and hang up at the end, whatever is left to be read then."""
    connection = HTTPConnection(host, edge.port)
    connection.sock = edge.connect(host)
    with closing(connection):
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        with closing(response):
            assert response.status == 200, f"{path}: {response.status} {response.read()[:200]!r}"
            yield response


def _until(condition: Callable[[], bool]) -> None:
    end = monotonic() + _PATIENCE
    while not condition() and monotonic() < end:
        threading.Event().wait(_LOOK)


# Memory


@contextmanager
def _watched(edge: Edge, held: Held) -> Iterator[None]:
    """Look at the memory of the servers and of nginx's workers all the time, and note by how much they grew at most."""
    groups = ([one.pid for one in edge.servers], edge.nginx.workers())
    before = [resident(group) for group in groups]
    most = [*before]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(_LOOK):
            held.looks += 1
            most[:] = [max(old, resident(group)) for old, group in zip(most, groups, strict=True)]

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()
    held.server, held.nginx = (now - then for now, then in zip(most, before, strict=True))


def resident(pids: Sequence[int]) -> int:
    """Return the bytes of memory that processes hold together; 0 where the system does not tell."""
    return sum(1024 * int(value) for pid in pids for name, value in edges.status(pid) if name == "VmRSS")
