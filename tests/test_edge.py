"""The configuration of nginx: what stands in it for which settings, and what never gets into it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenantry.edge import nginx
from tenantry.errors import Invalid, Refused
from tenantry.settings import Settings

KNOWN = Settings(
    domain="example.com",
    scheme="https",
    proxies=1,
    host="unix:/run/tenantry/socket",
    instance=Path("/var/lib/tenantry"),
)
LISTED = replace(KNOWN, edge_domains="listed")
DOMAINS = ["shop.example.org", "xn--bcher-kva.example"]
# None of these is a domain in its canonical form, and each would be more than a name.
POISONS = (
    "evil.example; return 200",
    "evil.example }",
    "evil.example\nserver { listen 1; }",
    'evil".example',
    "evil'.example",
    "evil.example {",
    "$host.example",
    "~^evil.example$",
    "*.evil.example",
    ".evil.example",
    "evil.example#",
    "evil\\.example",
    "evil .example",
    "evil\x00.example",
    "SHOP.example.org",
    "bücher.example",
    "evil.example:443",
    "127.0.0.1",
    "localhost",
    "_",
    "",
    "a." * 127 + "example",
    "example.com",
    "acme.example.com",
)


def servers(text: str) -> dict[str, list[str]]:
    """Return the lines of each server by its names; the ones of unknown names by their port."""
    found: dict[str, list[str]] = {}
    for block in re.findall(r"^server \{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE):
        lines = [line.strip() for line in block.splitlines()]
        names = next((line for line in lines if line.startswith("server_name ")), lines[0])
        secure = any(line.startswith("listen ") and " ssl" in line for line in lines)
        found[f"{'https' if secure else 'http'} {names}"] = lines
    return found


def test_there_is_a_server_for_each_kind_of_name_on_each_port() -> None:
    """Unknown names, the base domain with its tenants, and custom domains: by a pattern where they are known live."""
    assert list(servers(nginx(KNOWN, DOMAINS).text)) == [
        "https listen 443 ssl default_server;",
        "http listen 80 default_server;",
        "http server_name example.com *.example.com;",
        r'http server_name "~^(?:[a-z0-9-]+\.)+[a-z0-9-]*[a-z-][a-z0-9-]*$";',
        "https server_name example.com *.example.com;",
        r'https server_name "~^(?:[a-z0-9-]+\.)+[a-z0-9-]*[a-z-][a-z0-9-]*$";',
    ]


def test_tenants_and_domains_that_come_and_go_change_nothing() -> None:
    assert nginx(KNOWN, DOMAINS).text == nginx(KNOWN, []).text


def test_listed_domains_have_a_server_and_a_certificate_each() -> None:
    found = servers(nginx(LISTED, reversed(DOMAINS)).text)
    for domain in DOMAINS:
        lines = found[f"https server_name {domain};"]
        assert f"ssl_certificate /etc/letsencrypt/live/{domain}/fullchain.pem;" in lines
        assert f"ssl_certificate_key /etc/letsencrypt/live/{domain}/privkey.pem;" in lines
    assert f"http server_name {' '.join(DOMAINS)};" in found


def test_over_plain_http_nothing_is_said_of_certificates_and_of_https() -> None:
    for known in (replace(KNOWN, scheme="http"), replace(LISTED, scheme="http")):
        text = nginx(known, DOMAINS).text
        assert not re.search(r"ssl|https|308|Strict", text.partition("map ")[2])
        assert "listen 80 default_server;" in text


def test_names_that_are_nobodys_get_no_certificate_and_no_page() -> None:
    found = servers(nginx(KNOWN, []).text)
    unknown = found["https listen 443 ssl default_server;"]
    assert {"ssl_reject_handshake on;", "return 421;"} <= set(unknown)
    assert not any("proxy_pass" in line or line.startswith("ssl_certificate") for line in unknown)


def test_headers_say_what_nginx_knows_and_nothing_that_a_client_sent() -> None:
    """As one proxy that overwrites: no variable of a client's own header is passed on, none is appended to."""
    for names, lines in servers(nginx(KNOWN, []).text).items():
        if "proxy_pass http://tenantry;" in lines:
            said = dict(line[:-1].split(" ", 2)[1:] for line in lines if line.startswith("proxy_set_header "))
            given = {name: value for name, value in said.items() if value != '""'}
            assert given == {
                "Host": "$host",
                "X-Forwarded-For": "$remote_addr",
                "X-Forwarded-Proto": "$scheme",
                "X-Request-ID": "$request_id",
            }, names
            assert {"X-Forwarded-Prefix", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "Proxy"} < said.keys()
    assert "$http_" not in nginx(KNOWN, []).text.replace("$http_accept", "")
    assert "$proxy_add" not in nginx(KNOWN, []).text


