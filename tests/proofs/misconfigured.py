"""An nginx that is configured wrongly, in one way or in many: what `doctor --edge` says of it, and which line it names.

Each way is a change of what `tenantry edge nginx` prints. In front of one server there are as many nginx as are tried.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

from tenantry import edge as room
from tenantry.assembly import probe
from tenantry.doctor.checks import Check
from tenantry.doctor.edge import Given, edge
from tenantry.operations import NewTenant
from tests import tools
from tests.edges import DOMAIN, LOCAL, Edge, edged, nginx
from tests.operators import NOTES

CUSTOM = "shop.example.org"
# Certificates that are not as they should be, each by the folder it lies in, and the days for which it is good.
BARE, SHORT, SOON, PAST = "bare.invalid", "short.invalid", "soon.invalid", "past.invalid"
_AT_ONCE = 6
_DAYS = {SHORT: 3.5, SOON: 18.5, PAST: -1}

_HOST = "proxy_set_header Host $host:$server_port;"
_FOR = "proxy_set_header X-Forwarded-For $remote_addr;"
_PROTO = "proxy_set_header X-Forwarded-Proto $scheme;"
_ID = "proxy_set_header X-Request-ID $request_id;"
_HSTS = 'add_header Strict-Transport-Security "max-age=31536000" always;'
_ONWARDS = "return 308 https://$host:{port}$request_uri;"
_PASS = "proxy_pass http://tenantry;"
_VERSIONS = "ssl_protocols TLSv1.2 TLSv1.3;"
_CIPHERS = "ssl_ciphers "
_LIMIT = "client_max_body_size 16777216;"
_BUFFERS = "large_client_header_buffers 4 32768;"
_CERTIFICATE = f"ssl_certificate {{certificates}}/{DOMAIN}/fullchain.pem;"
_KEY = f"ssl_certificate_key {{certificates}}/{DOMAIN}/privkey.pem;"
_LIVE = "ssl_certificate {certificates}/$ssl_server_name/fullchain.pem;"
_LISTED = f"ssl_certificate {{certificates}}/{CUSTOM}/fullchain.pem;"
_REFUSED = "    return 421;\n}"
_PASSED = f"    location / {{ {_PASS} }}\n}}"
_HTTP_REFUSED, _HTTP_PASSED = "    location / {\n        return 421;\n    }", f"    location / {{ {_PASS} }}"
_ASK = "    location = /-/tls-ask {\n        return 404;\n    }\n"
_SAMPLE = "    location = /-/files/sample {\n        internal;"
_REDIRECT = "proxy_redirect off;"

Change = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to be wrong: what is changed into what, which checks fail for that alone, and the line that is named.

    The line is the first that is changed, unless it says otherwise. `known` is what the settings say and nginx was not
    told, `both` what both go by.
    """

    what: str
    changes: Sequence[Change]
    fails: Sequence[str]
    line: str = ""
    known: Mapping[str, object] = field(default_factory=dict)
    both: Mapping[str, object] = field(default_factory=dict)


def _certificate(name: str) -> list[Change]:
    folder = f"{{certificates}}/{name}"
    return [
        (_CERTIFICATE, f"ssl_certificate {folder}/fullchain.pem;"),
        (_KEY, f"ssl_certificate_key {folder}/privkey.pem;"),
    ]


_OPEN = [("ssl_reject_handshake on;", f"{_CERTIFICATE} {_KEY}"), (_REFUSED, _PASSED)]
_OLD_TLS = [(_VERSIONS, "ssl_protocols TLSv1 TLSv1.2 TLSv1.3;"), (_CIPHERS, "ssl_ciphers ALL:@SECLEVEL=0; #")]

