"""The clock of the wall is set, by an hour or by a day, forwards or back: only what goes by the calendar changes."""

import subprocess
import sys
from pathlib import Path

from tests.stories.served import environment

_SCRIPT = """
import datetime, sys, threading, time
from pathlib import Path

step, wall = [0.0], time.time
time.time = lambda: wall() + step[0]

class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=step[0])

from tenantry.registry import values
values.datetime = Shifted

from tenantry.assembly.platform import open_platform
from tenantry.operations import NewTenant
from tests.poisons import never
from tests.sites import begin, environ_of
from tests.proofs import diary
from tests.wsgi import call, wait_until

given = {"idle": 3000, "build_deadline": 600, "build_wait": 0.2, "log_level": "warning", "access_log": "off"}
with open_platform(Path(sys.argv[1]), given) as platform:
    def get(name, path="/"):
        return call(platform.application, f"{name}.localhost", path)

    for name in ("steady", "renamed", "limited"):
        platform.operations.add(NewTenant(name=name, application=diary.NAME))
    platform.operations.config_set("limited", {"TENANT_RATE": "50/hour"})
    platform.operations.add(NewTenant(name="slow", application="tests.poisons:healthy"))
    with platform._registry._changing() as book:
        book.exec_driver_sql("UPDATE tenants SET application = 'tests.poisons:hangs' WHERE name = 'slow'")
    platform.operations.rename("renamed", "new", grace=datetime.timedelta(minutes=30))
    assert get("steady").text == "steady 1"
    wait_until(lambda: platform._follower.seen == platform._registry.revision())
    stream = iter(begin(platform.application, environ_of("steady.localhost", "/stream/30")).body)
    expected = diary.expected("steady", 30)
    assert get("slow").status == 503
    built = {id(live) for _, live in platform.pool.built()}
    visits, rounds = 1, platform._outage
    for seconds in (86400, -86400, 3600, -3600, 0):
        step[0] = float(seconds)
        for _ in range(3):
            platform._keeper.round()
            assert next(stream) == next(expected)
        visits += 1
        assert get("steady").text == f"steady {visits}", seconds
        assert get("limited").status == 200
        assert get("renamed").status == (404 if seconds > 1800 else 308), seconds
        assert get("new").status == 200
        assert built <= {id(live) for _, live in platform.pool.built()}, seconds
        assert platform.pool.abandoned == 0
        assert platform._outage.since is None
    assert list(stream) == list(expected)
    assert not platform.not_ready()
    never.set()
    wait_until(lambda: get("slow").text == "healthy slow")
print("well")
"""


def test_steps_of_the_clock_cut_keep_and_expire_nothing(tmp_path: Path) -> None:
    """Live applications, builds under way, streams, the directory, rates; the grace of an old name ends by calendar."""
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.stdout == "well\n", ran.stderr
