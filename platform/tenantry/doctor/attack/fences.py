"""What crosses a tenant's border: cookies out and in, requests from other sites, headers that reach beyond it."""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from urllib.parse import quote, urljoin, urlsplit

from tenantry.doctor.attack.calling import Answer, Header
from tenantry.doctor.attack.scratch import Address, Tenant
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
_STRANGERS = ("cross-site", "same-site")


def _cookies(trial: Trial) -> None:
    ground = trial.ground
    mine, other = ground.targets[:2]
    for address in ground.addresses(mine):
        for text in _tossed(address, other, ground.known.domain):
            _out(trial, address, other, text)
        _in(trial, address, other)


COOKIES = Part(
    "cookies",
    ("COOKIE-1", "COOKIE-2"),
    8.0,
    "no cookie gets out for another tenant's host, path or name; on a path no session of another's comes in",
    _cookies,
)


def _tossed(address: Address, other: Tenant, domain: str) -> Iterator[str]:
    """Spell cookies by which one tenant reaches for another, or for all."""
    for attribute in ("Domain", "domain", "DOMAIN", " Domain ", "\tDomain"):
        for value in (domain, f".{domain}", f" {domain} ", f"{other.name}.{domain}", address.host, "evil.example", ""):
            yield f"tossed=1;{attribute}={value}"
    yield from (
        f"tossed=1; Path=/; Domain={domain}; Domain=",
        f"tossed=1; Domain={domain}; HttpOnly; Domain={address.host}",
    )
    yield from (f"tossed=1; domain={domain}; Path=/", f'tossed="1; Domain={domain}"', f"=tossed; Domain={domain}")
    for name in ("session", "remember"):
        for prefix in ("", "__Host-", "__Secure-"):
            yield f"{prefix}{name}_{other.uid}=1; Path=/"
    for path in (
        "/",
        "",
        "/t",
        "/t/",
        f"/t/{other.name}",
        f"/t/{other.name}/",
        f"{address.mount}/../{other.name}/",
        '"/"',
    ):
        yield f"tossed=1; Path={path}"
        yield f"tossed=1; PATH = {path} ;HttpOnly"
        yield f"tossed=1; Path={address.mount}/; Path={path}"


def _out(trial: Trial, address: Address, other: Tenant, text: str) -> None:
    """Have the application set a cookie, and see where a browser would put what comes out."""
    for cookie in _answered(trial, address, ("Set-Cookie", text)).cookies():
        trial.hold("COOKIE-1", not cookie.attributes.get("domain"), f"{text!r} got out with its Domain")
        trial.hold("COOKIE-1", other.uid not in cookie.name, f"{text!r} got out with another tenant's name")
        path = cookie.attributes.get("path", "")
        inside = not address.mount or path == address.mount or path.startswith(f"{address.mount}/")
        trial.hold("COOKIE-2", inside, f"{text!r} got out of {address.mount or '/'} with the path {path!r}")
    trial.hold("COOKIE-1", True, "")


def _in(trial: Trial, address: Address, other: Tenant) -> None:
    """Send cookies of both tenants, and see which of them the application is given."""
    mine = address.tenant.uid
    names = [f"session_{other.uid}", f"remember_{other.uid}", f"__Host-session_{other.uid}"]
    sent = "; ".join([f"session_{mine}=own", *(f"{name}=foreign" for name in names)])
    seen = json.loads(trial.ask(address, "/who", headers=[("Cookie", sent)]).body)["cookies"]
    trial.hold("COOKIE-2", f"session_{mine}=own" in seen, f"{address.host}{address.mount} is not given its own cookie")
    if address.mount:
        trial.hold("COOKIE-2", other.uid not in seen, f"{address.mount} is given {seen!r}")


def _crossing(trial: Trial) -> None:
    ground = trial.ground
    mine, other = ground.targets[:2]
    for address in ground.addresses(mine):
        _requests(trial, address)
        _caches(trial, address)
    for tenants in ground.tenants.values():
        if "cross-site" in ground.down(tenants[0]):
            continue  # a note tells of it
        for address in ground.addresses(tenants[0]):
            for stranger in _STRANGERS:
                answer = trial.ask(address, "/", "POST", [("Sec-Fetch-Site", stranger)])
                trial.hold(
                    "SITE-1",
                    answer.status == 403,
                    f"a {stranger} POST to {address.host}{address.mount}: {answer.status}",
                )
    _reaching(trial, ground.path(mine), other)
    _redirects(trial, ground.path(mine), other)


CROSSING = Part(
    "crossing",
    ("SITE-1", "SITE-2", "SITE-3"),
    8.0,
    "other sites change nothing, cookies are in no shared cache, a path tenant stays in its mount",
    _crossing,
)


