"""`tenantry doctor --edge`: an nginx that is right is said to be, and what is wrong is told with the line to change."""

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from tenantry import settings
from tenantry.assembly import probe
from tenantry.doctor.attack.calling import Answer, Patience
from tenantry.doctor.checks import Check
from tenantry.doctor.edge import PARTS, Given, answers, asking, certificates, edge, first
from tenantry.doctor.edge.lines import Lines
from tenantry.doctor.edge.run import Part, looked
from tenantry.doctor.edge.way import way
from tenantry.errors import Invalid
from tests import operators, tools
from tests.docs_runner import section
from tests.edges import DOMAIN, LOCAL, Edge
from tests.operators import Run
from tests.proofs import misconfigured
from tests.proofs.misconfigured import GROUPS, Said
from tests.servers import PATIENCE

DOCS = operators.CHECKOUT / "docs"
root, run = operators.root, operators.run
TOKEN = "a token of nobody's"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A server behind an nginx that is right."""
    with misconfigured.settled(tmp_path_factory.mktemp("edge")) as there:
        yield there


@pytest.fixture(scope="module")
def said(there: Edge) -> list[Said]:
    """What is said of several nginx in front of it that are wrong in many ways, and last of one that will be."""
    return misconfigured.each(there, [*GROUPS, [misconfigured.ENDING]])


def typed(there: Edge, *more: str) -> list[str]:
    """Spell the command for an edge of a test."""
    port = there.port
    address = ["--edge", f"https://{DOMAIN}:{port}", "--connect", f"{LOCAL}:{port}", "--ca", str(there.ca.path)]
    return ["--root", str(there.root), "doctor", *address, *more]


# What is right, and what is wrong.


def test_an_edge_that_is_right_is_said_to_be(there: Edge, run: Run) -> None:
    """By every part that there is, in one line each; the token that leads to the page is not told."""
    ran = run(*typed(there))
    assert (ran.code, ran.error) == (0, "")
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert {row[1] for row in rows} == {"ok"}, ran.out
    assert [row[0] for row in rows] == ["edge", "server", *(part.name for part in PARTS)]
    assert "shop.example.org covered" in ran.out
    assert "127.83.84.1" in ran.out


@pytest.mark.parametrize("number", range(len(GROUPS)))
def test_what_is_wrong_is_named_with_the_line_to_change(said: list[Said], number: int) -> None:
    """Each way fails its own checks, and no other."""
    assert not said[number].wrong()


def test_every_part_can_fail() -> None:
    """Of what is checked nothing is only ever fine."""
    ways = [way for group in GROUPS for way in group]
    assert {name for way in ways for name in way.fails} == {"edge", *(part.name for part in PARTS)}
    assert len(ways) > 30


def test_the_page_of_commands_names_every_check() -> None:
    """In the order in which they are told."""
    named = re.findall(r"^- `([a-z ]+)`:", section(DOCS / "commands.md", "tenantry doctor"), re.MULTILINE)
    assert named == ["edge", "dns", "server", *(part.name for part in PARTS)]


def test_what_never_ends_is_left_behind(there: Edge) -> None:
    """Each part has its time, and all have theirs together."""
    begun, over = threading.Event(), threading.Event()

    def hang(_: asking.Asker) -> list[Check]:
        begun.set()
        over.wait(PATIENCE)
        return []

    found = looked(asker(there).within(0.05), Part("hanging", hang))
    assert begun.is_set()
    over.set()
    assert [(check.name, check.ok, check.says) for check in found] == [
        ("hanging", False, "There was no answer in time.")
    ]
    assert looked(asker(there).within(-1), Part("hanging", hang))[0].says == "There was no answer in time."


def test_a_custom_domain_that_never_ends_keeps_nothing_from_ending(
    there: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python waits for the threads of a pool before it ends: none of them may hang on somebody's answer."""
    over = threading.Event()
    seeking = replace(asker(there), domains=("shop.example.org",), count=1)
    seen = asking.Asker.seen

    def hang(self: asking.Asker, host: str = "", *args: Any, **more: Any) -> asking.Seen:
        if host == "shop.example.org":
            over.wait(PATIENCE)
        return seen(self, host, *args, **more)

    monkeypatch.setattr(asking.Asker, "seen", hang)
    (found,) = certificates.domains(replace(seeking, patience=Patience(0.5)))
    assert (found.ok, found.says) == (True, "1 of 1 custom domains were not asked for")
    monkeypatch.setattr(certificates, "_LONG", 0.5)
    (found,) = certificates.domains(seeking)
    assert (found.ok, found.says) == (False, "shop.example.org does not answer in time.")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("custom-domain")]
    over.set()


