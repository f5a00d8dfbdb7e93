"""The catalog: which applications it finds, and how it tells what is wrong with one."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenantry.application import Catalog
from tenantry.errors import Unavailable, Unknown

PLATFORM = Path(__file__).resolve().parents[1] / "platform"
# Where this project is installed editable, its own `tenants` would be found before anybody's.
_STRANGER = """
from pathlib import Path
import sys
root = Path(sys.argv[1])
sys.path.remove(sys.argv[2]) if sys.argv[2] in sys.path else None
"""
FACTORY = "def create_app(instance_path, config):\n    return lambda environ, start_response: [b'here']\n"

Place = Callable[[str, str], Path]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Write modules where Python finds them; whatever was imported of them is forgotten at the end."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(name: str, code: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(code))
        return file

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def in_checkout(root: Path, code: str) -> str:
    """Run code in a process of its own, for which `tenants` is not this project's."""
    done = subprocess.run(
        [sys.executable, "-c", _STRANGER + code, str(root), str(PLATFORM.parent)],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONPATH": str(PLATFORM)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Finding.


def test_a_module_and_factory_of_any_package_is_an_application(place: Place, tmp_path: Path) -> None:
    place("shop_one/__init__.py", "")
    place("shop_one/web.py", FACTORY + "class Shops:\n    make = staticmethod(create_app)\n")
    catalog = Catalog(tmp_path)
    shop = catalog.get("shop_one.web:create_app")
    assert shop.name == "shop_one.web:create_app"
    assert shop.folder == tmp_path / "shop_one"
    assert shop.factory("/instance", {})({}, lambda *_: lambda _: None) == [b"here"]
    assert catalog.get("shop_one.web:Shops.make").factory is shop.factory
    assert catalog.get("shop_one.web:create_app") is shop


def test_an_application_has_migrations_and_defaults_exactly_if_they_are_there(place: Place, tmp_path: Path) -> None:
    place("shop_two/__init__.py", FACTORY)
    shop = Catalog(tmp_path).get("shop_two:create_app")
    assert (shop.migrations, shop.defaults) == (None, None)
    defaults, version = place("shop_two/config.toml", ""), place("shop_two/migrations/versions/one.py", "")
    assert (shop.migrations, shop.defaults) == (version.parent.parent, defaults)


def test_the_packages_in_tenants_are_named_and_got_by_name_wherever_the_checkout_is(
    place: Place, tmp_path: Path
) -> None:
    place("checkout/tenants/__init__.py", "")
    place("checkout/tenants/gazette/__init__.py", FACTORY)
    place("checkout/tenants/forum/__init__.py", FACTORY)
    place("checkout/tenants/_private/__init__.py", FACTORY)
    place("checkout/tenants/loose.py", FACTORY)
    said = in_checkout(
        tmp_path / "checkout",
        """
from tenantry.application import Catalog
before = list(sys.path)
catalog = Catalog(root)
print(catalog.names(), catalog.get("gazette").folder == root / "tenants" / "gazette")
print([name for name in sys.modules if name.startswith("tenants.")], sys.path == [*before, str(root)])
try:
    catalog.get("gazete")
except Exception as error:
    print(type(error).__name__, error)
print(catalog.get("tenants.forum:create_app").name)
""",
    )
    assert said.splitlines() == [
        "['forum', 'gazette'] True",
        "['tenants.gazette'] True",
        "Unknown There is no application 'gazete'. Did you mean 'gazette'?",
        "tenants.forum:create_app",
    ]


def test_nothing_is_put_on_the_path_where_tenants_can_be_imported_anyway(place: Place, tmp_path: Path) -> None:
    place("checkout/tenants/__init__.py", "")
    said = in_checkout(
        tmp_path / "checkout",
        """
sys.path.insert(0, str(root))
from tenantry.application import Catalog
before = list(sys.path)
print(Catalog(root / "elsewhere").names(), sys.path == before)
""",
    )
    assert said == "[] True"


def test_a_root_with_applications_of_its_own_has_them_beside_the_installed_ones(place: Place, tmp_path: Path) -> None:
    place("site/tenants/__init__.py", "")
    place("site/tenants/gazette/__init__.py", FACTORY)
    place("work/tenants/shop/__init__.py", FACTORY)
    said = in_checkout(
        tmp_path / "work",
        """
sys.path.insert(0, str(root.parent / "site"))
from tenantry.application import Catalog
catalog = Catalog(root)
print(catalog.names(), [catalog.get(name).name for name in ("shop", "gazette")])
""",
    )
    assert said == "['gazette', 'shop'] ['shop', 'gazette']"


def test_a_checkout_without_tenants_has_no_applications(tmp_path: Path) -> None:
    said = in_checkout(
        tmp_path,
        """
from tenantry.application import Catalog
try:
    print(Catalog(root).names()); Catalog(root).get("gazette")
except Exception as error:
    print(type(error).__name__, error)
""",
    )
    assert said.splitlines() == ["[]", "Unknown There is no application 'gazette'. There is none in tenants/."]


@pytest.mark.parametrize(
    "name", ["no_such_shop:create_app", "no_such_shop.web:create_app", ":create_app", "a b:c", "os:"]
)
def test_a_module_that_is_not_there_is_unknown(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unknown):
        Catalog(tmp_path).get(name)


# What is wrong with one.


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os\n1 / 0\n", r"ZeroDivisionError: division by zero \({}:2\)"),
        ("def broken(:\n", r"SyntaxError: invalid syntax \({}:1\)"),
        ("import no_such_dependency\n", r"ModuleNotFoundError: No module named 'no_such_dependency' \({}:1\)"),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \({}:1\)"),
        ("class Odd(BaseException): pass\nraise Odd('two\\nlines \\x1b[31m')\n", r"Odd: two lines \[31m \({}:2\)"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError: Expecting .* \({}:2\)"),
        ("class Mute(Exception):\n    def __str__(self): 1 / 0\nraise Mute\n", r"Mute \({}:3\)"),
    ],
)
def test_an_application_that_cannot_be_imported_is_unavailable_in_one_line_with_the_line_at_fault(
    place: Place, tmp_path: Path, code: str, says: str
) -> None:
    file = place("shop_bad/__init__.py", code)
    with pytest.raises(Unavailable, match=r"^The application 'shop_bad:create_app' cannot be imported: ") as caught:
        Catalog(tmp_path).get("shop_bad:create_app")
    assert caught.match(says.format(file))
    assert caught.value.says.isprintable()
    assert caught.value.__cause__ is not None


