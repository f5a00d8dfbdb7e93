"""systemd, as far as a page needs it: units are read, sockets opened, and services started by what the units say."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import until

_START = 60.0
# What stands between a socket and who is started with it: the protocol names the process, and wants the socket at 3.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Refused(Exception):
    """Say what systemctl would."""


@dataclass
class Unit:
    """What stands in a unit: all values of a key in their order."""

    name: str
    values: dict[str, list[str]] = field(default_factory=dict)

    def get(self, key: str, default: str = "") -> str:
        """Return the last value of a key."""
        return self.values.get(key, [default])[-1]


def read(path: Path, name: str) -> Unit:
    """Read a unit; a template is read for its instance."""
    unit = Unit(name)
    stem, _, kind = name.rpartition(".")
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, sign, value = line.partition("=")
            if not sign:
                raise Refused(f"{path.name}: {line!r} is no assignment.\n")
            unit.values.setdefault(key, []).append(value.replace("%i", stem.partition("@")[2]))
    if kind not in {"service", "socket"}:
        raise Refused(f"{name} is no unit.\n")
    return unit


class Service:
    """A service that runs: who is watched, and what it says about itself."""

    def __init__(self, unit: Unit, listening: socket.socket, notify: Path, environment: Mapping[str, str]) -> None:
        self.unit = unit
        self._ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ears.bind(str(notify))
        self._ears.settimeout(_START)
        self._log = notify.with_suffix(".log")
        if unit.get("Type") != "notify":
            raise Refused(f"{unit.name} is of type {unit.get('Type')}.\n")
        number = str(listening.fileno())
        words = [sys.executable, "-I", "-c", _ACTIVATE, number, "tenantry", *shlex.split(unit.get("ExecStart"))]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                words,
                cwd=unit.get("WorkingDirectory"),
                env={**environment, "NOTIFY_SOCKET": str(notify)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )
        self.process = self._child.pid

    def await_ready(self) -> None:
        """Wait until it says that it answers, or its end."""
        told = ""
        while "READY=1" not in told.split("\n"):
            told = self._hear()
            for line in told.split("\n"):
                if line.startswith("MAINPID="):
                    self.process = int(line.removeprefix("MAINPID="))

    def _hear(self) -> str:
        self._ears.settimeout(0.05)
        for _ in range(int(_START / 0.05)):
            with contextlib.suppress(TimeoutError):
                return self._ears.recv(4096).decode()
            if self._child.poll() is not None and self.process == self._child.pid:
                break
        raise Refused(f"Job for {self.unit.name} failed.\n{self._log.read_text()[-2000:]}\n")

    def reload(self) -> None:
        """Do what the unit says, and wait until it answers again."""
        before = self.process
        for said in self.unit.values["ExecReload"]:
            subprocess.run(said.removeprefix("-").replace("$MAINPID", str(before)).split(" "), check=True)
        self.await_ready()
        if self.process == before:
            raise Refused(f"{self.unit.name} went on as it was.\n{self._log.read_text()[-2000:]}\n")

    def stop(self) -> None:
        """End it as its unit says, and wait for the end of who was watched and who was started."""
        if self.unit.get("KillMode") != "control-group" or 'kill "$MAINPID"' not in self.unit.get("ExecStop"):
            raise Refused(f"{self.unit.name} ends by {self.unit.get('KillMode')}.\n")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGTERM)
        until(lambda: not _runs(self.process))
        self._child.wait(_START)
        self._ears.close()


class Systemd:
    """The units that were enabled or started, until `close`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._units = folder / "etc/systemd/system"
        self._units.mkdir(parents=True)
        self._sockets: dict[str, socket.socket] = {}
        self.services: dict[str, Service] = {}

    def known(self, name: str) -> bool:
        """Tell whether there is such a unit."""
        return self._path(name).is_file()

    def start(self, name: str) -> None:
        """Start a unit and what it requires; one that runs stays as it is."""
        unit = read(self._path(name), name)
        if name.endswith(".socket"):
            self._open(unit)
            return
        if name in self.services:
            return
        for required in unit.values.get("Requires", []):
            self.start(required)
        for place in unit.values.get("ReadWritePaths", []):
            # It is made only where systemd keeps state: that is what the paths of a machine below a folder hide.
            if Path(place).is_relative_to(self._folder / "var/lib"):
                Path(place).mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not Path(place).is_dir():
                raise Refused(f"Failed to set up mount namespacing: {place}: No such file or directory\n")
        own = name.removesuffix(".service") + ".socket"
        notify = self._folder / f"{name}.notify"
        self.services[name] = service = Service(unit, self._sockets[own], notify, self._environment)
        service.await_ready()

    def stop(self, name: str) -> None:
        """Stop a unit; with a socket goes the service that requires it."""
        if name.endswith(".socket"):
            for service in [one for one in self.services.values() if name in one.unit.values.get("Requires", [])]:
                self.stop(service.unit.name)
            if (opened := self._sockets.pop(name, None)) is not None:
                opened.close()
        elif (found := self.services.pop(name, None)) is not None:
            found.stop()
            (self._folder / f"{name}.notify").unlink()

    def reload(self, name: str) -> None:
        """Have a service do what its unit says."""
        if name not in self.services:
            raise Refused(f"{name} is not active, cannot reload.\n")
        self.services[name].reload()

    def close(self) -> None:
        """Stop whatever runs."""
        for name in [*self.services, *self._sockets]:
            self.stop(name)

    def _path(self, name: str) -> Path:
        stem, _, kind = name.rpartition(".")
        template = f"{stem.partition('@')[0]}@.{kind}" if "@" in stem else name
        return self._units / template

    def _open(self, unit: Unit) -> None:
        if unit.name in self._sockets:
            return
        path = Path(unit.get("ListenStream"))
        path.parent.mkdir(mode=int(unit.get("DirectoryMode", "0755"), 8), parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        opened = self._sockets[unit.name] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.bind(str(path))
        path.chmod(int(unit.get("SocketMode", "0666"), 8))
        opened.listen(1024)


def _runs(process: int) -> bool:
    """Tell whether a process runs that may be nobody's child here; one that has ended and waits to be seen does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False
