"""Sharing: what the many applications of one factory have in common is equal in all, and nothing of a tenant's."""

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template, url_for
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader
from werkzeug.routing import BaseConverter, Map, Rule

from tenantry import log
from tenantry.builder.sharing import Shared, SharedRule, SharedTemplates, install
from tests.sites import on_threads

install()


def building(uid: str) -> AbstractContextManager[None]:
    """Do as the builder does while the factory of a tenant runs."""
    return log.building(log.Mark("", uid, log.Listeners()))


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "page.html").write_text("{{ title }} {% if 'x' is string %}{{ 'x'|upper }}{% endif %}")
    return folder


def make(name: str = "app", templates: Path | None = None, **options: Any) -> Flask:
    """Make an application as one factory does for each tenant: all alike but for its title."""
    folder = str(templates) if templates is not None else None
    app = Flask("tests.sharing", template_folder=folder, root_path="/", **options)
    app.config["TITLE"] = name
    app.add_url_rule("/", "index", lambda: render_template("page.html", title=name))
    app.add_url_rule("/entries/<int:number>", "entry", lambda number: f"{name} {number}")
    app.add_url_rule("/where", "where", lambda: url_for("entry", number=7, q="ä"))
    return app


def settled(shared: Shared, *apps: Flask) -> list[Flask]:
    for app in apps:
        shared.settle(app)
    return list(apps)


def get(app: Flask, path: str) -> str:
    return app.test_client().get(path).text


# What an application decides for itself


def test_an_application_that_escapes_in_its_own_way_shares_no_templates(templates: Path) -> None:
    """Escaping is part of compiled code: one tenant's choice must not switch off another's."""
    (templates / "page.html").write_text("{{ title }}")

    class Choosing(Flask):
        def select_jinja_autoescape(self, filename: str | None) -> bool:
            return not self.config.get("PLAIN")

    apps = []
    for name, plain in (("<one>", True), ("<two>", False)):
        app = Choosing("tests.sharing", template_folder=str(templates), root_path="/")
        app.config["PLAIN"] = plain
        app.add_url_rule("/", "index", lambda name=name: render_template("page.html", title=name))
        apps.append(app)
    assert [get(app, "/") for app in settled(Shared(), *apps)] == ["<one>", "&lt;two&gt;"]


def test_a_map_of_an_applications_own_kind_is_not_shared() -> None:
    """It may hold what is one tenant's own."""

    class Own(Map):
        pass

    apps = []
    for name in ("one", "two"):
        app = make(name)
        app.url_map = Own([rule.empty() for rule in app.url_map.iter_rules()])
        apps.append(app)
    one, two = settled(Shared(), *apps)
    assert one.url_map is not two.url_map


def test_a_rule_that_comes_after_the_factory_is_refused() -> None:
    """In a shared map it would be every tenant's."""
    one, two = settled(Shared(), make("one"), make("two"))
    with pytest.raises(RuntimeError, match="factory"):
        one.add_url_rule("/late", "late", lambda: "late")
    assert two.test_client().get("/late").status_code == 404


# URL maps


def test_equal_applications_share_one_url_map_and_answer_for_themselves() -> None:
    one, two = settled(Shared(), make("one"), make("two"))
    assert one.url_map is two.url_map
    assert [get(app, "/entries/7") for app in (one, two)] == ["one 7", "two 7"]
    assert get(one, "/where") == get(two, "/where") == "/entries/7?q=%C3%A4"


def add_rule(app: Flask) -> None:
    app.add_url_rule("/more", "more", lambda: "more")


def more_methods(app: Flask) -> None:
    app.add_url_rule("/more", "more", lambda: "more", methods=["POST"])


def strict(app: Flask) -> None:
    app.url_map.strict_slashes = False


def converter(app: Flask) -> None:
    app.url_map.converters["list"] = BaseConverter


def subdomain(app: Flask) -> None:
    app.add_url_rule("/more", "more", lambda: "more", subdomain="api")


@pytest.mark.parametrize("change", [add_rule, more_methods, strict, converter, subdomain])
def test_applications_that_route_otherwise_share_no_url_map(change: Callable[[Flask], None]) -> None:
    other = make("other")
    change(other)
    one, other, third = settled(Shared(), make("one"), other, make("third"))
    assert one.url_map is third.url_map
    assert one.url_map is not other.url_map


def test_factories_share_nothing_with_each_other() -> None:
    (one,) = settled(Shared(), make("one"))
    (two,) = settled(Shared(), make("two"))
    assert one.url_map is not two.url_map


