"""How lines get out: a bounded queue, and one thread that formats and writes them, so that nobody else ever waits."""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from time import monotonic

from tenantry.log.entries import Entry, entry, event
from tenantry.log.lines import Ended, Form
from tenantry.log.target import Target

# What waits at most. The access log gives way first, so that an error among a flood of requests still finds room.
LINES, ENDED, BYTES = 10_000, 8_000, 16 << 20
# Seconds: how long lines gather before they are written together, and how long a writer without work stays.
_GATHER, _IDLE = 0.02, 1.0
# Lines formatted at a time: others get their turn in between.
_BATCH = 64
LAST = 2.0
_LATE = 0.2


class Outlet(logging.Handler):
    """The platform's one handler; any thread may log, and the thread that writes comes and goes with the lines.

    It takes neither filters nor a lock. `flush` and `close`, which logging calls on handlers it does not know, do
    nothing: `wait` and `end` are for its owner.
    """

    def __init__(self, target: Target, form: Form, level: int) -> None:
        super().__init__(level)
        self._target = target
        self._form = form
        self._ended = False
        self._stalled = False
        self._anew()

    def _anew(self) -> None:
        """Begin with nothing: at first, and again in a forked child, where what waited is the parent's to write."""
        self._queue: SimpleQueue[Entry | Ended | threading.Event | None] = SimpleQueue()
        self._lock = threading.RLock()  # a finalizer may log on a thread that holds it
        self._writing = threading.Lock()
        # As `_queue`, one that a finalizer may put into while its own thread is putting.
        self._hurry: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._bytes = 0
        self._dropped: Counter[str] = Counter()

    # Logging's side

    def createLock(self) -> None:  # noqa: N802 - logging's own name
        """Need none."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record; nothing is raised and nobody waits."""
        self.take(entry(record), record.levelno)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self.handle(record)

    # Ours

    def take(self, one: Entry, level: int) -> None:
        """Queue an event, or count it where there is no room."""
        size = one.size
        with self._lock:
            if self._queue.qsize() >= LINES or self._bytes + size > BYTES:
                self._dropped[one.level] += 1
                return
            self._bytes += size
        self._queue.put(one)
        if level >= logging.ERROR:
            self._hurry.put(None)
        if self._thread is None:
            self._begin()

    def note(self, ended: Ended) -> None:
        """Queue a request that has ended: as cheap as can be, since the server's own thread does it."""
        if self._queue.qsize() >= ENDED:
            with self._lock:
                self._dropped["INFO"] += 1
            return
        self._queue.put(ended)
        if self._thread is None:
            self._begin()

    def wait(self, seconds: float = LAST) -> bool:
        """Wait until what was logged before is written; False if it does not flow in time."""
        if self._thread is None and self._queue.empty():
            return True
        written = threading.Event()
        self._queue.put(written)
        self._hurry.put(None)
        self._begin()
        if self._thread is None:  # there is no thread to be had
            self._write_rest(monotonic() + seconds)
        self._stalled = not written.wait(seconds)
        return not self._stalled

    def rest(self, seconds: float = LAST) -> None:
        """Write what waits and end the thread; the next line begins another."""
        if not self.wait(seconds):
            return
        with self._lock:  # under which it is started
            thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join(seconds)

    def end(self) -> None:
        """Write what waits, within its time; whatever is logged afterwards is written where it is logged."""
        self.rest(_LATE if self._stalled else LAST)  # whoever has waited in vain before does not wait as long again
        self._ended = True

    # The thread

    def _begin(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            if not self._ended:
                thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # the system has no thread for it: the next line tries again
                    self._thread = None
                return
        self._write_rest(monotonic() + _LATE)

    def _run(self) -> None:
        queue = self._queue
        while True:
            try:
                first = queue.get(timeout=_IDLE)
            except Empty:
                first = None
            if first is None:
                if self._left():
                    return
                continue
            self._gather()
            batch = [first, *self._more()]
            while batch:
                self._write(batch, None)
                batch = self._more()

    def _gather(self) -> None:
        """Let more lines come, unless one is in a hurry."""
        try:
            self._hurry.get(timeout=_GATHER)
            while True:
                self._hurry.get_nowait()
        except Empty:
            pass

    def _left(self) -> bool:
        """Tell whether the thread may end. Who logs puts its line first and looks for a thread then."""
        self._thread = None
        with self._lock:
            if self._queue.empty() or self._thread is not None:
                return True
            self._thread = threading.current_thread()
            return False

    def _more(self) -> list[Entry | Ended | threading.Event]:
        found: list[Entry | Ended | threading.Event] = []
        while len(found) < _BATCH:
            try:
                one = self._queue.get_nowait()
            except Empty:
                break
            if one is None:
                self._queue.put(None)  # when all before it is written
                break
            found.append(one)
        return found

    def _write_rest(self, until: float) -> None:
        """Write what waits on the thread of the caller, as far as it gets until `until`."""
        while batch := self._more():
            self._write(batch, until)

    def _write(self, batch: list[Entry | Ended | threading.Event], until: float | None) -> None:
        events = [one for one in batch if not isinstance(one, threading.Event)]
        written = self._put_out([self._formed(one) for one in events], until)
        with self._lock:
            self._bytes -= sum(one.size for one in events if isinstance(one, Entry))
            self._dropped.update(_level(one) for one in events[written:])
        if written == len(events):
            self._tell_dropped(until)
        for one in batch:
            if isinstance(one, threading.Event):
                one.set()

    def _formed(self, one: Entry | Ended) -> str:
        try:
            return self._form(one)
        except Exception as error:  # noqa: BLE001 - a line that cannot be made must not end the log
            return self._form(event(__name__, logging.ERROR, f"a line cannot be written: {type(error).__name__}"))

    def _tell_dropped(self, until: float | None) -> None:
        """Say in one line how many were dropped, once lines flow again."""
        if not self._dropped or self._queue.qsize() > LINES // 2:
            return
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        line = self._form(event("tenantry.log", logging.WARNING, _told(dropped), {"dropped": dict(dropped)}))
        if not self._put_out([line], until):
            with self._lock:
                self._dropped.update(dropped)

    def _put_out(self, lines: list[str], until: float | None) -> int:
        """Write lines, one thread at a time; return how many were written."""
        if not self._writing.acquire(timeout=-1 if until is None else max(0.0, until - monotonic())):
            return 0
        try:
            return self._target.write(lines, until)
        finally:
            self._writing.release()


def _level(one: Entry | Ended) -> str:
    return one.level if isinstance(one, Entry) else "INFO"


def _told(dropped: Mapping[str, int]) -> str:
    number = sum(dropped.values())
    each = ", ".join(f"{count:,} {level}" for level, count in sorted(dropped.items()))
    return f"{number:,} log line{'s were' if number > 1 else ' was'} dropped: {each}"