def test_a_certificate_that_will_end_is_told_of(said: list[Said]) -> None:
    """In the last three weeks, while it is still good."""
    found = {check.name: check for check in said[-1].checks}["certificate"]
    assert found.ok
    assert "for 18 more days" in found.says
    assert "renewed" in found.hint


def test_what_was_not_said_is_noticed(said: list[Said]) -> None:
    """The judge of the tests above is not deaf: of an edge that is nearly right it misses every other way."""
    right = Said(GROUPS[0], said[-1].checks, said[0].facts)
    assert len(right.wrong()) >= 2 * len(GROUPS[0])
    assert Said([misconfigured.ENDING], said[0].checks, said[0].facts).wrong()


def asker(there: Edge, **known: object) -> asking.Asker:
    """Make who asks, with the settings that an operator may have."""
    mine = replace(there.settings, **known)  # type: ignore[arg-type]
    return asking.Asker(
        known=mine,
        way=way(Given(f"https://{DOMAIN}:{there.port}", f"{LOCAL}:{there.port}"), mine),
        token=probe.token(mine),
        lines=Lines(there.render()),
        trust=there.ca.trust,
        patience=Patience(10),
    )


def test_the_server_behind_it_may_have_other_settings(there: Edge) -> None:
    """Then what is checked would be checked against what is not so."""
    asking = asker(there, max_header=40000)
    (found,) = first.server(asking, first.reached(asking))
    assert (found.name, found.ok) == ("server", False)
    assert found.says == "The server runs with TENANTRY_MAX_HEADER=32768, and here it is 40000."


# Nobody there.


def ask(there: Edge, url: str = "", connect: str = "", ca: Path | None = None) -> list[Check]:
    """Ask in one way that is wrong."""
    given = Given(url or f"https://{DOMAIN}:{there.port}", connect or f"{LOCAL}:{there.port}", ca or there.ca.path)
    return edge(there.root, {}, given, lambda _: TOKEN, there.render)


def test_an_edge_that_is_not_there_is_one_line(there: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason, it is told, and what to do next."""
    other = tmp_path / "other.pem"
    monkeypatch.setattr(asking, "_ANSWER", 0.1)
    with closing(socket.create_server((LOCAL, 0))) as silent:
        tried: list[tuple[dict[str, Any], str]] = [
            ({"connect": f"{LOCAL}:{tools.free_port()}"}, "Nobody listens at"),
            ({"connect": f"{LOCAL}:{there.http_port}"}, "speaks no TLS"),
            ({"connect": f"{LOCAL}:{silent.getsockname()[1]}"}, "in time"),
            ({"connect": "nobody.invalid:443"}, "nobody.invalid"),
            ({}, "does not know this instance's token"),
            ({"ca": stranger(other)}, "is by no known authority"),
        ]
        for given, wanted in tried:
            found = ask(there, **given)
            assert [(check.name, check.ok) for check in found] == [("edge", False)]
            assert wanted in found[0].says
            assert found[0].hint


def stranger(path: Path) -> Path:
    """Write the certificate of an authority that has signed nothing here."""
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 " + b"a" * 70000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100000,
        b'HTTP/1.1 200 OK\r\n\r\n{"tenantry": "1", "forwarding": [1]}',
        b'HTTP/1.1 200 OK\r\n\r\n{"tenantry": "1", "settings": null}',
    ],
)
def test_what_is_no_edge_is_one_line(tmp_path: Path, answer: bytes) -> None:
    """Whatever it is that answers there."""
    with closing(socket.create_server((LOCAL, 0))) as listener:
        port = listener.getsockname()[1]
        (tmp_path / ".env").write_text(f"TENANTRY_DOMAIN={DOMAIN}\nTENANTRY_PUBLIC_PORT={port}\n")

        def once() -> None:
            with closing(listener.accept()[0]) as sock:
                sock.recv(1 << 16)
                sock.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        (found,) = edge(tmp_path, {}, Given(f"http://{DOMAIN}:{port}", LOCAL), lambda _: TOKEN, str)
        thread.join()
    assert (found.name, found.ok) == ("edge", False)
    assert "cannot be asked" in found.says or "does not know this instance's token" in found.says


def test_a_number_that_nobody_means_is_none(there: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python does not read one of thousands of digits."""
    told = (("Strict-Transport-Security", f"max-age={'9' * 5000}"),)
    monkeypatch.setattr(asking.Asker, "ask", lambda *_: Answer(200, told, b""))
    (found,) = answers.hsts(asker(there))
    assert not found.ok


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"url": "sites.example.com"}, "is not the address of an edge"),
        ({"url": "ftp://sites.example.com"}, "is not the address of an edge"),
        ({"url": "https://"}, "is not the address of an edge"),
        ({"url": "https://a@sites.example.com"}, "is not the address of an edge"),
        ({"url": "https://sites.example.com:0"}, "is not the address of an edge"),
        ({"url": "https://sites.example.com:http"}, "is not the address of an edge"),
        ({"url": "https://sites.example.com/a?b"}, "has a path"),
        ({"url": "https://example.com"}, "is not an address of this platform"),
        ({"url": "http://sites.example.com"}, "is http, and TENANTRY_SCHEME=https"),
        ({"connect": "local host"}, "names no server"),
        ({"connect": "127.0.0.1:99999"}, "names no server"),
        ({"connect": "a@b:1"}, "names no server"),
        ({"ca": Path("/none")}, "No certificate authority can be read from /none: No such file"),
        ({"ca": Path(__file__)}, "there is none in it"),
    ],
)
def test_what_is_typed_wrongly_is_invalid(there: Edge, given: Mapping[str, Any], wanted: str) -> None:
    with pytest.raises(Invalid) as error:
        ask(there, **given)
    assert wanted in error.value.says
    assert error.value.hint


