"""`tenantry edge` as it is typed: what is printed, what is left out, and whether an installed file is out of date."""

import os
import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from tests import operators
from tests.operators import NOTES, Run
from tests.registries import spoil

acme, root, run = operators.acme, operators.root, operators.run


@pytest.fixture
def edge(root: Path, acme: str) -> Path:
    """Settings for an edge, beside a tenant."""
    lines = ("APPLICATION=" + NOTES, "DOMAIN=example.com", "SCHEME=https", "PROXIES=1", "EDGE_DOMAINS=listed")
    (root / ".env").write_text("".join(f"TENANTRY_{line}\n" for line in lines))
    return root / ".env"


def test_the_configuration_is_printed_and_an_installed_one_compared(run: Run, edge: Path, root: Path) -> None:
    """As it is: 0 and one line. Out of date: 1 and each difference. Not there: what makes it."""
    assert run("domain", "add", "acme", "shop.example.org", "--trust").code == 0
    made = run("edge", "nginx")
    assert (made.code, made.error) == (0, "")
    assert "server_name shop.example.org;" in made.out
    installed = root / "tenantry.conf"
    installed.write_text(made.out)
    same = run("edge", "nginx", "--check", str(installed))
    assert (same.code, same.out) == (0, f"{installed} is as it should be.\n")
    with edge.open("a") as file:
        file.write("TENANTRY_MAX_BODY=5 MiB\n")
    other = run("edge", "nginx", "--check", str(installed))
    assert other.code == 1
    assert "`client_max_body_size 16777216;` should be `client_max_body_size 5242880;`" in other.out
    gone = run("edge", "nginx", "--check", str(root / "nowhere"))
    assert (gone.code, gone.out) == (3, "")
    assert f"`tenantry edge nginx > {root / 'nowhere'}` makes it" in gone.error


def test_a_poison_row_is_left_out_and_told_and_the_rest_is_rendered(run: Run, edge: Path, root: Path) -> None:
    assert run("domain", "add", "acme", "shop.example.org", "--trust").code == 0
    good = run("edge", "nginx").out
    registry = root / "instance" / "registry.sqlite3"
    poison = "evil.example; } server { listen 1;"
    spoil(registry, "INSERT INTO addresses SELECT ?, uid, revision, '' FROM tenants", f"domain:{poison}")
    spoil(registry, "INSERT INTO addresses SELECT ?, uid, revision, '' FROM tenants", "domain:\x1b[31m")
    made = run("edge", "nginx")
    assert (made.code, made.out) == (0, good)
    assert [line.partition(" was left out")[0] for line in made.error.splitlines()] == [
        r"The domain '\x1b[31m'",
        f"The domain {poison!r}",
    ]


def test_a_tenant_that_cannot_be_read_is_left_out_and_told(run: Run, edge: Path, root: Path) -> None:
    assert run("domain", "add", "acme", "shop.example.org", "--trust").code == 0
    spoil(root / "instance" / "registry.sqlite3", "UPDATE tenants SET status = 'odd'")
    made = run("edge", "nginx")
    assert made.code == 0
    assert "The domain 'shop.example.org' was left out: of its tenant the status 'odd' is none." in made.error
    with edge.open("a") as file:
        file.write("TENANTRY_EDGE_FILES=on\n")
    assert "Its application was left out." in run("edge", "nginx").error


def test_a_domain_that_is_nobodys_is_left_out_and_told(run: Run, edge: Path, root: Path) -> None:
    spoil(
        root / "instance" / "registry.sqlite3",
        "INSERT INTO addresses VALUES ('domain:lost.org', 'zzzzzzzzzzzz', 1, '')",
    )
    made = run("edge", "nginx")
    assert (made.code, made.error) == (0, "The domain 'lost.org' was left out: it is nobody's.\n")


def test_domains_of_tenants_that_are_gone_are_not_rendered(run: Run, edge: Path) -> None:
    assert run("domain", "add", "acme", "shop.example.org", "--trust").code == 0
    assert run("remove", "acme", "--yes").code == 0
    assert "shop.example.org" not in run("edge", "nginx").out


def test_static_files_of_applications_in_use_are_named(run: Run, edge: Path) -> None:
    with edge.open("a") as file:
        file.write("TENANTRY_EDGE_FILES=on\n")
    made = run("edge", "nginx")
    assert r"/-/static/tests\.applications:notes/" in made.out
    assert f'alias "{operators.CHECKOUT}/tests/$1";' in made.out


