"""The page about hosting is true: typed in order, its blocks make of a fresh Debian an edge that answers by HTTPS."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from tenantry import settings
from tenantry.edge import Place, systemd
from tests.debian import Operator
from tests.dns import Nameserver, nameserver
from tests.docs_runner import blocks

PAGE = Path(__file__).resolve().parent.parent / "docs" / "hosting.md"
_ADDRESS = {"A": ("203.0.113.7",)}


class Owner:
    """Who has a domain: reads what is asked for, and sets the records."""

    def __init__(self, zone: Nameserver) -> None:
        self._zone = zone

    def reads(self, _command: str, printed: str) -> None:
        """Set the records that were printed: the proof and the way."""
        for name, kind, value in re.findall(r"^ *(\S+)\. (TXT|CNAME) (\S+)$", printed, re.MULTILINE):
            self._zone.names[name] = {kind: (value,)}


@contextmanager
def typing() -> Iterator[Operator]:
    """Sit down at a fresh machine, in a world where example.com leads to it."""
    with TemporaryDirectory(prefix="deb") as folder, nameserver() as zone:
        zone.names = {"example.com": _ADDRESS, "*.example.com": _ADDRESS}
        more = {"TENANTRY_RESOLVER": zone.server}
        with Operator(Path(folder).resolve(), more, Owner(zone).reads) as operator:
            yield operator


def read(operator: Operator, path: str) -> str:
    """Read a file that the page has written."""
    return Path(operator.machine.inside(path)).read_text()


def ask(operator: Operator, question: tuple[str, str], domain: str) -> int:
    """Ask as another server does that stands in front, at the socket on which one process listens now."""
    host, path = question
    with closing(HTTPConnection(host)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(operator.machine.inside("/run/tenantry/1.socket"))
        connection.request("GET", f"{path}?domain={domain}")
        return connection.getresponse().status


def test_the_page_is_true() -> None:
    """Every block runs, in order, and prints what the page shows, against a real nginx and by real TLS."""
    with typing() as operator:
        operator.follow(PAGE)
        for question in re.findall(r"\bask http://([\d.:]+)(/\S+)", read(operator, "/etc/caddy/Caddyfile")):
            assert ask(operator, question, "www.acme.example") == 200
            assert ask(operator, question, "www.globex.example") == 404


def test_the_first_settings_let_systemd_make_the_instance_folder(tmp_path: Path) -> None:
    """With what the page writes down the service has its state where systemd keeps it."""
    (tmp_path / ".env").write_text(next(block.text for block in blocks(PAGE) if block.title.endswith("/.env")))
    known = settings.read(tmp_path, {}).settings
    units = systemd(known, Place(Path("/srv/tenantry"), "tenantry", ("/srv/tenantry/.venv/bin/tenantry",)))
    assert "\nStateDirectory=tenantry\n" in units["tenantry.service"]
    assert "\nListenStream=/run/tenantry/socket\n" in units["tenantry.socket"]
