"""The server hangs on hooks of waitress; a release that moves them is told of in a sentence, before it is used."""

import importlib
import inspect
from importlib.metadata import version
from typing import Any

# What our subclasses take for granted of waitress: whose it is, what it takes, and what its code speaks of.
HOOKS: tuple[tuple[str, str, str], ...] = (
    ("channel:HTTPChannel.__init__", "self server sock addr adj map", "requests requests_lock outbuf_lock outbufs"),
    ("channel:HTTPChannel.handle_close", "self", "outbuf_lock outbufs connected total_outbufs_len close"),
    ("channel:HTTPChannel.handle_read", "self", "recv received"),
    ("channel:HTTPChannel.handle_write", "self", "_flush_exception will_close close_when_flushed"),
    ("channel:HTTPChannel.readable", "self", "will_close close_when_flushed requests total_outbufs_len"),
    ("channel:HTTPChannel.writable", "self", "total_outbufs_len will_close close_when_flushed"),
    ("channel:HTTPChannel.received", "self data", "parser_class requests_lock completed add_task send_continue"),
    ("channel:HTTPChannel.send_continue", "self", "expect_continue"),
    ("channel:HTTPChannel.service", "self", "task_class error_task_class service close_on_finish pull_trigger"),
    ("channel:HTTPChannel.write_soon", "self data", "_flush_outbufs_below_high_watermark outbuf_high_watermark"),
    ("channel:HTTPChannel._flush_some", "self do_close", "send sendbuf_len total_outbufs_len"),
    ("channel:HTTPChannel._flush_some_if_lockable", "self do_close", "outbuf_lock outbuf_high_watermark notify"),
    ("channel:HTTPChannel._flush_exception", "self flush do_close", "will_close"),
    ("parser:HTTPRequestParser.__init__", "self adj", "headers adj"),
    ("parser:HTTPRequestParser.received", "self data", "parse_header header_plus max_request_header_size body_rcv"),
    ("parser:HTTPRequestParser.parse_header", "self header_plus", "request_uri path query connection_close"),
    ("parser:HTTPRequestParser.get_body_stream", "self", "body_rcv getfile"),
    ("parser:HTTPRequestParser.close", "self", "body_rcv getbuf"),
    ("receiver:FixedStreamReceiver.__init__", "self cl buf", "remain buf"),
    ("receiver:FixedStreamReceiver.received", "self data", "completed append"),
    ("receiver:ChunkedReceiver.received", "self s", "completed error chunk_remainder control_line"),
    ("receiver:ChunkedReceiver.getfile", "self", "getfile"),
    ("task:Task.service", "self", "start execute finish"),
    ("task:Task.finish", "self", "wrote_header write chunked_response write_soon"),
    ("task:Task.write", "self data", "build_response_header content_length content_bytes_written"),
    ("task:Task.build_response_header", "self", "response_headers has_body close_on_finish"),
    ("task:ErrorTask.execute", "self", "to_response"),
    ("task:WSGITask.execute", "self", "get_environment application write content_length prepare"),
    ("task:WSGITask.get_environment", "self", "path query request_uri url_scheme get_body_stream headers command addr"),
    ("server:BaseWSGIServer.handle_accept", "self", "accept set_socket_options fix_addr channel_class"),
    ("server:BaseWSGIServer.readable", "self", "maintenance accepting"),
    ("server:BaseWSGIServer.add_task", "self task", "add_task"),
    ("server:BaseWSGIServer.pull_trigger", "self", "pull_trigger"),
    ("server:BaseWSGIServer.close", "self", "close"),
    ("wasyncore:dispatcher.send", "self data do_close", "send handle_close"),
    ("wasyncore:dispatcher.recv", "self buffer_size", "recv handle_close"),
    ("wasyncore:dispatcher.accept", "self", "accept"),
    ("wasyncore:readwrite", "obj flags", "handle_read_event handle_write_event handle_close"),
    ("trigger:_triggerbase.pull_trigger", "self thunk", "thunks"),
    ("buffers:OverflowableBuffer.append", "self s", "overflow"),
    ("buffers:ReadOnlyFileBasedBuffer.get", "self numbytes skip", "remain"),
)
ATTRIBUTES = {
    "channel:HTTPChannel": "request will_close close_when_flushed total_outbufs_len current_outbuf_count",
    "parser:HTTPRequestParser": "completed expect_continue headers_finished header_plus chunked content_length "
    "header_bytes_received body_bytes_received body_rcv version error connection_close",
    "receiver:ChunkedReceiver": "chunk_remainder control_line completed error",
    "task:Task": "close_on_finish status wrote_header content_length content_bytes_written complete chunked_response",
    "adjustments:Adjustments": "recv_bytes inbuf_overflow outbuf_high_watermark connection_limit url_scheme",
}


def found(where: str) -> Any:
    module, _, path = where.partition(":")
    value: Any = importlib.import_module(f"waitress.{module}")
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def words_of(function: Any) -> set[str]:
    """List the names that a function's code speaks of, those of functions inside it included."""
    code = function.__code__
    inner = [one for one in code.co_consts if inspect.iscode(one)]
    return set(code.co_names).union(*(one.co_names for one in inner))


def test_waitress_still_has_the_hooks_that_the_server_hangs_on() -> None:
    """Each method that is replaced or relied on is there, takes what it took, and works on what it worked on."""
    moved = []
    for where, parameters, words in HOOKS:
        function = found(where)
        if function is None:
            moved.append(f"{where} is gone")
        elif (now := " ".join(inspect.signature(function).parameters)) != parameters:
            moved.append(f"{where} takes ({now}) instead of ({parameters})")
        elif lost := set(words.split()) - words_of(function):
            moved.append(f"{where} does not speak of {', '.join(sorted(lost))} any more")
    for where, names in ATTRIBUTES.items():
        moved += [f"{where} has no {name}" for name in names.split() if not hasattr(found(where), name)]
    assert not moved, (
        f"waitress {version('waitress')} has moved what the server is hung on; read the two beside each other and "
        f"hang it anew before this release is used: {'; '.join(moved)}."
    )
