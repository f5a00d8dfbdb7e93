"""What all applications of a process share, and one of them has changed for all."""

import locale
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tenantry import surroundings
from tenantry.surroundings import Shared, Surroundings


@pytest.fixture(autouse=True)
def as_found(tmp_path: Path) -> Iterator[None]:
    """Leave the process as it was, whatever the code under test does."""
    folder, umask, usual = Path.cwd(), os.umask(0o22), locale.setlocale(locale.LC_ALL)
    os.umask(umask)
    yield
    os.chdir(folder)
    os.umask(umask)
    locale.setlocale(locale.LC_ALL, usual)
    socket.setdefaulttimeout(None)


def refuse(_: object) -> None:
    raise OSError("not permitted")


def test_what_was_changed_is_put_back_at_the_second_look(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A library may change such a thing for a moment."""
    before = Path.cwd(), os.umask(0o22)
    kept = Surroundings()
    os.chdir(tmp_path)
    os.umask(0o777)
    socket.setdefaulttimeout(3.0)
    kept.restore()
    assert Path.cwd() == tmp_path
    assert not caplog.text
    kept.restore()
    assert (Path.cwd(), os.umask(before[1]), socket.getdefaulttimeout()) == (before[0], 0o22, None)
    assert [word in caplog.text for word in ("working directory", "umask", "default timeout")] == [True] * 3
    kept.restore()
    assert len(caplog.records) == 3


def test_a_locale_is_put_back(caplog: pytest.LogCaptureFixture) -> None:
    locale.setlocale(locale.LC_ALL, "C")
    kept = Surroundings()
    for name in ("C.UTF-8", "en_US.UTF-8"):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            break
    kept.restore()
    kept.restore()
    assert locale.setlocale(locale.LC_ALL) == "C"
    assert "the locale of all" in caplog.text


def test_what_changes_from_look_to_look_is_waited_for(tmp_path: Path) -> None:
    kept = Surroundings()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        os.chdir(tmp_path / name)
        kept.restore()
        assert Path.cwd() == tmp_path / name


def test_who_was_built_when_it_changed_is_named_and_not_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Surroundings()
    with kept.building("acme", "shop"):
        os.chdir(tmp_path)
    kept.restore()
    kept.restore()
    assert "probably that of acme" in caplog.text
    kept.restore()
    os.chdir(tmp_path)
    kept.restore()
    kept.restore()
    assert caplog.text.count("acme") == 1
    assert caplog.text.count("working directory") == 2


def test_environment_variables_are_told_by_name_once_an_application(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Surroundings()
    monkeypatch.setenv("TO_BE_CHANGED", "1")
    monkeypatch.setenv("TO_BE_TAKEN", "1")
    for _ in range(2):
        with kept.building("acme", "shop"):
            monkeypatch.setenv("TO_BE_SET", "a secret")
            monkeypatch.setenv("TO_BE_CHANGED", "a secret")
            monkeypatch.delenv("TO_BE_TAKEN")
        monkeypatch.setenv("TO_BE_TAKEN", "1")
        monkeypatch.setenv("TO_BE_CHANGED", "1")
    assert caplog.text.count("building shop has changed") == 1
    assert "TO_BE_CHANGED, TO_BE_SET, TO_BE_TAKEN" in caplog.text
    assert "a secret" not in caplog.text


def test_what_cannot_be_put_back_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    kept = Surroundings()
    os.chdir(tmp_path)
    gone.rmdir()
    for _ in range(5):
        kept.restore()
    assert caplog.text.count("cannot be put back") == 1


def test_an_application_of_the_name_of_a_thing_silences_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [1]
    monkeypatch.setattr(surroundings, "_ALL", (Shared("locale", lambda: at[0], refuse),))
    kept = Surroundings()
    with kept.building("acme", "locale"):
        monkeypatch.setenv("SET_BY_LOCALE", "1")
    at[0] = 2
    for _ in range(3):
        kept.restore()
    assert caplog.text.count("the locale of all to 2, and it cannot be put back") == 1
    assert caplog.text.count("building locale has changed") == 1


def test_a_thing_of_the_name_of_an_application_silences_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [1]
    monkeypatch.setattr(surroundings, "_ALL", (Shared("locale", lambda: at[0], refuse),))
    kept = Surroundings()
    at[0] = 2
    for _ in range(2):
        kept.restore()
    assert "cannot be put back" in caplog.text
    with kept.building("acme", "locale"):
        monkeypatch.setenv("SET_BY_LOCALE", "1")
    assert "building locale has changed" in caplog.text


def test_a_folder_that_was_deleted_under_an_application_is_left(tmp_path: Path) -> None:
    before = Path.cwd()
    kept = Surroundings()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    kept.restore()
    kept.restore()
    assert Path.cwd() == before


def test_where_a_thing_cannot_be_read_it_is_let_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(surroundings, "_STATUS", tmp_path / "status")
    assert surroundings._umask() is None
    (tmp_path / "status").write_text("Name: python")
    assert surroundings._umask() is None
    put: list[object] = []
    monkeypatch.setattr(surroundings, "_ALL", (Shared("moon", lambda: None, put.append),))
    kept = Surroundings()
    kept.restore()
    kept.restore()
    assert not put


def test_an_environment_that_changes_while_it_is_read_is_told_another_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changing:
        def keys(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

    kept = Surroundings()
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", Changing())
        with kept.building("acme", "shop"):
            patch.undo()
    assert not caplog.text
