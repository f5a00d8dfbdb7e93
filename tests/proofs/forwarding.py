"""Headers that forward, in all combinations: whatever a client claims in them, it is answered as if it had not.

Ten kinds of headers are there or not, 1,024 combinations, each kind with hostile values by turns. They are sent to a
real server with the real platform behind it: one that knows of no proxy, one behind a proxy that appends to what came,
and one whose declared proxy is left out, so that a client speaks in its place. An application tells all that it sees.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from flask import Flask, Response, redirect, request, url_for

from tenantry.assembly.desk import open_operations
from tenantry.assembly.platform import open_platform
from tenantry.operations import NewTenant
from tests.servers import Client, Site, serving

KINDS: Sequence[Sequence[Mapping[str, str]]] = (
    [
        {"X-Forwarded-For": value}
        for value in ("198.51.100.1", "<script>", "127.0.0.1, ::1", "[2001:db8::1]:80", "a\tb")
    ],
    [{"X-Forwarded-Proto": value} for value in ("https", "javascript", "HTTPS", "https, ftp", "http://evil.example/")],
    [{"X-Forwarded-Host": value} for value in ("globex.localhost", "evil.example", "localhost, a_b")],
    [{"X-Forwarded-Port": value} for value in ("443", "1", "http")],
    [{"X-Forwarded-Prefix": value} for value in ("//evil.example", "/t/globex", "/x")],
    [{"Forwarded": value} for value in ('for=198.51.100.2;host="globex.localhost";proto=https', "by=x", ";;")],
    [
        {"X-Real-IP": "198.51.100.3", "True-Client-IP": "198.51.100.4"},
        {"CF-Connecting-IP": "198.51.100.5", "X-Client-IP": "198.51.100.6", "X-Cluster-Client-Ip": "::1"},
    ],
    [{"X-Original-URL": "/t/globex/", "X-Rewrite-URL": "/t/globex/"}, {"X-Original-Host": "globex.localhost"}],
    [{"X-Forwarded-Ssl": "on", "Front-End-Https": "on"}, {"X-Scheme": "https", "X-Url-Scheme": "https"}],
    [
        {"Proxy": "http://evil.example/"},
        {"X-Script-Name": "/evil", "X-Host": "globex.localhost", "X-Forwarded-By": "x"},
    ],
)
COMBINATIONS = 1 << len(KINDS)

PLACES = (
    ("acme.localhost", "/seen"),
    ("localhost", "/t/acme/seen"),
    ("acme.localhost", "/away"),
    ("localhost", "/t/acme"),
    ("nobody.localhost", "/"),
    ("localhost", "/"),
)
# What the appending proxy says.
_VISITOR = "203.0.113.9"
_PROXYS = {"X-Forwarded-For": _VISITOR, "X-Forwarded-Proto": "https"}
# Told anew in each answer, or of the connection alone.
_CHANGING = frozenset({"date", "server"})
_OF_THE_CONNECTION = frozenset({"REMOTE_PORT"})


def echo(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make an application that tells what it sees of a request."""
    app = Flask("tests.proofs.forwarding", instance_path=instance_path)
    app.config.from_mapping(config)

    @app.get("/seen")
    def seen() -> Response:
        environ = {key: value for key, value in request.environ.items() if type(value) in {str, int, bool}}
        facts: dict[str, object] = {
            "environ": {key: value for key, value in environ.items() if key not in _OF_THE_CONNECTION | {_ID}},
            "keys": sorted(key for key in request.environ if key.startswith(("werkzeug.proxy_fix", "HTTP_"))),
            "url": request.url,
            "root": request.url_root,
            "scheme": request.scheme,
            "client": request.remote_addr,
            "route": list(request.access_route),
            "external": url_for("seen", _external=True),
            "inside": url_for("seen"),
        }
        response = Response(json.dumps(facts, sort_keys=True), mimetype="application/json")
        response.set_cookie("seen", "yes", path=request.script_root + "/")
        return response

    @app.get("/away")
    def away() -> Any:
        return redirect(url_for("seen", _external=True))

    return app


