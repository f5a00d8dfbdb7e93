"""Rations: what of the settings fits the descriptors that there are, and what the system says of a process."""

import os
import resource
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry import log, rations
from tenantry.assembly.platform import open_platform
from tenantry.errors import Invalid
from tenantry.operations import NewTenant
from tenantry.pool.slots import LEAST
from tenantry.rations import ration
from tenantry.server.portions import Portions
from tenantry.settings import Settings
from tests import pools as fixtures
from tests.logs import put_back
from tests.proofs import diary
from tests.sites import eventually
from tests.stories.served import environment
from tests.wsgi import call

collected = fixtures.collected
DEFAULT = Settings()


def needed(known: Settings) -> int:
    """Count what may be open at a time by these settings, without the house itself."""
    return int(known.connections * 1.5) + known.capacity + 3 * min(known.awake, known.capacity)


# What fits


def test_what_fits_is_left_as_it_is() -> None:
    given = ration(DEFAULT, 4096)
    assert given.settings == DEFAULT
    assert not given.says


def test_what_does_not_is_cut_in_proportion_and_said() -> None:
    cut = ration(DEFAULT, 1024)
    assert needed(cut.settings) < 1024
    shares = [getattr(cut.settings, name) / getattr(DEFAULT, name) for name in ("connections", "capacity", "awake")]
    assert max(shares) - min(shares) < 0.02
    assert [said.partition(" ")[0] for said in cut.says] == [
        "TENANTRY_CONNECTIONS",
        "TENANTRY_CAPACITY",
        "TENANTRY_AWAKE",
    ]
    assert "is 200, of which" in cut.says[1]
    assert "1024 files" in cut.says[1]


def test_fewer_than_four_live_tenants_are_refused_with_what_is_needed() -> None:
    with pytest.raises(Invalid, match="100 files, too few for 4 live tenants") as refused:
        ration(DEFAULT, 100)
    least = int(refused.value.hint.split()[2])
    assert "ulimit -n" in refused.value.hint
    assert ration(DEFAULT, least).settings.capacity == 4
    with pytest.raises(Invalid):
        ration(DEFAULT, least - 1)


def test_who_wants_fewer_than_four_gets_them() -> None:
    least = ration(replace(DEFAULT, capacity=1, connections=10, awake=0), 120).settings
    assert (least.capacity, least.connections, least.awake) == (1, 10, 0)


@given(
    limit=st.integers(64, 20_000),
    connections=st.integers(10, 5000),
    capacity=st.integers(1, 5000),
    awake=st.integers(0, 5000),
    threads=st.integers(1, 256),
)
def test_whatever_is_set_what_is_left_fits(
    limit: int, connections: int, capacity: int, awake: int, threads: int
) -> None:
    known = replace(DEFAULT, connections=connections, capacity=capacity, awake=awake, threads=threads)
    try:
        cut = ration(known, limit)
    except Invalid:
        return
    left = cut.settings
    assert needed(left) + 3 * threads <= limit
    assert min(4, capacity) <= left.capacity <= capacity
    assert left.connections <= connections
    assert left.awake <= awake
    assert cut.reserve < limit
    if left != known:
        assert cut.says or left.awake == min(awake, capacity)


def test_spare_threads_are_counted_as_many_as_the_server_starts() -> None:
    """In proportion, where not all fits: as large a part of them as of the connections has descriptors left."""
    for threads in (1, 16, 40, 256):
        known = replace(DEFAULT, threads=threads)
        spares, house = Portions(threads).spares, 48 + 16 + 3 * threads
        assert not ration(known, house + needed(known) + spares).says
        assert ration(known, house + needed(known) + spares - 1).says
        cut = ration(known, house + needed(known) // 2).settings
        least = rations.LEAST_CONNECTIONS
        kept = (cut.connections - least) / (known.connections - least)
        assert needed(cut) + int(kept * spares) <= needed(known) // 2 + 2


# What the system says


_RAISE = """
import resource
from tenantry import log, rations
print(rations.limit(), rations.raise_limit(), rations.limit(), rations.raise_limit())
"""


def test_the_limit_is_raised_to_what_the_system_allows(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["sh", "-c", 'ulimit -S -n 200; ulimit -H -n 300; exec "$0" -c "$1"', sys.executable, _RAISE],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["200", "300", "300", "300"]


def test_a_limit_without_end_is_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert rations.raise_limit() == rations.limit() == 1 << 20


def test_where_the_system_takes_no_endless_limit_the_largest_it_takes_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [256]

    def set_limit(_: int, wanted: tuple[int, int]) -> None:
        if wanted[0] == resource.RLIM_INFINITY or wanted[0] > 10240:
            raise ValueError("not permitted")
        now[0] = wanted[0]

    monkeypatch.setattr(resource, "getrlimit", lambda _: (now[0], resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    assert rations.raise_limit() == 10240


def test_what_is_open_is_counted() -> None:
    before = rations.opened()
    assert before is not None
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert rations.opened() == before + 1
    finally:
        os.close(descriptor)
    assert rations.opened([Path("/nowhere")]) is None


def test_memory_is_told_in_bytes(tmp_path: Path) -> None:
    """Where the system does not tell what it is now, it tells what it was at most."""
    now, most = rations.resident(), rations.resident(tmp_path / "statm")
    assert 1 << 22 < now < 1 << 36
    assert now / 8 < most
    (tmp_path / "statm").write_text("100 7 3")
    assert rations.resident(tmp_path / "statm") == 7 * os.sysconf("SC_PAGE_SIZE")


def test_the_platform_keeps_to_its_rations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], collected: list[None]
) -> None:
    given = {"application": "tests.applications:notes", "memory": 1}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
    try:
        with put_back(), open_platform(tmp_path, given) as platform:
            assert platform.settings.capacity == platform.pool.limits.capacity < 200
            assert platform.settings.connections < 1000
            for number in range(6):
                platform.operations.add(NewTenant(name=f"site-{number}"))
                assert call(platform.application, f"site-{number}.localhost").status == 200
            eventually(lambda: platform.pool.live == LEAST)
            assert log.wait(10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    said = capsys.readouterr().err
    assert "fit the 600 files" in said
    assert said.count("TENANTRY_MEMORY is 1") == 1


def test_an_idle_application_holds_four_descriptors_at_most(tmp_path: Path) -> None:
    """The lock of its folder, and the database in its three files; another visit adds none."""
    count = 6
    with put_back():
        names = diary.fill(tmp_path, count + 1)
        with open_platform(tmp_path, {"domain": diary.DOMAIN}) as platform:

            def visit(name: str) -> None:
                assert call(platform.application, diary.host(name)).status == 200

            visit(names[0])
            before = _least_opened()
            for _ in range(2):
                for name in names[1:]:
                    visit(name)
            folders = str(tmp_path / "instance" / "tenants")
            assert platform.pool.live == count + 1
            assert _opened_below(folders) >= 3 * count, "their databases are in use"
            eventually(lambda: (rations.opened() or 0) - before <= 4 * count)
            assert _opened_below(folders) <= 4 * (count + 1)


def _least_opened() -> int:
    """Count the open descriptors several times, and leave out what is only open for a moment."""
    pause = threading.Event()
    counts = []
    for _ in range(20):
        counts.append(rations.opened() or 0)
        pause.wait(0.01)
    return min(counts)


def _opened_below(folder: str) -> int:
    links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]  # noqa: PTH208
    return sum(os.path.realpath(link).startswith(folder) for link in links)
