"""A tenant with a rate is counted, one with a quota is measured, bodies are bounded, and one without pays nothing."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path, PosixPath
from typing import Any

import pytest

from tenantry.assembly.platform import open_platform
from tenantry.errors import Shortage, Unavailable
from tenantry.meters import Meters
from tenantry.operations import NewTenant
from tenantry.policy import Policy
from tenantry.settings import Settings
from tests import builders
from tests.builders import Place, builder_of
from tests.sites import PATIENCE, Answer, begin, environ_of, eventually, in_child, on_threads
from tests.sites import front as plain
from tests.wsgi import call

place = builders.place

RATE = Policy(rate="5/hour")
QUOTA = Policy(quota=1_000_000)


@pytest.fixture(name="meters")
def meters_fixture() -> Iterator[Meters]:
    meters = Meters()
    yield meters
    meters.close()


def ask(app: Any, **more: Any) -> Answer:
    answer = begin(app, environ_of(**more))
    answer.read()
    return answer


def refused(app: Any, **more: Any) -> Unavailable:
    with pytest.raises(Unavailable) as error:
        ask(app, **more)
    return error.value


def post(app: Any, size: int, method: str = "POST") -> Answer:
    return ask(app, REQUEST_METHOD=method, CONTENT_LENGTH=str(size))


def write(folder: Path, size: int, name: str = "large") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x" * size)


def measure(meters: Meters) -> None:
    """Have all be measured anew."""
    for room in list(meters._rooms.values()):
        for _ in room.measure():
            pass


# Nothing.


def test_who_has_no_limit_gets_its_application_itself(meters: Meters, tmp_path: Path) -> None:
    assert meters.metered(plain, "a", Policy(fences_off=frozenset({"cache"})), tmp_path) is plain


def test_what_counts_is_imported_for_the_first_rate_and_no_sooner() -> None:
    """It takes a sixth of a second, which no start and no command should."""
    code = (
        "import sys; import tenantry.assembly.platform, tenantry.assembly.desk; assert 'limits' not in sys.modules;"
        "from tenantry.meters import Meters; from tenantry.policy import Policy; from pathlib import Path;"
        "Meters().metered(print, 'a', Policy(quota=5), Path('.')); assert 'limits' not in sys.modules;"
        "Meters().metered(print, 'a', Policy(rate='5/hour'), Path('.')); assert 'limits' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Bodies.


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
def test_a_body_is_bounded_whoever_has_read_it(meters: Meters, tmp_path: Path, method: str) -> None:
    app = meters.metered(plain, "a", Policy(max_body=1000), tmp_path)
    assert post(app, 1000, method).code == ask(app).code == 200
    error = refused(app, REQUEST_METHOD=method, CONTENT_LENGTH="1001")
    assert error.short is Shortage.BODY
    chunked = refused(app, REQUEST_METHOD=method, CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")
    assert chunked.short is Shortage.BODY, "another server may pass on what it has not counted"


def test_a_body_that_is_too_large_counts_against_the_rate_and_not_against_the_quota(
    meters: Meters, tmp_path: Path
) -> None:
    write(tmp_path / "a", 100_000)
    app = meters.metered(plain, "a", Policy(max_body=1000, rate="2/hour", quota=1_000_000), tmp_path / "a")
    (room,) = meters._rooms.values()
    before = room.used
    shorts = [refused(app, REQUEST_METHOD="POST", CONTENT_LENGTH="800000").short for _ in range(3)]
    assert shorts == [Shortage.BODY, Shortage.BODY, Shortage.RATE]
    assert room.used == before


def test_a_body_is_bounded_for_a_tenant_that_is_not_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit is known from its config only, which nobody has read when the body is: at first and after a change."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": "tests.applications:notes"}) as platform:
        platform.operations.add(NewTenant("acme", config={"TENANT_MAX_BODY": "1000"}))
        large, small = ({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": size} for size in ("200000", "1000"))
        cold = call(platform.application, "acme.localhost", **large)
        assert cold.status == 413
        assert "Retry-After" not in cold.headers
        assert "larger than it may be" in cold.text
        assert call(platform.application, "acme.localhost", **small).status == 405
        platform.operations.suspend("acme", "for a change")
        eventually(lambda: call(platform.application, "acme.localhost", **large).status == 403)
        platform.operations.resume("acme")
        eventually(lambda: call(platform.application, "acme.localhost", **large).status != 403)
        assert call(platform.application, "acme.localhost", **large).status == 413


# Rates.


def test_over_its_rate_a_tenant_is_told_when_to_come_again(meters: Meters, tmp_path: Path) -> None:
    app = meters.metered(plain, "a", RATE, tmp_path)
    assert [ask(app).code for _ in range(5)] == [200] * 5
    error = refused(app)
    assert error.short is Shortage.RATE
    assert 1 <= error.retry_after <= 3600


def test_the_application_does_not_hear_of_what_is_too_much(meters: Meters, tmp_path: Path) -> None:
    heard: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        heard.append(environ["PATH_INFO"])
        return plain(environ, start_response)

    metered = meters.metered(app, "a", Policy(rate="2/hour"), tmp_path)
    for number in range(5):
        try:
            ask(metered, path=f"/{number}")
        except Unavailable:
            continue
    assert heard == ["/0", "/1"]


def test_the_count_of_one_tenant_is_no_others(meters: Meters, tmp_path: Path) -> None:
    one, other = (meters.metered(plain, uid, Policy(rate="1/hour"), tmp_path) for uid in ("a", "b"))
    assert ask(one).code == ask(other).code == 200
    refused(one)
    refused(other)


def test_a_new_build_goes_on_with_the_count_and_another_rate_begins_one(meters: Meters, tmp_path: Path) -> None:
    first = meters.metered(plain, "a", RATE, tmp_path)
    for _ in range(5):
        ask(first)
    again = meters.metered(plain, "a", RATE, tmp_path)
    refused(again)
    other = meters.metered(plain, "a", Policy(rate="6/hour"), tmp_path)
    assert [ask(other).code for _ in range(6)] == [200] * 6
    refused(other)


def test_a_probe_is_not_counted_and_never_refused(meters: Meters, tmp_path: Path) -> None:
    app = meters.metered(plain, "a", Policy(rate="1/hour"), tmp_path)
    probe = {"tenantry.probe": True}
    assert [ask(app, **probe).code for _ in range(3)] == [200] * 3
    assert ask(app).code == 200
    refused(app)
    assert ask(app, **probe).code == 200


def test_a_rate_is_kept_exactly_however_many_threads_ask(meters: Meters, tmp_path: Path) -> None:
    app = meters.metered(plain, "a", Policy(rate="100/hour"), tmp_path)
    passed: list[int] = []

    def work() -> None:
        for _ in range(50):
            try:
                passed.append(ask(app).code)
            except Unavailable:
                continue

    on_threads(*[work] * 8)
    assert passed == [200] * 100


def test_once_a_window_is_over_requests_come_through_again(meters: Meters, tmp_path: Path) -> None:
    app = meters.metered(plain, "a", Policy(rate="3/second"), tmp_path)
    waits: list[int] = []

    def through() -> bool:
        try:
            return ask(app).code == 200
        except Unavailable as error:
            waits.append(error.retry_after)
            return False

    eventually(lambda: not through())
    eventually(through)
    assert set(waits) == {1}


def test_counting_starts_no_thread_and_what_is_over_is_dropped(meters: Meters, tmp_path: Path) -> None:
    """The library's own storage would start one for each hundredth of a second in which it counts."""
    before = set(threading.enumerate())
    started: list[threading.Thread] = []
    apps = [meters.metered(plain, f"t{number}", Policy(rate="1000/second"), tmp_path) for number in range(50)]
    for app in apps:
        ask(app)
        started += set(threading.enumerate()) - before
    assert not started
    rates = meters._rates
    assert rates is not None
    assert len(rates._storage.storage) == 50

    def swept() -> bool:
        rates.sweep()
        return not (rates._storage.storage or rates._storage.expirations or rates._storage.locks)

    eventually(swept)