# Of each group every way fails for what no other one of it fails for, so that an nginx may be wrong in all of them.
GROUPS: Sequence[Sequence[Way]] = (
    (
        Way("the host is lost", [(_HOST, "")], ["host", "redirects"]),
        Way("a prefix is passed on", [('proxy_set_header X-Forwarded-Prefix "";', "")], ["spoofs"]),
        Way("paths are decoded", [(_PASS, "proxy_pass http://tenantry/;")], ["path"]),
        Way("HTTP/1.0", [("proxy_http_version 1.1;", "proxy_http_version 1.0;")], ["protocol"]),
        Way("the client sets its number", [(_ID, _ID.replace("$req", "$http_x_req"))], ["request id"]),
        Way("http is not sent on", [(_ONWARDS, _PASS)], ["https"]),
        Way("no HSTS", [(_HSTS, "")], ["hsts"]),
        Way("bodies are too small", [(_LIMIT, "client_max_body_size 1m;")], ["bodies"]),
        Way("answers are kept back", [("proxy_buffering off;", "proxy_buffering on;")], ["stream"]),
        Way("headers are too small", [(_BUFFERS, "large_client_header_buffers 4 8k;")], ["headers"]),
        Way("TLS 1.0", _OLD_TLS, ["tls"]),
        Way("no default server", _OPEN, ["strangers"]),
    ),
    (
        Way("the scheme is always http", [(_PROTO, _PROTO.replace("$scheme", "http"))], ["scheme", "redirects"]),
        Way("the client is not told", [(_FOR, "")], ["client", "spoofs"]),
        Way("http is sent on by 301", [(_ONWARDS, _ONWARDS.replace("308", "301"))], ["https"]),
        Way("whose a domain is may be asked", [(_ASK, "")], ["closed"], line="location = /-/tls-ask { return 404; }"),
        Way("nothing below the domain is covered", _certificate(BARE), ["certificate"]),
        Way("a custom domain has no certificate", [(_LIVE, _LIVE.replace("{c", "/none{c"))], ["domains"]),
        Way("bodies have no limit", [(_LIMIT, "client_max_body_size 0;")], ["bodies"]),
        Way(
            "a process is not asked",
            [],
            ["answering"],
            line="server unix:{sockets}/2.socket max_fails=0;",
            known={"edge_processes": 2},
        ),
        Way("http from strangers", [(_HTTP_REFUSED, _HTTP_PASSED)], ["strangers"], line="return 421;"),
        Way(
            "files are not found",
            [(_SAMPLE, _SAMPLE.replace("sample", "none"))],
            ["files"],
            "location = /-/files/sample",
        ),
        Way("TLS 1.2 only", [(_VERSIONS, "ssl_protocols TLSv1.2;")], ["tls"]),
    ),
    (
        Way("the host loses its port", [(_HOST, "proxy_set_header Host $host;")], ["host", "redirects"]),
        Way(
            "who came before is passed on",
            [(_FOR, _FOR.replace("remote_addr", "proxy_add_x_forwarded_for"))],
            ["spoofs"],
        ),
        Way("http leads to the front page", [(_ONWARDS, "return 308 https://$host:{port}/;")], ["https"]),
        Way("the certificate ends soon", _certificate(SHORT), ["certificate"]),
        Way("a custom domain is not listed", [], ["domains"], line=_LISTED, both={"edge_domains": "listed"}),
        Way("files are for everybody", [(_SAMPLE, _SAMPLE.replace("internal;", ""))], ["closed"], line="internal;"),
    ),
    (
        Way("redirects are rewritten", [(_REDIRECT, "proxy_redirect https:// http://;")], ["redirects"]),
        Way("the certificate is of the past", _certificate(PAST), ["certificate"]),
        Way(
            "anybody is taken for a CDN",
            [(_HOST, f"{_HOST} set_real_ip_from 0.0.0.0/0; real_ip_header X-Forwarded-For;")],
            ["spoofs"],
            line="set_real_ip_from",
        ),
        Way("HSTS is short", [(_HSTS, _HSTS.replace("31536000", "60"))], ["hsts"]),
        Way("no number", [(_ID, 'proxy_set_header X-Request-ID "";')], ["request id"]),
    ),
    (
        Way(
            "cookies are moved",
            [(_REDIRECT, f"{_REDIRECT} proxy_cookie_path / /app;")],
            ["redirects"],
            "proxy_cookie_path",
        ),
        Way(
            "custom domains believe anybody",
            [(_LIVE, f"{_LIVE} set_real_ip_from 0.0.0.0/0; real_ip_header X-Forwarded-For;")],
            ["domains"],
            line=_FOR,
        ),
        Way("Forwarded is passed on", [('proxy_set_header Forwarded "";', "")], ["spoofs"]),
        Way("http is another platform's", [("listen {address}:{http_port}", "listen {address}:{other}")], ["https"]),
    ),
    (
        Way(
            "the scheme is the client's",
            [(_PROTO, _PROTO.replace("$s", "$http_x_forwarded_proto; #"))],
            ["scheme", "spoofs", "redirects"],
        ),
    ),
    (Way("no server", [("server unix:{sockets}/socket ", "server unix:{sockets}/none ")], ["edge"]),),
    (Way("no wildcard", [(f"server_name {DOMAIN} *.{DOMAIN};", f"server_name {DOMAIN};")], ["edge"]),),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of one nginx that is wrong in some ways: every check, and what the lines spell there."""

    ways: Sequence[Way]
    checks: Sequence[Check]
    facts: Mapping[str, object]
    seconds: float = 0.0

    def wrong(self) -> list[str]:
        """Spell what was not said as it should have been."""
        failed = {check.name for check in self.checks if not check.ok}
        wanted = {name for way in self.ways for name in way.fails}
        found = [f"{', '.join(way.what for way in self.ways)}: {name} fails" for name in sorted(failed - wanted)]
        for way in self.ways:
            line = _filled(way.line or way.changes[0][0], self.facts)
            hints = [check.hint for check in self.checks if check.name in way.fails and not check.ok]
            found += [f"{way.what}: {name} does not fail" for name in way.fails if name not in failed]
            found += [] if any(line in hint for hint in hints) else [f"{way.what}: {line} is not named: {hints}"]
        return found


@contextmanager
def settled(folder: Path) -> Iterator[Edge]:
    """Serve a tenant with a custom domain behind an nginx that is right, and issue certificates of all kinds."""
    with edged(folder, edge_files="on", application=NOTES) as there:
        with there.desk() as desk:
            desk.add(NewTenant("acme", domains=(CUSTOM,), trust=True))
        there.ca.issue(CUSTOM)
        there.ca.issue(BARE, DOMAIN)
        for name, days in _DAYS.items():
            there.ca.issue(name, DOMAIN, f"*.{DOMAIN}", until=datetime.now(UTC) + timedelta(days=days))
        assert there.get(DOMAIN, "/-/healthz").status == 200
        yield there


def asked(there: Edge, **known: object) -> list[Check]:
    """Ask as an operator does who has these settings."""
    mine = replace(there.settings, **known)  # type: ignore[arg-type]
    given = Given(f"https://{DOMAIN}:{mine.public_port}", f"{LOCAL}:{mine.public_port}", there.ca.path)
    return edge(there.root, known, given, probe.token, lambda: room.nginx(mine, [CUSTOM]).text)


def misled(there: Edge, ways: Sequence[Way]) -> Said:
    """Run one more nginx in front of the server, wrong in some ways, and ask through it."""
    both = {name: value for way in ways for name, value in way.both.items()}
    both |= {"public_port": tools.free_port(), "edge_http_port": tools.free_port()}
    mine = replace(there.settings, **both)  # type: ignore[arg-type]
    facts = {
        "port": mine.public_port,
        "http_port": mine.edge_http_port,
        "other": tools.free_port(),
        "address": LOCAL,
        "certificates": there.ca.folder,
        "sockets": Path(mine.host.removeprefix("unix:")).parent,
    }
    text = room.nginx(mine, ()).text
    for right, wrong in (change for way in ways for change in way.changes):
        assert _filled(right, facts) in text, f"nothing is told by {right!r}"
        text = text.replace(_filled(right, facts), _filled(wrong, facts))
    known = {name: value for way in ways for name, value in way.known.items()}
    with nginx(there.root / f"nginx-{mine.public_port}", text):
        began = monotonic()
        checks = asked(there, **(both | known))
        seconds = monotonic() - began
    # The server knows of other ports than this nginx has, and says so.
    return Said(ways, [check for check in checks if check.name != "server"], facts, seconds)


def each(there: Edge, groups: Sequence[Sequence[Way]]) -> list[Said]:
    """Try some ways after the other, or several at once where they stand together."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(partial(misled, there), groups))


def _filled(text: str, facts: Mapping[str, object]) -> str:
    for name, value in facts.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


# Nothing is wrong yet: that it will be, is told.
ENDING = Way("the certificate will end", _certificate(SOON), [])
