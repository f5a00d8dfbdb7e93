"""What begins anew in a forked child: a lock is never opened there that another thread held in this moment."""

import os
from typing import Protocol
from weakref import WeakSet


class Renewed(Protocol):
    """What cannot cross a fork as it is."""

    def renew(self) -> None:
        """Make its locks anew, and whatever else did not come along; waits for nobody."""


def renewed(one: Renewed) -> None:
    """Renew it in every child that is forked from now on, for as long as it lives."""
    _members.add(one)


# Of the whole process because a fork is, weak because it must keep nobody alive.
_members: WeakSet[Renewed] = WeakSet()


def _in_child() -> None:
    for one in list(_members):
        one.renew()


os.register_at_fork(after_in_child=_in_child)
