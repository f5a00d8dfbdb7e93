"""The end of a serving process, although an application has started what does not end."""

import logging
import os
import threading

from tenantry import log

_log = logging.getLogger(__name__)

_LEAST, _MOST = 0.5, 5.0


def see_off(code: int, seconds: float) -> None:
    """End the process with `code` if it has not ended by itself so many seconds after its main thread; five at most.

    Python waits without end for threads that are no daemons, then for child processes and whatever else was registered
    for the exit. To be called on the main thread, when all that the platform itself opened is being closed.
    """
    main = threading.current_thread()
    if main is threading.main_thread():
        patience = min(_MOST, max(_LEAST, seconds))
        threading.Thread(target=_watch, args=(main, code, patience), name="leaving", daemon=True).start()


def _watch(main: threading.Thread, code: int, seconds: float) -> None:
    main.join()  # comes back when the interpreter begins to shut down, before it waits for anybody
    threading.Event().wait(seconds)
    left = [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main]
    what = f"the threads {', '.join(left)} of an application" if left else "what an application registered for the exit"
    _log.warning("%s did not end in %g s: the process is ended", what, seconds)
    log.wait(_LEAST)
    os._exit(code)
