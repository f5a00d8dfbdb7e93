"""Settings: read once from four places, the last of which wins, and refused where they make no sense."""

import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.errors import Invalid
from tenantry.settings import PREFIX, SETUP_KEYS, Settings, Source, read


def env(root: Path, text: str) -> None:
    (root / ".env").write_text(text, "utf-8")


# Where they come from


def test_without_anything_given_every_setting_has_its_default(tmp_path: Path) -> None:
    source = read(tmp_path, {})
    assert set(source.origin.values()) == {"default"}
    assert source.origin.keys() == {known.name for known in fields(Settings)}
    assert source.settings == Settings(instance=tmp_path / "instance")


def test_the_file_the_environment_and_the_command_line_win_in_this_order(tmp_path: Path) -> None:
    env(tmp_path, "TENANTRY_PORT=1\nTENANTRY_THREADS=2\nTENANTRY_DOMAIN=file.example\n")
    source = read(tmp_path, {"TENANTRY_PORT": "3", "TENANTRY_THREADS": "4"}, {"port": 5})
    assert (source.settings.port, source.settings.threads, source.settings.domain) == (5, 4, "file.example")
    assert (source.origin["port"], source.origin["threads"]) == ("command line", "environment")
    assert (source.origin["domain"], source.origin["host"]) == (".env", "default")


def test_the_environment_of_the_process_is_what_is_read_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_PORT", "1234")
    assert read(tmp_path).settings.port == 1234


def test_what_is_not_the_platforms_is_left_alone(tmp_path: Path) -> None:
    env(tmp_path, "SECRET_KEY=x\nFLASK_DEBUG=1\nTENANTRY_PORT=81\n")
    assert read(tmp_path, {"PATH": "/bin", "_TENANTRY_COMPLETE": "bash_source"}).settings.port == 81


def test_the_keys_of_the_setup_and_the_tests_are_known(tmp_path: Path) -> None:
    assert read(tmp_path, dict.fromkeys(SETUP_KEYS, "1")).settings == read(tmp_path, {}).settings


def test_nothing_in_the_file_is_expanded_and_the_environment_stays_as_it_was(tmp_path: Path) -> None:
    env(tmp_path, "TENANTRY_APPLICATION=${HOME}:create_app\n")
    before = dict(os.environ)
    assert read(tmp_path, {}).settings.application == "${HOME}:create_app"
    assert dict(os.environ) == before


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


# What is refused


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("PORT", text) for text in ("", "-1", "65536", "1.5", "http", "0x50", "nan")),
        *(("LANE_WAIT", text) for text in ("0", "nan", "inf", "-inf", "5s", "")),
        *(("DOMAIN", text) for text in ("", "a b", "exa_mple.com", "a..b", "http://x", "x:0")),
        *(("SCHEME", text) for text in ("", "ftp", "HTTPS")),
        *(("HOST", text) for text in ("", "  ")),
        *(("INSTANCE", text) for text in ("", " ", "~no-such-user-here/x")),
        ("APPLICATION", ""),
        ("THREADS", "0"),
        ("MAX_BODY", str((1 << 40) + 1)),
        *(("QUOTA", text) for text in ("", "lots", "-1", "1.5", "5 XB", "5000 TB")),
        *(("RATE", text) for text in ("100", "0/second", "5/day", "5/seconds")),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "INFO"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_key_and_where_it_stands(
    tmp_path: Path, key: str, text: str
) -> None:
    with pytest.raises(Invalid, match=f"^TENANTRY_{key}=.* in the environment is not valid: ") as refused:
        read(tmp_path, {PREFIX + key: text})
    assert str(refused.value).endswith(". See docs/settings.md.")
    assert ".." not in str(refused.value).replace("a..b", "")
    env(tmp_path, f"{PREFIX}{key}='{text}'\n")
    with pytest.raises(Invalid, match=r" in \.env is not valid: "):
        read(tmp_path, {})


def test_a_number_is_told_its_range(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="must be a number from 0 to 65535"):
        read(tmp_path, {"TENANTRY_PORT": "lots"})


def test_a_size_may_have_a_unit(tmp_path: Path) -> None:
    known = read(tmp_path, {"TENANTRY_MAX_BODY": "2 MiB", "TENANTRY_QUOTA": "1.5GB"}).settings
    assert (known.max_body, known.quota) == (2 << 20, 1_500_000_000)
    with pytest.raises(Invalid, match="must be at most 1099511627776 bytes"):
        read(tmp_path, {"TENANTRY_MAX_BODY": "2 TiB"})


def test_a_rate_is_a_number_in_a_time(tmp_path: Path) -> None:
    assert read(tmp_path, {"TENANTRY_RATE": " 100/second "}).settings.rate == "100/second"
    assert read(tmp_path, {"TENANTRY_RATE": ""}).settings.rate == ""
    with pytest.raises(Invalid, match="must be such as 100/second"):
        read(tmp_path, {"TENANTRY_RATE": "100"})


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("TENANTRY_DOMIAN", "Did you mean TENANTRY_DOMAIN?"),
        ("TENANTRY_PORTS", "Did you mean TENANTRY_PORT?"),
        ("TENANTRY_THREDS", "Did you mean TENANTRY_THREADS?"),
        ("TENANTRY_", "docs/settings.md lists them all."),
        ("TENANTRY_FLASK_APP", "docs/settings.md lists them all."),
    ],
)
def test_a_key_that_is_no_setting_is_refused_not_ignored(tmp_path: Path, key: str, hint: str) -> None:
    with pytest.raises(Invalid, match="in the environment is not a setting") as refused:
        read(tmp_path, {key: "1"})
    assert refused.value.hint == hint
    env(tmp_path, f"{key}=1\n")
    with pytest.raises(Invalid, match=r"in \.env is not a setting"):
        read(tmp_path, {})