def test_applications_that_answer_options_otherwise_share_no_url_map() -> None:
    apps = []
    for automatic in (True, False):
        app = make()
        app.add_url_rule(
            "/it", "it", lambda: "its own", methods=["GET", "OPTIONS"], provide_automatic_options=automatic
        )
        apps.append(app)
    one, two = settled(Shared(), *apps)
    assert [app.test_client().options("/it").text for app in (one, two)] == ["", "its own"]


def test_rules_that_cannot_be_compared_are_shared_with_nobody() -> None:
    apps = [make("one"), make("two")]
    for app in apps:
        app.url_map.add(Rule("/plain", endpoint="plain"))
        app.add_url_rule("/all/", "all", lambda page: f"{page}", defaults={"page": 1})
        app.url_map.add(SharedRule("/old", redirect_to="/new", endpoint="old"))
    one, two = settled(Shared(), *apps)
    assert one.url_map is not two.url_map
    assert get(one, "/all/") == "1"


def test_settling_many_applications_at_once_leaves_them_one_map() -> None:
    shared = Shared()
    apps = [make(f"app{number}") for number in range(24)]
    barrier = threading.Barrier(8)

    def settle(number: int) -> None:
        barrier.wait(10)
        settled(shared, *apps[number::8])

    on_threads(*[lambda number=number: settle(number) for number in range(8)])
    assert len({id(app.url_map) for app in apps}) == 1
    assert all(get(app, "/entries/1") == f"app{number} 1" for number, app in enumerate(apps))


def test_an_application_keeps_a_converter_of_its_own_although_its_name_is_anothers() -> None:
    class Upper(BaseConverter):
        def to_python(self, value: str) -> str:
            return value.upper()

        def to_url(self, value: str) -> str:
            return "to-upper"

    class Lower(BaseConverter):
        def to_python(self, value: str) -> str:
            return value.lower()

        def to_url(self, value: str) -> str:
            return "to-lower"

    apps = []
    for kind in (Upper, Lower):
        app = make()
        app.url_map.converters["word"] = kind
        app.add_url_rule("/word/<word:word>", "word", lambda word: f"{word} {url_for('word', word=word)}")
        apps.append(app)
    upper, lower = settled(Shared(), *apps)
    assert get(upper, "/word/Both") == "BOTH /word/to-upper"
    assert get(lower, "/word/Both") == "both /word/to-lower"


# URL builders


RULES = st.sampled_from(
    ["/", "/a/<x>", "/<int:x>/<y>", "/<path:x>", "/a b/<float:x>/", "/<any(one, two):x>", "/ä/<string(length=2):x>"]
)
VALUES = st.fixed_dictionaries({}, optional={"x": st.sampled_from(["one", 3, 1.5, "ab", "ä/ö"]), "y": st.just("?")})


@given(RULES, VALUES, st.booleans())
def test_a_shared_rule_builds_what_the_plain_one_builds(rule: str, values: dict[str, Any], unknown: bool) -> None:
    built = []
    for kind in (Rule, SharedRule, SharedRule):
        urls = Map([kind(rule, endpoint="it")]).bind("example.com")
        try:
            built.append(urls.build("it", dict(values, q="ü&") if unknown else values, append_unknown=unknown))
        except Exception as error:
            built.append(type(error).__name__)
    assert built[0] == built[1] == built[2]


def test_the_builder_of_a_rule_is_compiled_once_for_every_spelling() -> None:
    one, two = make("one"), make("two")
    builders: list[Any] = [rule._build for app in (one, two) for rule in app.url_map.iter_rules("entry")]
    assert builders[0].__func__ is builders[1].__func__


def test_rules_with_defaults_compile_builders_of_their_own() -> None:
    urls = Map(
        [
            SharedRule("/a/<x>", endpoint="one", defaults={"page": 1}),
            SharedRule("/a/<x>", endpoint="two", defaults={"page": 2}),
        ]
    ).bind("example.com")
    assert urls.build("one", {"x": "y", "page": 1}) == "/a/y"
    assert urls.build("two", {"x": "y", "page": 2}) == "/a/y"


# Templates


def test_a_template_is_compiled_once_for_all_and_renders_for_each(templates: Path) -> None:
    one, two = settled(Shared(), make("one", templates), make("two", templates))
    assert [get(app, "/") for app in (one, two)] == ["one X", "two X"]
    codes = [app.jinja_env.get_template("page.html").root_render_func.__code__ for app in (one, two)]
    assert codes[0] is codes[1]
    assert one.jinja_env is not two.jinja_env


def test_an_application_that_has_made_its_environment_already_shares_too(templates: Path) -> None:
    early = make("early", templates)
    assert early.jinja_env.bytecode_cache is None
    one, _ = settled(Shared(), make("one", templates), early)
    assert early.jinja_env.bytecode_cache is one.jinja_env.bytecode_cache
    assert get(early, "/") == "early X"


