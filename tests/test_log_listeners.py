"""A tenant's handlers hear its own lines, are nobody else's, and go with the live application that has added them."""

import gc
import json
import logging
import os
from collections.abc import Iterator
from contextlib import closing
from contextvars import Context
from pathlib import Path

import pytest

from tenantry import log, signals
from tenantry.builder import Builder, Built
from tenantry.log.listeners import _in_use, install
from tenantry.placement import Instance
from tenantry.tenant import Tenant
from tests import builders, logs
from tests.builders import Build, Place
from tests.logs import Stderr
from tests.wsgi import call

build, builder, place, stderr = builders.build, builders.builder, builders.place, logs.stderr

WAYS = ("handlers", "memory", "basic", "dictionary", "parsed", "rude")


def ask(built: Built, path: str) -> None:
    Context().run(lambda: call(built.app, "x", path))


def written(instance: Instance, tenant: Tenant) -> str:
    return (instance.placement(tenant.uid).files / "app.log").read_text()


@pytest.mark.parametrize("way", WAYS)
def test_what_a_tenant_adds_hears_its_own_lines_alone(
    instance: Instance, place: Place, build: Build, stderr: Stderr, way: str
) -> None:
    """However an application adds its handlers; and the platform's own goes on hearing all of them, once."""
    log.configure("text", "info")
    tenants = [place(f"tests.listening:{way}", name) for name in ("acme", "globex", "hooli")]
    live = [build(tenant) for tenant in tenants]
    for built in live:
        ask(built, "/say/hello")
    logging.getLogger("shop").warning("nobody's")
    logging.getLogger("tenantry.pool.given").warning("the platform's")
    for built in live:
        built.close()
    for tenant in tenants:
        expected = ["" if way == "rude" else f"built by {tenant.name}", f"{tenant.name} says hello"]
        assert written(instance, tenant).split("\n")[:-1] == [line for line in expected if line]
    for said in ("acme says hello", "globex says hello", "nobody's", "the platform's"):
        assert sum(line.endswith(f": {said}") for line in stderr.lines()) == 1, said


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["well", "badly"])
def test_building_fifty_times_leaves_nothing_behind(
    instance: Instance, place: Place, builder: Builder, way: str, how: str
) -> None:
    """No handler, no descriptor, no logger and no filter, whether the factory returns or raises."""
    tenant = place(f"tests.listening:{way}")
    instance.placement(tenant.uid).config.write_text(f"FAIL = {str(how == 'badly').lower()}\n")
    counts = []
    for number in range(51):
        try:
            with closing(builder.build(tenant, "")) as built:
                ask(built, "/say/hello")
            assert how == "well"
        except RuntimeError:
            assert how == "badly"
        if number in {0, 50}:
            gc.collect()
            counts.append(_counts())
    assert counts[0] == counts[1]


def _counts() -> tuple[int, ...]:
    loggers = [logging.root, *(each for each in logging.root.manager.loggerDict.values())]
    kept = sum(len(vars(each).get(name, ())) for each in loggers for name in ("handlers", "filters"))
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    handlers = sum(isinstance(each, logging.Handler) for each in gc.get_objects())
    return len(loggers), kept, files, handlers, len(_in_use())


def test_the_platforms_log_survives_what_a_factory_does(place: Place, builder: Builder, stderr: Stderr) -> None:
    """Levels of the whole process, what makes records, and what is disabled are put back when the build ends."""
    log.configure("text", "info")
    factory, kind = logging.getLogRecordFactory(), logging.getLoggerClass()
    before = logging.root.handlers[:]
    for way in WAYS:
        builder.build(place(f"tests.listening:{way}"), "").close()
    assert logging.root.handlers == before
    assert logging.root.level == logging.INFO
    assert logging.root.manager.disable == 0
    assert (logging.getLogRecordFactory(), logging.getLoggerClass()) == (factory, kind)
    logging.getLogger("tenantry.pool.given").info("still here")
    assert stderr.lines()[-1].endswith("still here")


def test_a_successor_has_handlers_of_its_own_beside_the_one_before(
    instance: Instance, place: Place, builder: Builder
) -> None:
    """Both are live for a while: each line is written once, by the handlers of the application that logs it."""
    tenant = place("tests.listening:handlers")
    with closing(builder.build(tenant, "")) as new:
        with closing(builder.build(tenant, "")) as old:
            ask(old, "/say/one")
            ask(new, "/say/two")
        ask(new, "/say/three")
    lines = written(instance, tenant).splitlines()
    assert lines == ["built by acme", "built by acme", *(f"acme says {word}" for word in ("one", "two", "three"))]


