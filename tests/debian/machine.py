"""The machine itself: its folder, its commands, and who runs them."""

import json
import os
import shlex
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests import tools
from tests.debian.authority import Authority
from tests.debian.places import inside, outside
from tests.debian.units import Refused, Systemd
from tests.debian.web import Web

_HERE = Path(__file__).resolve().parent
_CURL = _HERE.parent / "docs_runner" / "curl.py"
# What Debian's packages bring that a page may then use.
_PACKAGES = {
    "nginx": ("nginx",),
    "certbot": ("certbot",),
    "python3-certbot-dns-cloudflare": (),
    "python3-venv": (),
    "curl": (),
}
_SUDO = """\
#!/bin/sh
if [ "$1" = -u ]; then
    [ -e {users}/"$2" ] || {{ echo "sudo: unknown user $2"; exit 1; }}
    shift 2
fi
exec "$@"
"""
# Only root may give files away: that they and the user are there is all that can be seen.
_CHOWN = """\
#!/bin/sh
[ -e {users}/"${{1%:}}" ] || {{ echo "chown: invalid user: $1"; exit 1; }}
shift
for path; do
    [ -e "$path" ] || {{ echo "chown: cannot access $path"; exit 1; }}
done
"""


class Machine:
    """A fresh Debian below a folder whose path is short, as paths of sockets have to be; `close` ends what runs."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        # Where the ports that only root may open lead to.
        self.ports = {80: tools.free_port(), 443: tools.free_port()}
        self._bin = folder / "bin"
        self._users = folder / "users"
        for made in (self._bin, self._users, folder / "usr/local/bin", folder / "srv", folder / "var/lib"):
            made.mkdir(parents=True)
        self.environment = {
            **environment,
            # The one port that is asked for by its number; visitors are led to the other.
            "TENANTRY_EDGE_HTTP_PORT": str(self.ports[80]),
            "PATH": os.pathsep.join([str(self._bin), str(folder / "usr/local/bin"), environment["PATH"]]),
        }
        self.authority = Authority(folder)
        # As what is installed in .venv finds the checkout.
        paths = os.pathsep.join([str(folder / "srv/tenantry/platform"), str(folder / "srv/tenantry")])
        self.systemd = Systemd(folder, {**self.environment, "PYTHONPATH": paths})
        self.web: Web | None = None
        self._commands: dict[str, Callable[[list[str]], tuple[int, str]]] = {
            "apt": self._apt,
            "useradd": self._useradd,
            "systemctl": self._systemctl,
            "nginx": self._nginx,
            "certbot": self._certbot,
        }
        self._server = _Server(folder / "ask", self._run)
        for name in ("apt", "useradd", "systemctl"):
            self._bring(name)
        (self._users / "www-data").touch()
        users = shlex.quote(str(self._users))
        for name, text in (("sudo", _SUDO), ("chown", _CHOWN), ("chgrp", _CHOWN)):
            self._script(name, text.format(users=users))

    def close(self) -> None:
        """End nginx, the units and whoever answers to commands."""
        self.systemd.close()
        if self.web is not None:
            self.web.close()
        self._server.close()

    def _run(self, name: str, words: list[str]) -> tuple[int, str]:
        try:
            code, said = self._commands[name](words)
        except Refused as refusal:
            code, said = 1, str(refusal)
        except Exception as error:  # who asked must hear of it
            code, said = 99, f"{name}: {error!r}\n"
        return code, outside(self.folder, said)

    # Commands

    def _apt(self, words: list[str]) -> tuple[int, str]:
        if words[:2] != ["install", "-y"]:
            return 2, "E: Invalid operation\n"
        for package in words[2:]:
            if package not in _PACKAGES:
                return 100, f"E: Unable to locate package {package}\n"
            for command in _PACKAGES[package]:
                self._bring(command)
            if package == "curl":
                trust = shlex.quote(str(self.authority.path))
                python = f"{shlex.quote(sys.executable)} -I {shlex.quote(str(_CURL))}"
                self._script("curl", f'#!/bin/sh\nPAGE_AUTHORITY={trust} exec {python} "$@"\n')
            if package == "nginx":
                self.web = Web(self.folder, self.ports)
                self.web.start()
        return 0, "".join(f"Setting up {package} ...\n" for package in words[2:])

    def _useradd(self, words: list[str]) -> tuple[int, str]:
        if words[:-1] != ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]:
            return 2, "useradd: only a user for a service\n"
        (self._users / words[-1]).touch()
        return 0, ""

    def _nginx(self, words: list[str]) -> tuple[int, str]:
        assert self.web is not None
        return self.web.test() if words == ["-t"] else (1, f"nginx: invalid option: {words}\n")

    def _certbot(self, words: list[str]) -> tuple[int, str]:
        return self.authority.certbot(words, self.ports[80], self.environment)

    def _systemctl(self, words: list[str]) -> tuple[int, str]:
        verb, *names = [word for word in words if word != "--now"]
        now = "--now" in words
        if verb == "daemon-reload":
            return 0, ""
        if names == ["nginx"]:
            assert self.web is not None
            return self.web.reload() if verb == "reload" else (1, f"{verb} nginx?\n")
        names = [name if name.endswith((".socket", ".service")) else f"{name}.service" for name in names]
        if missing := [name for name in names if not self.systemd.known(name)]:
            return 5, f"Unit {missing[0]} not found.\n"
        done = {"reload": self.systemd.reload, "enable": self.systemd.start, "disable": self.systemd.stop}
        for name in names if verb == "reload" or now else []:
            done[verb](name)
        return 0, "".join(f"{verb}d {name}.\n" for name in names if verb != "reload")

    # Files

    def _bring(self, name: str) -> None:
        words = " ".join(map(shlex.quote, [sys.executable, str(_HERE / "ask.py"), str(self._server.path), name]))
        self._script(name, f'#!/bin/sh\nexec {words.replace(" ", " -I -S ", 1)} "$@"\n')

    def _script(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(text)
        path.chmod(0o755)

    def inside(self, text: str) -> str:
        """Lead the paths in a text into the folder."""
        return inside(self.folder, text)

    def outside(self, text: str) -> str:
        """Spell the paths in a text as they are on the machine."""
        return outside(self.folder, text)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Runs what it is asked for, each on a thread, as a command may call others."""

    def __init__(self, path: Path, run: Callable[[str, list[str]], tuple[int, str]]) -> None:
        super().__init__(str(path), _Asked)
        self.path = path
        self.run = run
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="machine")
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer once."""
        assert isinstance(self.server, _Server)
        name, *words = json.loads(self.rfile.readline())
        self.wfile.write(json.dumps(self.server.run(name, words)).encode() + b"\n")
