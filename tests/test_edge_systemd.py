"""The units: what stands in them, what can not, and what systemd's own tools say of them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from tenantry.edge.systemd import Place, systemd
from tenantry.errors import Invalid
from tenantry.settings import Settings

KNOWN = Settings(
    domain="example.com",
    host="unix:/run/tenantry/socket",
    instance=Path("/var/lib/tenantry"),
    scheme="https",
    proxies=1,
)
PLACE = Place(Path("/srv/tenantry"), "tenantry", ("/usr/bin/env", "tenantry"))
HOME = Path("/home") / "ann" / "tenantry"
# What ends a line, a word or a section, or means something else to systemd.
POISONS = (
    "a\tb",
    "a\nExecStart=/bin/sh",
    "a;b",
    "a#b",
    "%h",
    "$HOME",
    "${HOME}",
    'a"b',
    "a'b",
    "a\\x20b",
    "a\x00b",
    "a:b",
)


def values(unit: str) -> dict[str, list[str]]:
    """Return what stands in a unit: all values of a key in their order."""
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and not line.startswith(("#", "[")):
            key, sign, value = line.partition("=")
            assert sign, line
            found.setdefault(key, []).append(value)
    return found


def test_one_process_is_a_service_with_a_socket() -> None:
    """The service has a socket of its name, works in its folder as its user, and makes no demo tenants."""
    units = systemd(KNOWN, PLACE)
    assert list(units) == ["tenantry.service", "tenantry.socket"]
    service, socket = map(values, units.values())
    assert service["ExecStart"] == ["/usr/bin/env tenantry --root /srv/tenantry serve --no-demo"]
    assert service["Requires"] == ["tenantry.socket"]
    assert (service["User"], service["WorkingDirectory"]) == (["tenantry"], ["/srv/tenantry"])
    assert socket["ListenStream"] == ["/run/tenantry/socket"]
    assert (socket["SocketUser"], socket["SocketGroup"], socket["SocketMode"]) == (["tenantry"], ["www-data"], ["0660"])


def test_several_processes_are_templates() -> None:
    """Each instance has the socket of its number, beside the one that one process would have."""
    units = systemd(replace(KNOWN, edge_processes=3), PLACE)
    assert list(units) == ["tenantry@.service", "tenantry@.socket"]
    service, socket = map(values, units.values())
    assert service["Requires"] == ["tenantry@%i.socket"]
    assert socket["ListenStream"] == ["/run/tenantry/%i.socket"]


@pytest.mark.parametrize(
    ("host", "processes", "addresses"),
    [
        ("127.0.0.1", 1, ["127.0.0.1:8000"]),
        ("::1", 1, ["[::1]:8000"]),
        ("[::1]", 1, ["[::1]:8000"]),
        ("localhost", 1, ["127.0.0.1:8000", "[::1]:8000"]),
        ("127.0.0.1", 2, ["127.0.0.1:%i"]),
    ],
)
def test_a_port_instead_of_a_path(host: str, processes: int, addresses: list[str]) -> None:
    """An address stands with its port, which of several processes is the instance's name; no file has an owner."""
    _, socket = systemd(replace(KNOWN, host=host, edge_processes=processes), PLACE).values()
    assert values(socket)["ListenStream"] == addresses
    assert "SocketMode" not in socket


@pytest.mark.parametrize(
    ("instance", "line"),
    [
        ("/var/lib/tenantry", "StateDirectory=tenantry"),
        ("/var/lib/sites/one", "StateDirectory=sites/one"),
        ("/var/lib", "ReadWritePaths=/var/lib"),
        ("/srv/tenantry/instance", "ReadWritePaths=/srv/tenantry/instance"),
    ],
)
def test_one_place_may_be_written(instance: str, line: str) -> None:
    """The instance folder is the only one, and is made by systemd where that keeps state."""
    service, _ = systemd(replace(KNOWN, instance=Path(instance)), PLACE).values()
    assert line in service.splitlines()
    assert len(re.findall("^(?:StateDirectory|ReadWritePaths)=", service, re.MULTILINE)) == 1
    assert "\nProtectSystem=strict\n" in service


