"""Where requests wait: each in the lane of its key, or parked; and whose turn it is.

Guarded by the lock of the lanes.
"""

from collections import OrderedDict
from math import inf

from tenantry.server.portions import Portions
from tenantry.server.spending import NEW, QUICK, SLOW, Spender
from tenantry.server.tickets import Place, Ticket


class Waiting:
    """Everybody who waits. A lane is there while it has somebody in it, and in a turn while one of them may start."""

    def __init__(self, portions: Portions) -> None:
        self.count = 0
        self._portions = portions
        self._lanes: dict[Spender, None] = {}
        self._parked: dict[Spender, None] = {}
        # By standing, with their ranks; a key with something running stands like a slow one.
        self._turns: tuple[dict[Spender, float], ...] = ({}, {}, {})

    def enter(self, ticket: Ticket, now: float) -> None:
        """Let a request wait in the lane of its key."""
        spender = ticket.spender
        if spender.lane is None:
            spender.lane = OrderedDict()
            self._lanes[spender] = None
            self.turn(spender, now)
        self._put(ticket, spender.lane)

    def park(self, ticket: Ticket) -> None:
        """Let a request wait for what it was parked on."""
        spender = ticket.spender
        if spender.parked is None:
            spender.parked = OrderedDict()
            self._parked[spender] = None
        self._put(ticket, spender.parked)

    def parked(self, ticket: Ticket) -> bool:
        """Tell whether a request is parked."""
        return ticket.place is not None and ticket.place is ticket.spender.parked

    def leave(self, ticket: Ticket) -> bool:
        """Take a request out, and tell whether it was there."""
        place, spender = ticket.place, ticket.spender
        if place is None:
            return False
        del place[ticket]
        ticket.place = None
        self.count -= 1
        if not place and place is spender.lane:
            spender.lane = None
            del self._lanes[spender]
            self._lose_turn(spender)
        elif not place and place is spender.parked:
            spender.parked = None
            del self._parked[spender]
        return True

    def turn(self, spender: Spender, now: float) -> None:
        """See anew where a lane waits for its turn: nowhere, where as much of its key runs as may."""
        if spender.lane is None:
            return
        self._lose_turn(spender)
        if self._portions.allow(spender):
            spender.turn = SLOW if spender.running else spender.standing()
            self._turns[spender.turn][spender] = spender.rank(now)

    def turn_stuck(self, now: float) -> None:
        """See anew where the lanes wait whose keys have had threads replaced."""
        for spender in self._lanes:
            if spender.stuck:
                self.turn(spender, now)

    def quiet(self) -> int:
        """Count the lanes that wait for a turn while nothing of theirs runs, and that are not known to be slow."""
        return len(self._turns[QUICK]) + len(self._turns[NEW])

    def first(self, free: int) -> Ticket | None:
        """Return whose turn it is: among the keys that so many free threads allow, whichever has used the least."""
        chosen, least = None, inf
        for turns, beyond in zip(self._turns, self._portions.beyond, strict=True):
            if turns and free > beyond:
                spender = min(turns, key=turns.__getitem__)
                if chosen is None or turns[spender] < least:
                    chosen, least = spender, turns[spender]
        return next(iter(chosen.lane)) if chosen is not None and chosen.lane else None

    def last_of_longest(self, spender: Spender) -> Ticket | None:
        """Return the last request of the key of which most wait, parked ones too, if those are more than one beyond.

        Whose application does not get ready has no more room for its visitors than whose requests are slow.
        """
        longest = max((*self._lanes, *self._parked), key=Spender.waiting, default=None)
        if longest is None or longest.waiting() <= spender.waiting() + 1:
            return None
        return next(reversed(longest.lane or longest.parked or ()), None)

    def everybody(self) -> list[Ticket]:
        """List all who wait."""
        return [*self.all_parked(), *(ticket for spender in self._lanes for ticket in spender.lane or ())]

    def all_parked(self) -> list[Ticket]:
        """List those who are parked."""
        return [ticket for spender in self._parked for ticket in spender.parked or ()]

    def _put(self, ticket: Ticket, place: Place) -> None:
        place[ticket] = None
        ticket.place = place
        self.count += 1

    def _lose_turn(self, spender: Spender) -> None:
        if spender.turn is not None:
            del self._turns[spender.turn][spender]
            spender.turn = None
