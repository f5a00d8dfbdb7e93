"""Bodies: a lease ends with its response on every path, and everything of a request runs in one context of its own."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from waitress.buffers import ReadOnlyFileBasedBuffer

from tenantry.dispatch import SubdomainDispatcher
from tests.sites import answering, ask, begin, environ_of, eventually, leases, on_threads

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Application = WSGIApplication

TEXT = [("Content-Type", "text/plain")]
ANYTHING: ContextVar[str] = ContextVar("anything", default="nothing")


class Chunks:
    """A body that tells what became of it."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self.closed += 1


# How a response ends


def test_a_lease_is_held_until_the_body_is_closed() -> None:
    chunks = Chunks(b"one", b"two")
    dispatcher = answering(lambda _: chunks)
    answer = begin(dispatcher, environ_of())
    assert leases(dispatcher) == 1
    assert list(answer.body) == [b"one", b"two"]
    assert leases(dispatcher) == 1
    answer.body.close()
    assert leases(dispatcher) == 0
    assert chunks.closed == 1


@pytest.mark.parametrize("body", [[b"hello"], [b"hel", b"lo"], (b"hello",), [], ()])
def test_a_list_or_tuple_reaches_the_server_as_it_is_and_holds_no_lease(body: Any) -> None:
    dispatcher = answering(lambda _: body)
    answer = begin(dispatcher, environ_of())
    assert answer.body is body
    assert leases(dispatcher) == 0


def test_a_hang_up_ends_the_lease_of_a_body_that_is_half_sent() -> None:
    chunks = Chunks(b"one", b"two")
    dispatcher = answering(lambda _: chunks)
    answer = begin(dispatcher, environ_of())
    assert next(iter(answer.body)) == b"one"
    answer.body.close()
    assert leases(dispatcher) == 0
    assert chunks.closed == 1


def test_a_generator_that_nobody_reads_ends_its_lease_when_closed() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"never sent"

    dispatcher = answering(lambda _: chunks())
    answer = begin(dispatcher, environ_of(REQUEST_METHOD="HEAD"))
    assert leases(dispatcher) == 1
    answer.body.close()
    assert leases(dispatcher) == 0


def test_a_body_without_a_close_of_its_own_ends_its_lease_too() -> None:
    dispatcher = answering(lambda _: iter([b"one"]))
    assert ask(dispatcher).body == "one"
    assert leases(dispatcher) == 0


def test_an_application_that_raises_ends_its_lease() -> None:
    def fail(_: Any) -> Any:
        raise SystemExit("at once")

    dispatcher = answering(fail)
    with pytest.raises(SystemExit, match="at once"):
        begin(dispatcher, environ_of())
    assert leases(dispatcher) == 0


def test_a_body_that_raises_in_the_middle_ends_its_lease_when_closed() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise LookupError("in the middle")

    dispatcher = answering(lambda _: chunks())
    answer = begin(dispatcher, environ_of())
    with pytest.raises(LookupError, match="in the middle"):
        list(answer.body)
    answer.body.close()
    assert leases(dispatcher) == 0


def test_a_body_that_cannot_be_iterated_ends_its_lease_at_once() -> None:
    dispatcher = answering(lambda _: 42)
    with pytest.raises(TypeError):
        begin(dispatcher, environ_of())
    assert leases(dispatcher) == 0


def test_a_body_whose_close_raises_ends_its_lease_and_lets_the_server_know() -> None:
    class Failing(Chunks):
        def close(self) -> None:
            raise LookupError("at the end")

    dispatcher = answering(lambda _: Failing())
    answer = begin(dispatcher, environ_of())
    with pytest.raises(LookupError, match="at the end"):
        answer.body.close()
    assert leases(dispatcher) == 0


def test_closing_twice_ends_one_lease() -> None:
    dispatcher = answering(lambda _: Chunks(b"one"))
    first, second = begin(dispatcher, environ_of()), begin(dispatcher, environ_of())
    first.body.close()
    first.body.close()
    assert leases(dispatcher) == 1
    second.body.close()
    assert leases(dispatcher) == 0


def test_a_body_may_be_closed_on_another_thread() -> None:
    dispatcher = answering(lambda _: Chunks(b"one"))
    answer = begin(dispatcher, environ_of())
    on_threads(answer.body.close)
    assert leases(dispatcher) == 0


def test_a_body_that_outlives_its_application_keeps_it_from_being_disposed_of() -> None:
    dispatcher = answering(lambda _: Chunks(b"one", b"two"))
    answer = begin(dispatcher, environ_of())
    dispatcher.pool.retire(["acme"])
    assert "1 retired" in repr(dispatcher.pool)
    assert answer.read() == "onetwo"
    eventually(lambda: "0 retired" in repr(dispatcher.pool))