def test_a_template_that_was_changed_is_compiled_anew(templates: Path) -> None:
    shared = Shared()
    (one,) = settled(shared, make("one", templates))
    assert get(one, "/") == "one X"
    (templates / "page.html").write_text("changed")
    (two,) = settled(shared, make("two", templates))
    assert get(two, "/") == "changed"


def test_globals_and_context_processors_stay_an_applications_own(templates: Path) -> None:
    (templates / "page.html").write_text("{{ brand }} {{ processed }}")
    apps = []
    for name in ("one", "two"):
        app = make(name, templates)
        app.jinja_env.globals["brand"] = name
        app.context_processor(lambda name=name: {"processed": name})
        apps.append(app)
    assert [get(app, "/") for app in settled(Shared(), *apps)] == ["one one", "two two"]


def test_filters_and_tests_stay_an_applications_own(templates: Path) -> None:
    (templates / "page.html").write_text("{{ 'x'|brand }} {% if 'one' is mine %}one{% else %}two{% endif %}")
    apps = []
    for name in ("one", "two"):
        app = make(name, templates)
        app.jinja_env.filters["brand"] = lambda _, name=name: name
        app.jinja_env.tests["mine"] = lambda value, name=name: value == name
        apps.append(app)
    assert [get(app, "/") for app in settled(Shared(), *apps)] == ["one one", "two two"]


def test_templates_of_one_name_and_another_source_are_kept_apart() -> None:
    shared = Shared()
    apps = []
    for name in ("one", "two"):
        app = make(name)
        app.jinja_loader = DictLoader({"page.html": f"from {name}"})
        apps.append(app)
    assert [get(app, "/") for app in settled(shared, *apps)] == ["from one", "from two"]


def test_compiled_templates_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.builder.sharing._LIMIT", 3)
    app = make()
    cache = SharedTemplates()
    app.jinja_options = {**app.jinja_options, "bytecode_cache": cache}
    app.jinja_loader = DictLoader({f"{number}.html": f"{number}" for number in range(20)})
    for number in range(20):
        assert app.jinja_env.get_template(f"{number}.html").render() == f"{number}"
    assert len(cache._codes) <= 3


# What sharing must not keep


def test_an_application_whose_map_is_shared_is_freed() -> None:
    shared = Shared()
    (first,) = settled(shared, make("first"))
    (app,) = settled(shared, make("second"))
    assert get(app, "/entries/1") == "second 1"
    seen = weakref.ref(app)
    del app
    gc.collect()
    assert seen() is None
    assert get(first, "/entries/1") == "first 1"


def test_an_application_that_made_a_converter_of_its_own_is_freed() -> None:
    def create_app() -> Flask:
        app = make()

        class Own(BaseConverter):
            def to_python(self, value: str) -> str:
                return f"{value} {app.config['TITLE']}"

        app.url_map.converters["own"] = Own
        return app

    shared = Shared()
    (app,) = settled(shared, create_app())
    seen = weakref.ref(app)
    del app
    gc.collect()
    assert seen() is None


# Loggers


def test_each_tenant_logs_through_a_logger_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    apps = []
    for uid in ("aaa", "bbb"):
        with building(uid):
            app = make(uid)
            app.logger.setLevel(logging.INFO)
        apps.append(app)
    one, two = apps
    assert one.logger is not two.logger
    one.logger.addHandler(logging.NullHandler())
    assert not two.logger.handlers
    two.logger.info("hello")
    assert [record.name for record in caplog.records] == ["tenantry.tenant.bbb"]


def test_an_application_built_anew_has_none_of_the_handlers_of_the_one_before() -> None:
    for _ in range(3):
        with building("aaa"):
            app = make()
            app.logger.addHandler(logging.NullHandler())
        assert len(app.logger.handlers) == 1
    assert "tenantry.tenant.aaa" not in logging.root.manager.loggerDict


def test_an_application_that_no_tenant_builds_logs_as_flask_does() -> None:
    app = make()
    assert app.logger is logging.getLogger("tests.sharing")
    app.logger.handlers.clear()


def test_the_mark_of_a_build_ends_with_it_even_when_it_fails() -> None:
    with pytest.raises(ValueError, match="no"), building("aaa"):
        raise ValueError("no")
    assert make().logger is logging.getLogger("tests.sharing")


def test_installing_twice_is_installing_once() -> None:
    install()
    install()
    assert Flask.url_rule_class is SharedRule
    with building("aaa"):
        assert make().logger.name == "tenantry.tenant.aaa"
