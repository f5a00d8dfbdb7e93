"""Commands that look: they write nothing, print as they read, and tell what was before and after."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from tenantry.cli import tenants_group
from tests import operators
from tests.operators import ENVIRONMENT, NOTES, Run, python
from tests.test_cli_terminal import on_terminal

acme, root, run = operators.acme, operators.root, operators.run

MANY = 2500
# The commands whose next word is a tenant's name.
NAMED = (
    *("show", "path", "list", "journal", "suspend", "resume", "restart", "maintenance", "remove", "rename", "clone"),
    *(
        "domain add",
        "domain check",
        "domain remove",
        "domain list",
        "config set",
        "config edit",
        "config unset",
        "config show",
    ),
    *("config explain", "config drift KEY", "run", "shell", "dev"),
)
_SHOP = (
    "INSERT INTO tenants (uid, name, application, status, revision, moved, title, reason) VALUES (?,?,?,?,1,1,'','')"
)


@pytest.fixture
def many(root: Path, acme: str) -> int:
    """More tenants than are read at once, without files: 2,500 and acme."""
    shops = [(uid(number), f"shop-{number:04}", NOTES, "active") for number in range(1, MANY + 1)]
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as book, book:
        book.executemany(_SHOP, shops)
    return len(shops) + 1


def uid(number: int) -> str:
    """Spell a number as a uid."""
    return "".join("abcdefghijklmnop"[number >> shift & 15] for shift in range(44, -1, -4))


# Where there is nothing.


@pytest.mark.parametrize(
    "words", ["list", "show acme", "path acme", "journal", "config show acme", "config drift A", "domain list acme"]
)
def test_a_command_that_looks_makes_no_instance_folder(run: Run, root: Path, words: str) -> None:
    """So a mistyped --instance is told, and nothing is left there."""
    ran = run("--instance", "mistyped", *words.split())
    assert (ran.code, ran.out, ran.error.count("\n")) == (3, "", 1)
    assert ran.error.startswith(
        f"tenantry: There is no instance folder at {root / 'mistyped'} yet. `tenantry add NAME`"
    )
    assert [path.name for path in root.iterdir()] == [".env"]


# List.


def test_a_list_in_a_pipe_is_whole_whatever_its_length(run: Run, many: int) -> None:
    """JSON is one document all the same."""
    names = ["acme", *(f"shop-{number:04}" for number in range(1, many))]
    assert [line.split("\t")[0] for line in run("list").out.splitlines()] == names
    assert [row["name"] for row in json.loads(run("list", "--json").out)] == names
    assert [row["name"] for row in json.loads(run("list", "--json", "--limit", "1001").out)] == names[:1001]
    assert [row["name"] for row in json.loads(run("list", "--json", "--after", "shop-2400").out)] == names[2401:]
    assert run("list", "shop-1???", "--status", "active").out.count("\n") == 1000


def test_a_list_begins_at_once_and_a_reader_may_leave(root: Path, many: int) -> None:
    """Like `tenantry list | head -n 1`: no traceback, and the exit code that says so."""
    command = [sys.executable, "-m", "tenantry", "list", "--json"]
    reading, writing = os.pipe()
    with subprocess.Popen(command, cwd=root, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        assert os.read(reading, 10).startswith(b"[\n  {")
        os.close(reading)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (141, b"")


def test_a_terminal_shows_100_and_how_to_go_on(root: Path, many: int) -> None:
    """What it says works as it is printed, and ends with the last."""
    code, screen = on_terminal(root, ["list"])
    assert (code, screen.count("shop-")) == (0, 99 + 1)
    assert f"100 of {many}; the next: " in screen
    assert screen.rstrip().endswith("tenantry list --after shop-0099")
    _, screen = on_terminal(root, ["list", "shop-25*", "--limit", "1"])
    assert "1 of 1; " not in screen
    _, screen = on_terminal(root, ["list", "shop-24*", "--status", "active", "--limit", "3"])
    assert screen.rstrip().endswith("list 'shop-24*' --status active --limit 3 --after shop-2402")
    _, screen = on_terminal(root, ["list", "--after", "shop-2499"])
    assert (screen.count("shop-"), "the next" in screen) == (1, False)


def test_a_list_of_names_has_those_and_no_other_name_is_passed_over(run: Run, many: int) -> None:
    assert [line.split("\t")[0] for line in run("list", "shop-0002", "acme").out.splitlines()] == ["acme", "shop-0002"]
    ran = run("list", "acme", "nobody")
    assert (ran.code, ran.out, ran.error) == (3, "", "tenantry: There is no tenant 'nobody'.\n")
    ran = run("list", "acme", "nob*")
    assert (ran.code, ran.out) == (3, "")
    assert ran.error.startswith("tenantry: No tenant has a name like nob*.")
    run("remove", "acme", "--yes")
    assert run("list", "acme").error.startswith("tenantry: acme was removed. ")
    assert run("list", "acme", "--removed").out.startswith("acme\tremoved\t")
    assert run("list", "acme", "--status", "removed").out.startswith("acme\tremoved\t")


# Journal.


def test_the_journal_tells_what_was_before_and_after(run: Run, acme: str) -> None:
    run("suspend", acme, "--because", "unpaid")
    run("domain", "add", acme, "acme.example", "--trust")
    run("rename", acme, "apex")
    renamed, domain, suspended, added = json.loads(run("journal", "--json").out)
    assert (renamed["before"]["name"], renamed["after"]["name"]) == ("acme", "apex")
    assert (suspended["before"], suspended["after"]) == (
        {"status": "active"},
        {"status": "suspended", "reason": "unpaid"},
    )
    assert (added["before"], added["after"]["name"]) == ({}, "acme")
    assert renamed["revision"] > domain["revision"] > suspended["revision"] > added["revision"]
    lines = [line.split("\t") for line in run("journal").out.splitlines()]
    assert lines[2][5] == "status: active -> suspended; reason: nothing -> unpaid"
    assert lines[1][5] == "addresses: nothing -> domain:acme.example; domain: nothing -> acme.example"
    assert lines[0][5].startswith("name: acme -> apex; addresses: subdomain:acme -> subdomain:apex; old addresses: ")
    assert [int(line[6]) for line in lines] == [line["revision"] for line in (renamed, domain, suspended, added)]


def test_the_journal_on_a_terminal_shows_before_and_after(root: Path, run: Run, acme: str) -> None:
    run("suspend", acme, "--because", "unpaid")
    code, screen = on_terminal(root, ["journal"], COLUMNS="200")
    assert code == 0
    assert "status: active -> suspended" in screen


def test_the_journal_is_searched_and_ordered_by_revision_whatever_the_clock_said(
    run: Run, acme: str, root: Path
) -> None:
    run("suspend", acme, "--because", "unpaid")
    run("resume", acme)
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as book, book:
        book.execute("UPDATE journal SET at = '2020-01-01T00:00:00Z', who = 'ana' WHERE verb = 'resume'")

    def verbs(*words: str) -> list[str]:
        return [line.split("\t")[2] for line in run("journal", *words).out.splitlines()]

    assert verbs() == ["resume", "suspend", "add"]
    assert verbs("--who", "ana") == ["resume"]
    assert verbs("--verb", "suspend") == ["suspend"]
    assert verbs("--since", "2020-01-02") == ["suspend", "add"]
    first = json.loads(run("journal", "--verb", "add", "--json").out)[0]["revision"]
    assert verbs("--since", str(first)) == ["resume", "suspend"]
    assert verbs(acme, "--limit", "1") == ["resume"]
    assert verbs("--who", "nobody") == []


# Completion.


def test_what_may_come_next_is_completed(run: Run, many: int) -> None:
    run("add", "gone")
    run("remove", "gone", "--yes")
    nine = [f"shop-{number:04}" for number in range(1, 10)]
    shell = BashComplete(tenants_group, {}, "tenantry", "_TENANTRY_COMPLETE")
    for words, expected in (
        ("sus", ["suspend"]),
        ("suspend acme shop-000", nine),
        ("maintenance shop-2500 shop-000", nine),
        *((f"{command} ac", ["acme"]) for command in NAMED),
        ("purge go", ["gone"]),
        ("remove --undo go", ["gone"]),
        ("remove go", []),
        ("resume --status s", ["suspended"]),
        ("list --application gaz", ["gazette"]),
        ("add new --application gaz", ["gazette"]),
    ):
        *before, incomplete = words.split()
        assert [item.value for item in shell.get_completions(before, incomplete)] == expected, words


def test_completion_imports_nothing_that_serves(root: Path, acme: str) -> None:
    """Neither Flask nor Alembic nor waitress: a person waits for it at every press of the key."""
    code = (
        "import sys; from tenantry.cli import main\n"
        "try:\n    main([])\nfinally:\n"
        "    print(sorted({'flask', 'alembic', 'waitress', 'rich', 'werkzeug'} & set(sys.modules)))"
    )
    asked = {"_TENANTRY_COMPLETE": "bash_complete", "COMP_WORDS": "tenantry show ac", "COMP_CWORD": "2"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**ENVIRONMENT, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "plain,acme\n[]\n"


def test_completion_is_silent_where_nothing_can_be_read(root: Path) -> None:
    """And makes nothing."""
    asked = {"_TENANTRY_COMPLETE": "bash_complete", "COMP_WORDS": "tenantry show a", "COMP_CWORD": "2"}
    ran = python(cwd=root, more=asked)
    assert (ran.stdout.strip(), ran.stderr) == ("", "")
    (root / ".env").write_text("TENANTRY_TREADS=1\n")
    ran = python(cwd=root, more=asked)
    assert (ran.stdout.strip(), ran.stderr) == ("", "")
    assert [path.name for path in root.iterdir()] == [".env"]