# What servers look for in a body


def test_a_body_of_known_length_keeps_it_for_the_server() -> None:
    class Sized(Chunks):
        def __len__(self) -> int:
            return 1

    dispatcher = answering(lambda _: Sized(b"hello"))
    answer = begin(dispatcher, environ_of())
    assert len(answer.body) == 1
    assert answer.read() == "hello"
    assert leases(dispatcher) == 0


def test_a_body_of_unknown_length_does_not_claim_one() -> None:
    dispatcher = answering(lambda _: Chunks(b"hello"))
    answer = begin(dispatcher, environ_of())
    assert not hasattr(answer.body, "__len__")
    answer.body.close()


def test_a_list_of_an_unusual_kind_is_not_trusted_to_be_whole() -> None:
    class Lazy(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            assert leases(dispatcher) == 1
            yield b"made late"

    dispatcher = answering(lambda _: Lazy([b"x"]))
    answer = begin(dispatcher, environ_of())
    assert len(answer.body) == 1
    assert answer.read() == "made late"
    assert leases(dispatcher) == 0


def test_the_write_callable_reaches_the_application() -> None:
    def app(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"written ")
        write(b"early")
        return []

    dispatcher = SubdomainDispatcher("example.com", lambda _: app)
    assert ask(dispatcher).body == "written early"
    assert leases(dispatcher) == 0


def test_an_application_may_start_its_response_as_late_as_its_first_chunk() -> None:
    def app(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("202 Accepted", TEXT)
        yield b"late"

    dispatcher = SubdomainDispatcher("example.com", lambda _: app)
    answer = begin(dispatcher, environ_of())
    assert answer.code == 202
    assert answer.read() == "late"
    assert leases(dispatcher) == 0


# Contexts


@contextmanager
def bound(value: str) -> Iterator[None]:
    """Bind the variable as libraries do: the token may be used only in the context that made it."""
    token = ANYTHING.set(value)
    try:
        yield
    finally:
        ANYTHING.reset(token)


def test_what_one_request_sets_in_a_context_variable_the_next_does_not_see() -> None:
    seen: list[str] = []

    def body(_: Any) -> list[bytes]:
        seen.append(ANYTHING.get())
        ANYTHING.set("a secret of the last one")
        return [b""]

    dispatcher = answering(body)
    with bound("the server's own"):
        for _ in range(3):
            ask(dispatcher)
        assert seen == ["nothing"] * 3
        assert ANYTHING.get() == "the server's own"


def test_call_iteration_and_close_of_a_request_share_one_context() -> None:
    seen: list[str] = []

    class Following(Chunks):
        def __iter__(self) -> Iterator[bytes]:
            seen.append(ANYTHING.get())
            ANYTHING.set("iter")
            return self

        def __next__(self) -> bytes:
            seen.append(ANYTHING.get())
            ANYTHING.set("next")
            return super().__next__()

        def close(self) -> None:
            seen.append(ANYTHING.get())

    def body(_: Any) -> Following:
        ANYTHING.set("call")
        return Following(b"one")

    dispatcher = answering(body)
    answer = begin(dispatcher, environ_of())
    on_threads(lambda: next(answer.body))
    on_threads(answer.body.close)
    assert seen == ["call", "iter", "next"]
    assert ANYTHING.get() == "nothing"


@pytest.mark.parametrize("read", [0, 1, 2, 3], ids=lambda read: f"after {read} chunks")
def test_a_stream_that_bound_a_variable_lets_go_of_it_wherever_it_is_closed(read: int) -> None:
    def chunks() -> Iterator[bytes]:
        with bound("streaming"):
            yield ANYTHING.get().encode()
            yield ANYTHING.get().encode()

    dispatcher = answering(lambda _: chunks())
    answer = begin(dispatcher, environ_of())
    for number in range(read):
        on_threads(lambda: next(answer.body, None))
        assert number == 2 or leases(dispatcher) == 1
    on_threads(answer.body.close)
    assert leases(dispatcher) == 0


def test_closing_a_wrapped_file_runs_in_the_context_of_its_request() -> None:
    seen: list[str] = []

    class Watched(BytesIO):
        def close(self) -> None:
            if not self.closed:
                seen.append(ANYTHING.get())
            super().close()

    def body(environ: "WSGIEnvironment") -> Any:
        ANYTHING.set("the request's")
        return environ["wsgi.file_wrapper"](Watched(b"x"))

    dispatcher = answering(body)
    answer = begin(dispatcher, environ_of() | {"wsgi.file_wrapper": ReadOnlyFileBasedBuffer})
    on_threads(answer.body.close)
    assert seen == ["the request's"]
