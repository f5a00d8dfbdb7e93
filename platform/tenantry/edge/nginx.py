"""The configuration of nginx, whole, for its http context: written once, and true while tenants come and go."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from tenantry.edge import lines, values
from tenantry.edge.values import NAME, Rendered
from tenantry.errors import Refused
from tenantry.settings import Settings

# A host that can be a custom domain: labels and dots, the last label no number.
_DOMAIN = r"(?:[a-z0-9-]+\.)+[a-z0-9-]*[a-z-][a-z0-9-]*"
_NOTHING: Mapping[str, Path] = MappingProxyType({})
# What fits into nginx's table of names as it is by default.
_NAMES, _NAME_LENGTH = 128, 40


def nginx(known: Settings, domains: Iterable[str], statics: Mapping[str, Path] = _NOTHING) -> Rendered:
    """Render the configuration for a base domain and its custom ones.

    `statics` are the folders of code by application, whose static files nginx is to send where settings let it. Refused
    where the server would not believe nginx.
    """
    if known.proxies != 1:
        raise Refused(
            f"The server believes {known.proxies or 'no'} proxies, and nginx is one.",
            hint="Set TENANTRY_PROXIES=1 and restart the server.",
        )
    if known.scheme == "https" and known.edge_http_port == values.port(known):
        raise Refused(
            f"Port {known.edge_http_port} cannot be for http and for https.",
            hint="Set another TENANTRY_EDGE_HTTP_PORT.",
        )
    values.see(known)
    good, left_out = values.sifted(domains, known.domain)
    listed = good if known.edge_domains == "listed" else []
    files = lines.files(known, statics, left_out)
    secure = known.scheme == "https"
    parts = [_HEAD, _names([known.domain, *listed]), _upstream(known), _MAP, _default(known)]
    if secure and known.edge_http_port:
        parts += _plain(known, listed)
    parts.append(_server(known, _base_names(known), _own_certificate(known, known.domain), files))
    if known.edge_domains == "live":
        parts.append(_server(known, f'"~^{_DOMAIN}$"', _live_certificate(known), files))
    elif secure:
        parts += [_server(known, name, _own_certificate(known, name), files) for name in listed]
    elif listed:
        parts.append(_server(known, " ".join(listed), [], files))
    return Rendered("\n".join(part for part in parts if part), tuple(left_out))


# Around the servers


_HEAD = """\
# Made by `tenantry edge nginx` from the settings: change those and make it again; --check FILE tells what differs.
# It belongs into nginx's http context, such as /etc/nginx/conf.d/tenantry.conf. Tenants come and go without a reload.
"""

_MAP = """\
# What is said while no serving process answers, in the words that the client wants.
map $http_accept $tenantry_down {
    default @tenantry_page;
    "~*text/html" @tenantry_page;
    "~*json" @tenantry_problem;
}
"""


def _names(names: list[str]) -> str:
    """Make nginx's table of names as large as these need; where its own size will do, nothing is said of it."""
    longest = max(map(len, names)) + 2
    if len(names) <= _NAMES and longest <= _NAME_LENGTH:
        return ""
    bucket = 64
    while bucket < longest + 32:
        bucket *= 2
    size = 512
    while size < 4 * len(names):
        size *= 2
    return f"server_names_hash_bucket_size {bucket};\nserver_names_hash_max_size {size};\n"


def _upstream(known: Settings) -> str:
    # The one that was away is tried again at once; and a connection ends here before it ends there.
    servers = [f"server {place} max_fails=0;" for place in values.upstreams(known)]
    return lines.block(
        "upstream tenantry", *servers, "keepalive 32;", f"keepalive_timeout {values.seconds(known.keep_alive / 2)};"
    )


def _default(known: Settings) -> str:
    secure = known.scheme == "https"
    words = ("ssl", "default_server") if secure else ("default_server",)
    # The versions of TLS, and what it keeps of sessions, are those of this server for all others on its port.
    reject = [*lines.TLS, "ssl_reject_handshake on;"] if secure else []
    return "# Whoever asks for a name that is nobody's gets no certificate and no page.\n" + lines.block(
        "server",
        *values.listens(known, values.port(known), *words),
        *lines.http2(known),
        *reject,
        *lines.limits(known),
        "return 421;",
    )


# Http in front of https


