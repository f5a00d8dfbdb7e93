"""Which header is meant by a name, and which of them concern a fence."""

import re

# Each speaks for a whole origin, which a path tenant shares with others: its pages, what browsers keep of it, and where
# and how it is asked for.
OF_THE_ORIGIN = frozenset(
    {
        "accept-ch",
        "activate-storage-access",
        "alt-svc",
        "clear-site-data",
        "expect-ct",
        "nel",
        "origin-agent-cluster",
        "public-key-pins",
        "report-to",
        "sec-session-registration",
        "secure-session-registration",
        "service-worker-allowed",
        "set-login",
        "strict-transport-security",
        "use-as-dictionary",
    }
)
REFERENCES = frozenset({"location", "content-location"})
COOKIE, REFRESH = "set-cookie", "refresh"
SENDFILE, BUFFERING = "x-sendfile", "x-accel-buffering"
# By these an application would command whatever serves in front, which serves all tenants.
TO_THE_FRONT = frozenset(
    {
        SENDFILE,
        "x-litespeed-location",
        "x-lighttpd-send-file",
        "x-lighttpd-send-tempfile",
        "x-reproxy-url",
        "x-sendfile-temporary",
        "x-sendfile2",
    }
)
_ACCEL = "x-accel-"
# No name at all: browsers trim such ones, and split them at a colon, into names that no fence would have seen.
NO_NAME = ""

_WATCHED = OF_THE_ORIGIN | REFERENCES | TO_THE_FRONT | {COOKIE, REFRESH}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_BOUND = 1024

# Spellings that concern no fence. Any thread may add one: what a spelling means never changes.
ordinary: set[str] = set()


def commands(name: str) -> bool:
    """Tell whether a header, by its name in small letters, is for whatever serves in front."""
    return name in TO_THE_FRONT or name.startswith(_ACCEL)


def meant(spelling: str) -> str | None:
    """Return the name in small letters of a header that concerns a fence, NO_NAME for what is none, None otherwise."""
    if spelling in ordinary:
        return None
    if not _TOKEN.fullmatch(spelling):
        return NO_NAME
    name = spelling.lower()
    if name in _WATCHED or name.startswith(_ACCEL):
        return name
    if len(ordinary) < _BOUND:
        ordinary.add(spelling)
    return None
