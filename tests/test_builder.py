"""The builder makes a live application from the tenant's own layers, and lets none loosen what keeps tenants apart."""

import gc
import hashlib
import hmac
import logging
import weakref
from contextlib import closing

import pytest

from tenantry import databases, signals
from tenantry.builder import OWN_KEYS, Builder, Built
from tenantry.errors import Invalid, Refused, Unavailable
from tenantry.placement import Instance
from tenantry.settings import Settings
from tenantry.tenant import Status, Tenant, new_uid
from tests import builders
from tests.builders import KEY, Build, Place, builder_of
from tests.wsgi import call

build, builder, place = builders.build, builders.builder, builders.place


def config_of(built: Built, key: str) -> object:
    assert built.flask is not None
    return built.flask.config.get(key)


def test_the_last_layer_wins(instance: Instance, place: Place, build: Build) -> None:
    """Platform, application, config.toml, .env: each overrides the one before it."""
    tenant = place()
    placement = instance.placement(tenant.uid)
    placement.config.write_text('ONE = "toml"\nTWO = "toml"\nSESSION_COOKIE_SAMESITE = "Strict"\n')
    placement.secrets.write_text("TWO=env\n")
    built = build(tenant)
    assert config_of(built, "ONE") == "toml"
    assert config_of(built, "TWO") == "env"
    assert config_of(built, "SESSION_COOKIE_SAMESITE") == "Strict"


