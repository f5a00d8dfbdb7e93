"""A tenant's config in the operator's hands: what is kept, what is refused, what is never shown."""

import json
from datetime import datetime

import pytest

from tenantry.errors import Invalid, Refused
from tenantry.operations import NewTenant, Operations, config
from tenantry.placement import Placement
from tests import shops
from tests.shops import mode, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


def test_config_set_keeps_comments_and_types_and_asks_for_a_new_build(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    path = operations.path("acme") / "config.toml"
    path.write_text("# mine\nCOLOUR = 'red'  # for now\n\n[TABLE]\nX = 1 # one\n")
    before = operations.show("acme").tenant.revision
    changed = operations.config_set("acme", {"COLOUR": "blue", "OPEN": True, "LIST": [1, 2.5], "AT": {"A": "b"}})
    assert (changed.changed, changed.keys) == (True, ("AT", "COLOUR", "LIST", "OPEN"))
    assert changed.tenant.revision > before
    text = path.read_text()
    assert all(part in text for part in ("# mine", "# for now", "X = 1 # one"))
    found = config.read_config(Placement(path.parent))
    assert found == {"COLOUR": "blue", "OPEN": True, "LIST": [1, 2.5], "AT": {"A": "b"}, "TABLE": {"X": 1}}
    assert mode(path) == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(
        [".env", "config.toml", "database.sqlite3", "files", "key", "lock"]
    )


def test_lines_keep_their_ends(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    placement = Placement(operations.path("acme"))
    placement.config.write_bytes(b"# mine\r\nA = 1 # one\r\nB = 2\r\n")
    placement.secrets.write_bytes(b"# mine\r\nPIN='1'\r\nTOKEN=\"a\r\nb\"\r\n")
    operations.config_set("acme", {"A": 3})
    operations.config_set_secret("acme", {"PIN": "2"})
    assert placement.config.read_bytes() == b"# mine\r\nA = 3 # one\r\nB = 2\r\n"
    assert b"# mine\r\n" in placement.secrets.read_bytes()
    assert config.read_secrets(placement) == {"PIN": "2", "TOKEN": "a\nb"}
    placement.config.write_bytes(b"A = 1\rB = 2\r")
    operations.config_set("acme", {"A": 3})
    assert config.read_config(placement) == {"A": 3, "B": 2}


def test_config_set_to_what_is_so_writes_nothing(operations: Operations) -> None:
    """One is not true, though Python holds them for equal."""
    operations.add(NewTenant("acme", config={"OPEN": 1}))
    assert not operations.config_set("acme", {"OPEN": 1}).changed
    assert operations.config_set("acme", {"OPEN": True}).changed
    assert verbs(operations) == ["add", "config set"]


def test_unset_takes_keys_out_of_both_files_and_keeps_the_rest(operations: Operations) -> None:
    operations.add(NewTenant("acme", config={"A": 1, "B": 2}))
    operations.config_set_secret("acme", {"TOKEN": "x", "PIN": "y"})
    assert operations.config_unset("acme", ["A", "PIN", "NEVER"]).keys == ("A", "PIN")
    assert not operations.config_unset("acme", ["A"]).changed
    placement = Placement(operations.path("acme"))
    assert config.read_config(placement) == {"B": 2}
    assert config.read_secrets(placement) == {"TOKEN": "x"}
    assert placement.secrets.read_text().startswith("# The secrets of acme")


@pytest.mark.parametrize(
    "secret", ["plain", "two words", "it's", 'a"b', "back\\slash\\", "a\nb", "${HOME}", "#x", "", "ü€"]
)
def test_a_secret_is_read_back_as_it_was_given(operations: Operations, secret: str) -> None:
    operations.add(NewTenant("acme"))
    operations.config_set_secret("acme", {"BEFORE": "1", "PIN": "2", "AFTER": "3"})
    operations.config_set_secret("acme", {"PIN": secret})
    placement = Placement(operations.path("acme"))
    assert config.read_secrets(placement) == {"BEFORE": "1", "PIN": secret, "AFTER": "3"}
    assert mode(placement.secrets) == 0o600


def test_no_secret_is_ever_shown(operations: Operations) -> None:
    """Not in the journal, not in a listing, not in an error."""
    hidden = "hunter2"
    operations.add(NewTenant("acme", config={"MAIL": {"PASSWORD": hidden, "HOST": "mail"}, "API_KEY": hidden}))
    operations.config_set("acme", {"FEED": f"https://me:{hidden}@host/feed", "STRIPE_TOKEN": hidden})
    operations.config_set_secret("acme", {"HARMLESS": hidden})
    with pytest.raises(Refused) as refused:
        operations.config_set("acme", {"HARMLESS": hidden})
    told = (operations.journal(), operations.show("acme"), operations.list(), operations.config_show("acme"), refused)
    assert hidden not in repr(told)
    shown = {value.key: (value.shown, value.source) for value in operations.config_show("acme")}
    assert shown["HARMLESS"] == (config.MASK, ".env")
    assert shown["MAIL"] == ({"PASSWORD": config.MASK, "HOST": "mail"}, "config.toml")
    assert shown["FEED"] == (f"https://me:{config.MASK}@host/feed", "config.toml")
    assert shown["SECRET_KEY"] == (config.MASK, "tenantry")
    assert shown["PUBLIC_URL"] == ("http://acme.localhost:8000/", "tenantry")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:p@w/x@host/db", f"postgresql://me:{config.MASK}@host/db"),
        ("redis://:pw@host", f"redis://:{config.MASK}@host"),
        ("https://token@host/x", f"https://{config.MASK}@host/x"),
        ("https://host/x?a=1&api_key=abc&b=2", f"https://host/x?a=1&api_key={config.MASK}&b=2"),
        ("host=x password=y", f"host=x password={config.MASK}"),
        (["a", {"TOKEN": "t", "b": "c"}], ["a", {"TOKEN": config.MASK, "b": "c"}]),
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {config.MASK}"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", config.MASK),
        ({"https://me:pw@host": 1}, {f"https://me:{config.MASK}@host": 1}),
        (
            {"deep": [{"Pass-Word": "p", "x.api key": "k"}]},
            {"deep": [{"Pass-Word": config.MASK, "x.api key": config.MASK}]},
        ),
        ("A bearer of news", "A bearer of news"),
        ("me@example.com", "me@example.com"),
        (7, 7),
    ],
)
def test_what_looks_like_a_secret_is_masked_inside_a_value(value: object, shown: object) -> None:
    assert config.masked(value) == shown


