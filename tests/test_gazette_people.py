"""Promises of the reference application: who comes in, by which door, and who does not."""

import re
import time

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tenants.gazette import people
from tenants.gazette.models import Account, db
from tests import gazettes
from tests.gazettes import PASSWORD, Browser, Sites, count, owner_link, person

empty_database, sites = gazettes.empty_database, gazettes.sites

# Joining


def test_on_an_open_site_the_first_to_sign_up_owns_it_and_the_second_does_not(sites: Sites) -> None:
    app = sites(SIGN_UP_OPEN=True)
    first, second = Browser(app), Browser(app)
    assert "Whoever signs up first owns it" in first.get("/").text
    assert first.send("/sign-up", name="Ada", password=PASSWORD).status == 303
    assert second.send("/sign-up", name="Ben", password=PASSWORD).location == "/"
    assert "Ada</bdi>, owner" in first.get("/").text
    assert "Ben</bdi></span>" in second.get("/").text


@pytest.mark.parametrize("word", [False, "false", "no", "0", "", "maybe", None])
def test_sign_up_stays_closed_for_every_word_that_is_no_clear_yes(sites: Sites, word: object) -> None:
    app = sites(SIGN_UP_OPEN=word)
    visitor = Browser(app)
    answer = visitor.get("/sign-up")
    assert (answer.status, "Sign up</a>" in answer.text) == (403, False)
    assert visitor.send("/sign-up", page="/sign-in", name="Eve", password=PASSWORD).status == 403
    assert count(app, Account) == 0


def test_a_name_is_taken_however_it_is_written(sites: Sites) -> None:
    app = sites(SIGN_UP_OPEN=True)
    person(app, "Ada Strauß")
    for name in ("ADA STRAUSS", "  ada   strauß ", "Ａｄａ Strauss"):
        answer = Browser(app).send("/sign-up", name=name, password=PASSWORD)
        assert (answer.status, "has that name already" in answer.text) == (422, True)
    assert count(app, Account) == 1


def test_the_database_itself_refuses_a_second_name_and_a_second_owner(sites: Sites) -> None:
    app = sites()
    person(app, "Ada", owner=True)
    for name, owner in (("ADA", False), ("Ben", True)):
        with pytest.raises(IntegrityError):
            person(app, name, owner=owner)
        with app.app_context(), pytest.raises(people.Taken):
            people.join(name, PASSWORD, as_owner=owner)


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("", PASSWORD, "Please choose a name"),
        ("\u202e \u200b…", PASSWORD, "Please choose a name"),
        ("x" * 61, PASSWORD, "A name has room for 60 characters; this is 1 too long."),
        ("Ada", "short", "at least 10 characters"),
        ("Ada", "x" * 201, "A password has room for 200 characters; this is 1 too long."),
    ],
)
def test_what_is_wrong_with_a_sign_up_is_said_kindly(sites: Sites, name: str, password: str, says: str) -> None:
    app = sites(SIGN_UP_OPEN=True)
    answer = Browser(app).send("/sign-up", name=name, password=password)
    assert (answer.status, says in answer.text, 'aria-invalid="true"' in answer.text) == (422, True, True)
    assert password not in answer.text
    assert count(app, Account) == 0


# The owner link


def test_the_owner_link_lets_one_person_in_and_then_no_other(sites: Sites) -> None:
    app = sites(PUBLIC_URL="http://acme.localhost:8000/")
    link = owner_link(app)
    assert link.startswith("http://acme.localhost:8000/welcome/")
    path = link.removeprefix("http://acme.localhost:8000")
    ada, eve = Browser(app), Browser(app)
    assert eve.get(path).status == ada.get(path).status == 200
    assert ada.send(path, name="Ada", password=PASSWORD).location == "/"
    assert "Ada</bdi>, owner" in ada.get("/").text
    assert "Write the first entry" in ada.get("/").text
    assert eve.get(path).status == 410
    assert eve.send(path, page="/sign-in", name="Eve", password=PASSWORD).status == 410
    assert count(app, Account) == 1


