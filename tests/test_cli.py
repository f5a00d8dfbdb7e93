"""The command line: what is printed in a pipe, and how each thing that goes wrong ends: one line and an exit code."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest

from tenantry.cli import tenants_group
from tenantry.cli.failures import report
from tenantry.cli.values import assignments, seconds
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tests import operators
from tests.operators import ENVIRONMENT, NOTES, Run, python

acme, root, run = operators.acme, operators.root, operators.run


# What everybody meets first.

SUSPICIOUS = "a\tb\n\x1b[31mred \N{RIGHT-TO-LEFT OVERRIDE}"


def test_help_imports_nothing_but_click() -> None:
    """So it answers at once, and so does completion."""
    code = (
        "import sys; before = set(sys.modules); from tenantry.cli import main; main(['--help'])\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "['click', 'tenantry']"


def test_importing_tenantry_imports_nothing_else() -> None:
    """Its names are there all the same."""
    code = (
        "import sys; import tenantry\n"
        "assert {name for name in sys.modules if name.startswith('tenantry')} == {'tenantry', 'tenantry.__about__'}\n"
        "from tenantry import PathDispatcher, SubdomainDispatcher, dispatch\n"
        "assert SubdomainDispatcher is dispatch.SubdomainDispatcher and PathDispatcher is dispatch.PathDispatcher\n"
        "assert set(tenantry.__all__) <= set(dir(tenantry)) and not hasattr(tenantry, 'nonsense')"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)


def commands() -> Iterator[tuple[str, ...]]:
    context = click.Context(tenants_group)
    for name in tenants_group.list_commands(context):
        yield (name,)
        found = tenants_group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from ((name, inner) for inner in found.commands)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_explains_itself(run: Run, words: tuple[str, ...]) -> None:
    """Its first line is the one in the list of commands."""
    ran = run(*words, "-h")
    assert (ran.code, ran.error) == (0, "")
    assert ran.out.startswith(f"Usage: tenantry {' '.join(words)}")
    if len(words) == 1:
        assert ran.out.splitlines()[2].strip() in run("--help").out


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["config"]])
def test_without_a_command_it_explains_itself(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.error) == (0, "")
    assert ("Commands:" if words == ["config"] else "\nLook:\n  list ") in ran.out


def test_version(run: Run) -> None:
    assert re.fullmatch(r"tenantry \d+\.\d+\.\d+\n", run("--version").out)


# What goes wrong.


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["lst"], 2, "No such command 'lst'. Did you mean 'list'?"),
        (["config", "sett"], 2, "No such command 'sett'. Did you mean 'set'?"),
        (["qqq"], 2, "No such command 'qqq'. See `tenantry --help`."),
        (["--nope"], 2, "No such option"),
        (["add"], 2, "Missing argument 'NAME'. See `tenantry add --help`."),
        (["suspend", "acme"], 2, "Missing option '--because'"),
        (["list", "--jsn"], 2, "--json"),
        (["serve", "--port", "70000"], 2, "70000"),
        (["completion", "tcsh"], 2, "tcsh"),
        (["--root", "nowhere", "list"], 2, "nowhere is not a folder"),
        (["add", "Acme!"], 2, "Try 'acme'."),
        (["add", "new", "--set", "A"], 2, "'A' is not KEY=VALUE. For example SIGN_UP_OPEN=true."),
        (["add", "new", "--set", "A=1", "--set", "A=2"], 2, "A is given twice."),
        (["suspend", "acme", "--because", " "], 2, "needs a reason"),
        (["show", "acmee"], 3, "There is no tenant 'acmee'. Did you mean 'acme'?"),
        (["add", "new", "--application", "gazete"], 3, "gazette"),
        (["remove", "nobody", "--yes"], 3, "'nobody'"),
        (["journal", "nobody"], 3, "'nobody'"),
        (["add", "acme"], 4, "taken"),
        (["config", "set", "acme", "SECRET_KEY=x"], 4, "SECRET_KEY is the platform's own"),
        (["remove", "acme"], 4, "acme was not removed: nobody can be asked here. Add --yes if you are sure."),
        (["remove", "nobody"], 3, "'nobody'"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    run: Run, acme: str, words: list[str], code: int, says: str
) -> None:
    ran = run(*words)
    assert ran.code == code
    assert ran.out == ""
    assert ran.error.startswith("tenantry: ")
    assert ran.error.count("\n") == 1
    assert says in ran.error


def test_a_setting_that_is_none_is_invalid_for_every_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_TREADS", "4")
    ran = run("list")
    assert (ran.code, ran.out) == (2, "")
    assert ran.error.startswith("tenantry: TENANTRY_TREADS in the environment is not a setting.")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Invalid("It is so."), 2),
        (Unknown("It is so."), 3),
        (Refused("It is so."), 4),
        (Unavailable("It is so."), 5),
        (PermissionError(13, "Permission denied", "/a/file"), 5),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (ZeroDivisionError("never"), 70),
    ],
)
def test_each_family_of_errors_has_its_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C says nothing; a fault of Tenantry itself says where its details are, and nobody else can read them."""
    assert report(error) == code
    told = capsys.readouterr().err
    assert told.count("\n") == (0 if code == 130 else 1)
    if code == 70:
        kept = Path(told.rpartition(" ")[2].rstrip(".\n"))
        assert "ZeroDivisionError" in kept.read_text()
        assert kept.stat().st_mode & 0o077 == 0
        kept.unlink()


