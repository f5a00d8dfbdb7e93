"""The configuration in the hands of nginx, an old one and the newest: both take it, and do with it what it promises."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tenantry import edge as room
from tenantry.settings import Settings
from tests import edges
from tests.tools import free_port

DOMAIN, SHOP, UNKNOWN = "sites.example.com", "shop.example.org", "nobody.example.net"
HOST = f"acme.{DOMAIN}"
UID = "abcdefghij22"


class _Behind(BaseHTTPRequestHandler):
    """The server behind: it tells what came to it, knows one domain, and has a file sent where it is asked to."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/-/tls-ask"):
            whole = self.path == f"/-/tls-ask?domain={SHOP}" and self.headers["X-Forwarded-For"] == "127.0.0.1"
            self.answer(200 if whole else 404, b"")
            return
        told = {"target": self.path, "headers": dict(self.headers)}
        more = {"X-Accel-Redirect": self.path[5:], "X-Frame-Options": "DENY"} if self.path.startswith("/send") else {}
        self.answer(200, json.dumps(told).encode(), **more)

    def answer(self, status: int, body: bytes, **more: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Strict-Transport-Security": "max-age=1", **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@dataclass
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """What came to the server behind."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Front:
    """A running nginx."""

    known: Settings
    trust: ssl.SSLContext
    behind: ThreadingHTTPServer
    undo: ExitStack = field(default_factory=ExitStack)

    def ask(self, host: str, target: str = "/", *, sni: str = "", plain: bool = False, **headers: Any) -> Said:
        """Ask once; `sni` is the name by which TLS begins, if it is another."""
        port = self.known.edge_http_port if plain and self.known.scheme == "https" else self.known.public_port
        with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as sock:
            connection = sock if plain else self.trust.wrap_socket(sock, server_hostname=sni or host)
            with closing(connection):
                lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
                head = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]
                connection.sendall("\r\n".join(head).encode("latin-1"))
                response = HTTPResponse(connection)
                response.begin()
                return Said(response.status, dict(response.headers), response.read())


@contextmanager
def front(folder: Path, program: Path, **given: Any) -> Iterator[Front]:
    """Run nginx before a server that tells what comes to it."""
    with ExitStack() as undo:
        behind = undo.enter_context(ThreadingHTTPServer(("127.0.0.1", free_port()), _Behind))
        serving = Thread(target=behind.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        undo.callback(serving.join)
        undo.callback(behind.shutdown)
        ca = edges.Authority(folder / "certificates")
        ca.issue(DOMAIN, f"*.{DOMAIN}")
        ca.issue(SHOP)
        known = Settings(**{**usual(ca.folder, behind.server_address[1]), **given})
        text = room.nginx(known, [SHOP]).text
        undo.enter_context(edges.nginx(folder / "nginx", text, program))
        yield Front(known, ca.trust, behind)


def usual(folder: Path, port: int) -> dict[str, Any]:
    return {
        "domain": DOMAIN,
        "scheme": "https",
        "proxies": 1,
        "port": port,
        "instance": folder / "instance",
        "public_port": free_port(),
        "edge_address": "127.0.0.1",
        "edge_http_port": free_port(),
        "edge_certificate": f"{folder}/{{name}}/fullchain.pem",
        "edge_key": f"{folder}/{{name}}/privkey.pem",
        "edge_challenges": str(folder / "challenges"),
    }


@pytest.fixture(scope="module", params=[edges.system, edges.newest], ids=["system", "newest"])
def nginx(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An nginx that sends files itself, with a file and an answer to a challenge."""
    folder = tmp_path_factory.mktemp("edge")
    files = folder / "certificates" / "instance" / "tenants" / UID / "files" / "a b"
    files.mkdir(parents=True)
    (files / "50%?.txt").write_text("a file")
    (files / "link").symlink_to("/etc/hostname")
    challenges = folder / "certificates" / "challenges" / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "token").write_text("the answer")
    with front(folder, request.param(), edge_files="on") as running:
        yield running


