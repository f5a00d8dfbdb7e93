"""The probe page: who brings a token is told how a request has arrived, and nobody else ever sees it."""

import json
import os
import stat
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from itsdangerous import TimestampSigner

from tenantry.assembly import probe
from tenantry.assembly.platform import open_platform
from tenantry.errors import Unavailable, Unknown
from tenantry.gateway import Probing, probed
from tenantry.gateway.probing import token
from tenantry.operations import NewTenant
from tenantry.placement import Instance
from tenantry.settings import Settings
from tests.servers import Client, serving
from tests.sites import on_threads
from tests.wsgi import Answer, call

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECRET = b"f" * 64
HOST = "acme.example.com"


class Apart:
    """A probe page beside an application, which counts its own requests; pauses are noted and not made."""

    def __init__(self, hops: int = 1, file: str = "", secret: bytes = SECRET) -> None:
        self.reached = 0
        self.pauses: list[float] = []
        told = {"max_body": 4711}
        self.app = probed(
            self._answer, Probing(secret=secret, hops=hops, settings=told, file=file, pause=self.pauses.append)
        )

    def _answer(self, _: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self.reached += 1
        start_response("200 OK", [])
        return [b"the application"]

    def ask(self, do: str = "", host: str = HOST, path: str = "/x", **more: Any) -> Answer:
        """Ask with a good token, unless another one is given."""
        headers = {"HTTP_X_TENANTRY_PROBE": token(SECRET), "QUERY_STRING": f"do={do}" if do else ""} | more
        return call(self.app, host, path, **headers)


def test_it_tells_what_arrived_and_what_was_made_of_it() -> None:
    apart = Apart()
    answer = apart.ask(
        REQUEST_URI="/x%2fy?a=b",
        REMOTE_ADDR="10.0.0.1",
        HTTP_X_FORWARDED_FOR="203.0.113.9",
        HTTP_X_FORWARDED_PROTO="https",
        HTTP_X_FORWARDED_PREFIX="/evil",
        HTTP_FORWARDED="for=198.51.100.1",
        HTTP_X_REAL_IP="198.51.100.2",
        HTTP_X_REQUEST_ID="f00",
        HTTP_USER_AGENT="none of its business",
    )
    told = json.loads(answer.body)
    assert told.pop("tenantry")
    assert told.pop("pid") == os.getpid()
    assert told == {
        "host": HOST,
        "target": "/x%2fy?a=b",
        "protocol": "HTTP/1.1",
        "peer": "10.0.0.1",
        "client": "203.0.113.9",
        "scheme": "https",
        "forwarding": {
            "Forwarded": "for=198.51.100.1",
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Prefix": "/evil",
            "X-Forwarded-Proto": "https",
            "X-Real-Ip": "198.51.100.2",
        },
        "request_id": "f00",
        "settings": {"max_body": 4711},
    }
    assert (answer.status, answer.headers["Cache-Control"], apart.reached) == (200, "no-store", 0)


@pytest.mark.parametrize("host", ["acme.example.com", "nobody.example.org", "127.0.0.1", "a_b", "", "\xe9"])
def test_it_is_at_any_host_and_path_and_dispatches_nothing(host: str) -> None:
    apart = Apart(hops=0)
    for path in ("/", "/t/acme/", "/-/healthz", "/../x"):
        assert json.loads(apart.ask(host=host, path=path).body)["host"] == host
    assert apart.reached == 0


def _signed(secret: bytes, word: str, salt: str = "tenantry.probe", age: int = 0) -> str:
    class Earlier(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() - age

    return Earlier(secret, salt=salt).sign(word).decode()


@pytest.mark.parametrize(
    "given",
    [
        *(
            "",
            "probe",
            "probe..",
            "x" * 5000,
            "\xe9",
            "\u0663",
            token(b"e" * 64),
            token(SECRET) + "x",
            " " + token(SECRET),
        ),
        *(_signed(SECRET, "other"), _signed(SECRET, "probe", salt="other"), _signed(SECRET, "probe", age=86400)),
        _signed(SECRET, "probe", age=-86400),
    ],
    ids=map(str, range(13)),  # a token is another one each time
)
def test_what_is_no_token_of_now_leads_to_the_application(given: str) -> None:
    apart = Apart()
    assert apart.ask(HTTP_X_TENANTRY_PROBE=given).text == "the application"


def test_a_token_is_good_for_ten_minutes() -> None:
    apart = Apart()
    assert b"forwarding" in apart.ask(HTTP_X_TENANTRY_PROBE=_signed(SECRET, "probe", age=400)).body


def test_who_is_refused_for_want_of_room_is_refused_here_too() -> None:
    """No thread waits for a stream where there are none left."""
    assert Apart().ask("stream", **{"tenantry.refused": "full"}).text == "the application"


def test_a_stream_comes_in_pieces() -> None:
    apart = Apart()
    assert apart.ask("stream").text == "1\n2\n3\n"
    assert apart.pauses == [0.5, 0.5]
    assert apart.ask("stream", REQUEST_METHOD="HEAD").body == b""
    assert len(apart.pauses) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_stays_at_the_host_and_its_cookie_is_as_the_scheme_wants_it(scheme: str) -> None:
    answer = Apart().ask("redirect", f"{HOST}:8443", HTTP_X_FORWARDED_PROTO=scheme)
    assert (answer.status, answer.headers["Location"]) == (302, f"{scheme}://{HOST}:8443/-/there")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("tenantry_probe=1; Path=/; HttpOnly; SameSite=Lax")
    assert cookie.endswith("; Secure") is (scheme == "https")
    assert Apart().ask("redirect", "evil.com/x@acme").status == 400


def test_a_body_is_counted_to_its_end() -> None:
    body = b"x" * 200_000
    more: dict[str, Any] = {"wsgi.input": BytesIO(body), "REQUEST_METHOD": "POST"}
    answer = Apart().ask("length", **more)
    assert json.loads(answer.body) == {"length": len(body)}


def test_a_body_that_is_not_read_yet_is_asked_for_up_to_what_the_platform_takes() -> None:
    class Reads(BaseException):
        pass

    asked: list[int] = []

    def unread(limit: int) -> None:
        asked.append(limit)
        raise Reads

    more: dict[str, Any] = {"tenantry.unread": unread}
    with pytest.raises(Reads):
        Apart().ask("length", **more)
    assert asked == [4711]
    assert Apart().ask(**more).status == 200


def test_a_file_is_nginx_s_to_send_where_it_sends_any() -> None:
    assert Apart(file="/-/files/x").ask("file").headers["X-Accel-Redirect"] == "/-/files/x"
    assert Apart().ask("file").status == 404
    assert Apart().ask("anything<else>").status == 404


# The secret, and the platform


def test_the_secret_is_made_once_for_its_owner_alone(instance: Instance) -> None:
    made = probe.own(instance)
    assert instance.probe.read_bytes().strip() == made
    assert stat.S_IMODE(instance.probe.stat().st_mode) == 0o600
    assert (len(made), probe.own(instance)) == (64, made)
    apart = Apart(secret=made)
    assert apart.ask(HTTP_X_TENANTRY_PROBE=probe.token(Settings(instance=instance.root))).text != "the application"


def test_many_who_make_it_at_once_have_one(instance: Instance) -> None:
    assert len(set(on_threads(*[lambda: probe.own(instance)] * 8))) == 1


def test_half_a_secret_is_made_anew(instance: Instance) -> None:
    instance.probe.write_bytes(b"f" * 63)
    assert probe.own(instance) == instance.probe.read_bytes().strip() != b"f" * 63


def test_a_secret_that_cannot_be_made_is_none(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    instance.probe.mkdir()
    with pytest.raises(Unavailable, match="cannot be read"):
        probe.token(Settings(instance=instance.root))
    assert probe.own(instance) == b""
    assert "there is no probe page" in caplog.text


def test_no_token_is_made_where_no_server_has_run(instance: Instance) -> None:
    with pytest.raises(Unknown, match="No server has run"):
        probe.token(Settings(instance=instance.root))


def test_it_answers_on_a_serving_platform_and_builds_nobody(tmp_path: Path) -> None:
    """Through real sockets: a large body too, at a host that is nobody's."""
    with open_platform(tmp_path, {"proxies": 1, "application": "tests.applications:notes"}) as platform:
        platform.operations.add(NewTenant(name="acme"))
        given = probe.token(platform.settings)
        with serving(
            platform.application, lane=platform.asks.lane, admit=platform.asks.admit, trust_proxy=True
        ) as server:
            client = Client(server.port)
            more = f"X-Tenantry-Probe: {given}\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
            told = json.loads(client.ask("/a%2Fb", "acme.localhost", more).answer()[2])
            assert (told["client"], told["scheme"], told["target"]) == ("203.0.113.9", "https", "/a%2Fb")
            assert told["settings"]["max_body"] == platform.settings.max_body
            client.ask("/?do=length", "nobody.example.org", f"{more}Content-Length: 300000\r\n", "POST")
            assert json.loads(client.send(b"x" * 300_000).answer()[2]) == {"length": 300_000}
            client.sock.close()
        assert not platform.pool.built()
