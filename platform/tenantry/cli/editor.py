"""The operator's own editor on a private copy of one file; what was typed is kept until it is saved."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from tenantry.cli.failures import say
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable

# For whoever has said nothing: the first that there is.
_EDITORS = ("sensible-editor", "vi", "nano", "vim", "nvim", "emacs", "ed")


class Draft:
    """A copy of one text in a folder of its own, where an editor may leave what it likes, open for one `with`.

    It is deleted at the end, unless an error comes past and something was typed: then the error says where it is.
    """

    def __init__(self, parent: Path | None, uid: str, name: str) -> None:
        self._parent = parent
        self._prefix = f"{uid}-edit-"  # a purge of the tenant finds it by its uid
        self._name = name
        self._path: Path | None = None
        self._first = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None:
            return
        # Of a rehearsal secrets are not kept: no purge would find them where that is.
        rehearsed = self._parent is None and self._name == ".env"
        if error is None or rehearsed or not self._typed(self._path):
            _delete(self._path.parent)
            return
        kept = f"What was typed is kept in {self._path}."
        if isinstance(error, TenantryError):
            raise type(error)(error.says, hint=f"{error.hint} {kept}".lstrip()) from error
        say(kept)

    def edit(self, text: str) -> str:
        """Let the operator edit the text, the first time; later what they have typed so far."""
        words = _words()
        if self._path is None:
            self._first = text.encode("utf-8", "surrogateescape")
            self._path = self._copy()
        _run(words, self._path)
        try:
            return self._path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise Refused(
                f"{shlex.join(words)} left no file: {error.strerror}.", hint="Nothing was changed."
            ) from error

    def again(self, error: TenantryError) -> bool:
        """Say what is wrong, and ask whether to go on editing where anybody can be asked."""
        if not sys.stdin.isatty():
            return False
        say(str(error))
        return click.confirm("Edit it again?", default=True, err=True)

    def _copy(self) -> Path:
        folder = None
        try:
            folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._parent))
            path = folder / self._name
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._first)
        except OSError as error:
            if folder is not None:
                _delete(folder)
            where = error.filename or folder or self._parent or tempfile.gettempdir()
            raise Unavailable(
                f"No copy to edit can be made ({where}): {error.strerror}.", hint="Nothing was changed."
            ) from error
        return path

    def _typed(self, path: Path) -> bool:
        try:
            return path.read_bytes() != self._first
        except OSError:
            return False


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        say(f"The copy in {folder} cannot be deleted: see that it is, there may be secrets in it.")


def _words() -> list[str]:
    """Return the command of the operator's editor, as it would be split by a shell."""
    for name in ("VISUAL", "EDITOR"):
        text = os.environ.get(name, "")
        if text.strip():
            try:
                return shlex.split(text)
            except ValueError as error:
                raise Invalid(f"${name} is no command: {text}", hint="Nothing was changed.") from error
    found = next((name for name in _EDITORS if shutil.which(name)), None)
    if found is None:
        raise Unavailable("There is no editor here.", hint="Set $EDITOR to the command of one.")
    if not sys.stdin.isatty():
        raise Refused("Nobody can edit here: standard input is no terminal.", hint="Set $EDITOR to a command.")
    return [found]


def _run(words: list[str], path: Path) -> None:
    """Run the editor until it ends; raise unless it ends well."""
    spelled = shlex.join(words)
    try:
        with _deaf():
            code = subprocess.run([*words, str(path)], check=False).returncode  # noqa: S603 - the operator's own
    except OSError as error:
        raise Invalid(
            f"The editor {spelled} cannot be run: {error.strerror}.",
            hint="Nothing was changed; see $VISUAL and $EDITOR.",
        ) from error
    if code:
        ended = f"ended with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
        raise Refused(f"The editor {spelled} {ended}.", hint="Nothing was changed.")


@contextmanager
def _deaf() -> Iterator[None]:
    """Leave Ctrl-C to the editor, for which it may mean something else; the editor itself hears it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