def test_scratch_folders_are_its_own() -> None:
    """Where /proc is its own, `strict` leaves /run open, with /run/lock for everybody; and /dev/shm always."""
    service = values(systemd(KNOWN, PLACE)["tenantry.service"])
    assert (service["PrivateTmp"], service["ReadOnlyPaths"]) == (["yes"], ["/run"])
    place, *options = re.split("[:,]", service["TemporaryFileSystem"][0])
    assert place == "/dev/shm"
    assert "noexec" in options


@pytest.mark.parametrize(
    ("root", "homes", "scratch"),
    [("/srv/tenantry", "yes", "yes"), (str(HOME), "read-only", "yes"), ("/tmp/tenantry", "yes", "no")],
)
def test_a_service_sees_its_own_folder(root: str, homes: str, scratch: str) -> None:
    """Homes and scratch folders are hidden from it, unless it lives there."""
    service = values(systemd(KNOWN, replace(PLACE, root=Path(root)))["tenantry.service"])
    assert (service["ProtectHome"], service["PrivateTmp"]) == ([homes], [scratch])


def test_a_blank_ends_no_path() -> None:
    """Where there may be several words, what has a blank stands in quotes."""
    place = replace(PLACE, root=Path("/srv/our sites"), program=("/srv/our sites/.venv/bin/tenantry",))
    for instance, line in (
        ("/srv/our sites/instance", 'ReadWritePaths="/srv/our sites/instance"'),
        ("/var/lib/our sites", 'StateDirectory="our sites"'),
    ):
        service = values(systemd(replace(KNOWN, instance=Path(instance)), place)["tenantry.service"])
        assert line in [f"{key}={value}" for key, (value, *_) in service.items()]
        assert service["WorkingDirectory"] == ["/srv/our sites"]
        command = ["/srv/our sites/.venv/bin/tenantry", "--root", "/srv/our sites", "serve", "--no-demo"]
        assert shlex.split(service["ExecStart"][0]) == command


def test_what_is_set_has_its_time_and_its_files() -> None:
    """A drain is not cut short, and no limit of the service cuts what the settings ask for."""
    known = replace(KNOWN, drain=90.5, connections=100_000, capacity=5_000)
    service = values(systemd(known, PLACE)["tenantry.service"])
    assert int(service["TimeoutStopSec"][0]) > known.drain
    assert int(service["LimitNOFILE"][0]) > known.connections + 4 * known.capacity


def test_one_that_has_taken_over_is_not_killed() -> None:
    """systemd waits for no main process that it has not started itself, and by `mixed` kills such a one at once."""
    service = values(systemd(KNOWN, PLACE)["tenantry.service"])
    assert service["KillMode"] == ["control-group"]
    # The group is told only after that, so that what the process has started may help it to finish.
    assert len(service["ExecStop"]) == 1


@pytest.mark.parametrize("known", [True, False])
def test_the_command_that_stops_waits_for_the_end(known: bool) -> None:
    """It tells the process and ends after it; where systemd knows none any more it ends at once, and well."""
    (stop,) = values(systemd(KNOWN, PLACE)["tenantry.service"])["ExecStop"]
    slow = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.5), sys.exit()))"
    slow += "; print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        reaper = Thread(target=process.wait)
        reaper.start()
        environment = {"PATH": os.defpath, "MAINPID": str(process.pid) if known else ""}
        ran = subprocess.run(shlex.split(stop), env=environment, timeout=30, check=False)
        still = process.returncode is None
        process.kill()
        reaper.join()
    assert (ran.returncode, still) == (0, not known)


def test_a_reload_lasts_until_it_is_done() -> None:
    """The command that asks for it is followed by one that gives the process time to say that it has begun."""
    asks, lasts = values(systemd(KNOWN, PLACE)["tenantry.service"])["ExecReload"]
    assert asks == "/bin/kill -HUP $MAINPID"
    assert lasts.startswith("-/bin/sleep ")


