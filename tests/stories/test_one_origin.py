"""What a browser lets one tenant do to another: on paths, one origin, it reads; on hosts it does not.

The browser is a real one, and so is the server. To a browser, hosts below localhost are as good as https, so that it
says from where a request comes. It takes no cookie for all of localhost: for that tenants have domains of their own.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tenantry.assembly.desk import open_operations
from tenantry.operations import NewTenant
from tests import tools
from tests.stories.served import Served, served

DOMAIN, OWN = "localhost", "example.test"
TENANTS = ("acme", "globex", "hooli")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

READ = """async (url) => {
    try {
        return await (await fetch(url, {credentials: "include"})).text();
    } catch (error) {
        return error.name;
    }
}"""
SUBMIT = """([url, text]) => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = url;
    form.innerHTML = `<input name="text" value="${text}">`;
    document.body.append(form);
    form.submit();
}"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Three tenants, each at two hosts and a path; the fence for cookies is down for the last."""
    root = tmp_path_factory.mktemp("root")
    with open_operations(root, {"application": "tests.stories.parlour:create_app"}) as operations:
        for name in TENANTS:
            down: dict[str, object] = {"TENANT_FENCES_OFF": ["cookies"]} if name == "hooli" else {}
            operations.add(NewTenant(name, path=True, domains=[f"{name}.{OWN}"], config=down, trust=True))
    with served(root, tools.free_port()) as platform:
        yield platform


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """A browser for which every host is on this machine."""
    arguments = [*ARGUMENTS, "--host-resolver-rules=MAP * 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile of the browser."""
    context = browser.new_context()
    yield context
    context.close()


def at_host(running: Served, name: str, path: str = "/") -> str:
    return running.url(f"{name}.{DOMAIN}", path)


def at_domain(running: Served, name: str, path: str = "/") -> str:
    return running.url(f"{name}.{OWN}", path)


def at_path(running: Served, name: str, path: str = "/") -> str:
    return running.url(DOMAIN, f"/t/{name}{path}")


def opened(visitor: BrowserContext, url: str) -> Page:
    page = visitor.new_page()
    answer = page.goto(url)
    assert answer is not None
    assert answer.ok, answer.status
    return page


def toss(visitor: BrowserContext, url: str, cookie: str) -> None:
    opened(visitor, f"{url}?cookie={quote(cookie)}").close()


def test_a_script_of_a_path_tenant_reads_the_pages_of_another(running: Served, visitor: BrowserContext) -> None:
    """This is what path addresses do not keep out: they are one origin, and a cookie's path is no border to a fetch."""
    opened(visitor, at_path(running, "acme", "/come-in/ada"))
    page = opened(visitor, at_path(running, "globex"))
    assert page.evaluate(READ, at_path(running, "acme")) == "The secret of acme, told to ada."


def test_a_script_of_a_host_reads_no_page_of_another(running: Served, visitor: BrowserContext) -> None:
    """The same attack between two hosts gets nothing, although the visitor is signed in."""
    opened(visitor, at_host(running, "acme", "/come-in/ada"))
    page = opened(visitor, at_host(running, "globex"))
    assert page.evaluate(READ, at_host(running, "acme")) == "TypeError"
    assert opened(visitor, at_host(running, "acme")).inner_text("body") == "The secret of acme, told to ada."


@pytest.mark.parametrize("own", [DOMAIN, OWN])
def test_a_form_of_a_host_is_not_sent_to_another(running: Served, visitor: BrowserContext, own: str) -> None:
    """The browser says where it comes from, in one header or another; only what is one's own is taken."""
    for sender, status in (("globex", 403), ("acme", 200)):
        page = opened(visitor, running.url(f"{sender}.{own}"))
        with page.expect_navigation() as navigation:
            page.evaluate(SUBMIT, [running.url(f"acme.{own}", "/say"), f"{sender} at {own}"])
        assert navigation.value.status == status
    said = opened(visitor, running.url(f"acme.{own}", "/said")).inner_text("body")
    assert f"acme at {own}" in said
    assert "globex" not in said


def test_cookies_of_a_path_tenant_stay_in_its_mount(running: Served, visitor: BrowserContext) -> None:
    """In the browser's own jar: the session's, and one that the application set for all paths."""
    opened(visitor, at_path(running, "acme", "/come-in/ada"))
    toss(visitor, at_path(running, "acme", "/toss"), "plain=1; Path=/")
    jar = {cookie.get("name", "").partition("_")[0]: cookie.get("path") for cookie in visitor.cookies()}
    assert jar == {"session": "/t/acme/", "plain": "/t/acme/"}
    assert "plain" in opened(visitor, at_path(running, "acme", "/cookies")).inner_text("body")
    assert opened(visitor, at_path(running, "globex", "/cookies")).inner_text("body") == ""


def test_a_cookie_with_a_domain_never_gets_into_the_jar(running: Served, visitor: BrowserContext) -> None:
    """With it one tenant could choose the sessions of all others. Where the fence is down, it does."""
    for spelled in (f"tossed=1; Domain={OWN}", f"tossed=1; Path=/; domain=.{OWN}", f"tossed=1; DOMAIN = {OWN}"):
        toss(visitor, at_domain(running, "globex", "/toss"), spelled)
        assert visitor.cookies() == []
    assert opened(visitor, at_domain(running, "acme", "/cookies")).inner_text("body") == ""
    toss(visitor, at_domain(running, "hooli", "/toss"), f"tossed=1; Domain={OWN}")
    assert opened(visitor, at_domain(running, "acme", "/cookies")).inner_text("body") == "tossed"


def test_a_script_tosses_what_a_header_may_not(running: Served, visitor: BrowserContext) -> None:
    """No platform sees what a script writes into the jar of its visitor."""
    page = opened(visitor, at_domain(running, "globex"))
    page.evaluate(f"document.cookie = 'tossed=1; Domain={OWN}'")
    assert opened(visitor, at_domain(running, "acme", "/cookies")).inner_text("body") == "tossed"
