"""What a key has cost is remembered, forgotten with time, and takes no more room than is granted."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from tenantry.server.lanes import Lanes, Ticket
from tenantry.server.spending import NEW, QUICK, SLOW, Spender, Spending
from tests.test_lanes import Visit

LANES = Lanes(1, 1, 1.0)


def held(spender: Spender, begin: float, end: float) -> None:
    """Let a request of the key hold a thread."""
    ticket = Ticket(Visit(LANES, "x", []), "x", inf)
    spender.begin(ticket, begin)
    spender.end(ticket, end)


def test_a_key_is_new_then_quick_or_slow_by_how_long_its_requests_hold_a_thread() -> None:
    spender = Spender("a")
    assert spender.standing() == NEW
    held(spender, 0, 0.01)
    assert spender.standing() == QUICK
    held(spender, 1, 1.3)
    assert spender.standing() == QUICK, "one that took longer makes nobody slow"
    for number in range(3):
        held(spender, number, number + 2)
    assert spender.standing() == SLOW
    for number in range(20):
        held(spender, 10 + number, 10.01 + number)
    assert spender.standing() == QUICK


def test_time_for_which_another_thread_stood_in_is_not_charged() -> None:
    long, short = Spender("long"), Spender("short")
    ticket = Ticket(Visit(LANES, "x", []), "x", inf)
    long.begin(ticket, 0)
    long.stick(ticket, 1)
    assert long.standing() == SLOW
    held(short, 0, 1.5)
    assert long.rank(10) < short.rank(10)
    long.unstick()
    assert (long.running, long.stuck) == (0, 0)
    assert long.rank(10) < short.rank(10)


def test_of_those_who_have_used_next_to_nothing_who_asks_first_is_first() -> None:
    """Little more or less is chance among light ones; whoever has used much comes after them all."""
    light, heavy = Spender("light"), Spender("heavy")
    held(light, 0, 0.05)
    held(heavy, 0, 1)
    assert light.rank(1) < Spender("new").rank(1.001) < light.rank(1.002) < heavy.rank(1)


def test_what_runs_counts_while_it_runs() -> None:
    one, other = Spender("one"), Spender("other")
    held(other, 0, 1)
    one.begin(Ticket(Visit(LANES, "x", []), "x", inf), 0)
    assert one.rank(0.1) < other.rank(0.1)
    assert one.rank(10) > other.rank(10)


@given(st.lists(st.tuples(st.floats(0.001, 5), st.booleans()), min_size=1, max_size=30), st.floats(0, 100))
def test_the_order_of_two_keys_is_the_same_at_any_later_moment(uses: list[tuple[float, bool]], later: float) -> None:
    """All forget at one pace: a rank that was worked out once stays true while both wait, unless both get light."""
    keys, now = (Spender("one"), Spender("other")), 0.0
    for length, which in uses:
        held(keys[which], now, now + length)
        now += length
    ranks = [key.rank(now) for key in keys]
    if abs(ranks[0] - ranks[1]) > 1e-6:
        first, second = keys if ranks[0] < ranks[1] else keys[::-1]
        assert first.rank(now + later) <= second.rank(now + later)


def test_strangers_are_forgotten_before_whoever_is_seen_again_and_who_runs_never_is() -> None:
    spending = Spending(bound=100)
    busy, regular = spending.of("busy"), spending.of("regular")
    busy.begin(Ticket(Visit(LANES, "x", []), "x", inf), 0)
    for number in range(10_000):
        spending.of(("stranger", number))
        assert spending.of("regular") is regular
        assert len(spending) <= 101
    assert spending.of("busy") is busy
    assert spending.of("idle") is spending.of("idle")