def test_an_owner_link_is_refused_when_it_is_a_day_old_foreign_or_bent(sites: Sites) -> None:
    class Yesterday(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - people.OWNER_LINK_LIFE - 5

    app, globex = sites(), sites("globex")
    old = URLSafeTimedSerializer("key of acme", salt="gazette owner link", signer=Yesterday).dumps("owner")
    visitor = Browser(app)
    assert visitor.get(f"/welcome/{old}").status == 410
    assert visitor.get(owner_link(globex)).status == 404
    assert visitor.get(owner_link(app)[:-1] + "-").status == 404
    assert visitor.get("/welcome/x").status == 404


def test_there_is_no_owner_link_for_a_site_that_somebody_joined(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    answer = app.test_cli_runner().invoke(args=["owner-link"])
    assert answer.exit_code == 1
    assert "first account already" in answer.output


@pytest.mark.parametrize(
    ("public", "begins"),
    [
        ("", "/welcome/"),
        ("https://acme.example.com/", "https://acme.example.com/welcome/"),
        ("http://localhost:8000/t/acme/", "http://localhost:8000/t/acme/welcome/"),
    ],
)
def test_the_owner_link_begins_with_the_public_address(sites: Sites, public: str, begins: str) -> None:
    assert owner_link(sites(PUBLIC_URL=public)).startswith(begins)


# Signing in and out


def test_a_wrong_password_and_an_unknown_name_read_the_same(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    wrong = Browser(app).send("/sign-in", name="Ada", password="something else")
    unknown = Browser(app).send("/sign-in", name="Eve", password="something else")
    assert wrong.status == unknown.status == 422
    plain = [re.sub(r'value="[^"]*"', "", answer.text) for answer in (wrong, unknown)]
    assert plain[0] == plain[1]


def test_sign_in_does_not_mind_capitals_and_leads_to_the_page_that_asked_for_it(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    visitor = Browser(app)
    asked = visitor.get("/write")
    assert (asked.status, asked.location) == (303, "/sign-in?next=/write")
    answer = visitor.send("/sign-in?next=/write", name="aDA", password=PASSWORD)
    assert (answer.status, answer.location) == (303, "/write")
    assert visitor.get("/write").status == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "/../write",
        "/%2e%2e/write",
        "/sign-out",
        "/static/../x",
    ],
)
def test_sign_in_leads_nowhere_but_to_pages_of_the_site(sites: Sites, target: str) -> None:
    app = sites()
    person(app, "Ada")
    answer = Browser(app, mount="/t/acme").send(f"/sign-in?next={target}", name="Ada", password=PASSWORD)
    assert answer.location == "/t/acme/"


def test_a_remembered_sign_in_lasts_and_another_ends_with_the_browser(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    assert not any("Expires" in cookie for cookie in Browser(app).sign_in("Ada").cookies)
    answer = Browser(app).sign_in("Ada", remember="on")
    assert len(answer.cookies) == 1
    assert "Expires" in answer.cookies[0]


def test_signing_out_takes_a_post_and_forgets_everything(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    ada = Browser(app)
    ada.sign_in("Ada", remember="on")
    assert ada.get("/sign-out").status == 405
    assert ada.send("/sign-out", page="/").status == 303
    assert "You are signed out." in ada.get("/").text
    assert ada.get("/write").status == 303


def test_a_sign_in_ends_when_the_password_changes(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    ada = Browser(app)
    ada.sign_in("Ada")
    with app.app_context():
        db.session.execute(text("update account set password_hash = 'another'"))
        db.session.commit()
    assert ada.get("/write").status == 303


def test_behind_https_the_forms_work_with_a_host_bound_secure_cookie(sites: Sites) -> None:
    app = sites(SESSION_COOKIE_NAME="__Host-session_x", SESSION_COOKIE_SECURE=True, SESSION_COOKIE_PATH="/")
    person(app, "Ada")
    ada = Browser(app, scheme="https", host="acme.example.com")
    (cookie,) = ada.sign_in("Ada").cookies
    assert cookie.startswith("__Host-session_x=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert ada.send("/sign-out", page="/").status == 303
    assert ada.get("/write").status == 303


def test_a_planted_remember_cookie_opens_nothing_and_breaks_nothing(sites: Sites) -> None:
    app = sites(REMEMBER_COOKIE_NAME="remember_x")
    person(app, "Ada")
    for planted in ("1|é", "1.x|" + "0" * 128, "|", "é"):
        with app.test_client(use_cookies=False) as client:
            cookie = f"remember_x={planted}".encode().decode("latin-1")
            with client.get("/write", environ_overrides={"HTTP_COOKIE": cookie}) as response:
                assert response.status_code == 303
            with client.post("/write", environ_overrides={"HTTP_COOKIE": cookie}) as response:
                assert response.status_code == 400
