"""The documentation is true: it names what there is and nothing else, and every block of it runs."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import click
import pytest

from tenantry import errors, settings
from tenantry.cli import tenants_group
from tenantry.cli.failures import FAULT, exit_code
from tenantry.server import drain
from tenantry.settings import PREFIX, SETUP_KEYS, Settings
from tests.benchmarks.__main__ import MEASURES
from tests.docs_runner import Reader, blocks, headings, links, prose, rows, section

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = {page.name: page for page in sorted(DOCS.glob("*.md"))}
# It is typed on a machine of its own: tests/test_hosting.py.
ELSEWHERE = {"hosting.md"}
TEXTS = {"README.md": README, "CHANGELOG.md": ROOT / "CHANGELOG.md", **PAGES}
SETTING_NAMES = {PREFIX + field.name.upper() for field in fields(Settings)}


# Settings


def spelled(default: object) -> str:
    """Spell a default as it would stand in `.env`."""
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    """Every setting stands in docs/settings.md with its default and its sentence, and nothing else does."""
    known = [
        (f"`{PREFIX}{field.name.upper()}`", f"`{spelled(field.default)}`" * bool(spelled(field.default)), doc)
        for field in fields(Settings)
        for doc in [field.metadata["doc"]]
    ]
    assert rows(section(DOCS / "settings.md", "All settings")) == known


def test_the_defaults_in_the_table_are_understood(tmp_path: Path) -> None:
    """A default can be copied from the page into `.env` and stays what it is."""
    table = rows(section(DOCS / "settings.md", "All settings"))
    lines = [f"{name}={default}\n".replace("`", "") for name, default, _ in table]
    (tmp_path / ".env").write_text("".join(lines))
    source = settings.read(tmp_path, {})
    assert source.settings == settings.read(tmp_path / "elsewhere", {}, {"instance": tmp_path / "instance"}).settings
    assert set(source.origin.values()) == {".env"}


@pytest.mark.parametrize("name", TEXTS)
def test_no_page_names_a_setting_that_is_none(name: str) -> None:
    """Whatever begins with TENANTRY_ in the text of a page is known."""
    named = set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]", prose(TEXTS[name])))
    assert not named - SETTING_NAMES - SETUP_KEYS


# Commands


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Walk through a command and those below it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, f"{path} {name}")


COMMANDS = dict(commands(tenants_group, "tenantry"))


def option_row(option: click.Option) -> tuple[str, str]:
    """Spell an option as it stands in the tables of docs/commands.md."""
    first, *others = sorted(option.opts, key=len, reverse=True)
    value = "" if option.is_flag else f" {option.metavar or str(option.name).upper()}"
    default = f" Default: {option.default}." if option.show_default else ""
    return ", ".join([f"`{first}{value}`", *(f"`{other}`" for other in others)]), f"{option.help}{default}"


def test_the_page_of_commands_has_a_section_for_each_and_no_other() -> None:
    """Every command stands in docs/commands.md under a heading of its own, in the order of `--help`."""
    found = [title for title in headings(DOCS / "commands.md").values() if title.startswith("tenantry")]
    assert found == list(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_each_command_is_described_as_it_is(path: str) -> None:
    """The section of a command has its usage, what its help says first, and exactly its options."""
    command = COMMANDS[path]
    text = section(DOCS / "commands.md", path)
    # With the names that the command line gives it: click keeps the option that it makes of them.
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"])
    usage = command.get_usage(context).removeprefix("Usage: ")
    assert f"`{' '.join(usage.split())}`" in text
    assert (command.help or "").partition("\n\n")[0] in text
    assert rows(text) == [option_row(option) for option in command.params if isinstance(option, click.Option)]


@pytest.mark.parametrize("name", TEXTS)
def test_no_page_names_a_command_that_is_none(name: str) -> None:
    """Whatever stands behind `tenantry` in the text of a page is a command or an option."""
    named = set(re.findall(r"`(?:\.venv/bin/)?(tenantry(?: config)? [a-z]+)\b", prose(TEXTS[name])))
    assert not named - COMMANDS.keys()


def test_every_exit_code_is_named() -> None:
    """The exit code of each family of errors, of faults and of the server's ends stands in docs/commands.md."""
    table = {int(code): family for code, family, _ in rows(section(DOCS / "commands.md", "Exit codes"))}
    families = errors.TenantryError.__subclasses__()
    assert {exit_code(family("x")): family.__name__ for family in families} == {
        code: family for code, family in table.items() if family
    }
    others: set[int] = {FAULT, exit_code(KeyboardInterrupt()), exit_code(BrokenPipeError()), drain.CUT, drain.GAVE_UP}
    assert others | {drain.FINISHED} == {code for code, family in table.items() if not family}


# Other tables


def test_every_measure_stands_with_the_figures() -> None:
    """docs/figures.md says of each measure what it measures beside what, under the name that chooses it."""
    table = rows(section(DOCS / "figures.md", "How they are measured"))
    assert [name for name, _, _ in table] == [f"`{name}`" for name in MEASURES]


_LOG = """
import io, json, logging, sys
from tenantry import log
sys.stderr = io.StringIO()
log.configure("json", "info")
try:
    raise RuntimeError
except RuntimeError:
    logging.getLogger("docs").exception("it broke")
ended = dict(method="GET", target="/", status=200, sent=5, seconds=0.1, client="", environ=None, cut=False)
log.access(log.Served(**ended))
log.rest()
print(*{field for line in sys.stderr.getvalue().splitlines() for field in json.loads(line)})
"""


