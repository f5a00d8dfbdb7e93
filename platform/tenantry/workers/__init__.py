"""Start, stop and replace serving processes, and hand sockets over from one to the next.

A process is given its listening sockets, or opens them; it tells the supervisor how it goes; and on SIGHUP it starts
the same command again, with these sockets, and leaves once the new process answers. What goes through the sockets is
nobody's matter here.
"""

from tenantry.workers.command import Command
from tenantry.workers.given import SIGN, SOCKET, Given, given
from tenantry.workers.hangup import Hangup
from tenantry.workers.heir import Passed
from tenantry.workers.leaving import see_off
from tenantry.workers.notify import Supervisor
from tenantry.workers.succession import Patience, Succession

__all__ = [
    "SIGN",
    "SOCKET",
    "Command",
    "Given",
    "Hangup",
    "Passed",
    "Patience",
    "Succession",
    "Supervisor",
    "given",
    "see_off",
]