# What nginx says to it


@pytest.mark.parametrize("program", [edges.system, edges.newest], ids=["system", "newest"])
@pytest.mark.parametrize(("scheme", "domains"), [("https", "live"), ("https", "listed"), ("http", "listed")])
def test_nginx_takes_it_without_a_warning(tmp_path: Path, program: Any, scheme: str, domains: str) -> None:
    """With few words and with many, over https and http, custom domains live and listed, long names among them."""
    pem = edges.Authority(tmp_path).issue(DOMAIN)
    long = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.example"
    names = [SHOP, long, *(f"{number}.example.org" for number in range(10 if scheme == "https" else 200))]
    little = replace(Settings(**usual(tmp_path, 8001)), scheme=scheme, edge_domains=domains)
    little = replace(little, edge_certificate=f"{pem}/fullchain.pem", edge_key=f"{pem}/privkey.pem")
    much = replace(little, host="unix:/run/tenantry/socket", edge_files="on", edge_processes=3)
    much = replace(much, edge_cdn=("192.0.2.0/24", "2001:db8::/32"), instance=Path("/srv/with blanks"))
    much = replace(much, edge_http2="on" if program is edges.newest else "off", edge_http_port=0)
    for known in (little, much):
        made = room.nginx(known, names, {"gazette": Path("/srv/with blanks")})
        assert made.left_out == ()
        assert edges.complaints(tmp_path / "nginx", made.text, program()) == ""


# What nginx does


def test_headers_come_as_nginx_has_them_and_not_as_a_client_sent_them(nginx: Front) -> None:
    sent: dict[str, Any] = {
        "X_Forwarded_For": "9.9.9.9",
        "X_Forwarded_Prefix": "/x",
        "X_Request_ID": "mine",
        "Forwarded": "for=9.9.9.9",
    }
    said = nginx.ask(HOST, "/a%2Fb//c?d=%20e", **sent, X_Real_IP="9.9.9.9", X_Forwarded_Proto="http", Proxy="x:1")
    headers = said.told["headers"]
    assert said.told["target"] == "/a%2Fb//c?d=%20e"
    number = headers.pop("X-Request-ID")
    assert len(number) == 32
    assert headers == {
        "Host": f"{HOST}:{nginx.known.public_port}",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "https",
    }
    assert said.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("host", [UNKNOWN, f"a.b.{DOMAIN}", f"a_b.{DOMAIN}", "127.0.0.1", "localhost", SHOP])
def test_a_name_that_is_nobodys_here_is_misdirected(nginx: Front, host: str) -> None:
    """By another's certificate, nothing is told of whether there is such a domain."""
    assert nginx.ask(host, sni=HOST).status == 421


def test_a_name_without_a_certificate_is_not_spoken_to(nginx: Front) -> None:
    with pytest.raises(OSError, match=r"(?i)alert|eof|reset"):
        nginx.ask(UNKNOWN)


@pytest.mark.parametrize("host", [HOST, HOST.upper(), f"{HOST}.", f"{HOST}:1", DOMAIN, SHOP])
def test_a_name_that_is_somebodys_is_passed_on_in_one_spelling(nginx: Front, host: str) -> None:
    plain = host.lower().removesuffix(":1").removesuffix(".")
    said = nginx.ask(host, sni=plain)
    assert said.told["headers"]["Host"] == f"{plain}:{nginx.known.public_port}"


@pytest.mark.parametrize("host", [HOST, DOMAIN, SHOP])
def test_over_http_whoever_is_known_is_sent_to_https(nginx: Front, host: str) -> None:
    said = nginx.ask(host, "/a%2Fb?c=d", plain=True)
    assert (said.status, said.headers["Location"]) == (308, f"https://{host}:{nginx.known.public_port}/a%2Fb?c=d")


