"""More tenants than files that may be open are visited, and nobody meets a lack of them."""

from pathlib import Path

import pytest

from tests.proofs import descriptors
from tests.proofs.descriptors import Crowd

SMALL = Crowd(tenants=60, limit=160, clients=4, idle=8)
FULL = Crowd(tenants=5000, limit=1024, idle=400)


def hold(folder: Path, crowd: Crowd) -> None:
    seen = descriptors.run(folder, crowd)
    assert not seen.wrong, f"{seen}\n{seen.wrong[:10]}"
    assert not seen.lacks, f"{seen}\n{seen.lacks[:10]}"
    assert seen.answers == {"200": crowd.tenants * crowd.visits}, str(seen)
    assert seen.most <= crowd.limit
    assert seen.code == 0
    assert not seen.hung_up
    assert any(f"fit the {crowd.limit} files" in said for said in seen.said)


def test_many_tenants_are_served_with_few_descriptors(tmp_path: Path) -> None:
    hold(tmp_path, SMALL)


@pytest.mark.full
def test_five_thousand_tenants_are_served_with_a_thousand_descriptors(tmp_path: Path) -> None:
    hold(tmp_path, FULL)
