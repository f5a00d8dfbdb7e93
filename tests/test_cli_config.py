"""The command line on a tenant's config: edited in the operator's own editor, explained, compared."""

import json
import os
import shlex
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import operators
from tests.operators import Run
from tests.test_cli_terminal import on_terminal

acme, root, run = operators.acme, operators.root, operators.run

Editor = Callable[[str], str]
BROKEN = "printf 'A = \\n' > \"$1\""


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """Make $EDITOR a shell script; `$1` is the file to edit."""
    monkeypatch.delenv("VISUAL", raising=False)

    def editor(script: str) -> str:
        path = tmp_path / "my editor"  # the word has to be quoted
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("EDITOR", shlex.quote(str(path)))
        return shlex.quote(str(path))

    return editor


@pytest.fixture
def folder(run: Run, acme: str) -> Path:
    """The folder of acme, which has a value and a secret."""
    assert run("config", "set", acme, "COLOUR=red").code == 0
    assert run("config", "set", acme, "--secret", "PIN=hunter2").code == 0
    return Path(run("path", acme).out.strip())


def lines(run: Run, name: str = "acme") -> list[str]:
    """Return the verbs of a tenant's journal."""
    return [line.split("\t")[2] for line in run("journal", name).out.splitlines()]


def drafts(root: Path) -> list[Path]:
    """Return the copies that were kept."""
    return list((root / "instance" / "staging").glob("*/*"))


def kept(error: str) -> Path:
    """Return the path of the copy that an error names."""
    return Path(error.rpartition("is kept in ")[2].strip().removesuffix("."))


# Editing.


def test_an_editor_edits_the_file_as_it_is(run: Run, folder: Path, editor: Editor, root: Path) -> None:
    """What it leaves is saved byte for byte, and of the copy nothing stays."""
    before = folder.joinpath("config.toml").read_text()
    editor('printf \'# mine\\r\\nCOLOUR = "blue"\' >> "$1"; sed -i "/red/d" "$1"')
    ran = run("config", "edit", "acme")
    assert (ran.code, ran.out, ran.error) == (0, "Changed COLOUR; acme is built anew.\n", "")
    whole = folder.joinpath("config.toml").read_bytes().decode()
    assert whole == before.replace('COLOUR = "red"\n', "") + '# mine\r\nCOLOUR = "blue"'
    assert "COLOUR\tblue\tconfig.toml" in run("config", "show", "acme").out
    assert lines(run)[0] == "config edit"
    assert drafts(root) == []


def test_the_copy_is_private_and_lies_where_no_server_reads(run: Run, folder: Path, editor: Editor, root: Path) -> None:
    editor(f'stat -c "%a %n" "$1" "$(dirname "$1")" > {root}/seen; cp "$1" {root}/copy')
    ran = run("config", "edit", "acme", "--secret")
    assert (ran.code, ran.out) == (0, "acme is as it was: nothing in its .env was edited.\n")
    (mode, path), (around, _) = [line.split(" ", 1) for line in (root / "seen").read_text().splitlines()]
    assert (mode, around, Path(path).name) == ("600", "700", ".env")
    assert Path(path).parent.parent == root / "instance" / "staging"
    assert "PIN='hunter2'" in (root / "copy").read_text()
    assert drafts(root) == []


def test_a_secret_that_is_edited_is_not_told(run: Run, folder: Path, editor: Editor) -> None:
    editor('sed -i s/hunter2/hunter3/ "$1"')
    assert run("config", "edit", "acme", "--secret").out == "Changed PIN; acme is built anew.\n"
    assert "hunter" not in run("journal", "acme", "--json").out
    assert "PIN='hunter3'" in (folder / ".env").read_text()


@pytest.mark.parametrize("script", ["true", 'cp "$1" "$1~"; mv "$1~" "$1"', "exit 0"])
def test_an_edit_of_nothing_says_so_and_writes_nothing(run: Run, folder: Path, editor: Editor, script: str) -> None:
    editor(script)
    before = (folder / "config.toml").stat().st_ino, lines(run)
    assert run("config", "edit", "acme").out == "acme is as it was: nothing in its config.toml was edited.\n"
    assert ((folder / "config.toml").stat().st_ino, lines(run)) == before