def test_the_fields_of_a_log_line_are_named(tmp_path: Path) -> None:
    """docs/operating.md names every field of a JSON log line, and no other."""
    with Reader(tmp_path) as reader:
        logged = reader.run(_LOG)
    named = rows(section(DOCS / "operating.md", "Logs"))
    assert set(logged.split()) == set(re.findall(r"`(\w+)`", " ".join(name for name, _ in named)))


# Links


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    """Every link inside the project leads to a file, and to a heading of it where it names one."""
    page = TEXTS[name]
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert not anchor or anchor in headings(target), link


def test_the_readme_leads_to_every_page() -> None:
    """Whoever begins at the README finds every page of docs/."""
    assert {f"docs/{name}" for name in PAGES} <= set(links(README))


# Blocks


def follow(name: str, folder: Path) -> None:
    """Follow a page in a fresh checkout; at the README's end look further."""
    with Reader(folder) as reader:
        reader.follow(TEXTS[name])
        if name == "README.md":
            look_further(reader)


def look_further(reader: Reader) -> None:
    """Ask the addresses that the README names, and the applications that it prints."""
    named = [cell for row in rows(prose(README)) for cell in row if cell.startswith("http://")]
    assert len(named) == 3
    for address in named:
        assert reader.enter(f"curl -i {address}").startswith("HTTP/1.1 200 OK\n")
    application, dispatcher = [block.text for block in blocks(README) if block.language == "python"]
    assert reader.run(application + _ASK_FLASK) == "This is acme.\n"
    assert reader.run(dispatcher + _ASK_DISPATCHER) == "Hello from acme!\nHello from the front page!\n"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """Every page being followed, three at a time, each in a checkout of its own."""
    pages = {name: page for name, page in TEXTS.items() if name not in {"CHANGELOG.md", *ELSEWHERE}}
    # The longest first, so that the others find room beside it.
    order = sorted(pages, key=lambda name: -sum(block.text.count("$ ") for block in blocks(pages[name])))
    with ThreadPoolExecutor(3) as readers:
        yield {name: readers.submit(follow, name, tmp_path_factory.mktemp(Path(name).stem)) for name in order}


@pytest.mark.parametrize("name", sorted(PAGES.keys() - ELSEWHERE))
def test_a_page_is_true(name: str, followed: dict[str, Future[None]]) -> None:
    """Every block of the page runs, in order, and prints what the page shows."""
    followed[name].result()


def test_the_readme_is_true(followed: dict[str, Future[None]]) -> None:
    """Its blocks run, the addresses that it names answer, and so do the applications that it prints."""
    followed["README.md"].result()


_ASK_FLASK = """
import os
print(create_app(instance_path=os.getcwd(), config={"TENANT_NAME": "acme"}).test_client().get("/").text)
"""
_ASK_DISPATCHER = """
from werkzeug.test import Client
for host in ("acme.example.com", "example.com"):
    print(Client(application).get("/", base_url=f"http://{host}").text)
"""


# The reader itself


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("```console\n$ echo one\ntwo\n```", "is shown to print"),
        ("```console\n$ echo one; echo two\none\n```", "is shown to print"),
        ("```console\n$ false\n```", "ended with 1"),
        ("```console\n$ false\n$ true\n```", "ended with 1"),
        ("```console\n$ false\n$ echo $?\n2\n```", "ended with 1"),
        ("```console\n$ tenantry lst\n...\n```", "ended with 2"),
        ("```console\n$ tenantry serve --nonsense\n```", "No such option"),
        ("```console\n$ python3 tests --nonsense\n```", "there is no --nonsense"),
        ("```console\necho one\n```", "no command has printed"),
        ("```console\n```", "has no command"),
        ("```python\nprint(1 / 0)\n```", "ZeroDivisionError"),
        ("```python\nprint('one')\n```\n```text\ntwo\n```", "is shown to print"),
        ('```python title="one.py"\nprint(\n```', "is not python"),
        ("```toml\none = two\n```", "is not toml"),
        ("```ini\nTENANTRY_TREADS=2\n```", "is not ini"),
        ("```ini\nOTHER=2\n```", "sets nothing"),
        ("```nginx\nserver { listen 80 }\n```", "is not nginx"),
        ("```nginx\nserver { listen 80;\n```", "is not nginx"),
        ("```bash\ntrue\n```", "which nobody runs"),
        ("```\ntrue\n```", "says not how to run it"),
        ("```console skip\n$ true\n```", "says not how to run it"),
        ("```console\n$ true\n", "is not closed"),
        ("text\n\n    $ true\n", r"page\.md:3"),
    ],
)
def test_a_page_that_is_not_true_is_found_out(tmp_path: Path, page: str, told: str) -> None:
    """What a page shows and what happens must agree, and no block can ask to be left out."""
    (tmp_path / "page.md").write_text(page)
    with Reader(tmp_path / "checkout") as reader, pytest.raises(AssertionError, match=told):
        reader.follow(tmp_path / "page.md")


def test_three_dots_stand_for_anything(tmp_path: Path) -> None:
    """In a line `...` is any text, and alone any number of lines; widths and blank lines do not matter."""
    shown = "one ... three\n...\nlast\n"
    (tmp_path / "page.md").write_text(f"```console\n$ printf 'one  two   three\\n\\n4\\n5\\nlast\\n'\n{shown}```\n")
    with Reader(tmp_path / "checkout") as reader:
        reader.follow(tmp_path / "page.md")