def test_lines_of_building_probing_and_disposing_carry_the_tenant(
    place: Place, builder: Builder, stderr: Stderr
) -> None:
    """Also those of who listens to the signals, and those of a factory that raises."""
    log.configure("json", "info")
    shop = logging.getLogger("shop.all")

    def receiver(_: str, **__: object) -> None:
        shop.warning("told")

    tenant = place("tests.listening:handlers")
    with signals.tenant_built.connected_to(receiver), signals.tenant_disposed.connected_to(receiver):
        built = builder.build(tenant, "")
        assert built.flask is not None
        built._closing.callback(shop.warning, "disposed")
        built.probe()
        built.close()
    found = [json.loads(line) for line in stderr.lines()]
    assert [line["message"] for line in found] == ["built by acme", "told", "disposed", "told"]
    assert {(line["tenant"], line["uid"]) for line in found} == {("acme", tenant.uid)}
    assert log.mark.get() == log.Mark()


def test_filters_of_a_tenant_filter_its_own_lines(instance: Instance, place: Place, build: Build) -> None:
    one, two = place("tests.listening:handlers", "acme"), place("tests.listening:handlers", "globex")
    for tenant in (one, two):
        ask(build(tenant), "/say/drop")
    assert "drop" not in written(instance, one)
    assert "globex says drop" in written(instance, two)


def test_a_handler_of_the_module_hears_all_tenants_of_the_application(place: Place, builder: Builder) -> None:
    """It was added when the module was imported, and stays when a tenant goes; nobody else's lines reach it."""
    builder.build(place("tests.listening:handlers"), "").close()
    from tests.listening import BESIDE

    BESIDE.buffer.clear()
    for name in ("acme", "globex"):
        with closing(builder.build(place("tests.listening:handlers", name), "")) as built:
            ask(built, "/beside/hello")
    logging.getLogger("shop.beside").warning("nobody's")
    assert [record.getMessage() for record in BESIDE.buffer] == ["acme says hello", "globex says hello"]


def test_lines_of_a_thread_that_a_tenant_starts(place: Place, build: Build, stderr: Stderr) -> None:
    """Through the application's own logger they are the tenant's; through any other it is not known whose they are."""
    log.configure("text", "info")
    tenant = place("tests.listening:handlers")
    ask(build(tenant), "/apart/hello")
    own, named = stderr.lines()[-2:]
    assert f"tenantry.tenant.{tenant.uid}[acme/{tenant.uid}]: own hello" in own
    assert "shop: named hello" in named


def test_a_handler_that_fails_is_one_line(place: Place, build: Build, stderr: Stderr) -> None:
    """Not a page of traceback, with the arguments of what should have been logged."""
    log.configure("text", "info")
    tenant = place("tests.listening:handlers")
    built = build(tenant)
    assert built.whose.listeners is not None
    (handler,) = built.whose.listeners.handlers[logging.getLogger("shop")]
    handler.setFormatter(logging.Formatter("%(nonsense)s"))
    ask(built, "/say/hello")
    (line,) = [line for line in stderr.lines() if "failed" in line]
    assert f"[acme/{tenant.uid} 127.0.0.1]: FileHandler of the logger shop has failed: ValueError: Formatting" in line


def test_the_path_of_a_view_that_fails_tells_no_token(place: Place, build: Build, stderr: Stderr) -> None:
    """Flask logs the path; a one-time link in it would open to whoever reads the log."""
    log.configure("json", "info")
    ask(build(place("tests.listening:handlers")), "/welcome/Im93bmVyIg.aQ3x7w.3kfL0s8d7fG")
    assert "Exception on /welcome/Im93... [GET]" in stderr.getvalue()
    assert "aQ3x7w" not in stderr.getvalue()


@pytest.fixture
def plain() -> Iterator[None]:
    """Logging without an outlet, as commands have it."""
    with logs.put_back():
        log.setup.now.outlet = None
        yield


def test_in_a_command_handlers_that_print_are_called(
    plain: None, place: Place, builder: Builder, capsys: pytest.CaptureFixture[str]
) -> None:
    """There the platform writes nothing by itself."""
    install()
    own = log.Listeners()
    with log.building(log.Mark("acme", "aaaa", own)):
        logging.basicConfig(force=True, format="it says %(message)s")
        logging.getLogger("shop").warning("hello")
    own.close()
    assert "it says hello" in capsys.readouterr().err


def test_python_has_what_is_replaced() -> None:
    """These are logging's own, by name; with another Python they may have moved."""
    import logging.config

    assert logging.config._clearExistingHandlers.__module__ == "tenantry.log.listeners"  # type: ignore[attr-defined]
    assert "_clearExistingHandlers()" in Path(logging.config.__file__).read_text()
    assert Path(logging.config.__file__).read_text().count("_handle_existing_loggers(") == 3
    assert "def callHandlers(self, record):" in Path(logging.__file__).read_text()
