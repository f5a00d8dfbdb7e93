"""The threads of a server: started under names of their own, and waited for in the end."""

import threading
from collections.abc import Callable
from itertools import count
from time import monotonic


class Threads:
    """Those that run. They are daemons, so that one that hangs cannot keep the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[threading.Thread] = set()
        self._numbers = count()

    def spawn(self, name: str, target: Callable[[], None]) -> threading.Thread:
        """Start one, or raise RuntimeError where the system has none left."""

        def run() -> None:
            try:
                target()
            finally:
                with self._lock:
                    self._running.discard(thread)

        thread = threading.Thread(target=run, name=f"tenantry-{name}-{next(self._numbers)}", daemon=True)
        with self._lock:
            self._running.add(thread)
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._running.discard(thread)
            raise
        return thread

    def join(self, patience: float) -> None:
        """Wait for all, so many seconds at most; nobody starts one meanwhile."""
        with self._lock:
            running = [thread for thread in self._running if thread.is_alive()]
        limit = monotonic() + patience
        for thread in running:
            thread.join(max(0.0, limit - monotonic()))
