"""Files as bodies: the server sends a plain one by itself, and nothing of the application is needed for it any more."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper as StandardFileWrapper

import pytest
from waitress.buffers import ReadOnlyFileBasedBuffer
from werkzeug.wsgi import FileWrapper, wrap_file

from tests.sites import answering, ask, begin, environ_of, leases, on_threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def wrapped(environ: "WSGIEnvironment", file: Any) -> Any:
    """Wrap a file as the server wishes."""
    return environ["wsgi.file_wrapper"](file)


@pytest.mark.parametrize(
    "wrapper", [ReadOnlyFileBasedBuffer, FileWrapper, StandardFileWrapper], ids=["waitress", "werkzeug", "wsgiref"]
)
def test_a_wrapped_file_reaches_the_server_without_the_application_and_without_its_lease(
    wrapper: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"a whole file")
    files: list[Any] = [BytesIO(b"in a whole file"), (tmp_path / "file").open("rb"), (tmp_path / "file").open("rb", 0)]
    for file in files:
        file.seek(-12, os.SEEK_END)
        dispatcher = answering(partial(wrapped, file=file))
        answer = begin(dispatcher, environ_of() | {"wsgi.file_wrapper": wrapper})
        assert type(answer.body) is wrapper
        assert (file.closed, leases(dispatcher)) == (True, 0)
        assert b"".join(answer.body) == b"a whole file"
        answer.body.close()


@pytest.mark.parametrize("kind", ["close of its own", "read of its own", "raw of its own", "no plain file", "closed"])
def test_code_of_the_application_never_reads_or_closes_a_file_on_the_servers_thread(kind: str, tmp_path: Path) -> None:
    """What a wrapper would call is called where the request runs, whatever objects an application hands over."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    threads: set[int] = set()

    def told(method: Callable[..., Any], *args: Any) -> Any:
        threads.add(threading.get_ident())
        return method(*args)

    class Raw(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            threads.add(threading.get_ident())
            return super().readinto(buffer)

    def made() -> Any:
        if kind == "raw of its own":
            return io.BufferedReader(Raw(tmp_path / "file"))
        file: Any = io.BufferedReader(io.FileIO("/dev/zero" if kind == "no plain file" else tmp_path / "file"))
        if kind == "read of its own":
            file.read = partial(told, file.read)
        if kind == "closed":
            file.close()
        return file

    def body(environ: "WSGIEnvironment") -> Any:
        made_up = environ["wsgi.file_wrapper"](made())
        if kind == "close of its own":
            made_up.close = partial(told, made_up.close)
        return made_up

    dispatcher = answering(body)
    environ = environ_of() | {"wsgi.file_wrapper": ReadOnlyFileBasedBuffer}
    with pytest.raises(ValueError, match="closed") if kind == "closed" else nullcontext():
        answer = begin(dispatcher, environ)
        plain = kind in {"close of its own", "read of its own"}
        assert (type(answer.body) is ReadOnlyFileBasedBuffer) == plain
        on_threads(answer.body.close)
    assert threads <= {threading.get_ident()}
    assert leases(dispatcher) == 0


def test_waitress_can_still_send_a_wrapped_file_by_itself() -> None:
    dispatcher = answering(lambda environ: environ["wsgi.file_wrapper"](BytesIO(b"a whole file")))
    answer = begin(dispatcher, environ_of() | {"wsgi.file_wrapper": ReadOnlyFileBasedBuffer})
    assert answer.body.prepare() == 12
    assert answer.body.get(7, skip=True) == b"a whole"
    answer.body.close()


def test_a_wrapped_file_that_cannot_be_closed_ends_its_lease_and_lets_the_server_know() -> None:
    class Failing(BytesIO):
        failed = False

        def close(self) -> None:
            if not self.failed:
                self.failed = True
                raise OSError("gone")

    dispatcher = answering(lambda environ: environ["wsgi.file_wrapper"](Failing(b"x")))
    answer = begin(dispatcher, environ_of() | {"wsgi.file_wrapper": ReadOnlyFileBasedBuffer})
    with pytest.raises(OSError, match="gone"):
        answer.body.close()
    assert leases(dispatcher) == 0


def test_a_wrapper_whose_close_fails_is_a_failure_before_anything_is_sent() -> None:
    class Failing(ReadOnlyFileBasedBuffer):
        def close(self) -> None:
            raise OSError("gone")

    dispatcher = answering(lambda environ: environ["wsgi.file_wrapper"](BytesIO(b"a whole file")))
    with pytest.raises(OSError, match="gone"):
        begin(dispatcher, environ_of() | {"wsgi.file_wrapper": Failing})
    assert leases(dispatcher) == 0


def test_a_file_wrapper_of_another_server_ends_its_lease_as_well() -> None:
    class Closed:
        __slots__ = ("file",)

        def __init__(self, file: BytesIO, _: int = 0) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.file)

        def close(self) -> None:
            self.file.close()

    dispatcher = answering(lambda environ: environ["wsgi.file_wrapper"](BytesIO(b"a whole file")))
    answer = begin(dispatcher, environ_of() | {"wsgi.file_wrapper": Closed})
    assert leases(dispatcher) == 0
    assert answer.read() == "a whole file"
    assert leases(dispatcher) == 0


def test_werkzeugs_own_wrapper_ends_its_lease_where_the_server_has_none() -> None:
    file = BytesIO(b"a whole file")
    dispatcher = answering(lambda environ: wrap_file(environ, file))
    assert ask(dispatcher).body == "a whole file"
    assert file.closed
    assert leases(dispatcher) == 0
