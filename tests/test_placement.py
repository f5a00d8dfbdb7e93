"""Placements: the folder of a tenant, and the lock that keeps moving and serving apart."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tenantry.errors import Unavailable
from tenantry.locks import locked
from tenantry.placement import Hold, Instance, Placement, naming, sync
from tests.sites import eventually, on_threads


@pytest.fixture
def placement(instance: Instance) -> Placement:
    """A placement that is whole."""
    made = instance.placement("aaaabbbbcccc")
    made.files.mkdir(parents=True)
    made.key.write_bytes(bytes(32))
    return made


def descriptors(path: Path) -> int:
    """Count this process' descriptors that are open on a file or folder."""
    count = 0
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            count += Path(f"/proc/self/fd/{number}").readlink() == path
        except OSError:
            continue
    return count


# Folders


def test_the_instance_folder_is_prepared_for_its_owner_alone_and_twice_is_once(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "deep" / "instance")
    instance.prepare()
    instance.prepare()
    for folder in (instance.root, instance.staging, instance.tenants, instance.trash, instance.templates):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["instance", "instance/trash"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    in_the_way = tmp_path / name
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("")
    with pytest.raises(Unavailable, match="cannot be made: File exists") as refused:
        Instance(tmp_path / "instance").prepare()
    assert str(in_the_way) in refused.value.says
    assert str(in_the_way.parent) in refused.value.hint


def test_everything_of_a_tenant_is_below_its_own_folder(instance: Instance) -> None:
    placement = instance.placement("aaaabbbbcccc")
    paths = [placement.config, placement.secrets, placement.key, placement.files, placement.database, placement.lock]
    assert len(set(paths)) == len(paths)
    assert {path.parent for path in paths} == {instance.tenants / "aaaabbbbcccc"}


def test_a_placement_exists_once_it_is_complete_enough_to_build_from(instance: Instance) -> None:
    placement = instance.placement("aaaabbbbcccc")
    assert not placement.exists()
    placement.files.mkdir(parents=True)
    assert not placement.exists()
    placement.key.write_bytes(bytes(32))
    assert placement.exists()


def test_files_and_folders_can_be_flushed_to_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    sync(tmp_path / "file")
    sync(tmp_path)
    assert descriptors(tmp_path) == 0


def test_an_error_that_knows_only_a_descriptor_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as refused, naming(tmp_path / "file"):
        os.ftruncate(2**30, 0)
    assert refused.value.filename == str(tmp_path / "file")


# The lock


def test_any_number_of_live_applications_hold_a_placement_at_a_time(placement: Placement) -> None:
    holds = [placement.hold() for _ in range(3)]
    assert placement.in_use()
    for hold in holds[:2]:
        hold.close()
    assert placement.in_use()
    holds[2].close()
    assert not placement.in_use()


def test_nobody_is_alone_on_a_placement_in_use(placement: Placement) -> None:
    hold = placement.hold()
    with pytest.raises(Unavailable, match="is in use"), placement.alone(seconds=0):
        raise AssertionError("never here")
    hold.close()
    with placement.alone(seconds=0):
        assert placement.in_use()
    assert not placement.in_use()


def test_who_wants_to_be_alone_waits_for_the_last_hold_to_end(placement: Placement) -> None:
    hold = placement.hold()
    began = threading.Event()

    def alone() -> None:
        began.set()
        with placement.alone(seconds=10):
            assert descriptors(placement.lock) == 1

    def end() -> None:
        assert began.wait(5)
        hold.close()

    on_threads(alone, end)


def test_nobody_builds_on_a_placement_whose_data_is_moving(placement: Placement) -> None:
    with placement.alone(), pytest.raises(Unavailable, match="is in use"):
        placement.hold()
    assert descriptors(placement.lock) == 0


def test_who_only_looks_whether_a_placement_is_in_use_does_not_make_a_build_fail(placement: Placement) -> None:
    looking, waiting = threading.Event(), threading.Event()

    def look() -> None:
        with placement.alone():
            looking.set()
            eventually(lambda: descriptors(placement.lock) == 2)
        waiting.set()

    def build() -> None:
        assert looking.wait(5)
        placement.hold().close()
        assert waiting.is_set()

    on_threads(look, build)


def test_a_hold_ends_once_however_often_and_wherever_it_is_closed(placement: Placement) -> None:
    hold = placement.hold()
    on_threads(*[hold.close] * 8)
    hold.close()
    assert descriptors(placement.lock) == 0


def test_being_alone_ends_when_what_is_done_there_fails(placement: Placement) -> None:
    with pytest.raises(ValueError, match="no"), placement.alone():
        raise ValueError("no")
    placement.hold().close()


def test_a_placement_that_is_missing_cannot_be_locked_and_is_not_made(instance: Instance) -> None:
    placement = instance.placement("zzzzzzzzzzzz")
    with pytest.raises(Unavailable, match="cannot be locked: No such file") as refused:
        placement.hold()
    assert "doctor" in refused.value.hint
    assert not placement.folder.exists()


def test_the_lock_holds_between_processes_and_ends_with_its_process(placement: Placement) -> None:
    code = (
        "import sys; from pathlib import Path; from tenantry.placement import Placement;"
        "held = Placement(Path(sys.argv[1])).hold(); print('held', flush=True); sys.stdin.read()"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    child = subprocess.Popen(
        [sys.executable, "-c", code, placement.folder],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert placement.in_use()
        child.kill()
    eventually(lambda: not placement.in_use())


def test_the_lock_file_is_for_its_owner_alone_and_not_inherited_by_programs(placement: Placement) -> None:
    hold = placement.hold()
    assert stat.S_IMODE(placement.lock.stat().st_mode) == 0o600
    (number,) = hold._descriptors
    assert not os.get_inheritable(number)
    hold.close()


def test_a_lock_that_was_not_got_leaves_no_descriptor_behind(placement: Placement) -> None:
    import fcntl

    hold = placement.hold()
    for _ in range(3):
        with pytest.raises(Unavailable):
            Hold.take(placement, fcntl.LOCK_EX)
    assert descriptors(placement.lock) == 1
    hold.close()


# Making files together


def test_one_at_a_time_makes_files_in_a_folder(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def make() -> None:
        for _ in range(20):
            with locked(tmp_path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    on_threads(*[make] * 4)
    assert set(most) == {1}
    assert descriptors(tmp_path) == 0


def test_who_waits_too_long_for_a_folder_is_told_so(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(Unavailable, match="is locked by another process"), locked(tmp_path, 0):
        raise AssertionError("never here")
    assert descriptors(tmp_path) == 0
