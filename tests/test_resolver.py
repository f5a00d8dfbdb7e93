"""Asking the DNS: real packets to a real server, and an answer for everything that it may say."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tenantry.errors import Invalid
from tenantry.resolver import Answer, Outcome, Resolver
from tests.dns import NONSENSE, REFUSED, SERVFAIL, SILENCE, Known, Nameserver, nameserver
from tests.operators import ENVIRONMENT
from tests.tools import free_port

FOUND, NO_NAME, NOTHING, FAILED, SILENT = Outcome


@pytest.fixture(scope="module")
def server() -> Iterator[Nameserver]:
    names: dict[str, Known] = {
        "shop.example.com": {"A": ("192.0.2.1",), "AAAA": ("2001:DB8:0::1",), "TXT": ('"in two" " pieces"',)},
        "text.example.com": {"TXT": ('"caf\\195\\169 \\255"', '"plain"')},
        "caa.example.com": {"CAA": ('0 issue "letsencrypt.org"', '128 Iodef "mailto:a@example.com"')},
        "www.example.com": {"CNAME": ("Shop.Example.com.",)},
        "far.example.com": {"CNAME": ("www.example.com.",)},
        "dangling.example.com": {"CNAME": ("gone.example.net.",)},
        "one.example.com": {"CNAME": ("other.example.com.",)},
        "other.example.com": {"CNAME": ("one.example.com.",)},
        "*.many.example.com": {"CNAME": ("shop.example.com.",)},
        "long.example.com": {"TXT": tuple(f'"{number:0200}"' for number in range(20))},
        "broken.example.com": SERVFAIL,
        "closed.example.com": REFUSED,
        "silent.example.com": SILENCE,
        "odd.example.com": NONSENSE,
    }
    with nameserver(names) as server:
        yield server


def ask(server: Nameserver, name: str, kind: str) -> Answer:
    return Resolver([server.server], 5.0).ask(name, kind)


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("shop.example.com", "A", {"192.0.2.1"}),
        ("Shop.Example.com.", "AAAA", {"2001:db8::1"}),
        ("shop.example.com", "TXT", {"in two pieces"}),
        ("text.example.com", "TXT", {"caf\u00e9 \\xff", "plain"}),
        ("caa.example.com", "CAA", {"0 issue letsencrypt.org", "128 Iodef mailto:a@example.com"}),
    ],
)
def test_records_are_told_as_plain_text(server: Nameserver, name: str, kind: str, values: set[str]) -> None:
    found = ask(server, name, kind)
    assert (found.outcome, set(found.values), found.aliases, found.seconds) == (FOUND, values, (), 60)


def test_aliases_are_followed_and_told_in_their_order(server: Nameserver) -> None:
    found = ask(server, "far.example.com", "A")
    assert (found.values, found.aliases) == (("192.0.2.1",), ("www.example.com", "shop.example.com"))
    assert ask(server, "any.many.example.com", "A").aliases == ("shop.example.com",)


def test_no_name_is_another_answer_than_no_such_record(server: Nameserver) -> None:
    assert ask(server, "nowhere.example.com", "A") == Answer(NO_NAME, seconds=60)
    assert ask(server, "caa.example.com", "TXT") == Answer(NOTHING, seconds=60)
    assert ask(server, "www.example.com", "CAA") == Answer(NOTHING, aliases=("shop.example.com",), seconds=60)


def test_an_alias_of_what_does_not_exist_is_told(server: Nameserver) -> None:
    assert ask(server, "dangling.example.com", "A") == Answer(NO_NAME, aliases=("gone.example.net",), seconds=60)


@pytest.mark.parametrize(
    ("name", "says"),
    [("broken", "SERVFAIL"), ("closed", "REFUSED"), ("one", "an answer that makes no sense")],
)
def test_a_failure_says_what_the_server_said(server: Nameserver, name: str, says: str) -> None:
    found = ask(server, f"{name}.example.com", "A")
    assert (found.outcome, found.says) == (FAILED, f"{says} from {server.server}")


@pytest.mark.parametrize("name", ["silent", "odd"])
def test_who_says_nothing_is_waited_for_as_long_as_was_said(server: Nameserver, name: str) -> None:
    """What is no answer to the question may be anybody's, so that the server's own is waited for."""
    found = Resolver([server.server], 0.2).ask(f"{name}.example.com", "A")
    assert found == Answer(SILENT, says=f"{server.server}, within 0.2 s")


def test_nobody_at_the_port_is_silence_and_the_next_server_is_asked(server: Nameserver) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    assert Resolver([nobody], 0.2).ask("shop.example.com", "A").outcome is SILENT
    assert Resolver([nobody, server.server], 1.5).ask("shop.example.com", "A").outcome is FOUND


def test_a_long_answer_comes_whole_by_tcp(server: Nameserver) -> None:
    before = server.by_tcp
    assert len(ask(server, "long.example.com", "TXT").values) == 20
    assert server.by_tcp == before + 1


@pytest.mark.parametrize("name", ["a" * 64 + ".example.com", ".".join(["a" * 60] * 5), "a..b"])
def test_what_the_dns_cannot_spell_is_invalid(server: Nameserver, name: str) -> None:
    with pytest.raises(Invalid, match="no name of it"):
        ask(server, name, "A")


def test_nothing_is_kept_so_that_a_change_is_seen_at_once(server: Nameserver) -> None:
    resolver = Resolver([server.server])
    for value in ("192.0.2.8", "192.0.2.9"):
        server.names["changing.example.com"] = {"A": (value,)}
        assert resolver.ask("changing.example.com", "A").values == (value,)


def test_nobody_imports_dnspython_who_does_not_ask() -> None:
    code = "import sys, tenantry.cli, tenantry.assembly.desk; sys.exit('dns' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False, timeout=60)
    assert ran.returncode == 0