@pytest.mark.parametrize(
    "key",
    [
        "SMTP_PASS",
        "DB_PSWD",
        "AWS_CREDS",
        "JWT",
        "SLACK_WEBHOOK",
        "HMAC",
        "Straßenpaßwort",
        "my-Api.Key",
        "PASSPHRASE_2",
    ],
)
def test_a_key_that_smells_of_a_secret_hides_its_value(key: str) -> None:
    """Too many rather than too few."""
    assert config.told(key, {"anything": 1}) == config.MASK


@pytest.mark.parametrize(
    "key", ["SITE_TITLE", "SIGN_UP_OPEN", "MAX_CONTENT_LENGTH", "MAIL_SERVER", "SESSION_COOKIE_SAMESITE"]
)
def test_a_key_that_does_not_is_shown(key: str) -> None:
    assert config.told(key, "x") == "x"


def test_values_are_alike_exactly_if_an_application_cannot_tell_them_apart() -> None:
    values = [
        1,
        True,
        1.0,
        "1",
        [1],
        [True],
        {"A": 1},
        {"A": "1"},
        None,
        "true",
        datetime(2026, 1, 1),
        "2026-01-01 00:00:00",
    ]
    assert len({config.spelled(value) for value in values}) == len(values)
    assert config.spelled({"A": 1, "B": [2]}) == config.spelled({"B": [2], "A": 1})


def test_a_value_that_is_no_number_is_written_once(operations: Operations) -> None:
    """It is not equal to itself, and yet the same."""
    operations.add(NewTenant("acme", config={"RATIO": float("nan")}))
    assert not operations.config_set("acme", {"RATIO": float("nan")}).changed
    assert operations.config_set("acme", {"A": 1}).changed


def test_a_broken_config_is_named_with_its_line_and_never_overwritten(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    path = operations.path("acme") / "config.toml"
    path.write_text("A = 1\nB = \n")
    for act in (lambda: operations.config_set("acme", {"C": 1}), lambda: operations.config_show("acme")):
        with pytest.raises(Invalid, match="line 2"):
            act()
    assert path.read_text() == "A = 1\nB = \n"
    assert any("config.toml" in problem and "line 2" in problem for problem in operations.show("acme").problems)
    path.write_text("")
    (path.parent / ".env").write_text("A='1'\n\n'nonsense\n")
    with pytest.raises(Invalid, match="line 3"):
        operations.config_set_secret("acme", {"C": "1"})
    assert any(".env" in problem and "line 3" in problem for problem in operations.show("acme").problems)


def test_a_platform_key_that_was_written_by_hand_can_be_unset(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    (operations.path("acme") / "config.toml").write_text("SECRET_KEY = 'mine'\nA = 1\n")
    assert any("SECRET_KEY" in problem for problem in operations.show("acme").problems)
    operations.config_unset("acme", ["SECRET_KEY"])
    assert operations.show("acme").problems == ()


@pytest.mark.parametrize(
    "value",
    [
        '{"user": "ada", "password": "hunter2xyz"}',
        "user: ada\npassword: hunter2xyz",
        "password = hunter2xyz",
        "Authorization: Basic hunter2xyz",
        "--password hunter2xyz",
        ["smtp", "--password", "hunter2xyz"],
        "ada:hunter2xyz@mail.example.org",
        "sk_live_hunter2xyz",
        "https://hooks.slack.com/services/T0/B0/hunter2xyz",
        {"headers": {"Authorization": "Token hunter2xyz"}},
    ],
)
def test_no_way_of_writing_a_password_shows_it(value: object) -> None:
    assert "hunter2xyz" not in json.dumps(config.masked(value))


@pytest.mark.parametrize("key", ["SMTP_PIN", "OTP", "SEED", "DB_PWORD", "ENCRYPTION", "ADMIN_LOGIN"])
def test_short_words_of_secrets_are_known_where_they_stand_alone(key: str) -> None:
    assert config.is_secret(key)


@pytest.mark.parametrize("key", ["SHOPPING_LIST", "MAPPING", "SITE_TITLE", "SEEDS", "TIMEZONE", "LOGINS"])
def test_words_that_merely_contain_them_are_shown(key: str) -> None:
    assert not config.is_secret(key)


@pytest.mark.parametrize("value", ["Acme & Sons: since 1949", "12:30", "a=b", "ada@example.org", "http://x.org:80/a"])
def test_what_is_no_secret_is_shown_whole(value: str) -> None:
    assert config.masked(value) == value