def test_debug_shows_where_an_error_came_from(run: Run) -> None:
    ran = run("--debug", "show", "nobody")
    assert ran.code == 3
    assert "Traceback" in ran.error


def test_a_reader_that_goes_away_is_no_error(root: Path, acme: str) -> None:
    """As in `tenantry list | head`."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = python("list", "--json", cwd=root, out=writing)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, "")


# What is printed in a pipe.


def test_a_pipe_gets_whole_values_separated_by_tabs_and_no_titles(run: Run) -> None:
    long = "x" * 200
    added = run("add", "acme", "--title", long, "--path")
    assert added.out.splitlines()[:3] == [
        "acme is added.",
        "  http://acme.localhost:8000/",
        "  http://localhost:8000/t/acme/",
    ]
    urls = "http://acme.localhost:8000/ http://localhost:8000/t/acme/"
    assert run("list").out == f"acme\tactive\t{NOTES}\t{urls}\t{long}\n"
    assert f"title\t{long}\n" in run("show", "acme").out
    assert run("path", "acme").out.endswith(f"{Path('instance', 'tenants')}/" + run("path", "acme").out[-13:])


def test_no_value_can_break_a_line_or_a_terminal(run: Run, acme: str) -> None:
    """Control characters are shown as what they are."""
    run("suspend", acme, "--because", SUSPICIOUS)
    for words in (["show", acme], ["journal"], ["suspend", acme, "--because", SUSPICIOUS]):
        out = run(*words).out
        assert "[31mred" in out
        assert not set(out) & {"\x1b", "\N{RIGHT-TO-LEFT OVERRIDE}"}
    assert len(run("journal").out.splitlines()) == 2


def test_json_is_one_document_with_keys_that_stay(run: Run) -> None:
    tenant = {"uid", "name", "title", "application", "status", "reason", "revision", "urls"}
    shown = tenant | {"placement", "database_size", "schema", "problems", "trouble", "journal"}
    shown |= {"domain", "claims", "old_names", "maintenance", "pending", "disk", "limits"}
    line = {"id", "revision", "at", "who", "verb", "uid", "name", "detail", "before", "after"}

    def document(*words: str) -> object:
        return json.loads(run(*words, "--json").out)

    def keys(value: object) -> set[str]:
        assert isinstance(value, dict)
        return set(value)

    assert keys(document("add", "acme")) == tenant | {"owner_link", "warning", "claims"}
    assert keys(document("clone", "acme", "acme-copy")) == tenant | {"owner_link", "warning", "claims"}
    assert document("list", "--status", "suspended") == []
    assert run("domain", "add", "acme", "www.acme.example", "--trust").code == 0
    assert run("domain", "add", "acme", "shop.acme.example").code == 0
    found = document("show", "acme")
    assert keys(found) == shown
    assert isinstance(found, dict)
    assert keys(found["journal"][0]) == line
    assert keys(document("path", "acme")) == {"name", "path"}
    for words, expected in (
        (("list",), tenant),
        (("journal",), line),
        (("domain", "list", "acme"), {"domain", "primary", "url", "verified", "record", "target"}),
        (("config", "show", "acme"), {"key", "value", "source", "secret"}),
        (("config", "show"), {"key", "value", "source", "secret"}),
        (("doctor",), {"name", "ok", "says", "hint"}),
    ):
        rows = document(*words)
        assert isinstance(rows, list)
        assert rows
        assert all(keys(row) == expected for row in rows)


# What is typed.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("12", 12),
        ("1.5", 1.5),
        ("[1, 2]", [1, 2]),
        ("{A = 1}", {"A": 1}),
        ('"quoted"', "quoted"),
        ("plain words", "plain words"),
        ("True", "True"),
        ("", ""),
        ("a=b", "a=b"),
        ("1\nB = 2", "1\nB = 2"),
        ("http://x/#y", "http://x/#y"),
        ("01", "01"),
    ],
)
def test_a_value_is_toml_if_it_can_be_else_text(text: str, value: object) -> None:
    found = assignments([f"KEY={text}"])["KEY"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "value"), [("600", 600), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("0", 0)]
)
def test_a_time_is_seconds_or_has_a_unit(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "10x", "-1", "1.5h", "\N{SUPERSCRIPT TWO}", "1 h"])
def test_what_is_no_time_is_invalid(text: str) -> None:
    with pytest.raises(Invalid, match="10m, 2h, 1d"):
        seconds(text)


def test_config_show_names_sources_and_masks_secrets(run: Run, acme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", (Path.cwd() / "typed").open("w+"))
    sys.stdin.write("hunter2\n")
    sys.stdin.seek(0)
    assert run("config", "set", acme, "--secret", "PIN").out == "Set PIN; acme is built anew.\n"
    ran = run("config", "set", acme, "--secret", "OTHER")
    sys.stdin.close()
    assert (ran.code, "standard input is empty" in ran.error) == (2, True)
    run("config", "set", acme, "COLOUR=red", "FEED=https://me:hunter2@host/")
    rows = [line.split("\t") for line in run("config", "show", acme).out.splitlines()]
    found = {row[0]: row[1:] for row in rows}
    assert found["PIN"] == ["********", ".env"]
    assert found["COLOUR"] == ["red", "config.toml"]
    assert found["FEED"] == ["https://me:********@host/", "config.toml"]
    assert found["SECRET_KEY"] == ["********", "tenantry"]
    settings = {row[0]: row[1:] for row in (line.split("\t") for line in run("config", "show").out.splitlines())}
    assert settings["TENANTRY_APPLICATION"] == [NOTES, ".env"]
    assert settings["TENANTRY_PORT"] == ["8000", "default"]
    assert settings["TENANTRY_ASK_TOKEN"] == ["", "default"]


def test_a_setting_that_is_a_secret_is_not_shown(run: Run, root: Path) -> None:
    secret = "0123456789abcdef"
    with (root / ".env").open("a") as file:
        file.write(f"TENANTRY_ASK_TOKEN={secret}\n")
    for words in ((), ("--json",)):
        shown = run("config", "show", *words)
        assert (shown.code, secret in shown.out) == (0, False)
    row = next(row for row in json.loads(shown.out) if row["key"] == "TENANTRY_ASK_TOKEN")
    assert row == {"key": "TENANTRY_ASK_TOKEN", "value": "********", "source": ".env", "secret": True}


def test_run_hands_options_on_and_returns_the_exit_code(run: Run, acme: str) -> None:
    ran = run("run", acme, "--", "greet")
    assert (ran.code, "acme" in ran.out) == (0, True)
    assert "Commands:" in run("run", acme).out
    assert f"Usage: tenantry run {acme} -- greet" in run("run", acme, "greet", "--help").out
    assert run("run", acme, "fail").code == 7
    assert run("run", acme, "nonsense").code == 2


def test_doctor_ends_with_1_where_something_is_wrong_and_repairs(run: Run, acme: str, root: Path) -> None:
    assert run("doctor").code == 0
    folder = Path(run("path", acme).out.strip())
    run("remove", acme, "--yes")
    (root / "instance" / "trash" / folder.name).rename(folder)
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as book, book:
        book.execute("UPDATE tenants SET pending = 'remove'")
    ran = run("doctor")
    assert ran.code == 1
    assert "interrupted\twrong\t" in ran.out
    assert run("doctor", "--dry-run").error == "tenantry: --dry-run belongs to --repair.\n"
    for _ in range(2):
        ran = run("doctor", "--repair", "--dry-run")
        assert (ran.code, ran.error) == (1, "Would be finished or undone: A removal was cut short: acme.\n")
    ran = run("doctor", "--repair")
    assert (ran.code, ran.error) == (0, "acme: an interrupted removal was finished\n")


@pytest.mark.parametrize(
    "words", [["suspend", "a", "--because", "x"], ["purge", "a"], ["config", "set", "a", "A=1"], ["list"]]
)
def test_only_what_adds_a_tenant_makes_an_instance_folder(run: Run, root: Path, words: list[str]) -> None:
    """A typing error in --instance shows itself, instead of standing there as an empty instance."""
    ran = run("--instance", str(root / "typo"), *words)
    assert (ran.code, ran.out) == (3, "")
    assert "There is no instance folder" in ran.error
    assert not (root / "typo").exists()


def test_numbers_that_json_does_not_know_are_text_in_it(run: Run, acme: str) -> None:
    run("config", "set", acme, "LOW=-inf", "NONE=nan")
    for words in (["config", "show", acme], ["journal", acme], ["show", acme]):
        json.loads(run(*words, "--json").out, parse_constant=pytest.fail)


def test_bytes_that_are_no_text_are_invalid_wherever_they_stand(run: Run, acme: str) -> None:
    for words in (["show", "\udcff"], ["suspend", acme, "--because", "\udcff"], ["config", "set", acme, "A=\udcff"]):
        ran = run(*words)
        assert (ran.code, ran.out) == (2, "")
        assert "is not UTF-8 text" in ran.error


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000])
def test_what_toml_cannot_hold_is_plain_text(run: Run, acme: str, value: str) -> None:
    assert run("config", "set", acme, f"A={value}").code == 0
    assert json.loads(run("config", "explain", acme, "A", "--json").out)["value"] == value
