"""A name that one door accepts is accepted by all, and no two tenants share an address."""

from pathlib import Path

import pytest

from tests.proofs import grammar

EXAMPLES, FULL_EXAMPLES = 50, 3000


def hold(folder: Path, examples: int) -> None:
    verdicts = grammar.run(folder, examples)
    for counted in (verdicts.names, verdicts.domains):
        assert {"accepted", "Invalid", "Refused"} <= counted.keys(), str(verdicts)
    assert verdicts.tenants


def test_all_doors_agree_on_names_and_hosts(tmp_path: Path) -> None:
    hold(tmp_path, EXAMPLES)


@pytest.mark.full
def test_all_doors_agree_on_thousands_of_names_and_hosts(tmp_path: Path) -> None:
    hold(tmp_path, FULL_EXAMPLES)
