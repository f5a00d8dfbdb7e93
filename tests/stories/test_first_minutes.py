"""A newcomer starts the platform, signs up at two sites, writes in each; an operator adds a third."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import tools
from tests.stories.served import Served, served
from tests.wsgi import wait_until

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("root"), tools.free_port()) as platform:
        yield platform


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a fresh browser profile that must not log an error."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


def sign_up(page: Page, name: str) -> None:
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_label("Your name").fill(name)
    page.get_by_label("A password").fill("three calm words")
    page.get_by_role("button", name="Sign up").click()


def write(page: Page, title: str, text: str) -> None:
    page.get_by_role("link", name="Write", exact=True).first.click()
    page.get_by_label("Title").fill(title)
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Publish").click()


def test_the_start_tells_where_to_go(running: Served) -> None:
    """The box names both addresses of each demo tenant, the data folder, how to add one and how to stop."""
    box = (running.root / "output.txt").read_text()
    for name in ("acme", "globex"):
        assert running.url(f"{name}.localhost") in box
        assert running.url("localhost", f"/t/{name}/") in box
    assert str(running.root / "instance") in box
    assert "add initech" in box
    assert "Ctrl-C" in box


def test_two_sites_know_nothing_of_each_other(running: Served, page: Page) -> None:
    """An account and an entry at acme are neither at globex nor below its path."""
    page.goto(running.url("acme.localhost"))
    sign_up(page, "Ada")
    write(page, "The first press", "It runs.")
    expect(page.get_by_role("heading", name="The first press")).to_be_visible()
    page.goto(running.url("globex.localhost"))
    expect(page.get_by_text("The first press")).to_have_count(0)
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
    sign_up(page, "Ada")
    write(page, "Globex speaks", "Differently.")
    page.goto(running.url("acme.localhost"))
    expect(page.get_by_text("The first press")).to_be_visible()
    expect(page.get_by_text("Globex speaks")).to_have_count(0)


def test_signing_in_at_one_path_does_not_sign_out_of_the_other(running: Served, page: Page) -> None:
    """Path tenants share an origin and yet keep their cookies apart."""
    for name in ("acme", "globex"):
        page.goto(running.url("localhost", f"/t/{name}/"))
        sign_up(page, f"Path walker of {name}")
    for name in ("acme", "globex"):
        page.goto(running.url("localhost", f"/t/{name}/"))
        expect(page.get_by_text(f"Path walker of {name}").first).to_be_visible()


def test_a_tenant_added_in_a_second_terminal_answers_at_once(running: Served, page: Page) -> None:
    """Its owner signs up by the one-time link that the command printed, and by nothing else."""
    added = running.command("add", "initech", "--title", "Initech")
    assert added.returncode == 0, added.stderr
    assert running.url("initech.localhost") in added.stdout
    assert running.get("initech.localhost")[0] == 200
    link = next(word for word in added.stdout.split() if "/welcome/" in word)
    page.goto(link)
    page.get_by_label("Your name").fill("Bill")
    page.get_by_label("A password").fill("three calm words")
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_text("Bill, owner")).to_be_visible()
    page.context.clear_cookies()
    page.goto(link)
    expect(page.get_by_label("A password")).to_have_count(0)


def test_a_suspended_site_says_so_and_comes_back(running: Served) -> None:
    """The running server is not called; it looks."""
    assert running.command("suspend", "globex", "--because", "unpaid").returncode == 0
    wait_until(lambda: running.get("globex.localhost")[0] == 403, seconds=5)
    assert "unpaid" not in running.get("globex.localhost")[1]
    assert running.command("resume", "globex").returncode == 0
    wait_until(lambda: running.get("globex.localhost")[0] == 200, seconds=5)


def test_a_stop_ends_the_server_well(tmp_path: Path) -> None:
    """SIGTERM drains and exits 0, and a second start finds everything as it was."""
    port = tools.free_port()
    with served(tmp_path, port) as first:
        assert first.get("acme.localhost")[0] == 200
        assert first.stop() == 0
    with served(tmp_path, port) as second:
        assert second.get("acme.localhost")[0] == 200
        assert second.command("list", "--json").stdout.count('"name"') == 2
