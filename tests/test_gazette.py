"""Promises of the reference application: many in one process, under a mount, alone, and what guards each page."""

import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine, event, inspect, text
from sqlalchemy.pool import NullPool

import tenants.gazette
from tenants.gazette import alone
from tenants.gazette.models import Account, Base, Entry, db
from tests import gazettes
from tests.gazettes import PASSWORD, Browser, Sites, count, dispose, entry, person
from tests.wsgi import wait_until

empty_database, sites = gazettes.empty_database, gazettes.sites

# Building


def test_building_asks_the_database_nothing_and_touches_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    config = {"SECRET_KEY": "key", "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/database.sqlite3"}
    app = tenants.gazette.create_app(str(folder), config)
    dispose(app)
    assert list(tmp_path.iterdir()) == []
    assert app.instance_path == str(folder)


def test_what_config_gives_is_left_as_it_is(sites: Sites) -> None:
    given = {
        "SESSION_COOKIE_NAME": "session_x",
        "SESSION_COOKIE_PATH": "/t/acme/",
        "REMEMBER_COOKIE_NAME": "remember_x",
    }
    app = sites(**given)
    assert {key: app.config[key] for key in given} == given


def test_models_are_what_the_migrations_make(empty_database: Path) -> None:
    engine = create_engine(URL.create("sqlite", database=str(empty_database)), poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_a_second_time_changes_nothing(tmp_path: Path, empty_database: Path) -> None:
    file = tmp_path / "database.sqlite3"
    shutil.copyfile(empty_database, file)
    alone.upgrade(URL.create("sqlite", database=str(file)))
    engine = create_engine(URL.create("sqlite", database=str(file)), poolclass=NullPool)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["account", "alembic_version", "entry"]
        assert connection.scalar(text("select count(*) from alembic_version")) == 1


def test_a_shell_holds_the_database_and_the_models(sites: Sites) -> None:
    app = sites()
    with app.app_context():
        names = app.make_shell_context()
    assert (names["db"], names["Account"], names["Entry"]) == (db, Account, Entry)


# Many sites in one process


def test_two_sites_share_code_and_nothing_else(sites: Sites) -> None:
    acme, globex = sites(), sites("globex")
    entry(acme, person(acme, "Ada", owner=True), title="Only at Acme")
    person(globex, "Ada")
    ada = Browser(acme)
    ada.sign_in("Ada", remember="on")
    assert "Only at Acme" in ada.get("/").text
    other = Browser(globex)
    assert "Only at Acme" not in other.get("/").text
    cookie = ada.client.get_cookie("session", domain="acme.localhost")
    assert cookie
    other.client.set_cookie("session", cookie.value, domain="acme.localhost")
    assert other.get("/write").status == 303
    assert "Only at Acme" in ada.get("/").text


def test_two_sites_answer_side_by_side_on_many_threads(sites: Sites) -> None:
    apps = {name: sites(name) for name in ("acme", "globex")}
    for name, app in apps.items():
        entry(app, person(app, "Ada"), title=f"Only at {name}")

    def read(number: int) -> bool:
        name, other = ("acme", "globex") if number % 2 else ("globex", "acme")
        page = Browser(apps[name]).get("/").text
        return f"Only at {name}" in page and f"Only at {other}" not in page

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(40)))


def test_a_front_page_costs_one_query_and_a_signed_in_one_two(sites: Sites) -> None:
    app = sites()
    entry(app, person(app, "Ada"))
    ada = Browser(app)
    ada.sign_in("Ada")
    ada.get("/")
    seen: list[str] = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *facts: seen.append(facts[2]))
    Browser(app).get("/")
    assert len(seen) == 1
    ada.get("/")
    assert len(seen) == 3


def test_a_site_is_named_by_its_title_else_by_its_tenant(sites: Sites) -> None:
    assert '<h1 class="name" dir="auto">acme</h1>' in Browser(sites()).get("/").text
    titled = Browser(sites("globex", SITE_TITLE="The Globex Times", SITE_ACCENT="plum")).get("/").text
    assert '<h1 class="name" dir="auto">The Globex Times</h1>' in titled
    assert '<html lang="en" data-accent="plum">' in titled
    assert 'data-accent="loud"' not in Browser(sites("initech", SITE_ACCENT="loud")).get("/").text


# Under a mount


def test_under_a_mount_every_link_form_and_redirect_stays_below_it(sites: Sites) -> None:
    app = sites(SIGN_UP_OPEN=True, SESSION_COOKIE_NAME="session_x", SESSION_COOKIE_PATH="/t/acme/")
    ada = Browser(app, mount="/t/acme", host="localhost:8000")
    joined = ada.send("/sign-up", name="Ada", password=PASSWORD)
    assert joined.location == "/t/acme/"
    assert all("Path=/t/acme/" in cookie for cookie in joined.cookies)
    assert ada.send("/write", title="A title", body="A text").location == "/t/acme/entries/1"
    pages = [
        ada.get(path) for path in ("/", "/entries/1", "/write", "/entries/1/edit", "/entries/1/delete", "/nothing")
    ]
    visitor = Browser(app, mount="/t/acme", host="localhost:8000")
    assert visitor.get("/entries/1/edit").location == "/t/acme/sign-in?next=/entries/1/edit"
    pages += [visitor.get(path) for path in ("/", "/sign-in", "/sign-up", "/sign-in?next=/write")]
    for page in pages:
        links = re.findall(r'(?:href|action|src)="([^"]*)"', page.text)
        assert links
        assert [link for link in links if not link.startswith(("/t/acme/", "#"))] == []
    back = visitor.send("/sign-in?next=/entries/1/edit", name="Ada", password=PASSWORD)
    assert back.location == "/t/acme/entries/1/edit"


