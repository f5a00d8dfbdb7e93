"""Who answers at a path: the tenant whose name is its first segment, or nobody, however it is spelled."""

from collections.abc import Iterator

from tenantry.doctor.attack.calling import Request
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

# Between one's own mount and the other's: what a server, a proxy or an application might read as "one up".
_UP = (
    *("..", "%2e%2e", ".%2e", "%2E.", "..;", "..;a=b", "..%00", "..%09", "%252e%252e", "..%5c", "..\\", "%c0%ae%c0%ae"),
    *("../../t", "%2e%2e%2f%2e%2e%2ft", "..%2f..%2ft", "..%5c..%5ct", "x/../../../t", "./../../t", "//../../t"),
)


def _attempt(trial: Trial) -> None:
    ground = trial.ground
    one, other = ground.targets[:2]
    for target in _targets(one.name, other.name):
        answer = trial.send(Request(ground.known.domain, target))
        trial.hold("PATH-1", answer.by != other.uid, f"{target!r} is answered by {other.name}")
    for target in (f"/t/{one.name}/who", f"/t/%74{one.name[1:]}/who", f"/%74/{one.name}/who"):
        answer = trial.send(Request(ground.known.domain, target))
        trial.hold("PATH-1", answer.by in {one.uid, ""}, f"{target!r} is answered by another than {one.name}")
    for target in (f"/t/{other.name}/who", f"//t/{other.name}/who", f"/../t/{other.name}/who"):
        answer = trial.send(Request(ground.host(one).host, target))
        trial.hold("PATH-1", answer.by in {one.uid, ""}, f"{target!r} at the host of {one.name} leads elsewhere")
    for tenants in ground.tenants.values():
        mine, foreign = tenants[:2]
        for target in _targets(mine.name, foreign.name):
            whole = trial.send(Request(ground.known.domain, target)).whole()
            trial.hold("PATH-1", foreign.canary.encode() not in whole, f"{target!r} shows what is {foreign.name}'s")


PART = Part("paths", ("PATH-1",), 10.0, "no spelling of a path leads to another tenant", _attempt)


def _targets(one: str, other: str) -> Iterator[str]:
    """Spell paths that begin at one tenant, or nearly so, and mean another."""
    for up in _UP:
        yield f"/t/{one}/{up}/{other}/who"
        yield f"/t/{one}/{up}/t/{other}/who"
    for between in ("%2f", "%5c", "\\", "%00", ";", "%3b", "%20", "%0d%0a", "%23", "%3f", ".", ",", "@", ":", "%252f"):
        yield f"/t/{one}{between}{other}/who"
        yield f"/t/{one}{between}/../{other}/who"
    yield from (f"/t/{one}//t/{other}/who", f"/t/{one}?/t/{other}/who", f"/t/{one}#/t/{other}/who")
    yield from (f"/t/{one}/who?next=/t/{other}/who", f"/t/{one}/who;/t/{other}/who")