@pytest.mark.parametrize(
    ("connect", "host", "gate"),
    [
        ("", DOMAIN, 8443),
        ("127.0.0.1", "127.0.0.1", 8443),
        ("127.0.0.1:444", "127.0.0.1", 444),
        ("::1", "::1", 8443),
        ("[::1]:444", "::1", 444),
        ("Nginx.Example.com:444", "nginx.example.com", 444),
    ],
)
def test_one_may_connect_elsewhere_than_dns_says(tmp_path: Path, connect: str, host: str, gate: int) -> None:
    known = settings.read(tmp_path, {}, {"domain": DOMAIN, "scheme": "https"}).settings
    found = way(Given(f"https://acme.{DOMAIN}:8443/", connect), known)
    assert (found.host, found.gate, found.domain, found.shown_port) == (host, gate, DOMAIN, ":8443")


def test_a_wildcard_that_dns_does_not_have_is_told_of(there: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one that leads elsewhere."""
    known: dict[str, str] = {DOMAIN: "192.0.2.1"}

    def resolve(host: str, port: int, **_: object) -> list[Any]:
        name = host if host in known else "*"
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[name], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    seeking = asker(there)
    for address, wanted in ((None, "There is no address of"), ("192.0.2.2", "leads to 192.0.2.2"), ("192.0.2.1", "")):
        known.update({"*": address} if address else {})
        (found,) = first.dns(seeking)
        assert (found.ok, wanted in found.says) == (not wanted, True)


# The command.


def test_the_command_tells_as_json_and_by_its_exit_code(there: Edge, run: Run) -> None:
    ran = run(*typed(there, "--json", "--connect", f"{LOCAL}:{there.http_port}"))
    (wrong,) = json.loads(ran.out)
    assert (ran.code, ran.error) == (1, "")
    assert set(wrong) == {"name", "ok", "says", "hint"}
    assert wrong["says"] == f"{LOCAL}:{there.http_port} speaks no TLS."
    assert f"listen {LOCAL}:{there.port} ssl default_server;" in wrong["hint"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--edge", "https://a", "--repair"), "--repair and --edge are two things. Give one of them."),
        (("--edge", "https://a", "--attack", "--repair"), "--attack, --repair and --edge are several things."),
        (("--connect", "a:1"), "--connect belongs to --edge."),
        (("--ca", "a"), "--ca belongs to --edge."),
        (("--edge", "https://a", "--part", "hosts"), "--part belongs to --attack."),
    ],
)
def test_what_does_not_belong_together_is_invalid(run: Run, words: tuple[str, ...], wanted: str) -> None:
    ran = run("doctor", *words)
    assert (ran.code, ran.out) == (2, "")
    assert wanted in ran.error


def test_without_an_instance_or_a_proxy_there_is_nothing_to_ask(root: Path, run: Run) -> None:
    """One line, that says what to do first."""
    ran = run("doctor", "--edge", "http://localhost")
    assert (ran.code, len(ran.error.splitlines())) == (3, 1)
    assert run("add", "acme").code == 0
    ran = run("doctor", "--edge", "http://localhost")
    assert (ran.code, ran.error.count("TENANTRY_PROXIES=1"), len(ran.error.splitlines())) == (4, 1, 1)
