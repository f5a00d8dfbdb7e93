"""Clients that never finish, and tenants that never answer: who is well does not notice."""

import socket
import threading
from contextlib import ExitStack, suppress
from time import monotonic

from tenantry.doctor.attack.calling import Caller, Patience
from tenantry.doctor.attack.scratch import Address
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

# The deadlines of the scratch server, much shorter than an operator's, and what is allowed beyond them.
_DEADLINE = 1.5
_GRACE, _MARGIN = 1.5, 6.0
_HEALTHY = 3.0
_PAUSE = 0.05
# A visitor who was answered less often than this has shown nothing.
_LEAST = 3
_BIG = 40 << 20


def _clients(trial: Trial) -> None:
    ground = trial.ground
    address, neighbour = ground.host(ground.targets[0]), ground.host(ground.targets[1])
    shortened = {"header_wait": _DEADLINE, "body_wait": _DEADLINE, "send_wait": _DEADLINE, "keep_alive": _DEADLINE}
    with ground.serving(trial.patience, **shortened) as server, ExitStack() as undo:
        caller = trial.caller(server)
        caller.ask(address.request("/who"))
        caller.ask(neighbour.request("/who"))
        many = min(40, ground.known.connections // 4)
        trickling = [_begun(caller, undo, f"GET /who HTTP/1.1\r\nHost: {address.host}\r\nX-A: ") for _ in range(many)]
        head = f"POST /body HTTP/1.1\r\nHost: {address.host}\r\nContent-Length: 100000\r\n\r\n"
        trickling += [_begun(caller, undo, head) for _ in range(many // 4)]
        # One a tenant, as further ones would wait in its lane until the first is cut.
        few = ground.targets[2:][: max(1, ground.known.threads // 2)]
        deaf = [_deaf(caller, undo, ground.host(tenant)) for tenant in few]
        probe = Probe(caller, neighbour)
        probe.start()
        try:
            left = _trickle(trial, trickling)
        finally:
            probe.end()
        trial.hold("WIRE-3", not left, f"{left} of {len(trickling)} slow clients were not cut")
        uncut = sum(not _is_cut(sock) for sock in deaf)
        trial.hold("WIRE-3", not uncut, f"{uncut} of {len(deaf)} that read nothing were not cut")
        trial.tried += len(trickling) + len(deaf)
        probe.judge(trial, "WIRE-3", "a healthy visitor")


CLIENTS = Part("slow", ("WIRE-3",), 20.0, "slow clients are cut, healthy ones do not notice", _clients)


def _tenants(trial: Trial) -> None:
    ground = trial.ground
    hanging, neighbour = ground.host(ground.targets[0]), ground.host(ground.targets[1])
    if ground.known.threads < 2:
        trial.nothing("with TENANTRY_THREADS=1 whoever hangs is in everybody's way")
        return
    caller = trial.caller()
    caller.ask(neighbour.request("/who"))
    with ExitStack() as undo:
        for _ in range(min(20, 2 * ground.known.threads)):
            sock = undo.enter_context(caller.connect())
            sock.sendall(hanging.request("/slow?seconds=6").spelled(ground.forwarded()))
        probe = Probe(caller, neighbour)
        probe.start()
        end = monotonic() + trial.patience.left(2.5)
        while monotonic() < end:
            threading.Event().wait(_PAUSE)
        probe.end()
    probe.judge(trial, "LIVE-1", "a neighbour")


TENANTS = Part("hanging", ("LIVE-1",), 15.0, "a tenant that hangs slows nobody", _tenants)


class Probe(threading.Thread):
    """A visitor who is well: asks one address again and again, and remembers the longest wait."""

    def __init__(self, caller: Caller, address: Address) -> None:
        super().__init__(name="healthy", daemon=True)
        self.asked = 0
        self.trouble = ""
        self._slowest = 0.0
        self._lived = False
        self._caller = Caller(caller.port, Patience(60.0), caller.forwarded)
        self._address = address
        self._over = threading.Event()

    def run(self) -> None:
        """Ask until told to end."""
        while not self._over.wait(_PAUSE):
            began = monotonic()
            try:
                answer = self._caller.ask(self._address.request("/who"))
                if answer.by != self._address.tenant.uid:
                    self.trouble = f"answered {answer.status}"
            except Exception as error:  # noqa: BLE001 - whatever it is, there was no whole answer
                self.trouble = type(error).__name__
            self.asked += 1
            self._slowest = max(self._slowest, monotonic() - began)
        self._lived = True

    def end(self) -> None:
        """End it."""
        self._over.set()
        self.join()

    def judge(self, trial: Trial, promise: str, who: str, most: float = _HEALTHY) -> None:
        """Tell a trial what became of it, once it has ended; `most` is how long it may have waited."""
        trial.tried += self.asked
        trial.hold(promise, self._lived, f"{who} could not ask to the end")
        trial.hold(promise, self.asked >= _LEAST, f"{who} could ask {self.asked} times only")
        trial.hold(promise, not self.trouble, f"{who} had no answer: {self.trouble}")
        trial.hold(promise, self._slowest < most, f"{who} waited {self._slowest:.1f} s")


def _begun(caller: Caller, undo: ExitStack, text: str) -> socket.socket:
    sock = undo.enter_context(caller.connect())
    sock.sendall(text.encode())
    sock.setblocking(False)
    return sock


def _deaf(caller: Caller, undo: ExitStack, address: Address) -> socket.socket:
    """Ask for more than fits into all buffers, and read none of it."""
    sock = undo.enter_context(caller.connect())
    sock.sendall(address.request(f"/big?bytes={_BIG}").spelled())
    return sock


def _trickle(trial: Trial, socks: list[socket.socket]) -> int:
    """Send a byte now and then on each that was begun, until the server has closed them all; count who is left.

    It lasts at least for as long as those who read nothing may have, too.
    """
    began = monotonic()
    end = began + trial.patience.left(_DEADLINE + _MARGIN)
    left = list(socks)
    while monotonic() < (end if left else min(end, began + _DEADLINE + _GRACE)):
        threading.Event().wait(0.2)
        left = [sock for sock in left if not _is_closed(sock)]
    return len(left)


def _is_closed(sock: socket.socket) -> bool:
    """Read what has come, and say one byte more; tell whether nobody listens any longer."""
    try:
        while sock.recv(4096):
            pass
        return True
    except BlockingIOError:
        pass
    except OSError:
        return True
    with suppress(OSError):
        sock.send(b"a")
    return False


def _is_cut(sock: socket.socket) -> bool:
    """Read at last, and tell whether not all of it comes."""
    found = 0
    with suppress(OSError):
        while piece := sock.recv(1 << 20):
            found += len(piece)
    return found < _BIG
