"""What a tenant keeps on the disk is measured in small steps, and one that keeps too much may not write more."""

from pathlib import Path
from typing import Any

import pytest

from tenantry.errors import Refused, Shortage, Unavailable
from tenantry.meters import Meters, Room, disk, kept
from tests.sites import front as plain
from tests.test_meters import QUOTA, ask, measure, meters_fixture, post, write

meters = meters_fixture


def test_what_a_folder_takes_is_measured_holes_links_and_other_folders_aside(tmp_path: Path) -> None:
    folder = tmp_path / "tenant"
    (folder / "files" / "deep").mkdir(parents=True)
    empty = kept(folder)
    write(folder / "files" / "deep", 500_000)
    (folder / "files" / "link").symlink_to(tmp_path)
    write(tmp_path / "elsewhere", 5_000_000)
    with (folder / "holes").open("wb") as file:
        file.truncate(1 << 32)
        file.seek(1 << 31)
        file.write(b"x")
    assert 500_000 <= kept(folder) - empty < 600_000
    assert kept(tmp_path / "nobody") == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "PROPPATCH"])
def test_over_its_quota_a_tenant_may_be_read_and_emptied_and_not_written(
    meters: Meters, tmp_path: Path, method: str
) -> None:
    write(tmp_path / "a", 1_200_000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    for free in ("GET", "HEAD", "OPTIONS", "DELETE"):
        assert post(app, 100_000 if free == "DELETE" else 0, free).code == 200
    with pytest.raises(Unavailable) as error:
        post(app, 100_000, method)
    assert error.value.short is Shortage.ROOM
    with pytest.raises(Unavailable):
        post(app, 10, method)


def test_a_little_over_its_quota_an_owner_can_still_sign_in_and_delete(meters: Meters, tmp_path: Path) -> None:
    """Small requests pass until a tenth more than the quota is used; large ones, and those of no known size, do not."""
    write(tmp_path / "a", 1_010_000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    assert post(app, 16 << 10).code == 200
    with pytest.raises(Unavailable):
        post(app, (16 << 10) + 1)
    with pytest.raises(Unavailable):
        ask(app, REQUEST_METHOD="POST", HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="")
    with pytest.raises(Unavailable):
        ask(app, REQUEST_METHOD="POST", CONTENT_LENGTH="many")


def test_a_request_that_alone_would_pass_the_quota_is_refused_before_it_is_run(meters: Meters, tmp_path: Path) -> None:
    write(tmp_path / "a", 100_000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    with pytest.raises(Unavailable, match="more than this site has room for"):
        post(app, 950_000)
    assert post(app, 500_000).code == 200


def test_what_was_let_in_counts_until_it_is_measured(meters: Meters, tmp_path: Path) -> None:
    """A burst of uploads between two measures does not pass the quota."""
    write(tmp_path / "a", 1000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    assert [post(app, 400_000).code for _ in range(2)] == [200, 200]
    with pytest.raises(Unavailable):
        post(app, 400_000)
    measure(meters)  # nothing of it was written
    assert post(app, 400_000).code == 200


def test_a_measure_under_way_forgets_nothing_that_is_let_in_meanwhile(meters: Meters, tmp_path: Path) -> None:
    write(tmp_path / "a", 1000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    (room,) = meters._rooms.values()
    walk = room.measure()
    next(walk)
    assert post(app, 700_000).code == 200
    for _ in walk:
        pass
    with pytest.raises(Unavailable):
        post(app, 700_000)


def test_one_measures_at_a_time_and_another_finds_nothing_to_do(meters: Meters, tmp_path: Path) -> None:
    """Else the one that ends first would forget what was let in before the other began to look."""
    write(tmp_path / "a", 1000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    (room,) = meters._rooms.values()
    walk = room.measure()
    next(walk)
    assert not room.due(room.measured + 60)
    assert post(app, 700_000).code == 200
    other = room.measure()
    for _ in (*other, *walk):
        pass
    with pytest.raises(Unavailable):
        post(app, 700_000)
    assert room.due(room.measured + 60)


def test_a_measure_that_is_given_up_leaves_the_way_to_another(meters: Meters, tmp_path: Path) -> None:
    """And what was let in before and meanwhile counts until that one has come to its end."""
    write(tmp_path / "a", 1000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    (room,) = meters._rooms.values()
    assert post(app, 400_000).code == 200
    walk = room.measure()
    next(walk)
    assert post(app, 400_000).code == 200
    walk.close()
    assert room.used > 800_000
    measure(meters)
    assert room.used < 100_000


def test_what_was_found_at_first_counts_while_it_is_measured_from_the_start(tmp_path: Path) -> None:
    """The second look at a large folder begins with nothing, and the tenant has no less for that."""
    meters = Meters(at_once=100)
    for number in range(300):
        write(tmp_path / "a", 8000, f"file-{number}")
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    (room,) = meters._rooms.values()
    first = room.used
    walk = room.measure()
    next(walk)
    assert room.used >= first
    walk.close()
    assert ask(app).code == 200


def answering(status: str) -> Any:
    """Make an application that does not keep what it is sent."""

    def app(_: Any, start_response: Any) -> list[bytes]:
        if not status:
            raise Refused("Not from there.")
        start_response(status, [("Content-Type", "text/plain")])
        return [b"no"]

    return app


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "422 Unprocessable", ""])
@pytest.mark.parametrize("size", [900_000, 10_000])
def test_what_an_application_or_a_fence_refuses_takes_no_room(
    meters: Meters, tmp_path: Path, status: str, size: int
) -> None:
    """Else any stranger could keep a tenant that is nearly full from writing, with bodies that nobody keeps."""
    write(tmp_path / "a", 10_000)
    refusing = meters.metered(answering(status), "a", QUOTA, tmp_path / "a")
    keeping = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    for _ in range(150):
        if status:
            assert post(refusing, size).code == int(status[:3])
        else:
            with pytest.raises(Refused):
                post(refusing, size)
    assert post(keeping, 900_000).code == 200
    with pytest.raises(Unavailable):
        post(keeping, 900_000)


@pytest.mark.parametrize("status", ["200 OK", "303 See Other", "500 Internal Server Error"])
def test_what_may_have_been_kept_counts(meters: Meters, tmp_path: Path, status: str) -> None:
    write(tmp_path / "a", 10_000)
    app = meters.metered(answering(status), "a", QUOTA, tmp_path / "a")
    post(app, 900_000)
    with pytest.raises(Unavailable):
        post(app, 900_000)


def test_a_promise_is_taken_back_once_and_never_from_what_others_were_promised(tmp_path: Path) -> None:
    """Whenever it is: before a measure, in the middle of one, after one that was given up, and when it is over."""
    write(tmp_path / "a", 1000)
    room = Room(tmp_path / "a")
    for _ in room.measure():
        pass
    empty = room.used
    one, other = room.promise(1 << 30, 1000), room.promise(1 << 30, 50)
    one.take_back()
    one.take_back()
    assert room.used == empty + 50
    early = room.promise(1 << 30, 1000)
    walk = room.measure()
    next(walk)
    late = room.promise(1 << 30, 300)
    early.take_back()
    assert room.used == empty + 350
    walk.close()
    walk = room.measure()
    next(walk)
    other.take_back()
    assert room.used == empty + 300
    for _ in walk:
        pass
    assert room.used == empty
    late.take_back()
    assert room.used == empty


def test_the_housekeeper_sees_what_was_written_and_what_was_deleted(
    meters: Meters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_SOON", 0.0)
    write(tmp_path / "a", 1000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    write(tmp_path / "a", 1_500_000)
    assert ask(app).code == 200
    meters.round()
    with pytest.raises(Unavailable):
        post(app, 10)
    (tmp_path / "a" / "large").unlink()
    meters.round()
    assert post(app, 10).code == 200


def test_who_is_not_asked_is_measured_less_often(meters: Meters, tmp_path: Path) -> None:
    write(tmp_path / "a", 1000)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    (room,) = meters._rooms.values()
    assert not room.due(room.measured + 29)
    assert room.due(room.measured + 31)
    ask(app)
    assert not room.due(room.measured + 0.5)
    assert room.due(room.measured + 1.5)


def test_a_huge_folder_is_measured_over_many_rounds(tmp_path: Path) -> None:
    """Each looks at so many entries and no more, and what was found so far counts already."""
    meters = Meters(at_once=100)
    for number in range(500):
        write(tmp_path / "a", 8000, f"file-{number}")
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    (room,) = meters._rooms.values()
    first = room.used
    assert 100 * 8000 <= first < 110 * 8192 + 100
    rounds = 0
    while not room.measured:
        meters.round()
        rounds += 1
    assert 4 <= rounds <= 10
    assert room.used >= 500 * 8000
    with pytest.raises(Unavailable):
        post(app, 10)
    meters.close()
    meters.close()


def test_a_folder_that_goes_away_while_it_is_measured_harms_nobody(tmp_path: Path) -> None:
    meters = Meters(at_once=10)
    for number in range(50):
        write(tmp_path / "a", 10, f"file-{number}")
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    meters.round()
    (tmp_path / "a").rename(tmp_path / "b")
    for file in (tmp_path / "b").iterdir():
        file.unlink()
    for _ in range(10):
        meters.round()
    assert post(app, 500_000).code == 200
    meters.close()


def test_who_is_not_live_any_more_is_not_measured(meters: Meters, tmp_path: Path) -> None:
    write(tmp_path / "a", 10)
    app = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    other = meters.metered(plain, "a", QUOTA, tmp_path / "a")
    assert len(meters._rooms) == 1
    del app
    assert len(meters._rooms) == 1
    del other
    assert len(meters._rooms) == 0
    meters.round()
