"""A fresh Debian, as far as a page about it needs one: below one folder, on any machine, as any user.

Commands that a test machine cannot have stand at the head of PATH and do the real thing inside the folder: packages lay
down the files that Debian's do, systemd's units are started by what stands in them, nginx is a real one, and
certificates are issued by an authority of the machine's own to who proves what Let's Encrypt wants proved. Paths such
as /etc/nginx lead into the folder, and the ports 80 and 443 to free ones.
"""

from tests.debian.machine import Machine
from tests.debian.operator import Operator

__all__ = ["Machine", "Operator"]
