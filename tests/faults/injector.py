"""A disk that fails on demand: each call of the platform's own that writes is counted, and one of them can be met.

It replaces functions of this process for good, so it is for a forked child that ends when it has seen enough. Own is
what the platform's code calls, itself or through the standard library; SQLite's C code, SQLAlchemy and applications
write by themselves and are not met.
"""

import builtins
import errno
import io
import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any

import tenantry

HOUSE = str(Path(tenantry.__file__).parent) + os.sep
_LIBRARY = sysconfig.get_path("stdlib") + os.sep
_PACKAGES = f"{os.sep}site-packages{os.sep}"

_BY_DESCRIPTOR = ("write", "pwrite", "fsync", "fdatasync", "fchmod", "fchown", "ftruncate", "sendfile")
_BY_PATH = ("open", "mkdir", "unlink", "remove", "rmdir", "chmod", "chown", "lchown", "truncate", "utime")
_BY_TWO = ("rename", "replace", "link", "symlink")
# Which argument holds what is written or how much of it.
WRITES = {"write": 1, "pwrite": 1, "sendfile": 3, "copy_file_range": 2}
_NEEDS_NO_ROOM = frozenset(
    {"look", "unlink", "remove", "rmdir", "ftruncate", "truncate", "fchmod", "fchown", "chmod", "chown"}
)


class Mode(Enum):
    """What happens to the call that is met, and to those after it."""

    ONCE = "once"
    FOREVER = "from then on"
    SHORT = "a short write"
    SHORT_AND_FULL = "a short write, then once"
    KILL = "killed"


@dataclass(frozen=True, slots=True)
class Fault:
    """What meets the `at`-th call, counted from 1; `error` is an errno."""

    at: int
    mode: Mode
    error: int = errno.ENOSPC

    def __str__(self) -> str:
        return f"{self.mode.value} {errno.errorcode[self.error]}" if self.mode is not Mode.SHORT else self.mode.value


@dataclass(frozen=True, slots=True)
class Site:
    """One counted call: which one, where in the platform's code, and on what."""

    call: str
    function: str
    file: str
    line: int
    path: str

    @property
    def place(self) -> str:
        """Where it stands in the code, however often it is passed."""
        return f"{self.file}:{self.line} {self.function}, {self.call}"


@dataclass(slots=True)
class Injector:
    """Counts the calls of this process, once installed, and lets its fault meet one; `failed` are the paths it hit."""

    fault: Fault | None = None
    sites: list[Site] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    full: bool = False

    def install(self) -> None:
        """Replace what writes, for the rest of this process' life."""
        for names, where in ((_BY_DESCRIPTOR, _behind), (_BY_PATH, _at), (_BY_TWO, _at)):
            for name in names:
                self._replace(name, where)
        self._replace("copy_file_range", lambda given, _: _behind(given[1:], {}))
        plain = builtins.open

        def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            caller = own()
            if caller is None or not set(mode) & set("wax+"):
                return plain(file, mode, *rest, **more)
            path = _at((file,), {})
            if not isinstance(file, int):
                self.meet("open", caller, path, (path,))
            return Watched(self, plain(file, mode, *rest, **more), path)

        setattr(builtins, "open", opened)  # noqa: B010 - mypy knows what `open` is, and this is not it
        setattr(io, "open", opened)  # noqa: B010

    def _replace(self, name: str, where: Callable[[tuple[Any, ...], dict[str, Any]], str]) -> None:
        plain = getattr(os, name)

        def met(*given: Any, **more: Any) -> Any:
            caller = own()
            if caller is None:
                return plain(*given, **more)
            # What the system would name in its error: the path as it was given, nothing for a descriptor.
            named = () if where is _behind or name == "copy_file_range" else tuple(map(str, _paths(name, given)))
            # Opening what is there takes no room.
            call = "look" if name == "open" and not (len(given) > 1 and given[1] & os.O_CREAT) else name
            if self.meet(call, caller, where(given, more), named):
                given = _half(given, WRITES[name])
            return plain(*given, **more)

        setattr(os, name, met)

    def meet(self, call: str, caller: FrameType, path: str, named: tuple[str, ...]) -> bool:
        """Count a call; raise what meets it, or tell whether it is to write but half of what it was asked to."""
        code = caller.f_code
        self.sites.append(Site(call, code.co_name, code.co_filename.removeprefix(HOUSE), caller.f_lineno, path))
        fault, number = self.fault, len(self.sites)
        if fault is None or number < fault.at:
            return False
        first = number == fault.at
        if first and fault.mode is Mode.KILL:
            os._exit(9)
        if first and fault.mode in {Mode.SHORT, Mode.SHORT_AND_FULL} and call in WRITES:
            self.full = fault.mode is Mode.SHORT_AND_FULL
            return True
        lasting = fault.mode is Mode.FOREVER and not (fault.error == errno.ENOSPC and call in _NEEDS_NO_ROOM)
        if lasting or (first and fault.mode is Mode.ONCE) or (self.full and call in WRITES):
            self.full = False
            self.failed.append(path)
            two = (None, named[1]) if len(named) > 1 else ()  # between the two stands Windows' own number
            raise OSError(fault.error, os.strerror(fault.error), *named[:1], *two)
        return False


class Watched:
    """A file that the standard library has opened for the platform to write; what is not written is the file's own.

    Closing counts: much of what was written goes to the disk only then.
    """

    def __init__(self, injector: Injector, file: Any, path: str) -> None:
        self._injector, self._file, self._path = injector, file, path

    def write(self, content: Any) -> int:
        self._meet("file.write")
        return int(self._file.write(content))

    def close(self) -> None:
        try:
            if not self._file.closed:
                self._meet("file.close")
        finally:
            self._file.close()

    def _meet(self, call: str) -> None:
        caller = own()
        if caller is not None:
            self._injector.meet(call, caller, self._path, ())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own() -> FrameType | None:
    """Find the platform's frame on whose behalf this call is made; None if the nearest code is somebody else's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(HOUSE):
            return frame
        library = file.startswith((_LIBRARY, "<frozen ")) and _PACKAGES not in file
        if not library and file != __file__:
            return None
        frame = frame.f_back
    return None


def _behind(given: tuple[Any, ...], _: dict[str, Any]) -> str:
    return str(Path(f"/proc/self/fd/{given[0]}").readlink()).removesuffix(" (deleted)")


def _at(given: tuple[Any, ...], more: dict[str, Any]) -> str:
    if isinstance(given[0], int):
        return _behind(given, more)
    path, folder = os.fsdecode(given[0]), more.get("dir_fd")
    return path if folder is None else str(Path(_behind((folder,), {}), path))


def _paths(name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(os.fsdecode(path) for path in given[: 2 if name in _BY_TWO else 1] if not isinstance(path, int))


def _half(given: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    what = given[index]
    half = what // 2 if isinstance(what, int) else what[: len(what) // 2]
    return (*given[:index], half, *given[index + 1 :])
