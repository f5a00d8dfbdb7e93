"""A tenant's config in an editor's hands: saved as it was typed, once it is right, or not at all."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tenantry.assembly.desk import open_operations
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable
from tenantry.operations import Entry, NewTenant, Operations, config, editing
from tenantry.placement import Placement
from tests import shops
from tests.shops import mode, verbs

operations, root, shop = shops.operations, shops.root, shops.shop

TYPED = "# Mine\r\n\r\nCOLOUR\t=  'blue' # for now\r\n[TABLE]\r\n  X = 1\r\n\r\n# no line end"


@pytest.fixture
def placement(operations: Operations) -> Placement:
    """The folder of acme, a tenant with a value and a secret."""
    operations.add(NewTenant("acme", config={"COLOUR": "red", "OPEN": 1}))
    operations.config_set_secret("acme", {"PIN": "hunter2"})
    return Placement(operations.path("acme"))


def newest(operations: Operations) -> Entry:
    return operations.journal("acme")[0]


def state(placement: Placement) -> dict[str, tuple[bytes, int]]:
    """Return what is in the folder, with the inode of each file, which a file that is replaced would change."""
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in placement.folder.iterdir() if path.is_file()}


@contextmanager
def unchanged(operations: Operations, placement: Placement) -> Iterator[None]:
    """See that neither a file nor the journal changes."""
    before, lines = state(placement), verbs(operations)
    yield
    assert state(placement) == before
    assert verbs(operations) == lines


def test_an_edit_is_saved_byte_for_byte_as_one_line_of_the_journal(
    operations: Operations, placement: Placement
) -> None:
    before = operations.get("acme").revision
    done = operations.config_edit("acme", lambda _: TYPED)
    assert (done.changed, done.keys) == (True, ("COLOUR", "OPEN", "TABLE"))
    assert done.tenant.revision > before
    assert placement.config.read_bytes() == TYPED.encode()
    assert mode(placement.config) == 0o600
    line = newest(operations)
    assert (line.verb, line.detail) == ("config edit", {"files": ["config.toml"]})
    assert line.before == {"COLOUR": "red", "OPEN": 1}
    assert line.after == {"COLOUR": "blue", "TABLE": {"X": 1}}
    assert verbs(operations) == ["add", "config set", "config edit"]


@pytest.mark.parametrize("edit", [lambda text: text, lambda _: None], ids=["same", "none"])
def test_an_edit_that_changes_nothing_writes_nothing(
    operations: Operations, placement: Placement, edit: Callable[[str], str | None]
) -> None:
    with unchanged(operations, placement):
        assert not operations.config_edit("acme", edit).changed


def test_a_comment_alone_is_saved_and_said_to_change_no_value(operations: Operations, placement: Placement) -> None:
    done = operations.config_edit("acme", lambda text: f"{text}# later\n")
    assert (done.changed, done.keys) == (True, ())
    assert placement.config.read_text().endswith("# later\n")
    assert (newest(operations).before, newest(operations).after) == ({}, {})


def test_one_is_not_true_in_an_edit_either(operations: Operations, placement: Placement) -> None:
    """Though Python holds them for equal, inside a list as well."""
    operations.config_edit("acme", lambda _: "OPEN = 1\nLIST = [1]\n")
    assert operations.config_edit("acme", lambda _: "OPEN = true\nLIST = [true]\n").keys == ("LIST", "OPEN")


@pytest.mark.parametrize(
    ("typed", "family", "says"),
    [
        ("A = 1\nB = \n", Invalid, r"config\.toml is broken: .*line 2"),
        ("A = 1\n\n# x\ncolour = 'red'\n", Invalid, r"config\.toml is wrong at line 4: 'colour' is no config key"),
        ('A = """\nlow = 1\n"""\nlow = 2\n', Invalid, "wrong at line 4: 'low'"),
        ("[[ SECRET_KEY ]]\nx = 1\n", Refused, "wrong at line 1: SECRET_KEY is the platform's own"),
        ("A = 1\nSESSION_COOKIE_NAME.x = 1\n", Refused, "wrong at line 2: SESSION_COOKIE_NAME"),
        ("A = 1\nB = '\udcfc'\n", Invalid, "broken at line 2: it is not UTF-8"),
        pytest.param(f"A = {'[' * 10000}", Invalid, "nested too deeply", id="deep"),
        pytest.param(f"A = {'9' * 5000}", Invalid, "broken", id="long"),
        ("A = 1\nA = 2\n", Invalid, "line 2"),
        ("PIN = 1\n", Refused, "PIN is a secret of this tenant already"),
    ],
)
def test_a_wrong_edit_is_not_saved_and_its_line_is_named(
    operations: Operations, placement: Placement, typed: str, family: type[TenantryError], says: str
) -> None:
    with unchanged(operations, placement), pytest.raises(family, match=says):
        operations.config_edit("acme", lambda _: typed)


@pytest.mark.parametrize(
    ("typed", "family", "says"),
    [
        ("A='1'\n\n'nonsense\n", Invalid, r"\.env is broken at line 3"),
        ("A='1\n2'\n\nlow='x'\n", Invalid, r"\.env is wrong at line 4: 'low'"),
        ("# x\nexport PUBLIC_URL=x\n", Refused, "wrong at line 2: PUBLIC_URL is the platform's own"),
    ],
)
def test_a_wrong_edit_of_secrets_is_not_saved_either(
    operations: Operations, placement: Placement, typed: str, family: type[TenantryError], says: str
) -> None:
    with unchanged(operations, placement), pytest.raises(family, match=says):
        operations.config_edit("acme", lambda _: typed, secret=True)


def test_secrets_are_edited_in_the_same_way_and_never_told(operations: Operations, placement: Placement) -> None:
    operations.config_edit("acme", lambda text: text.replace("hunter2", "hunter3") + "# x\nNEW=abc\n", secret=True)
    assert config.read_secrets(placement) == {"PIN": "hunter3", "NEW": "abc"}
    assert placement.secrets.read_text().endswith("# x\nNEW=abc\n")
    assert mode(placement.secrets) == 0o600
    line = newest(operations)
    assert (line.before, line.after) == ({"PIN": config.MASK}, {"PIN": config.MASK, "NEW": config.MASK})
    assert line.detail == {"files": [".env"]}
    assert not any(word in repr(operations.journal()) for word in ("hunter", "abc"))


def test_what_is_wrong_can_be_edited_again_from_where_one_was(operations: Operations, placement: Placement) -> None:
    given: list[str] = []
    told: list[str] = []

    def edit(text: str) -> str:
        given.append(text)
        return ("A = \n", "A = 1\nlow = 2\n", "A = 1\n")[len(given) - 1]

    def again(error: TenantryError) -> bool:
        told.append(error.says)
        return True

    assert operations.config_edit("acme", edit, again=again).changed
    assert given[1:] == ["A = \n", "A = 1\nlow = 2\n"]
    assert ["line 1" in told[0], "line 2" in told[1]] == [True, True]
    assert config.read_config(placement) == {"A": 1}
    assert verbs(operations)[2:] == ["config edit"]


def test_an_edit_does_not_undo_what_somebody_else_has_set_meanwhile(
    operations: Operations, placement: Placement
) -> None:
    def edit(text: str) -> str:
        operations.config_set("acme", {"COLOUR": "green"})
        return text.replace("OPEN = 1", "OPEN = 2")

    with pytest.raises(Refused, match="changed by somebody else"):
        operations.config_edit("acme", edit)
    assert config.read_config(placement) == {"COLOUR": "green", "OPEN": 1}


def test_the_config_of_a_tenant_that_was_removed_meanwhile_is_left_alone(
    operations: Operations, placement: Placement
) -> None:
    before = placement.config.read_bytes()

    def edit(_: str) -> str:
        operations.remove("acme")
        return "A = 1\n"

    with pytest.raises(Refused, match="acme was removed meanwhile"):
        operations.config_edit("acme", edit)
    operations.undo_remove("acme")
    assert placement.config.read_bytes() == before


@pytest.mark.parametrize("broken", [b"A = \n", b"A = '\xfc'\n", b"SECRET_KEY = 'mine'\n"])
def test_a_file_that_is_broken_can_be_mended(operations: Operations, placement: Placement, broken: bytes) -> None:
    """The other file may be broken as well: one is mended after the other."""
    placement.config.write_bytes(broken)
    placement.secrets.write_text("'nonsense\n")
    given: list[str] = []

    def edit(text: str) -> str:
        given.append(text)
        return "A = 1\n"

    assert operations.config_edit("acme", edit).changed
    assert given[0].encode("utf-8", "surrogateescape") == broken
    assert placement.config.read_text() == "A = 1\n"
    assert operations.config_edit("acme", lambda _: "PIN='1'\n", secret=True).changed
    assert operations.show("acme").problems == ()


def test_a_file_that_is_missing_is_edited_as_an_empty_one(operations: Operations, placement: Placement) -> None:
    placement.config.unlink()
    assert operations.config_edit("acme", lambda text: f"{text}A = 1\n").keys == ("A",)
    assert placement.config.read_text() == "A = 1\n"


# What every change of a config keeps.


CHANGES: dict[str, Callable[[Operations], object]] = {
    "set": lambda desk: desk.config_set("acme", {"COLOUR": "blue"}),
    "secret": lambda desk: desk.config_set_secret("acme", {"PIN": "2"}),
    "unset": lambda desk: desk.config_unset("acme", ["COLOUR", "PIN"]),
    "edit": lambda desk: desk.config_edit("acme", lambda _: TYPED),
}


def test_the_journal_has_what_was_before_and_after(operations: Operations, placement: Placement) -> None:
    operations.config_set("acme", {"COLOUR": "blue", "FEED": "https://me:hunter2@host/", "API_TOKEN": "hunter2"})
    line = newest(operations)
    assert line.before == {"COLOUR": "red"}
    assert line.after == {
        "COLOUR": "blue",
        "FEED": f"https://me:{config.MASK}@host/",
        "API_TOKEN": config.MASK,
    }
    operations.config_unset("acme", ["COLOUR", "PIN"])
    line = newest(operations)
    assert (line.before, line.after) == ({"COLOUR": "blue", "PIN": config.MASK}, {})
    assert line.detail == {"files": ["config.toml", ".env"]}
    assert "hunter2" not in repr(operations.journal())


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_dry_run_checks_and_answers_and_writes_nothing(
    operations: Operations, placement: Placement, root: Path, change: Callable[[Operations], object]
) -> None:
    with (
        unchanged(operations, placement),
        open_operations(root, {"application": "shop:create_app"}, dry_run=True) as rehearsal,
    ):
        done = change(rehearsal)
        assert getattr(done, "changed", None) is True
        with pytest.raises(Invalid, match="line 1"):
            rehearsal.config_edit("acme", lambda _: "A =")
    assert getattr(change(operations), "keys", None) == getattr(done, "keys", ())


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_cannot_be_written_is_named_and_stays_as_it_was(
    operations: Operations, placement: Placement, change: Callable[[Operations], object]
) -> None:
    """A folder is in the way of the new content, which stops root as well."""
    for path in (placement.config, placement.secrets):
        path.with_name(f".{path.name}.new").mkdir()
    with unchanged(operations, placement), pytest.raises(Unavailable, match=str(placement.folder)):
        change(operations)


def test_of_two_files_neither_is_changed_if_one_cannot_be(operations: Operations, placement: Placement) -> None:
    (placement.folder / "..env.new").mkdir()
    before = placement.config.read_bytes()
    with pytest.raises(Unavailable, match=r"\.env"):
        operations.config_unset("acme", ["COLOUR", "PIN"])
    assert placement.config.read_bytes() == before
    assert verbs(operations) == ["add", "config set"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_registry_does_not_take_note_of_is_put_back(
    operations: Operations, placement: Placement, root: Path, change: Callable[[Operations], object]
) -> None:
    """The tenant began to be removed just before, and its files are as they were."""
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as book, book:
        book.execute("UPDATE tenants SET pending = 'remove' WHERE name = 'acme'")
    before = {name: content for name, (content, _) in state(placement).items()}
    with pytest.raises(Refused, match="removed"):
        change(operations)
    assert {name: content for name, (content, _) in state(placement).items()} == before
    assert mode(placement.config) == mode(placement.secrets) == 0o600
    assert verbs(operations) == ["add", "config set"]


def test_what_is_wrong_is_told_without_a_line_where_none_has_the_key() -> None:
    """As if the file were read in another way the second time."""
    assert editing._line_in_env("A='1'\n\nB='2'\n", "B") == " at line 3"
    assert editing._line_in_env("A='1'\n", "B") == ""