def test_a_comment_alone_is_saved(run: Run, folder: Path, editor: Editor) -> None:
    editor('echo "# later" >> "$1"')
    assert run("config", "edit", "acme").out == "The config.toml of acme is saved; no value of it differs.\n"
    assert (folder / "config.toml").read_text().endswith("# later\n")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", "ended with 3. Nothing was changed."),
        ("kill -HUP $$", "was ended by SIGHUP. Nothing was changed."),
        ('rm "$1"', "left no file: No such file or directory. Nothing was changed."),
    ],
)
def test_an_editor_that_ends_badly_changes_nothing(
    run: Run, folder: Path, editor: Editor, script: str, says: str
) -> None:
    spelled = editor(script)
    before = (folder / "config.toml").read_bytes()
    ran = run("config", "edit", "acme")
    assert (ran.code, ran.out) == (4, "")
    assert ran.error.endswith(f"{spelled} {says}\n")
    assert len(ran.error.splitlines()) == 1
    assert (folder / "config.toml").read_bytes() == before
    assert drafts(Path.cwd()) == []


def test_what_was_typed_into_an_editor_that_ends_badly_is_kept(run: Run, folder: Path, editor: Editor) -> None:
    editor('echo "A = 1" >> "$1"; exit 1')
    ran = run("config", "edit", "acme")
    assert ran.code == 4
    assert kept(ran.error).read_text().endswith("A = 1\n")
    assert "A = 1" not in (folder / "config.toml").read_text()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-editor --wait", "The editor no-such-editor --wait cannot be run: No such file or directory."),
        ("/", "The editor / cannot be run: Permission denied."),
        ("'vi", "$EDITOR is no command: 'vi"),
    ],
)
def test_an_editor_that_cannot_be_run_is_named(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, says: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", command)
    ran = run("config", "edit", "acme")
    assert (ran.code, ran.out, says in ran.error) == (2, "", True), ran.error
    assert "Nothing was changed" in ran.error
    assert drafts(Path.cwd()) == []


def test_visual_comes_before_editor_and_an_empty_one_is_none(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.setenv("VISUAL", "sed -i 's/red/blue or green/'")
    assert run("config", "edit", "acme").code == 0
    assert 'COLOUR = "blue or green"' in (folder / "config.toml").read_text()
    monkeypatch.setenv("VISUAL", " ")
    assert "The editor false ended with 1" in run("config", "edit", "acme").error


def test_without_an_editor_nobody_is_left_waiting(
    run: Run, folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is guessed where there is no terminal to show it on."""
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    bin_folder = root / "bin"
    bin_folder.mkdir()
    monkeypatch.setenv("PATH", str(bin_folder))
    assert (run("config", "edit", "acme").code, drafts(root)) == (5, [])
    (bin_folder / "nano").symlink_to("/bin/true")
    with (root / "nothing").open("w+") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        ran = run("config", "edit", "acme")
    assert (ran.code, "no terminal" in ran.error) == (4, True)


def test_a_wrong_edit_without_a_terminal_is_kept_and_its_line_is_named(
    run: Run, folder: Path, editor: Editor, root: Path
) -> None:
    before = (folder / "config.toml").read_bytes(), lines(run)
    editor('echo "B = " >> "$1"')
    ran = run("config", "edit", "acme")
    assert (ran.code, ran.out, len(ran.error.splitlines())) == (2, "", 1)
    assert "The edited config.toml is broken: Invalid value (at line 4" in ran.error
    assert [kept(ran.error)] == drafts(root)
    assert kept(ran.error).read_text().endswith("B = \n")
    assert stat.S_IMODE(kept(ran.error).stat().st_mode) == 0o600
    assert ((folder / "config.toml").read_bytes(), lines(run)) == before


def test_a_kept_copy_can_be_taken_up_again(
    run: Run, folder: Path, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/commands.md says: the copy is mended, and cp is an editor."""
    editor('echo "B = " >> "$1"')
    copy = kept(run("config", "edit", "acme").error)
    copy.write_text(copy.read_text().replace("B = ", "B = 1"))
    monkeypatch.setenv("EDITOR", f"cp {copy}")
    assert run("config", "edit", "acme").out == "Changed B; acme is built anew.\n"


def test_what_is_not_utf_8_comes_back_as_it_was(run: Run, folder: Path, editor: Editor) -> None:
    (folder / "config.toml").write_bytes(b"A = 'f\xfcr'\n")
    editor('printf "B = 1\\n" >> "$1"')
    ran = run("config", "edit", "acme")
    assert (ran.code, "line 1: it is not UTF-8" in ran.error) == (2, True)
    assert kept(ran.error).read_bytes() == b"A = 'f\xfcr'\nB = 1\n"


def test_a_config_that_was_set_meanwhile_is_not_overwritten(run: Run, folder: Path, editor: Editor, root: Path) -> None:
    command = shlex.join([sys.executable, "-m", "tenantry", "--root", str(root), "config", "set", "acme", "B=2"])
    path = os.pathsep.join(sys.path)
    editor(f'echo "A = 1" >> "$1"; PYTHONPATH={shlex.quote(path)} {command} >&2')
    ran = run("config", "edit", "acme")
    assert (ran.code, "was changed by somebody else while it was edited" in ran.error) == (4, True), ran.error
    assert kept(ran.error).read_text().endswith("A = 1\n")
    text = (folder / "config.toml").read_text()
    assert ("B = 2" in text, "A = 1" in text) == (True, False)


def test_a_dry_run_edits_and_checks_and_saves_nothing(run: Run, folder: Path, editor: Editor, root: Path) -> None:
    before = (folder / "config.toml").read_bytes(), lines(run)
    editor('sed -i s/red/blue/ "$1"')
    ran = run("config", "edit", "acme", "--dry-run")
    assert (ran.code, ran.out) == (0, "Would change COLOUR; acme would be built anew.\n")
    for words, says in (
        (["set", "acme", "COLOUR=blue"], "Would set COLOUR; acme would be built anew.\n"),
        (["set", "acme", "--secret", "PIN=1"], "Would set PIN; acme would be built anew.\n"),
        (["unset", "acme", "COLOUR"], "Would unset COLOUR; acme would be built anew.\n"),
        (["unset", "acme", "NEVER"], "acme does not set NEVER.\n"),
    ):
        assert run("config", *words, "--dry-run").out == says
    editor(BROKEN)
    assert run("config", "edit", "acme", "--dry-run").code == 2
    assert ((folder / "config.toml").read_bytes(), lines(run)) == before
    assert drafts(root) == []


def test_a_purge_takes_the_kept_copies_with_it(run: Run, folder: Path, editor: Editor, root: Path) -> None:
    editor(BROKEN)
    assert kept(run("config", "edit", "acme").error).exists()
    run("remove", "acme", "--yes")
    assert run("purge", "acme", "--yes").code == 0
    assert drafts(root) == []


# On a terminal.


def test_on_a_terminal_one_may_go_on_with_what_is_wrong(run: Run, root: Path, folder: Path, editor: Editor) -> None:
    """The line is named, and the editor opens what was typed."""
    command = editor('echo "# seen" >> "$1"; grep -q "B = " "$1" && sed -i "s/B = /B = 1/" "$1" || echo "B = " >> "$1"')
    code, screen = on_terminal(root, ["config", "edit", "acme"], "y\n", EDITOR=command)
    assert (code, "line 5" in screen, "Edit it again? [Y/n]" in screen) == (0, True, True), screen
    assert "Changed B; acme is built anew." in screen
    assert (folder / "config.toml").read_text().endswith("# seen\nB = 1\n# seen\n")
    assert drafts(root) == []


@pytest.mark.parametrize(("typed", "code"), [("n\n", 2), ("\x03", 130), ("\x04", 130)])
def test_whoever_does_not_go_on_is_told_where_it_is_kept(
    root: Path, folder: Path, editor: Editor, typed: str, code: int
) -> None:
    before = (folder / "config.toml").read_bytes()
    ended, screen = on_terminal(root, ["config", "edit", "acme"], typed, EDITOR=editor(BROKEN))
    assert ended == code, screen
    assert "Traceback" not in screen
    (draft,) = drafts(root)
    assert str(draft) in "".join(screen.splitlines())
    assert draft.read_text() == "A = \n"
    assert (folder / "config.toml").read_bytes() == before


def test_what_was_typed_outlives_a_terminal_that_hangs_up(root: Path, folder: Path, editor: Editor) -> None:
    command = editor('echo "A = 1" >> "$1"; kill -HUP $PPID')
    assert on_terminal(root, ["config", "edit", "acme"], EDITOR=command)[0] == -signal.SIGHUP
    (draft,) = drafts(root)
    assert draft.read_text().endswith("A = 1\n")
    assert "A = 1" not in (folder / "config.toml").read_text()


def test_the_editor_has_the_terminal(run: Run, root: Path, folder: Path, editor: Editor) -> None:
    """And an interrupt that it sends itself, or gets, does not end the command around it."""
    command = editor('[ -t 0 ] && [ -t 1 ] && kill -INT $PPID && echo "A = 1" >> "$1"')
    code, screen = on_terminal(root, ["config", "edit", "acme"], EDITOR=command)
    assert (code, "Changed A" in screen) == (0, True), screen


def test_the_first_editor_that_is_there_is_taken(run: Run, root: Path, folder: Path, editor: Editor) -> None:
    editor('sed -i s/red/blue/ "$1"')
    (root / "bin").mkdir()
    (root / "my editor").rename(root / "bin" / "vi")
    path = f"{root / 'bin'}{os.pathsep}/bin"
    (root / "bin" / "sensible-editor").symlink_to(root / "bin" / "vi")
    code, screen = on_terminal(root, ["config", "edit", "acme"], PATH=path)
    assert (code, "Changed COLOUR" in screen) == (0, True), screen


# Looking.


def test_explain_shows_every_layer_and_who_set_it(run: Run, folder: Path) -> None:
    rows = [line.split("\t") for line in run("config", "explain", "acme", "COLOUR").out.splitlines()]
    assert [row[0] for row in rows] == ["platform", "application", "title", "config.toml", ".env", "tenantry"]
    assert rows[3][:4] == ["config.toml", "red", "wins", "config set"]
    assert all(rows[3][4:])
    assert rows[0][1:] == ["-", "", "", "", ""]
    found = json.loads(run("config", "explain", "acme", "COLOUR", "--json").out)
    assert {key: found[key] for key in ("name", "key", "value", "source", "secret", "why_own")} == {
        "name": "acme",
        "key": "COLOUR",
        "value": "red",
        "source": "config.toml",
        "secret": False,
        "why_own": None,
    }
    assert set(found["layers"][3]) == {"layer", "set", "value", "wins", "origin"}
    assert set(found["layers"][3]["origin"]) == {"verb", "who", "at"}
    assert found["layers"][0]["origin"] is None


def test_explain_says_of_a_platforms_key_why_it_cannot_be_set(run: Run, folder: Path) -> None:
    ran = run("config", "explain", "acme", "PUBLIC_URL")
    assert (ran.code, "cannot be set. It follows from the tenant's addresses." in ran.error) == (0, True)
    assert "tenantry\thttp://acme.localhost:8000/\twins" in ran.out
    ran = run("config", "explain", "acme", "COLOR")
    assert (ran.code, ran.error) == (3, "tenantry: No layer of acme sets 'COLOR'. Did you mean COLOUR?\n")
    assert "hunter2" not in run("config", "explain", "acme", "PIN", "--json").out


def test_drift_shows_the_most_common_value_first(run: Run, folder: Path) -> None:
    for number in range(7):
        assert run("add", f"shop-{number}", "--set", "COLOUR=blue").code == 0
    assert run("config", "drift", "COLOUR").out == (
        "blue\t7\tconfig.toml\tshop-0 shop-1 shop-2 shop-3 shop-4 shop-5 shop-6\nred\t1\tconfig.toml\tacme\n"
    )
    assert run("config", "drift", "COLOUR", "shop-[01]").out == "blue\t2\tconfig.toml\tshop-0 shop-1\n"
    assert run("config", "drift", "PIN").out.splitlines()[1] == "********\t1\t.env\tacme"
    found = json.loads(run("config", "drift", "COLOUR", "--json").out)
    assert (found["key"], found["secret"], found["unread"]) == ("COLOUR", False, [])
    assert found["groups"][0] == {
        "set": True,
        "value": "blue",
        "tenants": 7,
        "sources": ["config.toml"],
        "names": [f"shop-{number}" for number in range(7)],
    }


def test_drift_ends_with_1_where_a_config_cannot_be_read(run: Run, folder: Path) -> None:
    run("add", "globex")
    (folder / "config.toml").write_text("A = \n")
    ran = run("config", "drift", "SITE_TITLE")
    assert (ran.code, ran.out) == (1, "-\t1\t\tglobex\n")
    assert ran.error.startswith("tenantry: acme cannot be compared: ")
    assert "line 1" in ran.error
    found = json.loads(run("config", "drift", "SITE_TITLE", "--json").out)
    assert [one["name"] for one in found["unread"]] == ["acme"]