def test_an_application_that_is_gone_costs_its_static_files_alone(run: Run, edge: Path, root: Path) -> None:
    with edge.open("a") as file:
        file.write("TENANTRY_EDGE_FILES=on\n")
    spoil(root / "instance" / "registry.sqlite3", "UPDATE tenants SET application = 'gone'")
    made = run("edge", "nginx")
    assert (made.code, "/-/static/gone" in made.out) == (0, False)
    assert made.error.startswith("The static files of 'gone' were left out: ")


def test_without_a_proxy_in_the_settings_there_is_no_edge(run: Run, edge: Path) -> None:
    edge.write_text(edge.read_text().replace("PROXIES=1", "PROXIES=0"))
    refused = run("edge", "nginx")
    assert (refused.code, refused.out) == (4, "")
    assert "Set TENANTRY_PROXIES=1" in refused.error


@pytest.mark.parametrize(
    "line",
    [
        "EDGE_CDN=0.0.0.0/0",
        "EDGE_CDN=fe80::%eth0;return/10",
        "EDGE_ADDRESS=here",
        "EDGE_KEY=key.pem",
        "EDGE_CERTIFICATE=/a;b",
    ],
)
def test_a_setting_that_cannot_stand_in_the_file_is_invalid(run: Run, edge: Path, line: str) -> None:
    with edge.open("a") as file:
        file.write(f"TENANTRY_{line}\n")
    wrong = run("edge", "nginx")
    assert (wrong.code, wrong.out) == (2, "")
    assert line.partition("=")[0] in wrong.error


def test_units_are_printed_all_or_one_and_compared(run: Run, edge: Path, root: Path) -> None:
    """They serve what stands here, as the owner of the instance folder or whom one says."""
    every = run("edge", "systemd", "--user", "tenantry")
    assert every.code == 0
    assert "# tenantry.service\n" in every.out
    assert f"WorkingDirectory={root}" in every.out
    units = root / "units"
    units.mkdir()
    for name in ("tenantry.service", "tenantry.socket"):
        one = run("edge", "systemd", name, "--user", "tenantry")
        assert one.out in every.out
        (units / name).write_text(one.out)
    check = ("edge", "systemd", "--check", str(units), "--user")
    assert run(*check, "tenantry").code == 0
    other = run(*check, "somebody")
    assert (other.code, other.out.splitlines()[0]) == (1, _user_differs(units / "tenantry.service"))
    (units / "tenantry.socket").unlink()
    assert "tenantry.socket is missing" in run(*check, "tenantry").out


def test_an_owner_without_a_name_serves_by_number(run: Run, edge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the user was deleted, or on a disk that came from another machine."""

    def nobody(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert f"User={os.getuid()}\n" in run("edge", "systemd", "tenantry.service").out


def test_a_socket_that_is_a_file_is_open_to_the_group_of_the_web_server(run: Run, edge: Path) -> None:
    with edge.open("a") as file:
        file.write("TENANTRY_HOST=unix:/run/tenantry/socket\n")
    for words, group in (((), "www-data"), (("--group", "nginx"), "nginx")):
        assert f"SocketGroup={group}\n" in run("edge", "systemd", "tenantry.socket", *words).out


def _user_differs(path: Path) -> str:
    number = path.read_text().splitlines().index("User=tenantry") + 1
    return f"tenantry.service: line {number}: `User=tenantry` should be `User=somebody`"


def test_a_unit_that_there_is_not_is_unknown(run: Run, edge: Path) -> None:
    unknown = run("edge", "systemd", "nginx.service")
    assert unknown.code == 3
    assert "There are: tenantry.service, tenantry.socket." in unknown.error


def test_a_file_that_may_not_be_read_is_told(run: Run, edge: Path, root: Path) -> None:
    (root / "folder").mkdir()
    told = run("edge", "nginx", "--check", str(root / "folder"))
    assert told.code == 2
    assert "is a folder. Give the installed file." in told.error
    told = run("edge", "nginx", "--check", str(root / ("long" * 100)))
    assert told.code == 5
    assert "cannot be read" in told.error
    none = run("edge", "systemd", "--check", str(root / "none"))
    assert none.code == 3
    assert "There is no folder" in none.error


def test_alone_it_shows_what_there_is(run: Run, root: Path) -> None:
    helped = run("edge")
    assert helped.code == 0
    assert "nginx" in helped.out
