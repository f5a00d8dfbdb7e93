"""Sessions of one tenant at another: as they are, and under the other's name for them."""

import hashlib
import json
from collections.abc import Iterator
from itertools import permutations, product

from itsdangerous import BadData, URLSafeTimedSerializer

from tenantry.doctor.attack.calling import Answer, Cookie, Request
from tenantry.doctor.attack.scratch import Address, Tenant
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

# Where applications are likely to begin a session.
_PAGES = ("/", "/sign-in", "/sign-up", "/login", "/signin", "/auth/login", "/accounts/login", "/register", "/admin")
# Shorter texts in a session may be equal by chance.
_TELLING = 8


def _attempt(trial: Trial) -> None:
    ground = trial.ground
    sessions = 0
    for tenants in [ground.targets[:3], *ground.tenants.values()]:
        for mine, other in permutations(tenants, 2):
            trial.hold("COOKIE-3", mine.key != other.key, f"{mine.name} and {other.name} have one key")
    for tenants in ground.tenants.values():
        for tenant in tenants:
            cookies = [*_forged(trial, tenant), *_found(trial, ground.host(tenant))]
            sessions += len(cookies)
            for cookie, other in product(cookies, tenants):
                if other is not tenant:
                    _replay(trial, cookie, tenant, other)
    if not sessions:
        trial.nothing("no application keeps a session that can be seen from outside; no two tenants have one key")


PART = Part(
    "replay", ("COOKIE-3",), 12.0, "a session of one tenant is worth nothing at another, equal key files too", _attempt
)


def _forged(trial: Trial, tenant: Tenant) -> list[Cookie]:
    """Make a session by a tenant's own key, as Flask does; none where the application does not believe it."""
    value = str(_serializer(tenant).dumps({"_permanent": True, "canary": tenant.canary}))
    own = Cookie(_name(trial, tenant), value, {})
    # Flask sends a permanent session again with each answer: so its being believed can be seen.
    return [own] if _believed(_sent(trial, trial.ground.host(tenant), [own]), _texts(value)) else []


def _replay(trial: Trial, cookie: Cookie, mine: Tenant, other: Tenant) -> None:
    """Send a cookie of one tenant to another, under its own name and as the other one's, by host and by path."""
    secret = _texts(cookie.value)
    renamed = Cookie(cookie.name.replace(mine.uid, other.uid), cookie.value, {})
    for address in trial.ground.addresses(other):
        bare = Cookie(renamed.name.removeprefix("__Host-"), cookie.value, {})
        for sent in ([cookie], [renamed], [bare], [cookie, renamed], [renamed, renamed]):
            answer = _sent(trial, address, sent)
            believed = _believed(answer, secret) or trial.foreign(answer.whole(), other)
            names = " and ".join(one.name for one in sent)
            trial.hold("COOKIE-3", not believed, f"{other.name} believes {names} of {mine.name}")


def _sent(trial: Trial, address: Address, cookies: list[Cookie]) -> Answer:
    spelled = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
    return trial.send(_request(address, "/").but(headers=[("Cookie", spelled)]))


def _request(address: Address, path: str) -> Request:
    return address.request(path, headers=[("Accept", "text/html")])


def _found(trial: Trial, address: Address) -> Iterator[Cookie]:
    """Collect the signed cookies that an application sets by itself."""
    seen: set[str] = set()
    for path in _PAGES:
        for cookie in trial.send(_request(address, path)).cookies():
            if cookie.name not in seen and _texts(cookie.value):
                seen.add(cookie.name)
                yield cookie


def _believed(answer: Answer, secret: set[str]) -> bool:
    """Tell whether an answer carries a session with what was in the one that was sent."""
    return any(_texts(cookie.value) & secret for cookie in answer.cookies())


def _texts(value: str) -> set[str]:
    """Read what a signed cookie says, whoever has signed it: the texts in it that cannot be equal by chance."""
    try:
        _, content = URLSafeTimedSerializer("").loads_unsafe(value)
    except (BadData, ValueError):
        return set()
    return {text for text in _leaves(content) if len(text) >= _TELLING}


def _leaves(content: object) -> Iterator[str]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for inner in content:
            yield from _leaves(inner)
    elif isinstance(content, str):
        yield content


def _serializer(tenant: Tenant) -> URLSafeTimedSerializer:
    """Make what Flask signs sessions with, for one tenant's key."""
    how = {"key_derivation": "hmac", "digest_method": hashlib.sha1}
    return URLSafeTimedSerializer(tenant.key, salt="cookie-session", serializer=json, signer_kwargs=how)


def _name(trial: Trial, tenant: Tenant) -> str:
    return f"{'__Host-' if trial.ground.known.scheme == 'https' else ''}session_{tenant.uid}"