def test_secrets_are_taken_as_written(
    instance: Instance, place: Place, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `${NAME}` in a tenant's .env never reads the operator's environment."""
    monkeypatch.setenv("OPERATORS_OWN", "leaked")
    tenant = place()
    instance.placement(tenant.uid).secrets.write_text('TOKEN="${OPERATORS_OWN}"\n')
    assert config_of(build(tenant), "TOKEN") == "${OPERATORS_OWN}"


def test_the_secret_key_is_derived_from_key_file_and_uid(place: Place, build: Build) -> None:
    """Equal key files still make different secret keys."""
    one, two = place(), place(name="globex")
    expected = hmac.new(KEY, one.uid.encode(), hashlib.sha256).hexdigest()
    assert config_of(build(one), "SECRET_KEY") == expected
    assert config_of(build(two), "SECRET_KEY") != expected


def test_cookies_are_scoped_by_the_mount(place: Place, build: Build) -> None:
    """On a host they are the tenant's by name, below a path by name and path."""
    tenant = place()
    assert config_of(build(tenant), "SESSION_COOKIE_PATH") == "/"
    mounted = build(tenant, "/t/acme")
    assert config_of(mounted, "SESSION_COOKIE_PATH") == "/t/acme/"
    assert config_of(mounted, "REMEMBER_COOKIE_PATH") == "/t/acme/"
    assert config_of(mounted, "SESSION_COOKIE_NAME") == f"session_{tenant.uid}"


def test_https_makes_host_cookies_on_a_subdomain_only(instance: Instance, place: Place) -> None:
    """`__Host-` needs `Path=/`, which a mounted application must not have."""
    builder = builder_of(instance, Settings(domain="example.com", scheme="https"))
    tenant = place()
    with closing(builder.build(tenant, "")) as host, closing(builder.build(tenant, "/t/acme")) as mounted:
        assert config_of(host, "SESSION_COOKIE_NAME") == f"__Host-session_{tenant.uid}"
        assert config_of(host, "SESSION_COOKIE_SECURE") is True
        assert config_of(mounted, "SESSION_COOKIE_NAME") == f"session_{tenant.uid}"


@pytest.mark.parametrize("key", sorted(OWN_KEYS))
def test_no_layer_may_set_an_own_key(instance: Instance, place: Place, builder: Builder, key: str) -> None:
    """A config.toml that sets one is refused with the key's name, and nothing is built."""
    tenant = place()
    instance.placement(tenant.uid).config.write_text(f'{key} = "mine"\n')
    with pytest.raises(Invalid, match=key):
        builder.build(tenant, "")


def test_a_factory_that_changes_an_own_key_fails_the_build(place: Place, builder: Builder) -> None:
    """The keys are verified after the factory has run, not only given to it."""
    with pytest.raises(Refused, match="SECRET_KEY"):
        builder.build(place("tests.applications:changes_key"), "")


def test_a_database_outside_the_placement_fails_the_build(place: Place, builder: Builder) -> None:
    """What counts is the engine the application has really made."""
    with pytest.raises(Refused, match=r"elsewhere\.db"):
        builder.build(place("tests.applications:opens_elsewhere"), "")


def test_what_one_application_changes_in_its_config_no_other_sees(place: Place, build: Build) -> None:
    """Nested values too are each tenant's own."""
    one = config_of(build(place()), "SQLALCHEMY_ENGINE_OPTIONS")
    assert isinstance(one, dict)
    one["marker"] = "one"
    two = config_of(build(place(name="globex")), "SQLALCHEMY_ENGINE_OPTIONS")
    assert isinstance(two, dict)
    assert "marker" not in two


def test_a_broken_config_is_named_with_its_line(instance: Instance, place: Place, builder: Builder) -> None:
    """The operator is told file and line."""
    tenant = place()
    instance.placement(tenant.uid).config.write_text('FINE = 1\nBROKEN = "\n')
    with pytest.raises(Invalid, match=r"config\.toml is broken.*line 2"):
        builder.build(tenant, "")


def test_a_missing_placement_is_unavailable(builder: Builder) -> None:
    """Nothing is created in its place."""
    tenant = Tenant(new_uid(), "ghost", "tests.applications:notes", Status.ACTIVE, revision=1)
    with pytest.raises(Unavailable, match="missing"):
        builder.build(tenant, "")


def test_a_short_key_is_not_used(place: Place, builder: Builder) -> None:
    """A key file cut short by a full disk must not become a guessable key."""
    with pytest.raises(Unavailable, match="too short"):
        builder.build(place(key=b""), "")


def test_a_live_application_holds_its_placement(instance: Instance, place: Place, builder: Builder) -> None:
    """While it lives nobody gets the lock alone; afterwards, and after a failed build, anybody does."""
    tenant = place()
    built = builder.build(tenant, "")
    assert instance.placement(tenant.uid).in_use()
    built.close()
    built.close()
    assert not instance.placement(tenant.uid).in_use()
    failing = place("tests.applications:fails")
    with pytest.raises(RuntimeError):
        builder.build(failing, "")
    assert not instance.placement(failing.uid).in_use()


def test_each_tenant_writes_its_own_database(instance: Instance, place: Place, build: Build) -> None:
    """One shared `db` serves both, each in its own file."""
    one, two = place(), place(name="globex")
    assert call(build(one).app, "acme.localhost", "/notes/first").text == "first"
    assert call(build(two).app, "globex.localhost", "/notes/other").text == "other"
    assert databases.url(instance.placement(one.uid)) != databases.url(instance.placement(two.uid))


def test_loggers_and_handlers_are_the_tenants_own(place: Place, build: Build) -> None:
    """Two applications of one import name do not share a logger, and rebuilds leave no handler behind."""
    one, two = place(), place(name="globex")
    shared = logging.getLogger("tests.applications")
    first, second = build(one).flask, build(two).flask
    assert first is not None
    assert second is not None
    assert first.logger is not second.logger
    assert first.logger.name == f"tenantry.tenant.{one.uid}"
    assert len(first.logger.handlers) == 1
    assert not shared.handlers
    again = build(one).flask
    assert again is not None
    assert len(again.logger.handlers) == 1


def test_url_maps_are_shared_between_equal_applications(place: Place, build: Build) -> None:
    """What is equal in every rule is kept once, and both still answer as themselves."""
    one, two = build(place()), build(place(name="globex"))
    assert one.flask is not None
    assert two.flask is not None
    assert one.flask.url_map is two.flask.url_map
    assert call(one.app, "x", "/").text == "acme for nobody"
    assert call(two.app, "x", "/").text == "globex for nobody"


def test_a_disposed_application_is_freed(place: Place, builder: Builder) -> None:
    """Nothing of the platform keeps it, nor its engine's connections."""
    built = builder.build(place(), "")
    call(built.app, "x", "/notes/one")
    gone = weakref.ref(built.flask) if built.flask is not None else None
    assert gone is not None
    built.close()
    del built
    gc.collect()
    assert gone() is None


def test_signals_tell_of_building_and_disposing(place: Place, builder: Builder) -> None:
    """Each is sent once, with the uid as sender."""
    told: list[tuple[str, object]] = []

    def built_(sender: str, **_: object) -> None:
        told.append(("built", sender))

    def disposed(sender: str, **_: object) -> None:
        told.append(("disposed", sender))

    with signals.tenant_built.connected_to(built_), signals.tenant_disposed.connected_to(disposed):
        tenant = place()
        builder.build(tenant, "").close()
    assert told == [("built", tenant.uid), ("disposed", tenant.uid)]


def test_a_command_of_the_application_runs_in_its_tenant(
    place: Place, builder: Builder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is passed on."""
    tenant = place()
    assert builder.run_cli(tenant, ["greet"]) == 0
    assert capsys.readouterr().out == "hello from acme\n"
    assert builder.run_cli(tenant, ["fail"]) == 7
    assert builder.run_cli(tenant, ["nonsense"]) == 2


def test_an_application_that_is_not_flask_has_no_commands(place: Place, builder: Builder) -> None:
    """It is served all the same."""
    tenant = place("tests.applications:plain")
    with pytest.raises(Refused, match="not a Flask one"):
        builder.run_cli(tenant, ["greet"])
    with closing(builder.build(tenant, "")) as built:
        assert call(built.app, "x").body == b"acme"