def _plain(known: Settings, listed: list[str]) -> list[str]:
    """Render the servers that answer on the port of http: they send visitors on, and answer challenges."""
    number, limits = known.edge_http_port, lines.limits(known)
    onwards = f"return 308 https://$host{values.shown_port(known)}$request_uri;"
    challenges = _challenges(known)
    unknown = [
        *values.listens(known, number, "default_server"),
        *limits,
        *challenges,
        *lines.location("/", "return 421;"),
    ]
    base = [*values.listens(known, number), f"server_name {_base_names(known)};", *limits, *_odd(_base_pattern(known))]
    parts = [
        "# From http to https.\n" + lines.block("server", *unknown),
        lines.block("server", *base, *challenges, *lines.location("/", onwards)),
    ]
    head = [*values.listens(known, number)]
    if known.edge_domains == "live":
        asks = _asking(known, onwards)
        parts.append(lines.block("server", *head, f'server_name "~^{_DOMAIN}$";', *limits, *challenges, *asks))
    elif listed:
        names = f"server_name {' '.join(listed)};"
        parts.append(lines.block("server", *head, names, *limits, *challenges, *lines.location("/", onwards)))
    return parts


def _challenges(known: Settings) -> list[str]:
    if not known.edge_challenges:
        return []
    folder = values.path(known.edge_challenges)
    return lines.location("^~ /.well-known/acme-challenge/", f"root {folder};", "types { }", "default_type text/plain;")


def _asking(known: Settings, onwards: str) -> list[str]:
    """Render how nginx asks whether a domain is somebody's: whoever is nobody's is sent nowhere."""
    return [
        *lines.location(
            "/",
            "auth_request /-/tls-ask;",
            "error_page 403 = @tenantry_unknown;",
            "error_page 500 =503 $tenantry_down;",
            "try_files /-/nothing @tenantry_known;",
        ),
        *lines.location(
            "= /-/tls-ask",
            "internal;",
            "proxy_pass http://tenantry/-/tls-ask?domain=$host;",
            "proxy_http_version 1.1;",
            "proxy_pass_request_body off;",
            "proxy_pass_request_headers off;",
            'proxy_set_header Connection "";',
            'proxy_set_header Content-Length "";',
            f"proxy_set_header Host {known.domain};",
            "proxy_set_header X-Forwarded-For 127.0.0.1;",
            "proxy_set_header X-Forwarded-Proto https;",
            "proxy_set_header X-Request-ID $request_id;",
            "proxy_connect_timeout 2s;",
            "proxy_read_timeout 5s;",
            "proxy_intercept_errors on;",
            "error_page 404 = @tenantry_denied;",
        ),
        *lines.location("@tenantry_denied", "return 403;"),
        *lines.location("@tenantry_unknown", "return 421;"),
        *lines.location("@tenantry_known", onwards),
        *lines.down([]),
    ]


# Servers that pass requests on


def _server(known: Settings, names: str, certificate: list[str], files: list[str]) -> str:
    """Render one server that passes requests on, whole: nginx has no way to say this once for several."""
    secure = known.scheme == "https"
    pattern = _base_pattern(known) if names == _base_names(known) else ""
    # A name that has a certificate is somebody's, and one that came by another's certificate may be nobody's. A CDN
    # asks for all of its hosts by whatever name it likes.
    strict = secure and not known.edge_cdn and names.startswith('"')
    mixed = ["if ($ssl_server_name != $host) { return 421; }"] if strict else []
    return lines.block(
        "server",
        *values.listens(known, values.port(known), *(["ssl"] if secure else [])),
        *lines.http2(known),
        f"server_name {names};",
        *certificate,
        *(lines.TLS if secure else []),
        *lines.limits(known),
        *_odd(pattern),
        *mixed,
        *lines.real(known),
        *lines.proxy(known),
        *lines.hsts(known),
        "error_page 502 504 =503 $tenantry_down;",
        *lines.location("/", "proxy_pass http://tenantry;"),
        *lines.location("= /-/tls-ask", "return 404;"),
        *files,
        *lines.down(lines.hsts(known)[1:]),
    )


def _base_names(known: Settings) -> str:
    return f"{known.domain} *.{known.domain}" if _has_subdomains(known) else known.domain


def _base_pattern(known: Settings) -> str:
    return ("(?:[a-z0-9-]+\\.)?" if _has_subdomains(known) else "") + values.regex(known.domain)


def _has_subdomains(known: Settings) -> bool:
    return not known.domain.startswith("[") and not known.domain.rpartition(".")[2].isdigit()


def _odd(pattern: str) -> list[str]:
    """Refuse hosts that a wildcard takes and nobody is called by: two labels deep, or spelled with odd letters."""
    return [f'if ($host !~ "^{pattern}$") {{ return 421; }}'] if pattern else []


def _own_certificate(known: Settings, name: str) -> list[str]:
    if known.scheme != "https":
        return []
    return [
        f"ssl_certificate {values.certificate(known.edge_certificate, name)};",
        f"ssl_certificate_key {values.certificate(known.edge_key, name)};",
    ]


def _live_certificate(known: Settings) -> list[str]:
    if known.scheme != "https":
        return []
    why = "# Read when a visitor comes, by nginx's workers: they must be allowed to. No file, no handshake."
    return [
        *([why] if NAME in known.edge_certificate + known.edge_key else []),
        *_own_certificate(known, "$ssl_server_name"),
    ]
