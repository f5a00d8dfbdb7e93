"""Whole files and moved folders on a disk that fails: each is done, or as before."""

import errno
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenantry.errors import Unavailable
from tenantry.operations import disk
from tests.faults.cases import Case, opened, standing
from tests.faults.injector import Fault, Mode
from tests.faults.matrix import Outcome, child


def meet(folder: Path, call: str, mode: Mode, do: Callable[[Path], object]) -> Outcome:
    """Do something in a child that is met at its first call of that name; its errors are told as an operator's."""

    def verb(root: Path) -> None:
        with disk.writing("It"):
            do(root)

    case = Case(call, "", at_once=verb)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        sites = child(case, Path(copy), None).sites
    at = next(number for number, site in enumerate(sites, 1) if site.call == call)
    return child(case, folder, Fault(at, mode, errno.EROFS))


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a quota does: a write is short, and the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_the_disk_takes_but_in_part_leaves_the_old_one_whole(tmp_path: Path) -> None:
    """The write is short, really, and so is the error: it names the file, and no temporary one stays."""
    path = tmp_path / "config.toml"
    disk.replace(path, b"old = 1\n")
    with pytest.raises(Unavailable) as refused, disk.writing("The config"), at_most(10):
        disk.replace(path, b"new = 'much longer than ten bytes'\n")
    assert str(tmp_path) in refused.value.says
    assert refused.value.hint == "Nothing was changed."
    assert path.read_text() == "old = 1\n"
    assert [found.name for found in tmp_path.iterdir()] == ["config.toml"]


def test_a_new_file_that_the_disk_takes_but_in_part_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File too large") as refused, at_most(10):
        disk.write(tmp_path / "key", bytes(32))
    assert refused.value.filename == str(tmp_path / "key")
    assert not list(tmp_path.iterdir())


def test_what_a_crash_has_left_of_a_longer_file_is_not_in_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.with_name(".config.toml.new").write_text("x" * 100)
    disk.replace(path, b"new = 1\n")
    assert path.read_text() == "new = 1\n"
    assert [found.name for found in tmp_path.iterdir()] == ["config.toml"]


def test_a_new_name_that_the_disk_does_not_confirm_is_an_error_and_the_file_is_whole(tmp_path: Path) -> None:
    """Whoever replaces it has kept the old one, and puts it back: see what becomes of a config."""
    (tmp_path / "config.toml").write_text("old = 1\n")
    outcome = meet(tmp_path, "look", Mode.ONCE, lambda folder: disk.replace(folder / "config.toml", b"new = 1\n"))
    assert "Read-only file system" in outcome.says
    assert str(tmp_path) in outcome.says
    assert (tmp_path / "config.toml").read_text() == "new = 1\n"
    assert [found.name for found in tmp_path.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("mode", [Mode.ONCE, Mode.FOREVER])
def test_a_config_whose_new_name_the_disk_does_not_confirm_is_as_it_was(tmp_path: Path, mode: Mode) -> None:
    """At once, or where the disk lets nobody do that, by the next command."""
    with opened(tmp_path) as operations:
        standing(operations)
        config = operations.path("acme") / "config.toml"
    case = Case("config set", "", lambda mine: mine.config_set("acme", {"A": 2}))
    before = config.read_bytes()
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(tmp_path, copy, dirs_exist_ok=True)
        sites = child(case, Path(copy), None).sites
    folder = config.parent
    at = max(
        number
        for number, site in enumerate(sites, 1)
        if site.call == "look" and site.path.endswith(f"tenants/{folder.name}")
    )
    outcome = child(case, tmp_path, Fault(at, mode, errno.EROFS))
    assert str(folder) in outcome.says
    assert ("is as it was" in outcome.says) is (config.read_bytes() == before)
    with opened(tmp_path):
        assert config.read_bytes() == before


@pytest.mark.parametrize("mode", [Mode.ONCE, Mode.FOREVER])
def test_a_folder_whose_move_the_disk_does_not_confirm_is_where_it_was_or_told_of(tmp_path: Path, mode: Mode) -> None:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    (tmp_path / "from" / "folder").mkdir()
    (tmp_path / "from" / "folder" / "kept").write_text("all of it")
    move = lambda folder: disk.move(folder / "from" / "folder", folder / "to" / "folder")  # noqa: E731
    outcome = meet(tmp_path, "fsync", mode, move)
    there = tmp_path / ("from" if mode is Mode.ONCE else "to") / "folder" / "kept"
    assert there.read_text() == "all of it"
    assert ("Nothing was changed" in outcome.says) is (mode is Mode.ONCE)
    assert str(tmp_path / "to") in outcome.says


def test_a_folder_that_cannot_be_deleted_names_the_file_in_full(tmp_path: Path) -> None:
    inner = tmp_path / "folder" / "deep" / "cache"
    inner.parent.mkdir(parents=True)
    inner.write_text("x")
    outcome = meet(tmp_path, "unlink", Mode.ONCE, lambda folder: disk.delete(folder / "folder"))
    assert str(inner) in outcome.says


def test_only_files_and_folders_are_settled(tmp_path: Path) -> None:
    """A pipe would wait for a writer for ever, and a link may lead to nothing."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    disk.settle_all(tmp_path)


def test_a_folder_that_is_missing_is_not_settled_in_silence(tmp_path: Path) -> None:
    for settle in (disk.settle_all, lambda folder: disk.own_like(folder, tmp_path)):
        with pytest.raises(FileNotFoundError):
            settle(tmp_path / "missing")