def test_it_is_tried_again_without_end() -> None:
    """A service that systemd gives up has its socket closed, and nobody opens it again."""
    assert "\nStartLimitIntervalSec=0\n" in systemd(KNOWN, PLACE)["tenantry.service"].partition("[Service]")[0]


@pytest.mark.parametrize("poison", POISONS)
def test_nothing_can_be_said_by_a_value(poison: str) -> None:
    """What systemd would take for more than a path, a name or a word is Invalid, wherever it stands."""
    path = Path("/srv") / poison
    for known, place in (
        (replace(KNOWN, instance=path), PLACE),
        (replace(KNOWN, instance=Path("/var/lib") / poison), PLACE),
        (replace(KNOWN, host=f"unix:/run/{poison}/socket"), PLACE),
        (replace(KNOWN, host=poison), PLACE),
        (KNOWN, replace(PLACE, root=path)),
        (KNOWN, replace(PLACE, user=poison)),
        (KNOWN, replace(PLACE, group=poison)),
        (KNOWN, replace(PLACE, program=(str(path),))),
        (KNOWN, replace(PLACE, program=("/usr/bin/env", poison))),
    ):
        with pytest.raises(Invalid) as caught:
            systemd(known, place)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "known",
    [
        replace(KNOWN, host="127.0.0.1", port=0),
        replace(KNOWN, host="fe80::1%eth0"),
        replace(KNOWN, host="some.host"),
        replace(KNOWN, host="unix:socket"),
        replace(KNOWN, instance=Path("/srv/../etc")),
    ],
)
def test_no_address_that_a_socket_unit_has_not(known: Settings) -> None:
    """A port to be picked, a name, a zone, a path that is not whole or leads elsewhere: Invalid, with a hint."""
    with pytest.raises(Invalid) as caught:
        systemd(known, PLACE)
    assert caught.value.hint


ANALYZE = shutil.which("systemd-analyze")


def analyze(*words: str | Path) -> tuple[int, str]:
    """Run systemd's own judge, and return its verdict and its words."""
    assert ANALYZE is not None
    ran = subprocess.run([ANALYZE, *words], capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def version() -> int:
    """Return the version of systemd that is installed."""
    found = re.match(r"systemd (\d+)", analyze("--version")[1])
    assert found is not None
    return int(found[1])


if ANALYZE is not None:

    @pytest.mark.parametrize("host", [KNOWN.host, "127.0.0.1"])
    @pytest.mark.parametrize("processes", [1, 2])
    def test_systemd_finds_no_fault(tmp_path: Path, host: str, processes: int) -> None:
        """`systemd-analyze verify` has nothing to say about the units."""
        names = []
        known = replace(KNOWN, host=host, edge_processes=processes, instance=Path("/srv/our sites"))
        for name, text in systemd(known, PLACE).items():
            (tmp_path / name).write_text(text)
            names.append(tmp_path / name.replace("@", "@1"))
        code, said = analyze("verify", *names)
        assert (code, [line for line in said.splitlines() if "tenantry" in line]) == (0, [])

    # Older ones judge only units that are installed.
    if version() >= 250:

        @pytest.mark.parametrize("home", ["/srv/tenantry", str(HOME)])
        def test_systemd_calls_the_service_safe(tmp_path: Path, home: str) -> None:
            """`systemd-analyze security` sees an exposure of 2.0 at most."""
            unit = tmp_path / "tenantry.service"
            unit.write_text(systemd(KNOWN, replace(PLACE, root=Path(home)))[unit.name])
            code, said = analyze("security", "--offline=true", "--threshold=20", unit)
            assert code == 0, said
            level = re.search(r"Overall exposure level for tenantry\.service: ([\d.]+)", said)
            assert level is not None
            assert float(level[1]) <= 2.0
