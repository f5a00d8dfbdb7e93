"""The lines of which servers are made: what each of them says alike, and how lines become blocks."""

from collections.abc import Mapping
from pathlib import Path

from tenantry.address import shown
from tenantry.edge import pages, values
from tenantry.errors import Invalid
from tenantry.settings import Settings

# Whatever else tells who a client is or what it asked for: nginx alone tells that, and by the first three alone.
_BLANK = (
    *("X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-By"),
    *("X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Protocol", "X-Forwarded", "Forwarded-For", "Forwarded"),
    *("X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP"),
    *("X-Original-Host", "X-Original-URL", "X-Rewrite-URL", "X-Host", "X-HTTP-Host-Override", "X-Script-Name"),
    *("X-Scheme", "X-Url-Scheme", "Front-End-Https", "X-Remote-User", "Remote-User", "Proxy"),
)
# What an application says of a file that nginx sends for it, and nginx would not say by itself.
_SAID_OF_FILES = (
    *("Content-Encoding", "Content-Language", "Link", "Vary"),
    *("Content-Security-Policy", "Cross-Origin-Embedder-Policy", "Cross-Origin-Opener-Policy"),
    *("Cross-Origin-Resource-Policy", "Access-Control-Allow-Origin", "Permissions-Policy", "Referrer-Policy"),
    *("X-Content-Type-Options", "X-Frame-Options", "X-Robots-Tag"),
)
_CIPHERS = ":".join(
    f"{exchange}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for exchange in ("ECDHE-ECDSA", "ECDHE-RSA")
)


# How lines are put together


def block(head: str, *lines: str) -> str:
    """Spell a block of the outermost level."""
    return "\n".join([f"{head} {{", *(f"    {line}" for line in lines), "}", ""])


def location(where: str, *lines: str) -> list[str]:
    """Spell a location, or another block inside a server."""
    return [f"location {where} {{", *(f"    {line}" for line in lines), "}"]


TLS = [
    "ssl_protocols TLSv1.2 TLSv1.3;",
    f"ssl_ciphers {_CIPHERS};",
    "ssl_prefer_server_ciphers off;",
    "ssl_session_cache shared:tenantry:10m;",
    "ssl_session_timeout 1d;",
    "ssl_session_tickets off;",
]


def http2(known: Settings) -> list[str]:
    """Speak HTTP/2 where settings ask for it; nginx before 1.25.1 knows no such line."""
    return ["http2 on;"] if known.edge_http2 == "on" and known.scheme == "https" else []


def limits(known: Settings) -> list[str]:
    """Say how long things may take and how large they may be: as the server behind says it."""
    return [
        "server_tokens off;",
        f"client_header_timeout {values.seconds(known.header_wait)};",
        f"client_body_timeout {values.seconds(known.body_wait)};",
        f"send_timeout {values.seconds(known.send_wait)};",
        f"keepalive_timeout {values.seconds(known.keep_alive)};",
        f"large_client_header_buffers 4 {known.max_header};",
        f"client_max_body_size {max(1, known.max_body)};",  # 0 would be no limit
    ]


def real(known: Settings) -> list[str]:
    """Believe a CDN about its clients; for the server behind, nginx stays the only proxy."""
    if not known.edge_cdn:
        return []
    networks = [f"set_real_ip_from {network};" for network in known.edge_cdn]
    return [*networks, "real_ip_header X-Forwarded-For;", "real_ip_recursive on;"]


def proxy(known: Settings) -> list[str]:
    """Say how a request is passed on, and what of it nobody but nginx says."""
    host = "$host:$server_port" if values.shown_port(known) else "$host"
    ignored = "X-Accel-Charset X-Accel-Expires X-Accel-Limit-Rate"
    return [
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        f"proxy_set_header Host {host};",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header X-Request-ID $request_id;",
        *(f'proxy_set_header {header} "";' for header in _BLANK),
        "proxy_headers_hash_max_size 1024;",
        "proxy_headers_hash_bucket_size 128;",
        "proxy_redirect off;",
        f"proxy_ignore_headers {ignored}{'' if known.edge_files == 'on' else ' X-Accel-Redirect'};",
        "proxy_connect_timeout 2s;",
        f"proxy_read_timeout {values.seconds(known.edge_wait)};",
        "proxy_next_upstream_timeout 5s;",
        "# What streams flows; the server behind keeps what is too fast for a client.",
        "proxy_buffering off;",
        "proxy_buffer_size 32k;",
        "proxy_buffers 8 32k;",
    ]


def hsts(known: Settings) -> list[str]:
    """Tell browsers to come by https alone, instead of what an application says of that."""
    if not known.edge_hsts or known.scheme != "https":
        return []
    name = "Strict-Transport-Security"
    return [f"proxy_hide_header {name};", f'add_header {name} "max-age={known.edge_hsts}" always;']


def files(known: Settings, statics: Mapping[str, Path], left_out: list[str]) -> list[str]:
    """Name the places from which nginx sends files itself, by order of the server behind and of nobody else.

    No link leads out of a tenant's files, and of an application's code only what lies below a `static/` is sent. What
    cannot stand in the configuration is told in `left_out`.
    """
    if known.edge_files != "on":
        return []
    said = [f"add_header {name} $upstream_http_{name.lower().replace('-', '_')};" for name in _SAID_OF_FILES]
    said += ["gzip off;", *hsts(known)[1:]]  # what is encoded already says so
    tenants = values.path(f"{known.instance}/tenants").strip('"')
    found = location("= /-/files/sample", "internal;", f'alias "{tenants}/sample";')
    found += location(
        '~ "(?s)^/-/files/([a-z2-7]+)/(.+)$"',
        "internal;",
        f'alias "{tenants}/$1/files/$2";',
        f'disable_symlinks on "from={tenants}/$1/files/";',
        *said,
    )
    for name, folder in sorted(statics.items()):
        try:
            where = f'~ "(?s)^/-/static/{values.regex(values.application(name))}/((?:.+/)?static/.+)$"'
            alias = f"""alias "{values.path(str(folder)).strip('"')}/$1";"""
        except Invalid as error:
            left_out.append(f"The static files of {shown(name)} were left out: {error.says}")
        else:
            found += location(where, "internal;", alias, *said)
    return found


def down(also: list[str]) -> list[str]:
    """Render the two answers of nginx itself; the file's ending in the address says nothing of their kind."""
    always = [
        f"add_header Retry-After {pages.RETRY_AFTER} always;",
        "add_header Cache-Control no-store always;",
        "add_header X-Content-Type-Options nosniff always;",
        f'add_header Content-Security-Policy "{pages.POLICY}" always;',
        *also,
    ]
    kinds = (("page", '"text/html; charset=utf-8"', pages.PAGE), ("problem", "application/problem+json", pages.PROBLEM))
    return [
        line
        for name, kind, text in kinds
        for line in location(
            f"@tenantry_{name}", "types { }", f"default_type {kind};", *always, f"return 503 '{text}';"
        )
    ]