def test_the_path_stays_as_it_came() -> None:
    text = nginx(KNOWN, []).text
    assert set(re.findall(r"proxy_pass (\S+);", text)) == {
        "http://tenantry",
        "http://tenantry/-/tls-ask?domain=$host",
    }


def test_another_port_is_part_of_each_address() -> None:
    text = nginx(replace(KNOWN, public_port=8443), []).text
    assert "proxy_set_header Host $host:$server_port;" in text
    assert "return 308 https://$host:8443$request_uri;" in text
    assert "listen 8443 ssl;" in text
    assert "listen [::]:8443 ssl;" in text


def test_times_and_sizes_are_those_of_the_server() -> None:
    known = replace(KNOWN, header_wait=7.0, body_wait=0.5, send_wait=21.0, keep_alive=15.0, max_body=123456)
    text = nginx(replace(known, max_header=5000, edge_wait=77.25), []).text
    assert {
        "client_header_timeout 7s;",
        "client_body_timeout 500ms;",
        "send_timeout 21s;",
        "keepalive_timeout 15s;",
        "keepalive_timeout 7500ms;",
        "client_max_body_size 123456;",
        "large_client_header_buffers 4 5000;",
        "proxy_read_timeout 77250ms;",
    } <= {line.strip() for line in text.splitlines()}


def test_no_body_at_all_is_not_any_body() -> None:
    """For nginx a largest size of 0 is no limit."""
    assert "client_max_body_size 1;" in nginx(replace(KNOWN, max_body=0), []).text


def test_hsts_is_said_in_every_answer_of_a_site_and_instead_of_its_own() -> None:
    text = nginx(replace(KNOWN, edge_hsts=3600), []).text
    always = 'add_header Strict-Transport-Security "max-age=3600" always;'
    # A block with a header of its own takes none from the one around it: server, page and problem.
    assert text.count(always) == 2 * 3
    assert text.count("proxy_hide_header Strict-Transport-Security;") == 2
    assert "Strict-Transport-Security" not in nginx(replace(KNOWN, edge_hsts=0), []).text


@pytest.mark.parametrize(
    ("host", "processes", "places"),
    [
        ("unix:/run/tenantry/socket", 1, ["unix:/run/tenantry/socket"]),
        ("unix:/run/tenantry/socket", 2, ["unix:/run/tenantry/1.socket", "unix:/run/tenantry/2.socket"]),
        ("127.0.0.1", 1, ["127.0.0.1:8000"]),
        ("127.0.0.1", 3, ["127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8002"]),
        ("localhost", 1, ["127.0.0.1:8000"]),
        ("0.0.0.0", 1, ["127.0.0.1:8000"]),
        ("::", 1, ["[::1]:8000"]),
        ("[::1]", 1, ["[::1]:8000"]),
        ("app.internal", 1, ["app.internal:8000"]),
    ],
)
def test_the_server_is_found_where_it_listens(host: str, processes: int, places: list[str]) -> None:
    text = nginx(replace(KNOWN, host=host, edge_processes=processes), []).text
    assert re.findall(r"^    server (\S+) max_fails=0;", text, re.MULTILINE) == places


