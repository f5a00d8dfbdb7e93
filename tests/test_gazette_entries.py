"""Promises of the reference application: what people write, and who may change it."""

import re

import pytest

from tenants.gazette.models import Entry, db
from tests import gazettes
from tests.gazettes import Browser, Sites, count, entry, person

empty_database, sites = gazettes.empty_database, gazettes.sites


def test_an_entry_is_written_shown_listed_edited_and_deleted(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    ada, visitor = Browser(app), Browser(app)
    ada.sign_in("Ada")
    published = ada.send("/write", title="  The   kettle ", body="First.\r\n\r\nSecond\r\nline.\r\n \r\n")
    assert (published.status, published.location) == (303, "/entries/1")
    page = visitor.get("/entries/1").text
    assert '<h1 dir="auto">The kettle</h1>' in page
    assert re.findall(r'<p dir="auto">([^<]*)</p>', page) == ["First.", "Second\nline."]
    assert "Edit</a>" not in page
    assert 'href="/entries/1">The kettle</a>' in visitor.get("/").text
    assert ada.send("/entries/1/edit", title="The teapot", body="Third.").location == "/entries/1"
    shown = ada.get("/entries/1").text
    assert all(part in shown for part in ("Saved.", "The teapot", "Third.", "edited <time", "Edit</a>"))
    assert "The teapot" in ada.get("/entries/1/delete").text
    assert ada.send("/entries/1/delete").location == "/"
    assert "Deleted “The teapot”." in ada.get("/").text
    assert visitor.get("/entries/1").status == 404


def test_what_people_write_is_text_and_never_markup(sites: Sites) -> None:
    app = sites(SITE_TITLE="<b>Site</b>")
    author = person(app, "<i>Ada</i>")
    number = entry(app, author, title='"><script>alert(1)</script>', body="<script>alert(2)</script>")
    ada = Browser(app)
    ada.sign_in("<i>Ada</i>")
    for path in ("/", f"/entries/{number}", f"/entries/{number}/edit", f"/entries/{number}/delete"):
        page = ada.get(path).text
        assert not re.search("<script|<i>|<b>", page), path


@pytest.mark.parametrize(
    ("title", "body", "says"),
    [
        ("", "A text.", "An entry needs a title."),
        ("\u202e\n\t", "A text.", "An entry needs a title."),
        ("A title", " \r\n ", "There is no text yet."),
        ("x" * 153, "A text.", "A title has room for 150 characters; this is 3 too long."),
        ("A title", "x" * 50_001, "An entry has room for 50,000 characters; this is 1 too long."),
    ],
)
def test_limits_are_said_kindly_and_nothing_written_is_lost(sites: Sites, title: str, body: str, says: str) -> None:
    app = sites()
    person(app, "Ada")
    ada = Browser(app)
    ada.sign_in("Ada")
    answer = ada.send("/write", title=title, body=body)
    assert (answer.status, says in answer.text) == (422, True)
    assert title.strip("\u202e\n\t") in answer.text
    assert body.strip() in answer.text
    assert count(app, Entry) == 0


def test_the_longest_entry_fits_in_every_script(sites: Sites) -> None:
    app = sites()
    person(app, "Ada")
    ada = Browser(app)
    ada.sign_in("Ada")
    assert ada.send("/write", title="😀" * 150, body="😀" * 50_000).status == 303
    assert ada.send("/write", title="Too much", body="x" * 1_600_000, page="/").status == 413


def test_only_who_wrote_an_entry_or_the_owner_may_change_it(sites: Sites) -> None:
    app = sites()
    person(app, "Olga", owner=True)
    number = entry(app, person(app, "Ada"))
    person(app, "Ben")
    for name, status in (("Ben", 403), ("Ada", 200), ("Olga", 200)):
        visitor = Browser(app)
        visitor.sign_in(name)
        assert ("Edit</a>" in visitor.get(f"/entries/{number}").text) == (status == 200)
        for verb in ("edit", "delete"):
            assert visitor.get(f"/entries/{number}/{verb}").status == status
            if status == 403:
                answer = visitor.send(f"/entries/{number}/{verb}", page="/", title="Mine", body="now")
                assert answer.status == 403
    for verb in ("edit", "delete"):
        answer = Browser(app).get(f"/entries/{number}/{verb}")
        assert answer.location == f"/sign-in?next=/entries/{number}/{verb}"
    assert count(app, Entry) == 1


def test_a_deleted_entrys_address_is_never_given_to_another(sites: Sites) -> None:
    app = sites()
    author = person(app, "Ada")
    number = entry(app, author)
    with app.app_context():
        db.session.delete(db.session.get_one(Entry, number))
        db.session.commit()
    assert entry(app, author) > number


def test_the_front_page_turns_over_newest_first(sites: Sites) -> None:
    app = sites()
    author = person(app, "Ada")
    for number in range(1, 13):
        entry(app, author, title=f"Entry number {number}.")
    visitor = Browser(app)
    first, second = visitor.get("/").text, visitor.get("/?page=2").text
    assert re.findall(r"Entry number (\d+)\.", first) == [str(number) for number in range(12, 1, -1)]
    assert re.findall(r"Entry number (\d+)\.", second) == ["1"]
    assert ('href="/?page=2"' in first, 'rel="next"' in second, 'rel="prev" href="/"' in second) == (True, False, True)


def test_a_long_text_is_listed_by_its_beginning(sites: Sites) -> None:
    app = sites()
    entry(app, person(app, "Ada"), body="word " * 1000 + "the end")
    page = Browser(app).get("/").text
    assert "word …" in page
    assert "the end" not in page


@pytest.mark.parametrize("page", ["0", "-1", "2", "x", "1.5", "99999999999999999999999", "²"])
def test_a_page_that_is_not_there_is_a_404(sites: Sites, page: str) -> None:
    assert Browser(sites()).get(f"/?page={page}").status == 404


@pytest.mark.parametrize("path", ["/entries/99999999999999999999", "/entries/x", "/entries/0", "/nothing", "/entries/"])
def test_an_address_that_is_not_there_is_a_404_in_the_sites_own_look(sites: Sites, path: str) -> None:
    answer = Browser(sites(SITE_TITLE="The Acme Times")).get(path)
    assert answer.status == 404
    assert all(part in answer.text for part in ("There is no such page", "The Acme Times", "gazette.css"))