_ID = "tenantry.request_id"


@dataclass
class Found:
    """How many answers were compared with their baseline, and which differ."""

    answers: int = 0
    combinations: int = 0
    differ: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.answers:,} answers to {self.combinations:,} combinations"


Headers = Sequence[tuple[str, str]]


def claims(combination: int) -> Headers:
    """List the headers of one combination; which value a kind has turns from one combination to the next."""
    said: list[tuple[str, str]] = []
    for place, kind in enumerate(KINDS):
        if combination >> place & 1:
            said += kind[(combination >> place + 1) % len(kind)].items()
    return said


def run(folder: Path, combinations: Sequence[int]) -> Found:
    """Send these combinations to each place of each arrangement."""
    found = Found(combinations=len(combinations))
    with open_operations(folder, _settings(folder)) as operations:
        for name in ("acme", "globex"):
            operations.add(NewTenant(name=name, path=True, application="tests.proofs.forwarding:echo"))
    with _served(folder, 0) as site:
        _compare(found, site, combinations, before=[], exactly=True)
    with _served(folder, 1) as site:
        _compare(found, site, combinations, before=list(_PROXYS.items()), exactly=True)
        _compare(found, site, combinations, before=[], exactly=False)
    return found


def _compare(found: Found, site: Site, combinations: Sequence[int], *, before: Headers, exactly: bool) -> None:
    """Compare each answer with the one to a request that claims nothing, or, unless `exactly`, nothing but its scheme.

    `before` is what the proxy says, in lines of its own behind those of the client.
    """
    client = site.client()
    baselines: dict[tuple[str, str, str], tuple[object, ...]] = {}
    for place in PLACES:
        for scheme in ("http", "https"):
            claimed = before if exactly else [("X-Forwarded-Proto", scheme)]
            for _ in range(2):  # the first one may be built for
                baselines[(*place, scheme)] = _ask(client, place, claimed)
    for combination in combinations:
        said = claims(combination)
        scheme = _scheme(said)
        for place in PLACES:
            wanted = baselines[(*place, scheme)]
            got = _ask(client, place, [*said, *before])
            found.answers += 1
            if not exactly:
                wanted, got = _but_for_the_client(wanted), _but_for_the_client(got)
            if got != wanted:
                found.differ.append(f"{place} with {said} behind {before}: {got} and not {wanted}")


def _scheme(said: Headers) -> str:
    """Tell which scheme the last entry of X-Forwarded-Proto names."""
    named = dict(said).get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
    return named if named in {"http", "https"} else "http"


def _ask(client: Client, place: tuple[str, str], said: Headers) -> tuple[object, ...]:
    host, path = place
    more = "".join(f"{name}: {value}\r\n" for name, value in (*said, ("Cookie", "theirs=1")))
    status, headers, body = client.ask(path, host, more).answer()
    return status, sorted((name, value) for name, value in headers.items() if name not in _CHANGING), body


def _but_for_the_client(answer: tuple[object, ...]) -> tuple[object, ...]:
    """Take the client's address out of an answer, which must be one."""
    status, headers, body = answer
    assert isinstance(body, bytes)
    if not body.startswith(b"{"):
        return answer
    facts = json.loads(body)
    client = facts.pop("client")
    assert str(ip_address(client)) == client == facts["environ"].pop("REMOTE_ADDR")
    assert facts["environ"].pop("tenantry.client") == client
    assert facts.pop("route") == [client]
    assert isinstance(headers, list)
    return status, [header for header in headers if header[0] != "content-length"], facts


def _settings(folder: Path) -> dict[str, object]:
    return {"instance": folder / "instance", "domain": "localhost", "log_level": "error"}


@contextmanager
def _served(folder: Path, proxies: int) -> Iterator[Site]:
    """Serve the platform as `tenantry serve` does, in this process."""
    with open_platform(folder, {**_settings(folder), "proxies": proxies}) as platform:
        asks: dict[str, Any] = {"lane": platform.asks.lane, "admit": platform.asks.admit}
        with serving(platform.application, **asks, trust_proxy=proxies > 0) as site:
            yield site