def _requests(trial: Trial, address: Address) -> None:
    """Write as a page of another site would have it, and see that nothing was written."""
    neighbour = f"http://{trial.ground.host(trial.ground.targets[1]).host}"
    foreign = [
        *([("Sec-Fetch-Site", stranger)] for stranger in _STRANGERS),
        *(
            [("Origin", origin)]
            for origin in ("null", "http://evil.example", neighbour, f"http://{address.host}.evil.example")
        ),
        [("Sec-Fetch-Site", "cross-site"), ("Origin", f"http://{address.host}")],
    ]
    for method, headers in product(_UNSAFE, foreign):
        answer = trial.ask(address, "/write?text=foreign", method, headers)
        refused = answer.status == 403 and not answer.by
        trial.hold("SITE-1", refused, f"a {method} with {headers} is answered {answer.status}")
    for own in (("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none"), ("Origin", f"http://{address.host}")):
        answer = trial.ask(address, "/write?text=own", "POST", [own])
        trial.hold("SITE-1", answer.status == 201, f"a POST with {own} is answered {answer.status}")
    rows = json.loads(trial.ask(address, "/rows", headers=[("Sec-Fetch-Site", "cross-site")]).body)
    trial.hold("SITE-1", "foreign" not in rows and "own" in rows, "other sites have written")


def _caches(trial: Trial, address: Address) -> None:
    """See that what sets a cookie may be kept by its visitor's browser alone."""
    cookie = ("Set-Cookie", "own=1")
    for said in ([], [("Cache-Control", "max-age=600")], [("Expires", "Fri, 01 Jan 2038 00:00:00 GMT")]):
        control = ", ".join(_answered(trial, address, cookie, *said).all("Cache-Control")).lower()
        words = {word.strip().partition("=")[0] for word in control.split(",")}
        kept = bool(words & {"private", "no-store", "no-cache"}) and "public" not in words
        trial.hold(
            "SITE-2", kept, f"a cookie goes out with {said or 'no word on caches'} and Cache-Control {control!r}"
        )
    said_so = _answered(trial, address, cookie, ("Cache-Control", "public, max-age=60")).first("Cache-Control")
    trial.hold("SITE-2", "public" in said_so, "an application that says so itself cannot have a cookie cached")


def _reaching(trial: Trial, address: Address, other: Tenant) -> None:
    """Send headers that would reach beyond a mount: they mean the whole origin."""
    for name, value in (
        ("Service-Worker-Allowed", "/"),
        ("service-worker-allowed", f"/t/{other.name}/"),
        ("Clear-Site-Data", '"*"'),
        ("CLEAR-SITE-DATA", '"cookies", "storage"'),
    ):
        found = _answered(trial, address, (name, value)).all(name)
        trial.hold("SITE-3", not found, f"{name}: {value} gets out of {address.mount}")


def _redirects(trial: Trial, address: Address, other: Tenant) -> None:
    """Redirect out of a mount in every spelling that a browser follows."""
    host, foreign = address.host, f"/t/{other.name}/who"
    for target in (
        *("/", "/who", foreign, f"//{host}{foreign}", f"http://{host}{foreign}", f"https://{host}{foreign}"),
        *(f"HTTP://{host.upper()}{foreign}", f"http://{host}:80{foreign}", f"http://{host}", f"///{host}{foreign}"),
        *(f"{address.mount}/../{other.name}/who", f"../{other.name}/who", f"../../t/{other.name}/who", f"\\{foreign}"),
        *(f"/\\{host}{foreign}", f"\t{foreign}", f"{address.mount}/%2e%2e/{other.name}/who", f"http:{foreign}"),
        *(f"{address.mount}x/who", f"{address.mount}/./../../t/{other.name}/who", f"http:\\\\{host}{foreign}"),
    ):
        for name, value, status in (("Location", target, "302 Found"), ("Refresh", f"0;url={target}", "200 OK")):
            found = _answered(trial, address, (name, value), status=status).first(name)
            led = _followed(address, found.partition("url=")[2] if name == "Refresh" else found)
            trial.hold("SITE-3", led is None or _within(led, address.mount), f"{name}: {value!r} leads to {led}")


def _followed(address: Address, location: str) -> str | None:
    """Return the path to which a browser follows a redirect on the same host; None where it leads elsewhere."""
    spelled = location.strip().replace("\\", "/").translate({9: None, 10: None, 13: None})
    scheme, colon, rest = spelled.partition(":")
    if colon and scheme.lower() in {"http", "https"}:  # a browser takes any number of slashes for two
        spelled = f"{scheme}://{rest.lstrip('/')}" if rest.startswith("//") or scheme.lower() != "http" else rest
    elif spelled.startswith("//"):
        spelled = f"//{spelled.lstrip('/')}"
    found = urlsplit(urljoin(f"http://{address.host}{address.mount}/answer", spelled))
    return found.path or "/" if (found.hostname or "").lower() == address.host else None


def _within(path: str, mount: str) -> bool:
    """Tell whether a path, read as a browser reads it, is in a mount."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            kept[-1:] = []
        elif plain != ".":
            kept.append(segment)
    found = "/" + "/".join(kept)
    return found == mount or found.startswith(f"{mount}/")


def _answered(trial: Trial, address: Address, *headers: Header, status: str = "200 OK") -> Answer:
    """Have the built-in application answer with these headers."""
    given: Sequence[Header] = [("status", status), *headers]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in given)
    answer = trial.ask(address, f"/answer?{query}")
    trial.hold(
        "SITE-3" if status.startswith("3") else "COOKIE-1",
        answer.status < 500,
        f"{headers} are answered {answer.status}",
    )
    return answer