def test_an_interrupt_while_importing_is_the_operators_and_goes_through(place: Place, tmp_path: Path) -> None:
    place("shop_slow/__init__.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        Catalog(tmp_path).get("shop_slow:create_app")


def test_a_failed_import_is_tried_again_with_all_of_its_files_as_they_are_now(place: Place, tmp_path: Path) -> None:
    place("shop_new/__init__.py", "from shop_new import models\n" + FACTORY + "1 / models.NUMBER\n")
    place("shop_new/models.py", "NUMBER = 0\n")
    catalog = Catalog(tmp_path)
    for _ in range(2):
        with pytest.raises(Unavailable, match="ZeroDivisionError"):
            catalog.get("shop_new:create_app")
    place("shop_new/models.py", "NUMBER = 1\n")
    assert catalog.get("shop_new:create_app").folder == tmp_path / "shop_new"


def test_one_application_that_fails_leaves_the_others_as_they_are(place: Place, tmp_path: Path) -> None:
    place("shop_good/__init__.py", FACTORY)
    place("shop_evil/__init__.py", "import shop_good\nraise SystemExit\n")
    catalog = Catalog(tmp_path)
    with pytest.raises(Unavailable):
        catalog.get("shop_evil:create_app")
    assert catalog.get("shop_good:create_app").name == "shop_good:create_app"


@pytest.mark.parametrize("code", ["", "create_app = 'soon'\n"])
def test_an_application_without_a_factory_is_unavailable_and_told_the_contract(
    place: Place, tmp_path: Path, code: str
) -> None:
    place("shop_idle/__init__.py", code)
    with pytest.raises(Unavailable, match=r"create_app.* It must offer create_app\(instance_path, config\)"):
        Catalog(tmp_path).get("shop_idle:create_app")


# Threads.


def test_an_application_is_imported_once_whoever_asks_at_the_same_time(place: Place, tmp_path: Path) -> None:
    place("shop_many/__init__.py", "import builtins\nbuiltins.shop_many.append(1)\n" + FACTORY)
    count: list[int] = []
    vars(__import__("builtins"))["shop_many"] = count
    try:
        catalog, got = Catalog(tmp_path), []
        start = threading.Barrier(8)

        def ask() -> None:
            start.wait()
            got.append(catalog.get("shop_many:create_app"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        del vars(__import__("builtins"))["shop_many"]
    assert len(got) == 8
    assert len({id(application) for application in got}) == len(count) == 1


def test_a_slow_import_keeps_no_other_application_waiting(place: Place, tmp_path: Path) -> None:
    gate = place("gate_of_shops.py", "import threading\nentered, leave = threading.Event(), threading.Event()\n")
    place("shop_slow/__init__.py", "import gate_of_shops as g\ng.entered.set()\ng.leave.wait(30)\n" + FACTORY)
    place("shop_fast/__init__.py", FACTORY)
    import_gate = __import__(gate.stem)
    catalog = Catalog(tmp_path)
    slow = threading.Thread(target=catalog.get, args=("shop_slow:create_app",))
    slow.start()
    try:
        assert import_gate.entered.wait(30)
        assert catalog.get("shop_fast:create_app").folder.name == "shop_fast"
        assert slow.is_alive()
    finally:
        import_gate.leave.set()
        slow.join()
