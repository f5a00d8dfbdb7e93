"""Whether the process has too few descriptors left."""

import errno
import os
from contextlib import ExitStack

# With fewer than so many free ones hardly anything can be built: an application opens some, and SQLite several.
_FEW = 12
_DEEP = 20


def starved(error: BaseException) -> bool:
    """Tell whether an error came of too few descriptors: it says so, or what caused it does, or few are left now.

    Libraries hide the system's word: SQLite says only that it cannot open a file.
    """
    seen: BaseException | None = error
    for _ in range(_DEEP):
        if isinstance(seen, OSError) and seen.errno in {errno.EMFILE, errno.ENFILE}:
            return True
        if seen is None:
            break
        seen = seen.__cause__ or seen.__context__
    return scarce()


def scarce(few: int = _FEW) -> bool:
    """Tell whether fewer than so many descriptors are free, by taking them for a moment."""
    with ExitStack() as taken:
        try:
            for _ in range(few):
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return True
    return False
