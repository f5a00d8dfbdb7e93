"""More tenants are visited than a process may have files open: a real server, real databases, and a crowd that stays.

The server is allowed few descriptors by the system itself, so that it can only keep to them or fail.
"""

import http.client
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.children import environment
from tests.proofs import diary
from tests.tools import free_port
from tests.wsgi import wait_until

# The soft limit is below the hard one, which the server raises it to.
_LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_NOFILE, (n * 3 // 4, n));"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
# How a lack of descriptors is worded, by the system, by Python and by SQLite.
_WORDS = ("Too many open files", "Errno 23", "Errno 24", "EMFILE", "unable to open database file", "cannot be opened")
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """How many tenants there are and how often each is visited, by how many clients at a time; who else is there."""

    tenants: int
    limit: int
    visits: int = 2
    clients: int = 16
    idle: int = 0


@dataclass(slots=True)
class Visited:
    """What came of it: answers by status, wrong ones, lines of the log that tell of a lack, the most ever open."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    most: int = 0
    hung_up: int = 0
    code: int | None = None

    def __str__(self) -> str:
        answers = ", ".join(f"{count} {status}" for status, count in self.answers.most_common())
        return f"{answers}; at most {self.most} open files; exit code {self.code}; {'; '.join(self.said)}"


class Server:
    """`tenantry serve` in a process that may open few files."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.port = free_port()
        self.log = folder / "server.log"
        words = ["-c", _LIMITED, str(limit), "-m", "tenantry", "--root", str(folder)]
        given = environment({"instance": folder / "instance", "domain": diary.DOMAIN, "keep_alive": 600})
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words, "serve", "--port", str(self.port), "--no-demo"],
                cwd=folder,
                env=given,
                stdout=log,
                stderr=log,
            )

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with suppress(OSError), closing(self.connect()) as connection:
            return ask(connection, diary.DOMAIN)[0] == 200
        return False

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)

    def open_files(self) -> int:
        with suppress(OSError):
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - a count of names
        return 0

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)


def ask(connection: http.client.HTTPConnection, host: str) -> tuple[int, str]:
    """Ask a host for its page."""
    connection.request("GET", "/", headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@contextmanager
def running(folder: Path, limit: int) -> Iterator[Server]:
    """Serve for the time of a `with`."""
    server = Server(folder, limit)
    try:
        wait_until(server.answers, seconds=_PATIENCE)
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


def run(folder: Path, crowd: Crowd) -> Visited:
    """Make the tenants, visit each of them several times, in no order, and look at what the server says in the end."""
    names = diary.fill(folder, crowd.tenants)
    seen = Visited()
    with running(folder, crowd.limit) as server:
        with ExitStack() as others, watching(server, seen):
            idlers = [others.enter_context(closing(server.connect())) for _ in range(crowd.idle)]
            for idler in idlers:
                ask(idler, diary.DOMAIN)
            _visit(server, crowd, names, seen)
            for idler in idlers:
                with suppress(OSError, http.client.HTTPException):
                    seen.hung_up -= ask(idler, diary.DOMAIN)[0] == 200
            seen.hung_up += len(idlers)
        seen.code = server.stop()
    lines = server.log.read_text(errors="replace").splitlines()
    seen.lacks = [line for line in lines if any(word in line for word in _WORDS)]
    telling = [line for line in lines if "open files" in line or "fit the" in line]
    seen.said = [line.partition('"message": "')[2].rstrip('"}') for line in telling]
    return seen


@contextmanager
def watching(server: Server, seen: Visited) -> Iterator[None]:
    """Count the server's descriptors all the time."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            seen.most = max(seen.most, server.open_files())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _visit(server: Server, crowd: Crowd, names: Sequence[str], seen: Visited) -> None:
    """Visit everybody once in order, so that each is cold, and then again in none."""
    chance = random.Random(crowd.tenants)
    for turn in range(crowd.visits):
        order = list(names) if turn == 0 else chance.sample(names, len(names))
        shares = [order[start :: crowd.clients] for start in range(crowd.clients)]
        threads = [threading.Thread(target=_client, args=(server, share, turn, seen)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _client(server: Server, names: Sequence[str], turn: int, seen: Visited) -> None:
    with closing(server.connect()) as connection:
        for name in names:
            try:
                status, page = ask(connection, diary.host(name))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                status, page = 0, f"{type(error).__name__}: {error}"
            seen.answers[str(status or "cut")] += 1
            if status == 200 and page != f"{name} {turn + 1}":
                seen.wrong.append(f"{name} answers {page!r} on visit {turn + 1}")
            elif status not in {200, 503}:
                seen.wrong.append(f"{name}: {status} {page[:200]}")
