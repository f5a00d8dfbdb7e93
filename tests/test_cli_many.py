"""Several tenants at once: which are meant, what becomes of the others when one fails, and what is asked before."""

import json
from pathlib import Path

import pytest

from tests import operators
from tests.operators import Run
from tests.test_cli_terminal import on_terminal

acme, root, run = operators.acme, operators.root, operators.run


@pytest.fixture
def shops(run: Run, acme: str) -> None:
    """Four tenants beside acme, two of them suspended."""
    for number in range(1, 5):
        assert run("add", f"shop-{number}").code == 0
    assert run("suspend", "shop-3", "shop-4", "--because", "unpaid").code == 0


def statuses(run: Run) -> dict[str, str]:
    """Return the status of every tenant."""
    rows = (line.split("\t") for line in run("list", "--removed").out.splitlines())
    return {row[0]: row[1] for row in rows}


# Which are meant.


@pytest.mark.parametrize(
    ("words", "done"),
    [
        (["shop-4", "acme", "shop-4"], ["shop-4", "acme"]),
        (["acme", "shop-*"], ["acme", "shop-1", "shop-2", "shop-3", "shop-4"]),
        (["shop-[12]", "?cme"], ["shop-1", "shop-2", "acme"]),
        (["--status", "suspended"], ["shop-3", "shop-4"]),
        (["shop-*", "--status", "active"], ["shop-1", "shop-2"]),
        (["acme", "shop-4", "--status", "suspended"], ["shop-4"]),
        (["--application", "tests.applications:notes", "shop-1"], ["shop-1"]),
        (["--application", "gazette"], []),
        (["--status", "maintenance"], []),
        (["shop-*", "--status", "maintenance"], []),
    ],
    ids=" ".join,
)
def test_names_globs_and_selectors_say_who_is_meant(run: Run, shops: None, words: list[str], done: list[str]) -> None:
    """They are done in the order in which they were typed, each once; that selectors mean nobody is no error."""
    ran = run("restart", *words)
    assert ran.code == 0
    assert [line.removesuffix(" is built anew.") for line in ran.out.splitlines()] == done
    assert ("there is nothing to do" in ran.error) is (not done)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["acme", "shop-9"], 3, "There is no tenant 'shop-9'. Did you mean 'shop-"),
        (["acme", "shoe-*"], 3, "No tenant has a name like shoe-*."),
        (["acme", "gon?"], 3, "No tenant has a name like gon?."),
        (["acme", "gone"], 3, "gone was removed. `tenantry remove gone --undo` brings it back."),
        ([], 2, "No tenant is given. Give names, globs such as 'shop-*', --status or --application."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_is_done_before_all_names_are_known(
    run: Run, acme: str, words: list[str], code: int, says: str
) -> None:
    run("add", "shop-1")
    run("add", "gone")
    run("remove", "gone", "--yes")
    ran = run("suspend", *words, "--because", "unpaid")
    assert (ran.code, ran.out) == (code, "")
    assert ran.error.startswith(f"tenantry: {says}")
    assert statuses(run)["acme"] == "active"


def test_one_that_fails_does_not_keep_the_others(run: Run, shops: None) -> None:
    """It is one line on standard error, and the exit code is 1; alone it has that of its error."""
    run("maintenance", "shop-1", "on")
    ran = run("resume", "shop-*")
    assert (ran.code, ran.out.splitlines()) == (
        1,
        ["shop-2 is already active.", "shop-3 is active again.", "shop-4 is active again."],
    )
    assert ran.error.splitlines() == [
        "tenantry: shop-1 is in maintenance. `tenantry maintenance shop-1 off` ends it.",
        "tenantry: 1 of 4 failed.",
    ]
    assert run("resume", "shop-1").code == 4


def test_globs_mean_standing_tenants_and_for_undo_and_purge_removed_ones(run: Run, shops: None) -> None:
    assert run("remove", "shop-1", "shop-2", "--yes").out == "shop-1 is removed.\nshop-2 is removed.\n"
    assert run("remove", "shop-*", "--yes").out == "shop-3 is removed.\nshop-4 is removed.\n"
    assert run("purge", "shop-[12]", "--yes").out.count(" is purged: ") == 2
    back = run("remove", "*", "--undo").out
    assert [line for line in back.splitlines() if line.endswith("is back.")] == ["shop-3 is back.", "shop-4 is back."]
    assert statuses(run) == {"acme": "active", "shop-3": "suspended", "shop-4": "suspended"}


# A name that two have, one of them removed.


@pytest.fixture
def twice(run: Run, acme: str) -> str:
    """A tenant that was removed, and another of the same name that stands."""
    assert run("remove", acme, "--yes").code == 0
    assert run("add", acme, "--override").code == 0
    return acme


def both(run: Run) -> set[str]:
    """Return the statuses of the two."""
    return {one["status"] for one in json.loads(run("list", "--removed", "--json").out)}


@pytest.mark.parametrize("words", [["--status", "removed"], ["acme", "--status", "removed"]], ids=" ".join)
def test_a_removed_tenant_that_is_selected_is_not_mistaken_for_the_one_that_stands(
    run: Run, twice: str, words: list[str]
) -> None:
    ran = run("remove", *words)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "acme is already removed.")
    assert both(run) == {"active", "removed"}
    undo = ran.out.splitlines()[-1].rpartition(": ")[2]
    assert "another tenant is called so by now" in run(*undo.split()[1:]).error, "it is found as it is printed"