def test_a_key_without_a_value_is_an_empty_value(tmp_path: Path) -> None:
    env(tmp_path, "TENANTRY_PORT\n")
    with pytest.raises(Invalid, match=r"TENANTRY_PORT='' in \.env"):
        read(tmp_path, {})


def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"TENANTRY_PORT=80\xff\n")
    with pytest.raises(Invalid, match=r"\.env cannot be read"):
        read(tmp_path, {})


@pytest.mark.parametrize("known", fields(Settings), ids=lambda known: known.name)
def test_every_default_is_a_value_that_would_be_accepted(tmp_path: Path, known: object) -> None:
    name = str(getattr(known, "name", ""))
    default = getattr(Settings(), name)
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    source = read(tmp_path, {f"{PREFIX}{name.upper()}": text})
    assert source.origin[name] == "environment"
    if name != "instance":
        assert getattr(source.settings, name) == default
        assert type(getattr(source.settings, name)) is type(default)


@pytest.mark.parametrize("known", fields(Settings), ids=lambda known: known.name)
def test_every_setting_says_in_a_sentence_what_it_is_for(known: object) -> None:
    doc = getattr(known, "metadata", {})["doc"]
    assert doc[0].isupper()
    assert doc.endswith(".")
    assert "|" not in doc


# What they mean


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("data", "{root}/data"),
        ("/srv/tenantry", "/srv/tenantry"),
        ("../data/", "{parent}/data"),
        (" a b ", "{root}/a b"),
    ],
)
def test_the_instance_folder_is_absolute_and_relative_to_where_the_settings_are(
    tmp_path: Path, given: str, expected: str
) -> None:
    settings = read(tmp_path, {"TENANTRY_INSTANCE": given}).settings
    assert str(settings.instance) == expected.format(root=tmp_path, parent=tmp_path.parent)
    assert read(tmp_path, {}, {"instance": Path(given.strip())}).settings.instance == settings.instance


def test_the_instance_folder_may_be_below_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/her")
    assert read(tmp_path, {"TENANTRY_INSTANCE": "~/data"}).settings.instance == Path("/srv/her/data")


def test_a_symlinked_instance_folder_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert read(tmp_path, {"TENANTRY_INSTANCE": "link"}).settings.instance == tmp_path / "link"


def test_the_domain_is_kept_in_its_canonical_form(tmp_path: Path) -> None:
    assert read(tmp_path, {"TENANTRY_DOMAIN": "Example.COM.:8000"}).settings.domain == "example.com"


def test_dns_servers_are_addresses_with_a_port(tmp_path: Path) -> None:
    given = {"TENANTRY_RESOLVER": "9.9.9.9, 127.0.0.1:5353,2620:fe::FE,[::1]:54"}
    expected = ("9.9.9.9:53", "127.0.0.1:5353", "[2620:fe::fe]:53", "[::1]:54")
    assert read(tmp_path, given).settings.resolver == expected
    for wrong in ("dns.quad9.net", "9.9.9.9:0", "9.9.9.9:65536", "[::1", "::1]:53", "9.9.9:53", "9.9.9.9:x"):
        with pytest.raises(Invalid, match="TENANTRY_RESOLVER"):
            read(tmp_path, {"TENANTRY_RESOLVER": wrong})


def test_middleware_is_a_list_separated_by_commas(tmp_path: Path) -> None:
    source: Source = read(tmp_path, {"TENANTRY_MIDDLEWARE": " a:b , c.d:e,,"})
    assert source.settings.middleware == ("a:b", "c.d:e")


ACME = {kind: Address(kind, "acme.org" if kind is Kind.DOMAIN else "acme") for kind in Kind}


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (Settings(), ":8000"),
        (Settings(port=80), ""),
        (Settings(port=443), ":443"),
        (Settings(scheme="https", port=443), ""),
        (Settings(scheme="https", port=80), ":80"),
        (Settings(proxies=1), ""),
        (Settings(proxies=1, public_port=8443), ":8443"),
        (Settings(public_port=80), ""),
        (Settings(port=0), ""),
    ],
)
def test_public_addresses_show_the_port_that_visitors_need(settings: Settings, shown: str) -> None:
    scheme = settings.scheme
    assert settings.front_url() == f"{scheme}://localhost{shown}/"
    assert settings.url(ACME[Kind.SUBDOMAIN]) == f"{scheme}://acme.localhost{shown}/"
    assert settings.url(ACME[Kind.PATH]) == f"{scheme}://localhost{shown}/t/acme/"
    assert settings.url(ACME[Kind.DOMAIN]) == f"{scheme}://acme.org{shown}/"
