"""Requests that two readers could read in two ways: each is refused, and nothing after it is taken for a request."""

from tenantry.doctor.attack.calling import statuses
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

_REFUSED = frozenset({400, 501})
_WAIT = 3.0


def _attempt(trial: Trial) -> None:
    ground = trial.ground
    host = ground.host(ground.targets[0]).host
    good = f"GET /who HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    # Two that are well made get two answers: so a second answer would be seen.
    found, _ = trial.caller().send(good + good.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    trial.hold("WIRE-1", statuses(found) == [200, 200], f"two good requests are answered {statuses(found)}")
    for name, probe in _probes(host.encode()).items():
        found, closed = trial.caller().send(probe + good, _WAIT)
        answered = statuses(found)
        refused = len(answered) == 1 and answered[0] in _REFUSED and closed
        left = "" if closed else ", and left open"
        trial.hold("WIRE-1", refused, f"{name} is answered {answered or 'nothing'}{left}")


PART = Part(
    "framing", ("WIRE-1",), 15.0, "each malformed request is refused and closed, nothing after it read", _attempt
)


def _probes(host: bytes) -> dict[str, bytes]:
    """Spell requests that are not well made, each followed by one that is."""
    return {**_hosts(host), **_targets(host), **_lengths(host), **_chunks(host), **_bytes(host)}


def _get(*lines: bytes, first: bytes = b"GET /who HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


def _post(host: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return _get(b"Host: " + host, *lines, first=b"POST /body HTTP/1.1") + body


def _hosts(host: bytes) -> dict[str, bytes]:
    one = b"Host: " + host
    return {
        "no Host": _get(b"Accept: */*"),
        "two Hosts": _get(one, one),
        "two different Hosts": _get(one, b"Host: evil.example"),
        "two Hosts, one in other letters": _get(one, b"hOST: evil.example"),
        "a Host before a blank": _get(b"Host : " + host),
        "a Host on a folded line": _get(b"Host:", b" " + host),
        "a Host after a folded line": _get(b"X-A: b", b" Host: evil.example", one),
        "a control byte in Host": _get(b"Host: " + host + b"\x0b"),
    }


def _targets(host: bytes) -> dict[str, bytes]:
    one = b"Host: " + host
    return {
        "an absolute target": _get(one, first=b"GET http://" + host + b"/who HTTP/1.1"),
        "an absolute target of another host": _get(one, first=b"GET http://evil.example/who HTTP/1.1"),
        "an asterisk": _get(one, first=b"OPTIONS * HTTP/1.1"),
        "CONNECT": _get(one, first=b"CONNECT " + host + b":80 HTTP/1.1"),
        "a target without a slash": _get(one, first=b"GET who HTTP/1.1"),
        "no target": _get(one, first=b"GET HTTP/1.1"),
        "two targets": _get(one, first=b"GET /who /who HTTP/1.1"),
        "a control byte in the target": _get(one, first=b"GET /who\x01 HTTP/1.1"),
        "HTTP/0.9": b"GET /who\r\n\r\n",
        "HTTP/2.0": _get(one, first=b"GET /who HTTP/2.0"),
        "HTTP/9.9": _get(one, first=b"GET /who HTTP/9.9"),
        "HTTP/1.10": _get(one, first=b"GET /who HTTP/1.10"),
        "http/1.1": _get(one, first=b"GET /who http/1.1"),
        "a method in odd letters": _get(one, first=b"G@T /who HTTP/1.1"),
        "the start of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "the start of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    }


def _lengths(host: bytes) -> dict[str, bytes]:
    return {
        "two lengths": _post(host, b"Content-Length: 0", b"Content-Length: 5", body=b"hello"),
        "two lengths in one line": _post(host, b"Content-Length: 5, 0", body=b"hello"),
        "a signed length": _post(host, b"Content-Length: +5", body=b"hello"),
        "a negative length": _post(host, b"Content-Length: -5"),
        "a length in hexadecimal": _post(host, b"Content-Length: 0x5", body=b"hello"),
        "a length with an underscore": _post(host, b"Content-Length: 1_0", body=b"hellohello"),
        "a length in other digits": _post(host, b"Content-Length: \xd9\xa5", body=b"hello"),
        "an empty length": _post(host, b"Content-Length:"),
        "length and chunks": _post(host, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "chunks and length": _post(host, b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        "length and some other encoding": _post(host, b"Content-Length: 5", b"Transfer-Encoding: x", body=b"hello"),
    }


def _chunks(host: bytes) -> dict[str, bytes]:
    end, coded = b"0\r\n\r\n", b"Transfer-Encoding: chunked"
    old = b"POST /body HTTP/1.0\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    return {
        "chunks on HTTP/1.0": old + end,
        "chunked twice": _post(host, coded, coded, body=end),
        "chunked twice in one line": _post(host, b"Transfer-Encoding: chunked, chunked", body=end),
        "chunked before gzip": _post(host, b"Transfer-Encoding: chunked, gzip", body=end),
        "an unknown encoding": _post(host, b"Transfer-Encoding: xchunked", body=end),
        "chunked after a tab": _post(host, b"Transfer-Encoding:\x0bchunked", body=end),
        "chunked before a blank": _post(host, b"Transfer-Encoding : chunked", body=end),
        "a chunk size with a sign": _post(host, coded, body=b"+5\r\nhello\r\n" + end),
        "a chunk size with 0x": _post(host, coded, body=b"0x5\r\nhello\r\n" + end),
        "a chunk size that is none": _post(host, coded, body=b"five\r\nhello\r\n" + end),
        "a chunk that is longer than it says": _post(host, coded, body=b"1\r\nhello\r\n" + end),
    }


def _bytes(host: bytes) -> dict[str, bytes]:
    one = b"Host: " + host
    return {
        "bare line feeds": b"GET /who HTTP/1.1\nHost: " + host + b"\n\n",
        "a bare line feed between headers": _get(one + b"\nX-A: b"),
        "a bare carriage return": _get(one + b"\rX-A: b"),
        "a zero byte in a header": _get(one, b"X-A: b\x00c"),
        "a control byte in a header": _get(one, b"X-A: b\x01c"),
        "a header without a colon": _get(one, b"X-A"),
        "a header without a name": _get(one, b": b"),
        "a blank in a header's name": _get(one, b"X A: b"),
        "a blank before the first header": _get(b" X-A: b", one),
        "a zero byte": b"\x00" + _get(one),
    }
