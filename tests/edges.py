"""A real nginx in front of a real `tenantry serve` on a unix socket, with a certificate authority of its own.

What nginx is told is what `tenantry.edge` renders; around it stands only what somebody else's nginx.conf would say.
"""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tenantry import edge as room
from tenantry import settings
from tenantry.assembly.desk import open_operations
from tenantry.operations import Operations
from tests import tools
from tests.benchmarks import children
from tests.nginxes import Authority, Nginx, awaited, complaints, ended, newest, nginx, outer, status, system
from tests.servers import Client

__all__ = [
    "DOMAIN",
    "LOCAL",
    "Answer",
    "Authority",
    "Edge",
    "Line",
    "Nginx",
    "Server",
    "complaints",
    "edged",
    "newest",
    "nginx",
    "outer",
    "status",
    "system",
]

DOMAIN = "sites.example.com"
LOCAL = "127.0.0.1"
_STOPPED = 60.0

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a visitor got."""

    status: int
    headers: HTTPMessage
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers.get(name, "")


class Line(Client):
    """A raw connection that is open already, by TLS or not."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def head(self) -> tuple[int, dict[str, str]]:
        """Read a head, whose bytes may be any: nginx says again what it was asked for."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:])


class Server:
    """A `tenantry serve` in a process of its own, on a unix socket."""

    def __init__(self, root: Path, socket_path: Path, number: int) -> None:
        self._path = socket_path
        self.log = root / f"serve-{number}.log"
        env = children.environment({"host": f"unix:{socket_path}"})
        command = [sys.executable, "-m", "tenantry", "--root", str(root), "serve", "--no-demo"]
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(command, cwd=root, env=env, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """That of its process."""
        return self._child.pid

    def pause(self) -> None:
        """Let it stand still."""
        self._child.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._child.send_signal(signal.SIGCONT)

    def processor_time(self) -> float:
        """Return the seconds of processor time it has used so far."""
        return children.processor_time(self._child.pid)

    def await_start(self) -> None:
        """Return once it accepts connections; AssertionError with its log if that takes too long."""
        awaited(lambda: self._child.poll() is not None or _listens(self._path), self._tell)
        assert self._child.poll() is None, self._tell()

    def stop(self) -> None:
        """End it as an operator would."""
        self.go_on()
        ended(self._child)

    def _tell(self) -> str:
        return f"a server: {self.log.read_text(errors='replace')[-2000:]}"


class Edge:
    """nginx in front of `tenantry serve`; visitors connect to `port`, by https unless its scheme is http.

    The settings are in `.env` of `root`, so that every command there knows them.
    """

    def __init__(self, root: Path, known: settings.Settings, ca: Authority, servers: list[Server]) -> None:
        self.root = root
        self.settings = known
        self.ca = ca
        self.servers = servers
        self.port = known.public_port
        self.http_port = known.edge_http_port if known.scheme == "https" else known.public_port
        self.nginx: Nginx

    @property
    def log(self) -> str:
        """What nginx and the servers have said."""
        return self.nginx.log + "".join(one.log.read_text(errors="replace") for one in self.servers)

    @contextmanager
    def desk(self) -> Iterator[Operations]:
        """Open the operator's desk."""
        with open_operations(self.root) as operations:
            yield operations

    def render(self, domains: Iterable[str] = ()) -> str:
        """Render what nginx is to be told."""
        return room.nginx(self.settings, domains).text

    def reload(self, text: str | None = None) -> None:
        """Have nginx read its configuration again, a new one if one is given."""
        self.nginx.reload(text)

    def connect(self, host: str, *, plain: bool = False) -> socket.socket:
        """Open a connection as one who visits a host; `plain` is to the port that knows no TLS."""
        plain = plain or self.settings.scheme == "http"
        sock = socket.create_connection((LOCAL, self.http_port if plain else self.port), timeout=_STOPPED)
        if plain:
            return sock
        try:
            return self.ca.trust.wrap_socket(sock, server_hostname=host)
        except OSError:
            sock.close()
            raise

    def client(self, host: str, *, plain: bool = False) -> Line:
        """Open a connection on which to say what one likes."""
        return Line(self.connect(host, plain=plain))

    def get(
        self, host: str, path: str = "/", *, plain: bool = False, method: str = "GET", headers: Headers | None = None
    ) -> Answer:
        """Ask once, on a connection of its own, with the Host that a browser would send unless `headers` has one."""
        connection = HTTPConnection(host, self.http_port if plain else self.port)
        connection.sock = self.connect(host, plain=plain)
        return _answer(connection, method, path, None, headers)

    def post(self, host: str, path: str, body: bytes | Iterable[bytes], *, headers: Headers | None = None) -> Answer:
        """Send a body; one that comes in pieces is chunked unless `headers` has its length."""
        connection = HTTPConnection(host, self.port)
        connection.sock = self.connect(host)
        return _answer(connection, "POST", path, body, headers)


@contextmanager
def edged(
    root: Path, *, change: Callable[[str], str] = str, program: Path | None = None, **given: object
) -> Iterator[Edge]:
    """Serve the instance below `root` behind nginx, each setting as it is given; `change` is made to what is rendered.

    Custom domains find their certificate once `ca.issue` has laid it there.
    """
    with ExitStack() as undo:
        # A socket's path may have 107 letters, and the folder of a test has nearly as many.
        sockets = Path(undo.enter_context(TemporaryDirectory(prefix="edge-")))
        ca = Authority(root / "certificates")
        known = _settle(root, {"host": f"unix:{sockets}/socket", **_usual(ca), **given})
        ca.issue(known.domain, f"*.{known.domain}")
        names = [f"{number + 1}.socket" for number in range(known.edge_processes)]
        paths = [sockets / name for name in (names if len(names) > 1 else ["socket"])]
        edge = Edge(root, known, ca, [])
        for number, path in enumerate(paths):
            edge.servers.append(Server(root, path, number))
            undo.callback(edge.servers[-1].stop)
        edge.nginx = undo.enter_context(nginx(root / "nginx", change(edge.render()), program))
        for server in edge.servers:
            server.await_start()
        yield edge


def _usual(ca: Authority) -> dict[str, object]:
    return {
        "domain": DOMAIN,
        "scheme": "https",
        "proxies": 1,
        "public_port": tools.free_port(),
        "log_level": "error",
        "edge_address": LOCAL,
        "edge_http_port": tools.free_port(),
        "edge_certificate": f"{ca.folder}/{{name}}/fullchain.pem",
        "edge_key": f"{ca.folder}/{{name}}/privkey.pem",
        "edge_challenges": str(ca.folder / "challenges"),
    }


def _settle(root: Path, given: Mapping[str, Any]) -> settings.Settings:
    """Write the settings down where every command finds them, and read them as each would."""
    lines = [f"TENANTRY_{name.upper()}='{value}'\n" for name, value in given.items()]
    (root / ".env").write_text("".join(lines))
    return settings.read(root, {}).settings


def _answer(
    connection: HTTPConnection, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: Headers | None
) -> Answer:
    with closing(connection):
        connection.request(method, path, body=body, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        return trial.connect_ex(str(path)) == 0