def test_counts_and_measures_go_on_after_a_fork(meters: Meters, tmp_path: Path) -> None:
    write(tmp_path / "a", 2_000_000)
    rated = meters.metered(plain, "a", Policy(rate="1/hour"), tmp_path)
    assert ask(rated).code == 200
    rates = meters._rates
    assert rates is not None
    with meters._lock, rates._lock:
        pid = os.fork()
        if not pid:
            try:
                refused(rated)
                app = meters.metered(plain, "b", QUOTA, tmp_path / "a")
                meters.round()
                with pytest.raises(Unavailable):
                    post(app, 100_000)
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_fork_in_the_middle_of_a_measure_breaks_nothing_in_the_child(meters: Meters, tmp_path: Path) -> None:
    """The thread that measures is not in the child, and neither is whoever held a lock."""
    inside, leave = threading.Event(), threading.Event()

    class Slow(PosixPath):
        def __str__(self) -> str:
            if threading.current_thread() is walker:
                inside.set()
                assert leave.wait(PATIENCE)
            return super().__str__()

    walker = threading.Thread(target=meters.round)
    folder = Slow(tmp_path / "a")
    write(folder, 1000)
    rated = meters.metered(plain, "b", Policy(rate="1/hour"), tmp_path)
    assert ask(rated).code == 200
    app = meters.metered(plain, "a", QUOTA, folder)
    (room,), rates = meters._rooms.values(), meters._rates
    assert rates is not None
    room.measured = -60.0  # so that it is due

    def child() -> None:
        refused(rated)
        write(folder, 2_000_000, "more")
        for _ in range(3):
            meters.round()
        with pytest.raises(Unavailable):
            post(app, 100_000)

    walker.start()
    try:
        assert inside.wait(PATIENCE)
        with meters._lock, room._lock, rates._lock:
            assert in_child(child) == 0
        (folder / "more").unlink()
    finally:
        leave.set()
        walker.join()
    assert post(app, 100_000).code == 200


