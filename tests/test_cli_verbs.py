"""The verbs on the command line: what each says once it is done, when it is so already, and when it is only tried."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests import operators
from tests.operators import Run

acme, root, run = operators.acme, operators.root, operators.run


@pytest.fixture
def globex(run: Run, acme: str) -> str:
    """A tenant with each kind of address, beside acme."""
    assert run("add", "globex", "--path", "--domain", "globex.example.org", "--trust").code == 0
    return "globex"


def first(text: str) -> str:
    """Return the first line."""
    return text.splitlines()[0]


def book(root: Path) -> list[str]:
    """Return all that the registry holds."""
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as registry:
        return list(registry.iterdump())


def files(root: Path) -> dict[Path, bytes]:
    """Return all files of all tenants, in the trash too."""
    return {path: path.read_bytes() for path in (root / "instance").glob("t*/**/*") if path.is_file()}


def test_the_verbs_of_a_tenants_life(run: Run, acme: str) -> None:
    """Each says what is so now, and what it undoes; asked twice, it says so and ends well."""
    steps: list[tuple[list[str], str]] = [
        (["suspend", acme, "--because", "unpaid"], "acme is suspended: unpaid"),
        (["suspend", acme, "--because", "unpaid"], "acme is already suspended: unpaid"),
        (["suspend", acme, "--because", "fraud"], "acme is suspended: fraud"),
        (["resume", acme], "acme is active again."),
        (["resume", acme], "acme is already active."),
        (["maintenance", acme, "on"], "acme is in maintenance."),
        (["maintenance", acme, "off"], "acme is active again."),
        (["maintenance", acme, "off"], "acme is not in maintenance."),
        (["restart", acme], "acme is built anew."),
        (["domain", "add", acme, "acme.example", "--trust"], "acme.example is the primary domain of acme."),
        (["domain", "add", acme, "acme.example"], "acme.example is already the primary domain of acme."),
        (["domain", "add", acme, "www.acme.example"], "www.acme.example is claimed for acme; it is no address yet."),
        (
            ["domain", "add", acme, "www.acme.example"],
            "www.acme.example is already claimed for acme; it is no address yet.",
        ),
        (["domain", "add", acme, "www.acme.example", "--trust"], "www.acme.example is a domain of acme."),
        (["domain", "remove", acme, "www.acme.example"], "www.acme.example is no longer a domain of acme."),
        (["remove", acme, "--yes"], "acme is removed."),
        (["remove", acme], "acme is already removed."),
        (["remove", acme, "--undo"], "acme is back."),
        (["remove", acme, "--undo"], "acme is not removed."),
        (["config", "set", acme, "A=1", "B=x"], "Set A, B; acme is built anew."),
        (["config", "set", acme, "A=1"], "acme has that already."),
        (["config", "unset", acme, "A"], "Unset A; acme is built anew."),
        (["config", "unset", acme, "A"], "acme does not set A."),
        (["rename", acme, "apex"], "acme is renamed to apex."),
        (["rename", "apex", "apex"], "apex is called that already."),
        (["clone", "apex", "nadir"], "nadir is added with the data of apex."),
        (["remove", "apex", "-y"], "apex is removed."),
        (["purge", "apex", "-y"], "apex is purged: "),
    ]
    for words, says in steps:
        ran = run(*words)
        assert (ran.code, ran.error) == (0, "")
        assert first(ran.out).startswith(says)
    assert run("list", "--removed").out.startswith("nadir\tactive\t")


def test_the_undo_line_of_remove_works_as_it_is_printed(run: Run, acme: str) -> None:
    undo = run("remove", acme, "-y").out.rpartition(": ")[2].split()
    assert undo[0] == "tenantry"
    assert run("list", "--removed").out.split("\t")[1] == "removed"
    assert run("list").out == ""
    assert run(*undo[1:]).code == 0
    assert run("list").out.split("\t")[1] == "active"


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(run: Run, globex: str, root: Path) -> None:
    """It asks nobody, and ends as if it had been done."""
    run("config", "set", globex, "B=1")
    run("add", "gone")
    run("remove", "gone", "--yes")
    before = book(root), files(root)
    for words, says in (
        ("suspend acme --because unpaid", "acme would be suspended: unpaid"),
        ("resume acme", "acme is already active."),
        ("maintenance acme on", "acme would be in maintenance."),
        ("restart acme", "acme would be built anew."),
        ("rename acme apex", "acme would be renamed to apex."),
        ("clone acme nadir", "nadir would be added with the data of acme."),
        ("add nadir", "nadir would be added."),
        ("domain add acme acme.example", "acme.example would be claimed for acme; it is no address yet."),
        ("domain add acme acme.example --trust", "acme.example would be the primary domain of acme."),
        ("domain remove globex globex.example.org", "globex.example.org would no longer be a domain of globex."),
        ("remove acme", "acme would be removed."),
        ("remove gone --undo", "gone would be back."),
        ("purge gone", "gone would be purged: "),
        ("config set acme A=1", "Would set A; acme would be built anew."),
        ("config unset globex B", "Would unset B; globex would be built anew."),
    ):
        ran = run(*words.split(), "--dry-run")
        assert (ran.code, ran.error) == (0, ""), words
        assert first(ran.out).startswith(says)
        assert "/-/maintenance/" not in ran.out, "a link that nothing will ever answer"
        assert (book(root), files(root)) == before, words


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["add", "acme"], 4),
        (["add", "www"], 2),
        (["rename", "acme", "globex"], 4),
        (["suspend", "nobody", "--because", "x"], 3),
        (["purge", "acme"], 4),
    ],
)
def test_a_dry_run_of_what_cannot_be_done_fails_in_the_same_way(
    run: Run, globex: str, words: list[str], code: int
) -> None:
    tried, done = run(*words, "--dry-run"), run(*words)
    assert (tried.code, tried.out, tried.error) == (done.code, done.out, done.error)
    assert done.code == code


def test_a_dry_run_where_nothing_is_yet_makes_nothing(run: Run, root: Path) -> None:
    assert first(run("add", "acme", "--dry-run").out) == "acme would be added."
    assert run("suspend", "acme", "--because", "x", "--dry-run").code == 3
    assert [path.name for path in root.iterdir()] == [".env"]


def test_a_renamed_tenant_says_where_it_went(run: Run, globex: str) -> None:
    """Its old name leads there for as long as was asked; by it no command finds anything else."""
    ran = run("rename", globex, "hooli", "--grace", "2")
    assert ran.out.splitlines()[1:4] == [
        "  http://hooli.localhost:8000/",
        "  http://localhost:8000/t/hooli/",
        "  http://globex.example.org:8000/",
    ]
    assert "  The old name leads there until 2" in ran.out
    for words in (["show"], ["path"], ["restart"], ["config", "show"], ["domain", "list"]):
        ran = run(*words, globex)
        assert (ran.code, ran.out, ran.error) == (3, "", "tenantry: globex was renamed to hooli.\n")
    assert run("journal", globex, "--verb", "add").out.split("\t")[2:4] == ["add", globex]
    shown = json.loads(run("show", "hooli", "--json").out)
    assert [old["name"] for old in shown["old_names"]] == ["globex"]
    assert "old names\tglobex leads here until 2" in run("show", "hooli").out


def test_an_override_is_needed_for_a_name_like_anothers_and_is_journaled(run: Run, globex: str) -> None:
    ran = run("add", "g1obex")
    assert (ran.code, "give --override" in ran.error) == (4, True)
    assert run("add", "g1obex", "--override").code == 0
    line = json.loads(run("journal", "g1obex", "--json").out)[0]
    assert "looks like 'globex'" in line["detail"]["override"]
    ran = run("add", "globex", "--override")
    assert (ran.code, "taken" in ran.error) == (4, True)


def test_maintenance_tells_message_and_time_and_prints_its_link_once(run: Run, acme: str) -> None:
    """A new link is made only when it is asked for."""
    on = ["maintenance", acme, "on"]
    ran = run(*on, "--message", "Back at noon.", "--retry-after", "2h")
    assert "http://acme.localhost:8000/-/maintenance/" in ran.out.splitlines()[1]
    shown = json.loads(run("show", acme, "--json").out)
    assert (shown["status"], shown["maintenance"]) == ("maintenance", {"message": "Back at noon.", "retry_after": 7200})
    assert "visitors read\tBack at noon. (Retry-After: 7200)" in run("show", acme).out
    assert run(*on).out == "acme is already in maintenance.\n"
    assert run(*on, "--message", "Back at one.").out == "acme is in maintenance.\n"
    again = run(*on, "--new-link").out.splitlines()[1]
    assert again.rpartition("/")[2] != ran.out.splitlines()[1].rpartition("/")[2]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["maintenance", "acme", "off", "--message", "x"], 2, "belong to `on`"),
        (["maintenance", "acme", "on", "--retry-after", "soon"], 2, "'soon' is no time. Give seconds, or 10m, 2h, 1d."),
        (["maintenance", "acme"], 2, "'acme' is not one of 'on', 'off'"),
        (["maintenance", "on"], 2, "No tenant is given."),
        (["rename", "acme", "Acme Ltd"], 2, "Try 'acme-ltd'."),
        (["rename", "acme", "www"], 2, "is reserved"),
        (["rename", "acme", "apex", "--grace", "-1"], 2, "--grace"),
        (["domain", "add", "acme", "not a domain"], 2, "not a domain"),
        (["domain", "add", "acme", "www.localhost"], 2, "below the platform's own domain"),
        (["domain", "remove", "acme", "acme.example"], 3, "acme has no domain acme.example. It has none."),
        (["domain", "ad"], 2, "Did you mean 'add'?"),
        (["clone", "nobody", "nadir"], 3, "'nobody'"),
        (["clone", "acme", "acme"], 4, "taken"),
        (["purge", "acme"], 4, "`tenantry remove acme` first."),
        (["purge", "--older-than", "soon"], 2, "--older-than"),
        (["journal", "--since", "yesterday"], 2, "neither a revision nor a moment"),
        (["list", "--status", "asleep"], 2, "'asleep' is not one of"),
    ],
)
def test_what_goes_wrong_is_one_line(run: Run, acme: str, words: list[str], code: int, says: str) -> None:
    ran = run(*words)
    assert (ran.code, ran.out, ran.error.count("\n")) == (code, "", 1)
    assert ran.error.startswith("tenantry: ")
    assert says in ran.error


def test_a_tenant_suspended_in_a_maintenance_is_told_to_be_in_it_again(run: Run, acme: str) -> None:
    run("maintenance", acme, "on", "--message", "Back at noon.")
    run("suspend", acme, "--because", "unpaid")
    assert "once resumed, visitors read\tBack at noon." in run("show", acme).out
    for also in (["--dry-run"], []):
        assert " in maintenance again, as before.\n" in run("resume", acme, *also).out
    assert run("maintenance", acme, "off").out == "acme is active again.\n"


def test_a_domain_is_told_as_it_is_kept(run: Run, acme: str) -> None:
    """However it was typed: in another alphabet, in capitals, or with the dot of the root."""
    both = "xn--bcher-kva.example.org (b\u00fccher.example.org)"
    for words, says in (
        ("add acme b\u00fccher.example.org --trust", f"{both} is the primary domain of acme."),
        ("add acme b\u00fccher.example.org", f"{both} is already the primary domain of acme."),
        ("add acme WWW.example.org. --trust", "www.example.org is a domain of acme."),
        (
            "remove acme WWW.example.org.",
            f"www.example.org is no longer a domain of acme.\n  Its primary one is {both}.",
        ),
    ):
        ran = run("domain", *words.split())
        assert (ran.code, ran.out.strip(), ran.error) == (0, says, "")


def test_the_primary_domain_is_listed_first(run: Run, globex: str) -> None:
    run("domain", "add", globex, "www.globex.example", "--primary", "--trust")
    assert run("domain", "list", globex).out.splitlines() == [
        "www.globex.example\tprimary\thttp://www.globex.example:8000/",
        "globex.example.org\t\thttp://globex.example.org:8000/",
    ]


def test_a_purge_leaves_the_journal_and_frees_nothing_else(run: Run, acme: str, root: Path) -> None:
    uid = json.loads(run("show", acme, "--json").out)["uid"]
    run("remove", acme, "--yes")
    ran = run("purge", acme, "--yes")
    assert ran.out.startswith("acme is purged: 4 files, ")
    assert run("list", "--removed").out == ""
    assert not list((root / "instance").rglob(f"*{uid}*"))
    assert [line.split("\t")[2] for line in run("journal", uid).out.splitlines()] == ["purge", "remove", "add"]
    ran = run("add", acme)
    assert (ran.code, "is retired until" in ran.error) == (4, True)


def test_of_two_removed_tenants_of_one_name_each_is_purged_as_itself(run: Run, acme: str) -> None:
    """One that stands under that name is never meant."""
    uids = []
    for _ in range(2):
        uids.append(json.loads(run("show", acme, "--json").out)["uid"])
        run("remove", acme, "--yes")
        assert run("add", acme, "--override").code == 0
    ran = run("purge", acme, "--yes")
    assert (ran.code, "is not removed" in ran.error) == (4, True)
    assert run("purge", uids[0], "--yes").code == 0
    left = [row["uid"] for row in json.loads(run("list", "--status", "removed", "--json").out)]
    assert left == uids[1:]
    assert run("show", acme).code == 0


def test_purge_older_than_goes_by_the_day_of_the_removal(run: Run, acme: str, root: Path) -> None:
    """Nothing to do is no error, and says so."""
    for name in ("one", "two"):
        run("add", name)
    run("remove", acme, "one", "two", "--yes")
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as registry, registry:
        registry.execute("UPDATE journal SET at = '2020-01-01T00:00:00Z' WHERE verb = 'remove' AND name <> 'two'")
    assert run("purge", "--older-than", "30", "--yes", "--dry-run").out.count(" would be purged: ") == 2
    assert run("purge", "two", "--older-than", "30", "--yes").out == ""
    assert run("purge", "o*", "--older-than", "30", "--yes").out.startswith("one is purged: ")
    assert run("purge", "--older-than", "30", "--yes").out.startswith("acme is purged: ")
    ran = run("purge", "--older-than", "30", "--yes")
    assert (ran.code, ran.out, "there is nothing to do" in ran.error) == (0, "", True)
    assert run("list", "--status", "removed").out.startswith("two\t")
