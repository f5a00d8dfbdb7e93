"""Somebody who sets up the machine by a page: types its commands there, writes its files, and reads what comes."""

import re
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from pathlib import Path
from threading import Event
from time import monotonic

from tests.debian.machine import Machine
from tests.docs_runner import Block, Reader
from tests.docs_runner.terminal import Terminal, pattern, plain

_FOLLOWED = 10.0
_CHECKOUT = "root/tenantry"


class Operator(Reader):
    """Somebody at a terminal of the machine, beside whom the checkout lies; `after` hears of each command's output."""

    def __init__(
        self, folder: Path, more: Mapping[str, str] | None = None, after: Callable[[str, str], None] | None = None
    ) -> None:
        checkout = folder / _CHECKOUT
        super().__init__(checkout)
        # Both are brought by what the page itself does.
        (checkout / "bin/curl").unlink()
        self.machine = Machine(folder, {**self._environment, **(more or {})})
        self._after = after
        self._printed = ""
        self._ways |= {"sh": self._sh, "text": self._text}

    def __enter__(self) -> "Operator":
        return self

    def close(self) -> None:
        """End the machine."""
        try:
            super().close()
        finally:
            self.machine.close()

    def _write(self, block: Block) -> None:
        assert block.title.startswith("/"), f"{block} is written to {block.title}"
        path = Path(self.machine.inside(block.title))
        assert path != Path(block.title), f"{block} is written to {block.title}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.machine.inside(block.text))

    def _ini(self, block: Block) -> None:
        """Read settings as settings, and other files as what they are."""
        if not block.title or block.title.endswith("/.env"):
            super()._ini(block)
        else:
            ConfigParser(strict=True).read_string(f"[file]\n{block.text}")

    def _sh(self, block: Block) -> None:
        """See that it is a script; it runs when it is called."""
        assert block.title, f"{block} is a script that nobody can call"
        self.enter(f"sh -n {block.title}")

    def _type(self, command: str, shown: list[str], where: str) -> int:
        """Type one command and compare what it prints; what a server answers may be the word of a moment ago."""
        deadline = monotonic() + _FOLLOWED
        while True:
            code, printed = self._run(command)
            told = pattern(shown).fullmatch(plain(printed)) is not None
            if told or not command.startswith("curl") or monotonic() > deadline:
                break
            Event().wait(0.05)
        assert code == 0 or shown, f"{where} ended with {code}:\n{printed}"
        assert told or not shown, f"{where} is shown to print\n" + "\n".join([*shown, "and printed", printed])
        assert shown or not printed, f"{where} is shown to print nothing and printed\n{printed}"
        if self._after is not None:
            self._after(command, printed)
        self._printed = printed
        return code

    def _console(self, block: Block) -> None:
        """Type the commands; where one ends badly, what it printed is more than its code."""
        try:
            super()._console(block)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._printed}") from error

    def _text(self, block: Block) -> None:
        """Write a file of somebody else's language."""
        assert block.title, f"{block} is for nobody"

    def _run(self, command: str) -> tuple[int, str]:
        ports = " ".join(f"{shown}={real}" for shown, real in self.machine.ports.items())
        words = ["sh", "-c", self._led(self.machine.inside(command))]
        terminal = Terminal(words, self.machine.folder / "root", {**self.machine.environment, "PAGE_PORTS": ports})
        code = terminal.wait()
        return code, self.machine.outside(terminal.printed())

    def _led(self, command: str) -> str:
        """Lead the command that asks from outside to the machine, and let it know the machine's authority."""
        if not re.match(r"tenantry doctor .*--edge\b", command):
            return command
        return f"{command} --connect 127.0.0.1:{self.machine.ports[443]} --ca {self.machine.authority.path}"
