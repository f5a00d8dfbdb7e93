"""What a tenant is granted is read from its config, and what cannot be a limit is refused at every door."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenantry import policy
from tenantry.errors import Invalid
from tenantry.policy import FENCES, KEYS, Policy, merged, rate, read, size
from tests import operators
from tests.operators import Run

root, run, acme = operators.root, operators.run, operators.acme

NOTHING = Policy()
WRONG = {
    "TENANT_RATE": ["abc", "100", "0/second", "5/day", "5 / second", "-1/second", 5, True, ["5/second"]],
    "TENANT_QUOTA": [-1, True, 1.5, "lots", "", "5 XB", "1.5", "-1", (1 << 50) + 1, "5000 TB", "9" * 30, None],
    "TENANT_MAX_BODY": [-1, False, "1.5 B", "MB"],
    "TENANT_FENCES_OFF": ["cookie", ["cookies", "moat"], 1, True, [["cookies"]], {"cookies": True}],
}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("500000", 500_000),
        ("500 MB", 500_000_000),
        ("500mb", 500_000_000),
        (" 2 GiB ", 2 << 30),
        ("1.5 GB", 1_500_000_000),
        ("0.5 KiB", 512),
        ("10 B", 10),
        ("1 TiB", 1 << 40),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, number: int) -> None:
    assert size(text) == number


def test_a_rate_stays_as_it_is_spelled() -> None:
    assert [rate(text) for text in ("", "1/second", "5000/minute", "100000/hour")] == [
        "",
        "1/second",
        "5000/minute",
        "100000/hour",
    ]


def test_what_a_config_does_not_say_is_as_the_platform_grants_it() -> None:
    default = Policy(max_body=1, rate="1/second", quota=2, fences_off=frozenset({"cache"}))
    assert read({"A": 1}, default) == default
    values: dict[str, object] = {"TENANT_QUOTA": "1 MB", "TENANT_RATE": " 5/minute ", "TENANT_MAX_BODY": 0}
    assert read({**values, "TENANT_FENCES_OFF": []}, default) == Policy(quota=1_000_000, rate="5/minute")


@pytest.mark.parametrize("off", [["cookies", "cache"], "cookies, cache", "cache,cookies,"])
def test_fences_are_a_list_or_a_text_with_commas(off: object) -> None:
    assert read({"TENANT_FENCES_OFF": off}, NOTHING).fences_off == {"cookies", "cache"}


def test_the_last_layer_that_says_something_wins() -> None:
    layers: list[tuple[str, dict[str, object]]] = [
        ("one", {"TENANT_QUOTA": 5, "TENANT_RATE": "5/hour"}),
        ("two", {"TENANT_QUOTA": "7"}),
    ]
    assert merged(layers, NOTHING) == Policy(quota=7, rate="5/hour")


@pytest.mark.parametrize(
    ("key", "value"),
    [pytest.param(key, value, id=f"{key}={value!r}") for key, values in WRONG.items() for value in values],
)
def test_what_cannot_be_a_limit_is_invalid_and_says_what_can(key: str, value: object) -> None:
    with pytest.raises(Invalid, match=f"^{key} is .*, which is no ") as refused:
        policy.check({"A": 1, key: value})
    assert refused.value.hint.startswith("Give ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


def test_a_policy_is_spelled_as_it_is_read() -> None:
    made = Policy(max_body=1, rate="1/second", quota=2, fences_off=FENCES)
    assert policy.values(made).keys() == KEYS
    assert read(policy.values(made), NOTHING) == made


# At every door.


def shown(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((root / "instance" / "tenants").glob("*/*")) if path.is_file())


@pytest.fixture
def nothing_written(root: Path, acme: str) -> Iterator[None]:
    """See that no file of a tenant changes and none appears."""
    before = shown(root)
    yield
    assert shown(root) == before


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize(
    "words",
    [
        ("config", "set", "acme", "TENANT_RATE=abc"),
        ("config", "set", "acme", "A=1", "TENANT_QUOTA=lots"),
        ("config", "set", "acme", "--secret", "TENANT_FENCES_OFF=moat"),
        ("config", "set", "acme", "TENANT_MAX_BODY=-5", "--dry-run"),
        ("add", "other", "--set", "TENANT_RATE=abc"),
    ],
)
def test_a_limit_that_is_none_is_refused_before_anything_is_written(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.error.startswith("tenantry: TENANT_")
    assert len(ran.error.splitlines()) == 1
    assert run("list", "--json").out.count('"uid"') == 1


@pytest.mark.usefixtures("nothing_written")
def test_an_edit_with_a_limit_that_is_none_is_not_saved(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = root / "editor"
    editor.write_text('#!/bin/sh\nprintf \'A = 1\\nTENANT_QUOTA = "lots"\\n\' >> "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    ran = run("config", "edit", "acme")
    assert ran.code == 2
    assert "config.toml is wrong at line " in ran.error
    assert "TENANT_QUOTA is 'lots', which is no size." in ran.error


def edit(root: Path, file: str, text: str) -> None:
    for path in (root / "instance" / "tenants").glob(f"*/{file}"):
        path.write_text(text)


@pytest.mark.parametrize(
    ("file", "text"), [("config.toml", 'TENANT_RATE = "often"\n'), (".env", "TENANT_RATE='often'\n")]
)
def test_a_limit_that_was_spoiled_by_hand_is_found(run: Run, root: Path, acme: str, file: str, text: str) -> None:
    """The doctor and `show` both name it, and the key that is wrong can be set right by a command."""
    edit(root, file, text)
    ran = run("doctor")
    assert ran.code == 1
    assert "acme: TENANT_RATE is 'often', which is no rate." in ran.out
    assert "TENANT_RATE is 'often'" in run("show", acme).out
    assert run("config", "unset", acme, "TENANT_RATE").code == 0
    assert run("doctor").code == 0


def test_explain_shows_a_limit_that_only_the_settings_tell_of(
    run: Run, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_QUOTA", "5 MB")
    assert "settings\t5000000\twins" in run("config", "explain", acme, "TENANT_QUOTA").out
    assert "settings\t16777216\twins" in run("config", "explain", acme, "TENANT_MAX_BODY").out
    assert run("config", "set", acme, "TENANT_QUOTA=7 MB").code == 0
    lines = run("config", "explain", acme, "TENANT_QUOTA").out.splitlines()
    assert [line.split("\t")[:3] for line in lines if "MB" in line or "5000000" in line] == [
        ["settings", "5000000", ""],
        ["config.toml", "7 MB", "wins"],
    ]


def test_show_tells_the_limits_that_are_not_everybodys(run: Run, acme: str) -> None:
    assert "TENANT_" not in run("show", acme).out
    words = ("TENANT_RATE=20/second", "TENANT_FENCES_OFF=cookies", "TENANT_MAX_BODY=1 MiB")
    assert run("config", "set", acme, *words).code == 0
    out = run("show", acme).out
    for told in ("TENANT_RATE: 20/second", "TENANT_FENCES_OFF: cookies", "TENANT_MAX_BODY: 1048576"):
        assert told in out


# Room on the disk.


@pytest.fixture
def fill(root: Path, acme: str) -> Callable[[int], None]:
    """Have the tenant keep so many bytes in a file."""
    (folder,) = (root / "instance" / "tenants").iterdir()

    def fill(size: int) -> None:
        with closing((folder / "files" / "large").open("wb")) as file:
            file.write(b"x" * size)

    return fill


@pytest.mark.parametrize(
    ("size", "told"),
    [(100_000, ""), (850_000, ": nearly full"), (1_200_000, ": full, and requests that write are refused")],
)
def test_show_warns_of_a_quota_that_is_nearly_used_up(
    run: Run, acme: str, fill: Callable[[int], None], size: int, told: str
) -> None:
    assert run("config", "set", acme, "TENANT_QUOTA=1 MB").code == 0
    fill(size)
    out = run("show", acme).out
    (line,) = [line for line in out.splitlines() if line.startswith("on the disk")]
    assert line.partition("%")[2] == told
    assert " of 976.6 KiB, " in line
    document = run("show", acme, "--json").out
    assert '"quota": 1000000' in document
    assert ('"warning": null' in document) is (told == "")


def test_a_clone_that_would_be_over_its_quota_is_refused_and_nothing_is_left(
    run: Run, root: Path, acme: str, fill: Callable[[int], None]
) -> None:
    fill(2_000_000)
    assert run("config", "set", acme, "TENANT_QUOTA=1 MB").code == 0
    for words in (("clone", acme, "copy"), ("clone", acme, "copy", "--dry-run")):
        ran = run(*words)
        assert ran.code == 4
        assert "the quota of copy would be 1000000" in ran.error
    assert [path.name for path in (root / "instance" / "staging").iterdir()] == []
    assert len(list((root / "instance" / "tenants").iterdir())) == 1
    assert run("config", "set", acme, "TENANT_QUOTA=5 MB").code == 0
    assert run("clone", acme, "copy").code == 0


def test_a_quota_among_the_secrets_does_not_count_where_they_stay_behind(
    run: Run, acme: str, fill: Callable[[int], None]
) -> None:
    fill(2_000_000)
    assert run("config", "set", acme, "--secret", "TENANT_QUOTA=1 MB").code == 0
    assert run("clone", acme, "copy").code == 4
    assert run("clone", acme, "copy", "--without-secrets").code == 0