# Built.


def test_a_tenant_is_built_with_the_limits_of_its_config(place: Place, instance: Any) -> None:
    tenant = place()
    instance.placement(tenant.uid).config.write_text('TENANT_RATE = "1/hour"\nTENANT_QUOTA = "1 MB"\n')
    built = builder_of(instance, Settings()).build(tenant, "")
    try:
        assert call(built.app, "acme.localhost").status == 200
        assert (built.policy.rate, built.policy.quota) == ("1/hour", 1_000_000)
        with pytest.raises(Unavailable):
            call(built.app, "acme.localhost")
    finally:
        built.close()


def test_a_visitor_reads_why_and_when_and_a_new_build_goes_on_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the whole platform: 429 and 507 at the tenant alone, as a page or as JSON, before and after a change."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": "tests.applications:notes"}) as platform:
        platform.operations.add(NewTenant("acme", config={"TENANT_RATE": "2/hour"}))
        platform.operations.add(NewTenant("globex", config={"TENANT_QUOTA": 1000}))
        assert [call(platform.application, "acme.localhost").status for _ in range(3)] == [200, 200, 429]
        before = platform.pool.built()
        platform.operations.config_set("acme", {"SITE_TITLE": "Acme"})
        eventually(
            lambda: call(platform.application, "acme.localhost").status == 429 and platform.pool.built() != before
        )
        told = call(platform.application, "acme.localhost", HTTP_ACCEPT="application/json")
        assert json.loads(told.body)["status"] == told.status == 429
        assert 0 < int(told.headers["Retry-After"]) <= 3600
        assert call(platform.application, "globex.localhost").status == 200
        full = call(platform.application, "globex.localhost", REQUEST_METHOD="POST", CONTENT_LENGTH="5")
        assert full.status == 507
        assert "no room left" in full.text
        platform.operations.config_set("globex", {"TENANT_QUOTA": "1 GB"})
        posted = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5"}
        eventually(lambda: call(platform.application, "globex.localhost", **posted).status == 405)
