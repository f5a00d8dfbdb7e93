"""Work shared among processes: forked from this one, each does its share and hands back what came of it."""

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Share(Generic[Result]):
    """One share, begun in a process of its own; `result` waits for it, once."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            self._work(work, writing)
        os.close(writing)

    def result(self) -> Result:
        """Return what came of it, or raise AssertionError with what went wrong there."""
        with os.fdopen(self._reading, "rb") as told:
            content = told.read()
        os.waitpid(self._pid, 0)
        assert content, "a process that did its share has died"
        result, error = pickle.loads(content)
        assert not error, error
        done: Result = result
        return done

    def _work(self, work: Callable[[], Result], writing: int) -> None:
        try:
            try:
                told = pickle.dumps((work(), ""))
            except BaseException:
                told = pickle.dumps((None, traceback.format_exc()))
            with os.fdopen(writing, "wb") as telling:
                telling.write(told)
        finally:
            os._exit(0)
