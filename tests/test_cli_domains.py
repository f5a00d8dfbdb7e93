"""The commands on domains, as an operator types them, with a nameserver to ask."""

import json
from pathlib import Path

import pytest

from tests import dns, operators
from tests.dns import Nameserver
from tests.operators import Run
from tests.test_cli_terminal import on_terminal

acme, run, world = operators.acme, operators.run, dns.world
SHOP = "shop.example.com"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Nameserver) -> Path:
    """A working folder whose settings name that nameserver."""
    world.names.clear()
    known = {"APPLICATION": operators.NOTES, "DOMAIN": "platform.test", "RESOLVER": world.server}
    (tmp_path / ".env").write_text("".join(f"TENANTRY_{key}={value}\n" for key, value in known.items()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_domain_is_claimed_checked_and_listed(run: Run, acme: str, world: Nameserver) -> None:
    lines = run("domain", "add", acme, SHOP).out.splitlines()
    assert lines[0] == f"{SHOP} is claimed for acme; it is no address yet."
    record, alias = lines[1].split(), lines[2].split()
    assert (record[:2], alias) == ([f"_tenantry.{SHOP}.", "TXT"], [f"{SHOP}.", "CNAME", "acme.platform.test."])
    assert "`tenantry domain check acme`" in lines[4]
    waiting = run("domain", "check", acme)
    assert (waiting.code, waiting.error) == (1, "")
    told = [line.split("\t") for line in waiting.out.splitlines()]
    assert [row[:3] for row in told] == [
        [SHOP, "ownership", "wrong"],
        [SHOP, "way", "wrong"],
        [SHOP, "certificates", "ok"],
    ]
    assert record[2] in told[0][4], "it can be copied"
    assert run("domain", "list", acme).out == f"{SHOP}\tclaimed\t_tenantry.{SHOP} TXT {record[2]}\n"
    world.names[f"_tenantry.{SHOP}"] = {"TXT": (record[2],)}
    rehearsed = run("domain", "check", acme, "--dry-run")
    assert (rehearsed.code, rehearsed.error) == (0, f"{SHOP} would be a domain of acme now.\n")
    done = run("domain", "check", acme, SHOP)
    assert (done.code, done.error) == (0, f"{SHOP} is a domain of acme now.\n")
    assert run("domain", "list", acme).out == f"{SHOP}\tprimary\thttp://{SHOP}:8000/\n"
    assert run("domain", "check", acme).error == ""


def test_json_has_what_a_program_needs(run: Run, acme: str) -> None:
    run("domain", "add", acme, "b\u00fccher.example", "--trust")
    run("domain", "add", acme, SHOP, "--primary")
    had, claim = json.loads(run("domain", "list", acme, "--json").out)
    assert had["domain"] == "xn--bcher-kva.example"
    assert (had["primary"], had["verified"]) == (True, True)
    assert (claim["domain"], claim["primary"], claim["verified"]) == (SHOP, True, False)
    assert (claim["record"]["name"], claim["record"]["type"]) == (f"_tenantry.{SHOP}", "TXT")
    assert claim["record"]["value"].startswith("tenantry=")
    assert claim.pop("url") is None
    assert json.loads(run("show", acme, "--json").out)["claims"] == [claim]
    ran = run("domain", "check", acme, "--json")
    shop, books = json.loads(ran.out)
    assert ran.code == 1
    assert (shop["domain"], shop["verified"], shop["changed"]) == (SHOP, False, False)
    assert [found["about"] for found in shop["findings"]] == ["ownership", "way", "certificates"]
    assert (books["verified"], books["findings"][0]["good"]) == (True, True)


def test_a_new_tenant_is_told_what_proves_its_domains(run: Run, acme: str) -> None:
    lines = run("add", "globex", "--domain", SHOP, "--domain", "b.example.com").out.splitlines()
    assert f"  http://{SHOP}:8000/" not in lines
    assert [line.split()[1] for line in lines if line.startswith("  _tenantry.")] == ["TXT", "TXT"]
    added = json.loads(run("add", "hooli", "--domain", SHOP, "--json").out)
    assert [claim["domain"] for claim in added["claims"]] == [SHOP]
    trusted = run("add", "initech", "--domain", "c.example.com", "--trust")
    assert "  http://c.example.com:8000/" in trusted.out.splitlines()
    alone = run("add", "hooli", "--trust")
    assert (alone.code, "--trust belongs to --domain." in alone.error) == (2, True)
    assert "claimed domains\tb.example.com\n" in run("show", "globex").out


def test_a_dry_run_shows_no_token(run: Run, acme: str) -> None:
    told = run("domain", "add", acme, SHOP, "--dry-run").out
    assert told.startswith(f"{SHOP} would be claimed for acme")
    assert "a token that is drawn when it is claimed" in told
    assert run("domain", "list", acme).out == ""


def test_a_terminal_shows_a_domain_as_people_read_it(root: Path, run: Run, acme: str) -> None:
    run("domain", "add", acme, "b\u00fccher.example", "--trust")
    code, screen = on_terminal(root, ["domain", "list", acme], COLUMNS="120")
    assert (code, "xn--bcher-kva.example (b\u00fccher.example)" in screen) == (0, True)
    assert run("domain", "list", acme).out.startswith("xn--bcher-kva.example\t")


def test_a_tenant_without_domains_has_nothing_to_check(run: Run, acme: str) -> None:
    assert run("domain", "check", acme).code == 0
    assert run("domain", "check", acme, SHOP).code == 3
    assert run("domain", "check", "nobody").code == 3
