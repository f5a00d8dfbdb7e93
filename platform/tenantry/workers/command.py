"""The command that a process was started by, to start it again."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """Words, folder and environment of a command."""

    words: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]

    @classmethod
    def own(cls) -> "Command":
        """Note how this process was started; to be asked early, before an application changes any of it."""
        return cls((sys.executable, *sys.orig_argv[1:]), _folder(), dict(os.environ))


def _folder() -> str:
    """Name the working folder as the shell spells it: where a link leads to a new release, that is where to go on."""
    spelled = os.environ.get("PWD", "")
    try:
        if os.path.isabs(spelled) and os.path.samefile(spelled, os.curdir):  # noqa: PTH117, PTH121 - a word, not a file
            return spelled
    except OSError:
        pass
    return os.getcwd()  # noqa: PTH109
