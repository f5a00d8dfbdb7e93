"""The end of a server: what was begun is finished, and what was acknowledged is there, even after kill -9."""

import json
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic

from tenantry.doctor.attack.calling import Caller
from tenantry.doctor.attack.scratch import Address
from tenantry.doctor.attack.server import Server
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

_LINES, _PAUSE = 6, 0.2
_WRITERS = 6
_ENOUGH = 30
_WRITING = 0.4
_KILLS = 2


def _drain(trial: Trial) -> None:
    ground = trial.ground
    addresses = [ground.host(tenant) for tenant in ground.targets[:6]]
    whole = b"".join(b"line %d of %d\n" % (number, _LINES) for number in range(_LINES))
    with ground.serving(trial.patience) as server, ExitStack() as undo:
        caller = trial.caller(server)
        for address in addresses:
            caller.ask(address.request("/who"))
        streams = [_stream(trial, caller, undo, address) for address in addresses]
        begun = [sock.recv(1) for sock in streams]  # the first byte of an answer: it is under way
        waiting = [_stream(trial, caller, undo, address) for address in addresses]
        server.signal(signal.SIGTERM)
        for first, sock in zip([*begun, *[b""] * len(waiting)], [*streams, *waiting], strict=True):
            found, _ = caller.until_closed(sock, 20.0)
            trial.hold("STOP-1", _is_whole(first + found, whole), f"an answer ends in {(first + found)[-60:]!r}")
        code = server.wait(trial.patience)
        trial.hold("STOP-1", code == 0, f"the server ended with {code}")


DRAIN = Part("stop", ("STOP-1",), 20.0, "SIGTERM finishes all that was begun, and ends with 0", _drain)


def _stream(trial: Trial, caller: Caller, undo: ExitStack, address: Address) -> socket.socket:
    """Ask for an answer that takes a while."""
    sock = undo.enter_context(caller.connect())
    sock.sendall(address.request(f"/stream?lines={_LINES}&pause={_PAUSE}").spelled(trial.ground.forwarded()))
    return sock


def _is_whole(found: bytes, wanted: bytes) -> bool:
    """Tell whether an answer in chunks, or one that ends with the connection, is all there."""
    head, _, body = found.partition(b"\r\n\r\n")
    chunked = b"transfer-encoding: chunked" in head.lower()
    if chunked and not body.endswith(b"0\r\n\r\n"):
        return False
    lines = [line + b"\n" for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"line ")]
    return b" 200 " in head.partition(b"\r\n")[0] + b" " and b"".join(lines) == wanted


def _kill(trial: Trial) -> None:
    ground = trial.ground
    addresses = [address for tenant in ground.targets[6:9] for address in ground.addresses(tenant)]
    written: list[Writer] = []
    for number in range(_KILLS):
        # From the second one on it starts on what a kill has left.
        with ground.serving(trial.patience) as server:
            for address in addresses:
                trial.caller(server).ask(address.request("/who"))
            writers = [
                Writer(trial.caller(server), address, f"{number}-{index}") for index, address in enumerate(addresses)
            ]
            _interrupt(trial, server, writers)
            written += writers
    for writer in written:
        answer = trial.ask(writer.address, "/rows")
        there = set(json.loads(answer.body)) if answer.status == 200 else set()
        lost = set(writer.acknowledged) - there
        trial.tried += len(writer.acknowledged)
        trial.hold("STOP-3", not lost, f"{len(lost)} acknowledged writes at {writer.address.tenant.name} are gone")


KILL = Part("kill", ("STOP-3",), 20.0, "nothing acknowledged is lost", _kill)


def _interrupt(trial: Trial, server: Server, writers: "Sequence[Writer]") -> None:
    """Let them write for a while, and kill the server under their hands."""
    for writer in writers:
        writer.start()
    try:
        began = monotonic()
        while all(writer.is_alive() for writer in writers) and not _is_enough(began, writers):
            trial.patience.left()
            threading.Event().wait(0.01)
        for writer in [writer for writer in writers if not writer.is_alive()]:
            trial.hold("STOP-3", False, f"{writer.address.tenant.name} could not be written to: {writer.trouble}")
    finally:
        server.kill()
        for writer in writers:
            writer.join()


def _is_enough(began: float, writers: "Sequence[Writer]") -> bool:
    """Tell whether all have written for a while, and each of them something."""
    written = [len(writer.acknowledged) for writer in writers]
    return monotonic() >= began + _WRITING and sum(written) >= _ENOUGH and min(written) > 0


class Writer(threading.Thread):
    """Writes until the server is gone, and remembers what it was told is written, and what it met then."""

    def __init__(self, caller: Caller, address: Address, mark: str) -> None:
        super().__init__(name="writer", daemon=True)
        self.address = address
        self.acknowledged: list[str] = []
        self.trouble = ""
        self._caller = caller
        self._mark = mark

    def run(self) -> None:
        """Write, one row after the other."""
        number = 0
        try:
            while True:
                text = f"{self._mark}-{number}"
                if self._caller.ask(self.address.request(f"/write?text={text}", "POST")).status == 201:
                    self.acknowledged.append(text)
                number += 1
        except Exception as error:  # noqa: BLE001 - in the middle of an answer anything may be missing
            self.trouble = type(error).__name__
