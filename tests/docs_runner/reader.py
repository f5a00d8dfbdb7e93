"""Somebody who follows one page: writes its files, types its commands, runs its code, and compares what is shown."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from signal import SIGTERM
from time import monotonic
from types import TracebackType

from tenantry import settings
from tenantry.errors import Invalid
from tests import tools
from tests.docs_runner import nginx
from tests.docs_runner.pages import Block, blocks
from tests.docs_runner.terminal import PATIENCE, Terminal, pattern, plain

ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
# What a checkout needs in order to be followed in; .venv/ is made up, instance/ comes by itself.
_CHECKOUT = (
    "serve.py",
    "pyproject.toml",
    "platform",
    "tenants",
    "tests/__init__.py",
    "tests/__main__.py",
    "tests/tools.py",
)
# Commands that go on until they are stopped: the line that tells that they answer, the option and number of their port.
_SERVERS = {
    "python3 serve.py": ("Stop +Ctrl-C", "--port", 8000),
    ".venv/bin/tenantry serve": ("Stop +Ctrl-C", "--port", 8000),
    ".venv/bin/tenantry dev": ("Running on", "--port", 8001),
    ".venv/bin/waitress-serve": ("Serving on", "--port", 8080),
}
_FOLLOWED = 10.0


class Reader:
    """Somebody in a fresh copy of the checkout, without settings of their own; `close` ends what they have started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: dict[int, int] = {}
        self._servers: dict[int, tuple[str, Terminal]] = {}
        self._interpreter: subprocess.Popen[str] | None = None
        self._said = ""
        self._ways: dict[str, Callable[[Block], None]] = {
            "console": self._console,
            "python": self._python,
            "text": self._text,
            "toml": self._toml,
            "ini": self._ini,
            "nginx": self._nginx,
        }
        _copy(folder)
        self._environment = _environment(folder)

    def follow(self, page: Path) -> None:
        """Do what every block of a page says; AssertionError names the one that is not true."""
        for block in blocks(page):
            assert block.language in self._ways, f"{block} is in {block.language}, which nobody runs"
            if block.title:
                self._write(block)
            try:
                self._ways[block.language](block)
            except (ValueError, SyntaxError, Invalid) as error:
                raise AssertionError(f"{block} is not {block.language}: {error}") from error

    def run(self, code: str, name: str = "test") -> str:
        """Run Python in the namespace of the page's own blocks, and return what it printed."""
        if self._interpreter is None:
            self._interpreter = subprocess.Popen(
                [sys.executable, "-W", "error", str(_HERE / "interpreter.py")],
                cwd=self._folder,
                env=_checkout_first(self._environment, self._folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        into, out = self._interpreter.stdin, self._interpreter.stdout
        assert into is not None
        assert out is not None
        into.write(json.dumps([name, code]) + "\n")
        into.flush()
        patience = threading.Timer(PATIENCE, self._interpreter.kill)
        patience.start()
        answer = out.readline()
        patience.cancel()
        patience.join()
        assert answer, f"{name}: the interpreter has ended"
        printed, error = json.loads(answer)
        assert not error, f"{name}: {error}"
        return str(printed)

    def enter(self, command: str) -> str:
        """Type one more command, which must end with 0, and return what it prints."""
        code, printed = self._run(command)
        assert code == 0, f"`{command}` ended with {code}:\n{printed}"
        return printed

    def close(self) -> None:
        """End the interpreter and the servers; AssertionError where a server ends otherwise than it should."""
        if self._interpreter is not None:
            self._interpreter.communicate(timeout=PATIENCE)
            self._interpreter = None
        wrong = [told for port in [*self._servers] if (told := self._stop(port))]
        assert not wrong, "\n".join(wrong)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What went wrong first is what its author wants to read.
        with suppress(AssertionError) if error is not None else nullcontext():
            self.close()

    # Files and code

    def _write(self, block: Block) -> None:
        path = self._folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def _toml(self, block: Block) -> None:
        assert tomllib.loads(block.text), f"{block} sets nothing"

    def _nginx(self, block: Block) -> None:
        assert nginx.parse(block.text), f"{block} says nothing"

    def _ini(self, block: Block) -> None:
        """Read the settings as they are read from `.env`."""
        scratch = self._folder / "settings"
        scratch.mkdir(exist_ok=True)
        (scratch / ".env").write_text(block.text)
        source = settings.read(scratch, {})
        assert ".env" in source.origin.values(), f"{block} sets nothing"

    def _python(self, block: Block) -> None:
        """Run it, unless it is a file: those are run by who imports them."""
        if block.title:
            compile(block.text, block.title, "exec")
        else:
            self._said = self.run(block.text, str(block))

    def _text(self, block: Block) -> None:
        """Compare what the Python block before has printed."""
        _compare(str(block), self._said, block.text.splitlines())

    # Commands

    def _console(self, block: Block) -> None:
        typed = list(_typed(block))
        code = 0
        for number, (command, shown) in enumerate(typed):
            if command == "echo $?":
                assert shown == [str(code)], f"{block} `{typed[number - 1][0]}` ended with {code}"
                continue
            where = f"{block} `{command}`"
            code = self._type(command, shown, where)
            announced = typed[number + 1 : number + 2]
            assert code == 0 or (announced and announced[0][0] == "echo $?"), f"{where} ended with {code}"

    def _type(self, command: str, shown: list[str], where: str) -> int:
        """Type one command, compare what it prints, and return its exit code; a server's is 0 once it answers."""
        spelled = re.sub(r"^tenantry\b", ".venv/bin/tenantry", command)
        for server in _SERVERS:
            if spelled.startswith(server):
                self._start(server, spelled, shown, where)
                return 0
        if spelled.startswith("python3 tests"):
            return self._find_options(spelled, where)
        deadline = monotonic() + _FOLLOWED
        while True:
            code, printed = self._run(spelled)
            # What a server answers may be the word of a moment ago: it follows within a second.
            if not spelled.startswith("curl") or pattern(shown).fullmatch(plain(printed)) or monotonic() > deadline:
                break
            threading.Event().wait(0.05)
        if shown:
            _compare(where, printed, shown)
        return code if code == 0 or shown else self._failed(where, code, printed)

    def _failed(self, where: str, code: int, printed: str) -> int:
        raise AssertionError(f"{where} ended with {code}:\n{printed}")

    def _run(self, command: str) -> tuple[int, str]:
        ports = " ".join(f"{shown}={real}" for shown, real in self._ports.items())
        script = f'tenantry() {{ .venv/bin/tenantry "$@"; }}\n{command}'
        terminal = Terminal(["sh", "-c", script], self._folder, {**self._environment, "PAGE_PORTS": ports})
        code = terminal.wait()
        return code, self._with_shown_ports(terminal.printed())

    def _start(self, server: str, command: str, shown: list[str], where: str) -> None:
        """Start a server on a free port, and stop the one that had the same port on the page."""
        sign, option, port = _SERVERS[server]
        if given := re.search(rf" {option}[ =](\d+)", command):
            port, command = int(given[1]), command.replace(given[0], "")
        assert not (wrong := self._stop(port)), wrong
        self._ports[port] = tools.free_port()
        # The port stands before what else is said: waitress-serve takes no option after the application.
        words = [*shlex.split(server), f"{option}={self._ports[port]}", *shlex.split(command.removeprefix(server))]
        terminal = Terminal(words, self._folder, self._environment)
        # It prints addresses with the port that it has, for which the page has another.
        wanted = pattern([line.replace(f":{port}", f":{self._ports[port]}") for line in shown])
        ready = terminal.until(lambda text: bool(re.search(sign, text) and wanted.match(text)))
        if not ready:
            terminal.close()
            raise AssertionError(_differs(where, terminal.printed(), shown))
        self._servers[port] = where, terminal

    def _stop(self, port: int) -> str:
        """Stop the server on a port of the page, if there is one, and say what is wrong with how it ended."""
        where, terminal = self._servers.pop(port, ("", None))
        if terminal is None:
            return ""
        code = terminal.end()
        # Only the platform's own server turns SIGTERM into an end of its own.
        ended_well = {0} if "serve" in where.split() else {0, -SIGTERM}
        return "" if code in ended_well else f"{where} ended with {code}:\n{terminal.printed()}"

    def _find_options(self, command: str, where: str) -> int:
        """See that the tests, which are being run at this moment, know these options."""
        code, printed = self._run("python3 tests --help")
        missing = [word for word in shlex.split(command)[2:] if word.startswith("-") and word not in printed.split()]
        assert not missing, f"{where}: there is no {missing[0]}"
        return code

    def _with_shown_ports(self, text: str) -> str:
        for shown, real in self._ports.items():
            text = text.replace(f":{real}", f":{shown}")
        return text


def _typed(block: Block) -> list[tuple[str, list[str]]]:
    """Split a console block into commands, each with the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).strip()
            found.append((command, []))
        else:
            assert found, f"{block} begins with what no command has printed"
            found[-1][1].append(line)
    assert found, f"{block} has no command"
    return found


def _compare(where: str, printed: str, shown: list[str]) -> None:
    if not pattern(shown).fullmatch(plain(printed)):
        raise AssertionError(_differs(where, printed, shown))


def _differs(where: str, printed: str, shown: list[str]) -> str:
    return "\n".join([f"{where} is shown to print", *shown, "and printed", printed])


def _copy(folder: Path) -> None:
    """Copy what makes a checkout, with a .venv of which only the commands are real."""
    for name in _CHECKOUT:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    for path, command in (
        (".venv/bin/tenantry", "-m tenantry"),
        (".venv/bin/waitress-serve", "-m waitress"),
        (".venv/bin/flask", "-m flask"),
        ("bin/python3", ""),
        ("bin/curl", f"-I {shlex.quote(str(_HERE / 'curl.py'))}"),
    ):
        script = folder / path
        script.parent.mkdir(parents=True, exist_ok=True)
        exports = "" if path == "bin/python3" else _exports(folder)
        script.write_text(f'#!/bin/sh\n{exports}exec {shlex.quote(sys.executable)} {command} "$@"\n')
        script.chmod(0o755)


def _exports(folder: Path) -> str:
    """Put the copy before everything, as an installation of it would."""
    return f"export PYTHONPATH={shlex.quote(_paths(folder))}\n"


def _paths(folder: Path) -> str:
    return os.pathsep.join([str(folder / "platform"), str(folder)])


def _checkout_first(environment: dict[str, str], folder: Path) -> dict[str, str]:
    return {**environment, "PYTHONPATH": _paths(folder)}


def _environment(folder: Path) -> dict[str, str]:
    """Make the environment of somebody who has set nothing, on a terminal that can show neither colours nor bold."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TENANTRY_", "PYTHON", "FLASK_"))}
    path = [part for part in kept.get("PATH", os.defpath).split(os.pathsep) if not (Path(part) / "tenantry").exists()]
    return {
        **kept,
        "PATH": os.pathsep.join([str(folder / "bin"), *path]),
        "PYTHONUTF8": "1",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": "100",
        "LINES": "40",
    }
