"""The operator's verbs cut short: nothing is left half done, whatever happens in between."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tenantry.errors import Refused
from tenantry.operations import NewTenant, Operations, Selection, adding, config
from tenantry.placement import Placement
from tenantry.registry import By
from tenantry.tenant import Status, new_uid
from tests import shops
from tests.proofs import stage
from tests.proofs.ends import Ends
from tests.proofs.verbs import VERBS, prepare
from tests.shops import nothing_but, opened, registry, statuses, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


# Cut short: a verb is run in a child process that is killed, stopped or interrupted at its n-th line.

Verb = Callable[[Operations], object]
Open = Callable[[Path], AbstractContextManager[Operations]]
ROOM = Path(adding.__file__).parent
FILES = {str(path) for path in ROOM.glob("*.py") if path.stem not in {"operations", "config", "facts"}}
KILL, STOP, INTERRUPT = signal.SIGKILL, signal.SIGSTOP, signal.SIGINT
PIDS: set[int] = set()


def meet(at: int | str, what: signal.Signals) -> None:
    """Let a line that runs in the room's files be met by a signal, or by what Ctrl-C raises.

    It is the `at`-th line of all, or the first of the function of that name.
    """
    left = at if isinstance(at, int) else 1

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES or (isinstance(at, str) and frame.f_code.co_name != at):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                if what is INTERRUPT:
                    raise KeyboardInterrupt
                os.kill(os.getpid(), what)
        return trace

    sys.settrace(trace)


@pytest.fixture(autouse=True)
def pids() -> Iterator[set[int]]:
    """Let no child outlive its test."""
    PIDS.clear()
    yield PIDS
    for pid in PIDS:
        os.kill(pid, KILL)
        os.waitpid(pid, 0)


def child(root: Path, verb: Verb, at: int | str, what: signal.Signals, opened: Open = opened) -> int:
    """Run a verb in a child process and return its pid; it ends with 0 when the verb is done, else with 1."""
    pid = os.fork()
    if pid:
        PIDS.add(pid)
        return pid
    code = 1
    try:
        with opened(root) as operations:
            meet(at, what)
            verb(operations)
            sys.settrace(None)
            code = 0
    finally:
        os._exit(code)


def add(new: NewTenant) -> Verb:
    return lambda mine: mine.add(new)


def setting(values: dict[str, object]) -> Verb:
    return lambda mine: mine.config_set("acme", values)


def done(pid: int) -> bool:
    """Wait for a child and tell whether its verb got through."""
    _, ended = os.waitpid(pid, 0)
    PIDS.discard(pid)
    return os.WIFEXITED(ended) and os.WEXITSTATUS(ended) == 0


def lines(request: pytest.FixtureRequest, step: int = 13) -> range:
    """Give the lines at which a verb is cut short: every one in the full run."""
    return range(1, 10_000, 1 if request.config.getoption("full") else step)


@pytest.mark.parametrize("what", [KILL, INTERRUPT])
def test_an_add_that_is_cut_short_anywhere_is_undone_or_whole(
    operations: Operations, root: Path, request: pytest.FixtureRequest, what: signal.Signals
) -> None:
    """After Ctrl-C at once, but for an empty lock file; after a kill by `recover`."""
    operations.add(NewTenant("first"))
    whole = 0
    for number in lines(request):
        new = NewTenant(f"t{number}", path=True, config={"SIGN_UP_OPEN": True})
        through = done(child(root, add(new), number, what))
        if what is INTERRUPT:
            assert Status.ADDING not in statuses(operations).values()
            assert not [path for path in (root / "instance" / "staging").iterdir() if path.is_dir()]
        operations.recover()
        assert operations.recover() == ()
        there = statuses(operations).get(new.name)
        assert there in {Status.ACTIVE, None}
        whole += there is Status.ACTIVE
        nothing_but(root, tenants=1 + whole)
        if there:
            assert verbs(operations, new.name) == ["add"]
            assert len(operations.show(new.name).urls) == 2
        if through:
            break
    else:
        pytest.fail("it never got through")
    assert number > 40


@pytest.mark.parametrize("what", [KILL, INTERRUPT])
def test_a_removal_that_is_cut_short_anywhere_loses_nothing(
    operations: Operations, root: Path, request: pytest.FixtureRequest, what: signal.Signals
) -> None:
    """The tenant is there as before, or removed, its folder whole and one `recover` away from the trash."""
    cut_short(operations, root, lines(request), Operations.remove, what)


@pytest.mark.parametrize("what", [KILL, INTERRUPT])
def test_bringing_back_that_is_cut_short_anywhere_loses_nothing(
    operations: Operations, root: Path, request: pytest.FixtureRequest, what: signal.Signals
) -> None:
    """Either the tenant is removed as before, or it is back with its data."""
    cut_short(operations, root, lines(request), Operations.undo_remove, what)


def cut_short(
    operations: Operations, root: Path, at: range, verb: Callable[[Operations, str], object], what: signal.Signals
) -> None:
    """Cut removing or bringing back short at one line after the other, and see each time that nothing is lost."""
    removes = verb is Operations.remove
    added = operations.add(NewTenant("acme", path=True)).tenant
    (operations.path("acme") / "files" / "kept").write_text("all of it")
    for number in at:
        (operations.undo_remove if removes else operations.remove)("acme")
        through = done(child(root, lambda mine: verb(mine, "acme"), number, what))
        operations.recover()
        gone = statuses(operations)["acme"] is Status.REMOVED
        nothing_but(root, tenants=not gone, trash=gone)
        folder = root / "instance" / ("trash" if gone else "tenants") / added.uid
        assert (folder / "files" / "kept").read_text() == "all of it"
        assert len(operations.list(Selection(removed=True)).tenants[0].urls) == (0 if gone else 2)
        if through:
            assert gone is removes
            break
    else:
        pytest.fail("it never got through")


@pytest.mark.parametrize("what", [KILL, INTERRUPT])
@pytest.mark.parametrize("name", ["clone", "purge", "config unset", "rename"])
def test_another_verb_that_is_cut_short_anywhere_is_absent_or_whole(
    tmp_path: Path, request: pytest.FixtureRequest, name: str, what: signal.Signals
) -> None:
    """To the last line of the book and the last byte of a file; one `recover` later."""
    verb = next(verb for verb in VERBS if verb.name == name)
    ends = Ends.of_verb(verb, prepare(tmp_path / "base"), tmp_path)
    for number in lines(request, 18):
        root = stage.copy(ends.start, tmp_path / str(number))
        through = done(child(root, verb.act, number, what, stage.opened))
        seen = ends.look(root, through)
        assert not seen.faults, f"line {number}: {seen.faults[0].kind}: {seen.faults[0].says}"
        if through:
            break
    else:
        pytest.fail("it never got through")
    assert number > 18


@pytest.mark.parametrize("verb", [Operations.remove, Operations.undo_remove])
def test_recovering_beside_a_verb_that_is_still_running_does_it_no_harm(
    operations: Operations, root: Path, request: pytest.FixtureRequest, verb: Callable[[Operations, str], object]
) -> None:
    """The verb stops at each of its lines, another process recovers, the verb goes on and gets through."""
    operations.add(NewTenant("acme"))
    for number in lines(request):
        (operations.undo_remove if verb is Operations.remove else operations.remove)("acme")
        pid = child(root, lambda mine: verb(mine, "acme"), number, STOP)
        _, state = os.waitpid(pid, os.WUNTRACED)
        stopped = os.WIFSTOPPED(state)
        if not stopped:
            PIDS.discard(pid)
        else:
            operations.recover()
            os.kill(pid, signal.SIGCONT)
            assert done(pid)
        gone = verb is Operations.remove
        assert statuses(operations)["acme"] is (Status.REMOVED if gone else Status.ACTIVE)
        nothing_but(root, tenants=not gone, trash=gone)
        if not stopped:
            break


def test_an_add_that_is_still_running_is_left_alone(operations: Operations, root: Path) -> None:
    """Neither `recover` nor another add undoes what somebody is about to finish."""
    operations.add(NewTenant("first"))
    pid = child(root, add(NewTenant("slow")), "own_like", STOP)
    os.waitpid(pid, os.WUNTRACED)
    assert statuses(operations)["slow"] is Status.ADDING
    assert operations.recover() == ()
    operations.add(NewTenant("fast"))
    for verb in (operations.remove, operations.resume):
        with pytest.raises(Refused, match="being added"):
            verb("slow")
    os.kill(pid, signal.SIGCONT)
    assert done(pid)
    assert set(statuses(operations).values()) == {Status.ACTIVE}
    nothing_but(root, tenants=3)


def test_a_dead_add_does_not_keep_its_name(operations: Operations, root: Path) -> None:
    """The next command clears it away when it opens the desk."""
    operations.add(NewTenant("first"))
    assert not done(child(root, add(NewTenant("acme")), "own_like", KILL))
    assert statuses(operations)["acme"] is Status.ADDING
    with opened(root) as mine:
        mine.add(NewTenant("acme"))
    nothing_but(root, tenants=2)


def test_what_was_read_of_a_verb_before_its_lock_was_had_may_be_over(operations: Operations, root: Path) -> None:
    """A recovery stops where it has read what is pending; meanwhile that is finished and another verb is through."""
    uid = operations.add(NewTenant("acme")).tenant.uid

    def late(mine: Operations) -> None:
        with registry(root) as book:
            book.remove(uid, By("ada", "remove"))
        assert mine.recover() == ()

    pid = child(root, late, "_alone", STOP)
    os.waitpid(pid, os.WUNTRACED)
    operations.remove("acme")
    operations.undo_remove("acme")
    os.kill(pid, signal.SIGCONT)
    assert done(pid)
    assert statuses(operations) == {"acme": Status.ACTIVE}
    nothing_but(root, tenants=1)


def test_recovering_deletes_nothing_that_is_not_its_own(operations: Operations, root: Path) -> None:
    strangers = [root / "instance" / "staging" / "lost+found", root / "instance" / "tenants" / new_uid()]
    for stranger in strangers:
        stranger.mkdir()
    operations.recover()
    assert all(stranger.is_dir() for stranger in strangers)


def test_edits_of_many_processes_at_a_time_are_all_kept(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme"))

    def edits(number: int) -> Verb:
        return lambda mine: [mine.config_set("acme", {f"K{number}_{index}": index}) for index in range(5)]

    ended = [done(pid) for pid in [child(root, edits(number), 0, KILL) for number in range(4)]]
    assert ended == [True] * 4
    assert len(config.read_config(Placement(operations.path("acme")))) == 20


def test_a_config_edit_that_is_killed_leaves_the_old_file_or_the_new(
    operations: Operations, root: Path, request: pytest.FixtureRequest
) -> None:
    operations.add(NewTenant("acme", config={"A": 0}))
    placement = Placement(operations.path("acme"))
    before = 0
    for number in lines(request):
        through = done(child(root, setting({"A": number}), number, KILL))
        assert config.read_config(placement)["A"] in {number, before}
        operations.config_set("acme", {"A": number})
        before = number
        if through:
            break
    assert not list(placement.folder.glob("*.new"))
    assert not list(placement.folder.glob(".*.new"))