# Alone


def test_alone_a_gazette_makes_its_own_key_and_database_and_keeps_them(tmp_path: Path) -> None:
    first = tenants.gazette.create_app(str(tmp_path / "site"))
    person(first, "Ada", owner=True)
    dispose(first)
    second = tenants.gazette.create_app(str(tmp_path / "site"))
    assert count(second, Account) == 1
    dispose(second)
    assert first.config["SECRET_KEY"] == second.config["SECRET_KEY"]
    assert len(first.config["SECRET_KEY"]) == 64
    assert stat.S_IMODE((tmp_path / "site" / "gazette.key").stat().st_mode) == 0o600
    assert {file.name for file in (tmp_path / "site").iterdir()} == {"gazette.key", "gazette.sqlite3"}


def test_alone_with_a_database_given_it_leaves_the_schema_to_whoever_gave_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'given.sqlite3'}"
    dispose(tenants.gazette.create_app(str(tmp_path / "site"), {"SQLALCHEMY_DATABASE_URI": url}))
    assert not (tmp_path / "given.sqlite3").exists()
    assert (tmp_path / "site" / "gazette.key").exists()


@contextmanager
def run_alone(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the flask command in a copy of the applications, with nothing configured; end it with the block."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("FLASK_", "PYTHON"))}
    with subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "tenants.gazette", *words],
        cwd=folder,
        env={**environment, "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that holds the applications and nothing else."""
    source = Path(tenants.gazette.__file__).parents[1]
    shutil.copytree(source, tmp_path / "tenants", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_two_first_starts_at_once_agree_on_one_key_and_one_database(checkout: Path) -> None:
    links = []
    with run_alone(checkout, "owner-link") as one, run_alone(checkout, "owner-link") as other:
        for process in (one, other):
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            links.append(out.strip())
    app = tenants.gazette.create_app(str(checkout / "instance"))
    assert [Browser(app).get(link).status for link in links] == [200, 200]
    dispose(app)


def test_flask_run_serves_it_with_nothing_configured(checkout: Path, free_port: int) -> None:
    with run_alone(checkout, "run", "--port", str(free_port)) as server:
        wait_until(lambda: page_or_nothing(server, free_port), 60)
        page = page_or_nothing(server, free_port)
    assert '<h1 class="name" dir="auto">Gazette</h1>' in page
    assert "flask --app tenants.gazette owner-link" in page


def page_or_nothing(server: "subprocess.Popen[str]", port: int) -> str:
    """Read the front page of a server that may still be starting."""
    assert server.poll() is None, server.communicate()[1]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, ConnectionError):
        return ""


# Guards


def test_no_form_is_accepted_without_its_token_and_what_was_written_comes_back(sites: Sites) -> None:
    app = sites(SIGN_UP_OPEN=True)
    number = entry(app, person(app, "Ada", owner=True))
    ada = Browser(app)
    ada.sign_in("Ada")
    posts = [rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert len(posts) == 7
    for rule in posts:
        path = re.sub("<int.*>", str(number), rule).replace("<token>", "x")
        for fields in ({}, {"csrf_token": "x"}):
            answer = ada.post(path, title="My title", body="My <dear> text", **fields)
            assert (answer.status, "Please send it again" in answer.text) == (400, True), path
            assert "My title\n\nMy &lt;dear&gt; text" in answer.text
    assert count(app, Entry) == 1


def test_a_token_from_before_signing_in_is_worth_nothing_after(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    ada = Browser(app)
    token = re.search(r'name="csrf_token" value="([^"]+)"', ada.get("/sign-in").text)
    assert token
    ada.sign_in("Ada")
    assert ada.post("/write", csrf_token=token[1], title="A title", body="A text").status == 400


def test_reading_sets_no_cookie_and_every_page_is_fenced(sites: Sites) -> None:
    app = sites()
    number = entry(app, person(app, "Ada"))
    visitor = Browser(app)
    for path in ("/", f"/entries/{number}", "/nothing"):
        answer = visitor.get(path)
        assert answer.cookies == ()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert not re.search(r"<script|<style|style=|onclick|https?://", answer.text)


def test_static_files_are_kept_by_browsers_under_an_address_that_ages(sites: Sites) -> None:
    visitor = Browser(sites())
    found = re.findall(r'(?:href)="(/static/[^"]+)"', visitor.get("/").text)
    assert [path.partition("?v=")[0] for path in found] == ["/static/icon.svg", "/static/gazette.css"]
    for path in found:
        answer = visitor.get(path)
        assert (answer.status, "max-age=31536000" in answer.headers["Cache-Control"]) == (200, True)


def test_a_broken_database_gives_the_sites_own_500_and_no_traceback(sites: Sites, tmp_path: Path) -> None:
    app = sites(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'empty.sqlite3'}", SITE_TITLE="The Acme Times")
    answer = Browser(app).get("/")
    assert answer.status == 500
    assert all(part in answer.text for part in ("Something broke here", "The Acme Times"))
    assert "Traceback" not in answer.text


def test_a_wrong_method_keeps_its_allow_header(sites: Sites) -> None:
    answer = Browser(sites()).get("/sign-out")
    assert (answer.status, "This cannot be done here" in answer.text) == (405, True)
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
