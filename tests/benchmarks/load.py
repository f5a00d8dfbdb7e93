"""Load on a server: wrk for rates and latencies, and clients that hang, wait or come all at once."""

import asyncio
import http.client
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import tools

_SCRIPT = Path(__file__).with_name("spread.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw of a server; latencies in milliseconds, `refused` the answers of status 400 and above."""

    requests: int
    seconds: float
    p50: float
    p99: float
    lost: int
    refused: int

    @property
    def rate(self) -> float:
        """Requests in a second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """How wrk asks: connections, threads, and hosts to spread over, %d being a host's number."""

    host: str
    hosts: int = 1
    path: str = "/"
    connections: int = 16
    threads: int = 2

    def on(self, port: int, seconds: int) -> Load:
        """Ask for so many seconds."""
        command = [str(wrk()), f"-t{self.threads}", f"-c{self.connections}", f"-d{seconds}s", "--timeout", "10s"]
        asked = ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}{self.path}", "--", self.path, self.host, str(self.hosts)]
        ran = subprocess.run([*command, *asked], capture_output=True, text=True, check=True, timeout=seconds + 30)
        seen = json.loads(ran.stdout.splitlines()[-1])
        return Load(
            requests=seen["requests"],
            seconds=seen["microseconds"] / 1e6,
            p50=seen["p50"] / 1e3,
            p99=seen["p99"] / 1e3,
            lost=seen["lost"],
            refused=seen["refused"],
        )


@cache
def wrk() -> Path:
    """Find wrk, once: the settings that name it are no settings of the platform."""
    return tools.WRK.path()


def get(port: int, host: str, path: str = "/", timeout: float = 30.0) -> int:
    """Ask once, on a connection of its own, and return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def warm(port: int, hosts: Sequence[str], clients: int = 4) -> None:
    """Ask each host until it answers 200, a few at a time; AssertionError for one that never does."""
    left = iter(hosts)
    lock = threading.Lock()
    cold: list[str] = []

    def work() -> None:
        while True:
            with lock:
                host = next(left, None)
            if host is None:
                return
            if not any(get(port, host) == 200 for _ in range(3)):
                cold.append(host)

    _all([work] * clients)
    assert not cold, f"{len(cold)} of {len(hosts)} never answered, {cold[0]} among them"


def at_once(port: int, host: str, count: int, timeout: float = 60.0) -> Counter[int]:
    """Connect so often, then ask on all connections at one moment; the statuses, 0 for what was never answered."""
    return asyncio.run(_at_once(port, host, count, timeout))


async def _at_once(port: int, host: str, count: int, timeout: float) -> Counter[int]:
    line = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    go = asyncio.Event()
    connected = asyncio.Semaphore(0)

    async def one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        connected.release()
        await go.wait()
        try:
            writer.write(line)
            answer = await asyncio.wait_for(reader.read(), timeout)
        except (OSError, TimeoutError):
            return 0
        finally:
            writer.close()
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0

    asking = [asyncio.create_task(one()) for _ in range(count)]
    for _ in range(count):
        await asyncio.wait_for(connected.acquire(), timeout)
    go.set()
    return Counter(await asyncio.gather(*asking))


@contextmanager
def crowd(ask: Callable[[], int], clients: int) -> Iterator[Counter[int]]:
    """Keep so many clients asking, each again as soon as it was answered; the statuses they have seen, 0 for none."""
    seen: Counter[int] = Counter()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                status = ask()
            except OSError:
                status = 0
            seen[status] += 1
            stop.wait(0 if status == 200 else 0.05)

    running = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
    for thread in running:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in running:
            thread.join(60)


def _all(works: Sequence[Callable[[], None]]) -> None:
    running = [threading.Thread(target=work) for work in works]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