def test_files_are_sent_only_where_settings_say_so() -> None:
    statics = {"gazette": Path("/srv/tenants/gazette")}
    assert "alias" not in nginx(KNOWN, [], statics).text
    assert re.search(r"proxy_ignore_headers .*X-Accel-Redirect;", nginx(KNOWN, []).text)
    text = nginx(replace(KNOWN, edge_files="on"), [], statics).text
    assert 'alias "/var/lib/tenantry/tenants/$1/files/$2";' in text
    assert 'alias "/srv/tenants/gazette/$1";' in text
    assert "X-Accel-Redirect" not in text
    places = re.findall(r"location [^\n]*/-/(?:files|static)/.*?\{\n(.*?)\n", text)
    assert {line.strip() for line in places} == {"internal;"}


def test_static_files_of_an_odd_place_are_left_out_and_told() -> None:
    odd = {"gazette": Path("/srv/{}"), "a b": Path("/srv"), "shop": Path("/srv/shop")}
    made = nginx(replace(KNOWN, edge_files="on"), [], odd)
    assert [line.partition(" were")[0] for line in made.left_out] == [
        "The static files of 'a b'",
        "The static files of 'gazette'",
    ]
    assert made.text.count("/-/static/") == 2
    assert 'alias "/srv/shop/$1";' in made.text


def test_a_cdn_is_believed_about_its_clients_and_nobody_else() -> None:
    assert "real_ip" not in nginx(KNOWN, []).text
    text = nginx(replace(KNOWN, edge_cdn=("192.0.2.0/24", "2001:db8::/32")), []).text
    for line in ("set_real_ip_from 192.0.2.0/24;", "set_real_ip_from 2001:db8::/32;", "real_ip_recursive on;"):
        assert text.count(line) == 2


@pytest.mark.parametrize("poison", POISONS)
def test_a_poison_domain_is_left_out_and_told_and_the_others_stay(poison: str) -> None:
    made = nginx(LISTED, ["shop.example.org", poison, "zoo.example.org"])
    assert made.text == nginx(LISTED, ["shop.example.org", "zoo.example.org"]).text
    (line,) = made.left_out
    assert "was left out" in line
    assert line.isprintable()
    assert nginx(KNOWN, [poison]).left_out == (line,), "it is told, even where no domain is spelled out"


PATHS = ("relative", "/a\nb", '/a"b', "/a;b", "/a$b", "/a{b", "/a}b", "/a#b", "/a'b", "/a\\b", "/../etc", "/a\x7f", "")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("setting", ["edge_certificate", "edge_key", "edge_challenges", "host", "instance"])
def test_a_path_that_would_be_more_than_a_path_is_invalid(setting: str, path: str) -> None:
    given: Any = {"host": f"unix:{path}", "instance": Path(path)}.get(setting, path)
    if path or setting != "edge_challenges":
        with pytest.raises(Invalid):
            nginx(replace(KNOWN, edge_files="on", **{setting: given}), [])


@pytest.mark.parametrize(
    "given",
    [
        {"edge_address": "0.0.0.0; }"},
        {"edge_address": "fe80::1%eth0"},
        {"edge_cdn": ("10.0.0.0/8; return 200",)},
        {"edge_cdn": ("fe80::%eth0;return/10",)},
        {"domain": "example.com; }"},
        {"domain": "EXAMPLE.com"},
        {"host": "a b"},
        {"host": "app;"},
        {"host": "unix:/run/a b/socket"},
    ],
)
def test_an_address_that_would_be_more_than_an_address_is_invalid(given: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        nginx(replace(KNOWN, **given), [])


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"proxies": 0}, "TENANTRY_PROXIES=1"),
        ({"proxies": 2}, "TENANTRY_PROXIES=1"),
        ({"host": "127.0.0.1", "port": 0}, "TENANTRY_PORT"),
        ({"host": "127.0.0.1", "port": 65535, "edge_processes": 2}, "TENANTRY_PORT"),
        ({"public_port": 8080, "edge_http_port": 8080}, "TENANTRY_EDGE_HTTP_PORT"),
    ],
)
def test_what_could_not_work_is_refused_with_the_setting_to_change(given: dict[str, Any], hint: str) -> None:
    with pytest.raises(Refused) as caught:
        nginx(replace(KNOWN, **given), [])
    assert hint in caught.value.hint
