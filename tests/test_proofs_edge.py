"""Through a real nginx: it and the application agree on whose a request is, and nothing that a client claims counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import edges
from tests.edges import Edge
from tests.proofs import edge_agree, edge_changes, edge_large, edge_spoofs
from tests.proofs.edge_agree import Town, resolved

# Each kind alone, all of them, none, and some of the others.
FEW = [0, edge_spoofs.COMBINATIONS - 1, *(1 << kind for kind in range(10)), *range(5, 1024, 301)]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A platform behind nginx, with the tenants of all proofs."""
    root = tmp_path_factory.mktemp("edge")
    with edges.edged(root, edge_files="on", max_body=32 << 20) as served:
        edge_spoofs.settle(served)
        edge_large.settle(served)
        yield served


@pytest.fixture(scope="module")
def town(edge: Edge) -> Town:
    """The tenants that nginx and the application are asked about."""
    return edge_agree.settle(edge)


@contextmanager
def changed(edge: Edge, line: str, other: str) -> Iterator[None]:
    """Have nginx believe another line for a while."""
    text = edge.render()
    assert line in text
    edge.reload(text.replace(line, other))
    try:
        yield
    finally:
        edge.reload(text)


def test_nginx_and_the_application_never_name_two_tenants(edge: Edge, town: Town) -> None:
    agreed = edge_agree.run(edge, town, 800)
    assert agreed.requests >= 800
    assert not agreed.wrong, agreed.wrong[0]
    assert agreed.named.keys() == {*town.hosts.values()} - {town.hosts[f"shut.{edges.DOMAIN}"]}
    assert agreed.sent_on


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("proxy_set_header Host $host:$server_port;", "proxy_set_header Host $http_host;"),
        ("proxy_pass http://tenantry;", "proxy_pass http://tenantry/t/acme/;"),
    ],
)
def test_an_edge_that_passes_on_another_host_or_path_is_found_out(
    edge: Edge, town: Town, line: str, other: str
) -> None:
    with changed(edge, line, other):
        assert edge_agree.run(edge, town, 200).wrong


def test_headers_that_forward_have_no_effect_behind_nginx(edge: Edge) -> None:
    spoofed = edge_spoofs.run(edge, FEW)
    assert spoofed.answers == len(FEW) * len(edge_spoofs.PLACES)
    assert {200, 302, 308, 404} <= spoofed.statuses
    assert not spoofed.differ, spoofed.differ[0]


def test_an_edge_that_believes_a_client_is_found_out(edge: Edge) -> None:
    with changed(edge, "X-Forwarded-Proto $scheme", "X-Forwarded-Proto $http_x_forwarded_proto"):
        assert edge_spoofs.run(edge, FEW[:4]).differ


def test_what_an_operator_changes_is_so_for_visitors_and_nginx_is_not_told(edge: Edge) -> None:
    changed = edge_changes.run(edge, 1)
    assert not [one for one in changed.wrong if "was seen after" not in one]  # how fast is no test's matter
    assert changed.reloads == 0


def test_large_bodies_go_through_whole_or_are_seen_to_be_cut(edge: Edge) -> None:
    held = edge_large.run(edge, edge_large.SMALL)
    assert not held.wrong, held.wrong[0]
    assert held.looks


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/t/acme/../globex/x", "/t/globex/x"),
        ("/t/acme%2f..%2F%2e%2e/x/", "/x/"),
        ("//t///acme", "/t/acme"),
        ("/../..", "/"),
        ("/t/%61cme/.", "/t/acme/"),
        ("", "/"),
    ],
)
def test_the_oracle_follows_slashes_and_dots(path: str, meant: str) -> None:
    assert resolved(path) == meant


@pytest.mark.full
def test_100000_generated_requests_are_one_tenants_to_nginx_and_to_the_application(tmp_path: Path) -> None:
    agreed = edge_agree.full(tmp_path, 100_000)
    assert agreed.requests >= 100_000
    assert not agreed.wrong, agreed.wrong[0]


@pytest.mark.full
def test_no_combination_of_forwarding_headers_has_an_effect_behind_nginx(tmp_path: Path) -> None:
    spoofed = edge_spoofs.full(tmp_path, range(edge_spoofs.COMBINATIONS))
    assert not spoofed.differ, spoofed.differ[0]


@pytest.mark.full
def test_a_gigabyte_goes_through_and_the_memory_of_the_server_stays_flat(tmp_path: Path) -> None:
    held = edge_large.full(tmp_path, edge_large.Load())
    assert not held.wrong, held.wrong[0]
    assert held.server < 32 << 20