@pytest.mark.parametrize("host", [UNKNOWN, f"a.b.{DOMAIN}", f"evil.example\\.{DOMAIN}", "localhost", "[::1]"])
def test_over_http_whoever_is_unknown_is_sent_nowhere(nginx: Front, host: str) -> None:
    said = nginx.ask(host, plain=True)
    assert said.status in {400, 421}
    assert "Location" not in said.headers


@pytest.mark.parametrize("host", [HOST, SHOP, UNKNOWN, "127.0.0.1"])
def test_challenges_are_answered_whatever_the_name(nginx: Front, host: str) -> None:
    """A certificate is asked for before anybody is known by the name."""
    assert nginx.ask(host, "/.well-known/acme-challenge/token", plain=True).body == b"the answer"


@pytest.mark.parametrize("path", ["/-/tls-ask", "/%2d/tls-ask", "/-//tls-ask", "/-/./tls-ask", "/x/../-/tls-ask"])
def test_what_nginx_may_ask_nobody_else_may(nginx: Front, path: str) -> None:
    for plain in (False, True):
        said = nginx.ask(SHOP, f"{path}?domain={SHOP}", plain=plain)
        assert said.status in {403, 404}
        assert b"nginx" in said.body, "it has not come to the server behind"


def test_a_file_is_sent_by_order_of_the_server_behind_and_of_nobody_else(nginx: Front) -> None:
    path = f"/-/files/{UID}/a%20b/50%25%3F.txt"
    said = nginx.ask(HOST, f"/send{path}")
    assert (said.status, said.body, said.headers["X-Frame-Options"]) == (200, b"a file", "DENY")
    assert nginx.ask(HOST, path).status == 404
    assert nginx.ask(HOST, f"/send/-/files/{UID}/a%20b/link").status == 403, "no link is followed"
    assert nginx.ask(HOST, f"/send/-/files/{UID}/../key").status in {404, 500}


def test_without_a_server_behind_visitors_read_why_and_when_to_come_again(tmp_path: Path) -> None:
    """In the words they want, whatever the address ends in, and with the same headers as any answer."""
    with front(tmp_path, edges.system()) as nginx:
        nginx.behind.shutdown()
        nginx.behind.server_close()
        page, problem = nginx.ask(HOST, "/picture.png"), nginx.ask(HOST, "/", Accept="application/json")
        for said in (page, problem, nginx.ask(SHOP, plain=True)):
            assert (said.status, said.headers["Retry-After"], said.headers["Cache-Control"]) == (503, "5", "no-store")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert b"$" not in page.body
        assert problem.headers["Content-Type"] == "application/problem+json"
        assert json.loads(problem.body)["status"] == 503


def test_a_cdn_tells_whom_it_asks_for_and_asks_by_whatever_name_it_likes(tmp_path: Path) -> None:
    with front(tmp_path, edges.system(), edge_cdn=("127.0.0.0/8",)) as nginx:
        said = nginx.ask(SHOP, sni=HOST, X_Forwarded_For="6.6.6.6, 203.0.113.9")
        assert said.told["headers"]["X-Forwarded-For"] == "203.0.113.9"


def test_listed_domains_have_a_certificate_and_the_others_none(tmp_path: Path) -> None:
    with front(tmp_path, edges.system(), edge_domains="listed") as nginx:
        assert nginx.ask(SHOP).status == 200
        assert nginx.ask(SHOP, plain=True).status == 308
        assert nginx.ask(UNKNOWN, sni=SHOP).status == 421
        assert nginx.ask(UNKNOWN, plain=True).status == 421
        with pytest.raises(ssl.SSLError):
            nginx.ask(UNKNOWN)


def test_over_plain_http_everybody_is_passed_on_who_can_be_somebody(tmp_path: Path) -> None:
    with front(tmp_path, edges.system(), scheme="http") as nginx:
        port = nginx.known.public_port
        for host in (HOST, DOMAIN, SHOP):
            headers = nginx.ask(host, plain=True).told["headers"]
            assert (headers["Host"], headers["X-Forwarded-Proto"]) == (f"{host}:{port}", "http")
        assert nginx.ask("127.0.0.1", plain=True).status == 421