@pytest.mark.parametrize(
    "words",
    [["suspend", "--because", "unpaid"], ["resume"], ["restart"], ["maintenance", "on"], ["maintenance", "off"]],
    ids=" ".join,
)
def test_no_verb_on_a_removed_tenant_reaches_another_of_its_name(run: Run, twice: str, words: list[str]) -> None:
    """It is told by its name, whatever it was found by."""
    before = run("journal").out
    ran = run(*words, "--status", "removed")
    assert (ran.code, ran.out) == (3, "")
    assert ran.error.startswith("tenantry: acme was removed.")
    assert run("journal").out == before


def test_what_a_name_means_where_two_have_it(run: Run, twice: str) -> None:
    """A name is that of the one that stands, unless removed ones are asked for."""
    assert run("purge", twice, "--yes").code == 4
    assert run("remove", twice, "--undo").out.startswith("acme is not removed.")
    assert run("purge", twice, "--status", "removed", "--yes").out.startswith("acme is purged: ")
    assert both(run) == {"active"}


# What is asked before.


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["shop-1"], "shop-1 was not removed: nobody can be asked here. Add --yes if you are sure."),
        (["shop-1", "acme"], "shop-1, acme were not removed: nobody can be asked here."),
        (["shop-*"], "4 tenants were selected and none was removed: more than 3 at once need their exact number."),
        (["shop-*", "--yes"], "Add --yes-delete 4 if you are sure; --dry-run shows which they are."),
        (["shop-*", "--yes-delete", "5"], "4 tenants were selected, not 5; none was removed."),
        (["shop-*", "--yes-delete", "3"], "4 tenants were selected, not 3; none was removed."),
        (["shop-1", "--yes", "--yes-delete", "2"], "1 tenant was selected, not 2; none was removed."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_without_a_terminal_many_need_their_exact_number_and_few_a_yes(
    run: Run, shops: None, words: list[str], says: str
) -> None:
    ran = run("remove", *words)
    assert (ran.code, ran.out, ran.error.count("\n")) == (4, "", 1)
    assert says in ran.error
    assert "removed" not in statuses(run).values()


def test_the_exact_number_removes_and_purges_many(run: Run, shops: None) -> None:
    """Those that are removed already are not counted; a dry run asks for nothing."""
    assert run("remove", "shop-1", "--yes-delete", "1").code == 0
    assert run("remove", "*", "--dry-run").out.count(" would be removed.") == 4
    assert run("remove", "shop-1", "*", "--yes-delete", "4").out.count(" is removed.\n") == 4
    ran = run("purge", "*", "--yes-delete", "4")
    assert (ran.code, "5 tenants were selected, not 4; none was purged." in ran.error) == (4, True)
    assert run("purge", "*", "--yes-delete", "5").out.count(" is purged: ") == 5
    assert statuses(run) == {}


@pytest.mark.parametrize(("typed", "code"), [("2\n", 0), ("y\n", 4)])
def test_a_few_are_asked_for_by_their_number(root: Path, run: Run, acme: str, typed: str, code: int) -> None:
    run("add", "globex")
    ended, screen = on_terminal(root, ["remove", "acme", "globex"], typed)
    assert (ended, "Visitors of acme, globex will find nothing. Type how many these are" in screen) == (code, True)
    assert ("that was not their number" in screen) is bool(code)
    assert set(statuses(run).values()) == {"active" if code else "removed"}


@pytest.mark.parametrize(("typed", "code"), [("acme\n", 0), ("1\n", 4)])
def test_a_purge_is_asked_for_by_the_name_and_says_that_it_is_for_good(
    root: Path, run: Run, acme: str, typed: str, code: int
) -> None:
    run("remove", acme, "--yes")
    ended, screen = on_terminal(root, ["purge", acme], typed)
    assert ended == code
    assert "All data of acme will be gone; this cannot be undone." in screen
    assert statuses(run) == ({"acme": "removed"} if code else {})


def test_many_are_not_asked_for_on_a_terminal_either(root: Path, run: Run, shops: None) -> None:
    code, screen = on_terminal(root, ["remove", "shop-*"])
    assert (code, "4 tenants were selected and none was removed" in screen) == (4, True)
    code, _ = on_terminal(root, ["remove", "shop-*", "--yes-delete", "4"])
    assert code == 0
    assert list(statuses(run).values()) == ["active", *["removed"] * 4]


def test_a_rehearsal_on_many_says_which_number_the_real_one_needs(run: Run, acme: str) -> None:
    for number in range(4):
        assert run("add", f"shop-{number}").code == 0
    ran = run("remove", "*", "--dry-run")
    assert (ran.code, len(ran.out.splitlines())) == (0, 5)
    assert "5 tenants were selected: without --dry-run that needs --yes-delete 5." in ran.error
    assert run("remove", "shop-0", acme, "--dry-run").error == ""
