"""Whatever the disk refuses, and wherever: the operator is told which file, and nothing is half done."""

from pathlib import Path

import pytest

from tenantry.operations import Operations, disk
from tests.faults.cases import Case
from tests.faults.matrix import Matrix, Result, run_matrix

ERRORS = ("ENOSPC", "EACCES", "EIO", "EROFS")
WAYS = {
    *(f"once {error}" for error in ERRORS),
    *(f"from then on {error}" for error in ("ENOSPC", "EROFS")),
    *("a short write", "a short write, then once ENOSPC"),
}


def clean(result: Result) -> None:
    """See that every site was met, in every way that there is, and that each time all was well."""
    assert not result.failures, "\n\n".join((f"{len(result.failures)} of {result.runs} runs:", *result.failures))
    assert set(result.faults) == WAYS


def test_every_site_of_every_verb_fails_clean(tmp_path: Path) -> None:
    """Each line that writes, the first or the last time a verb passes it, in one of the ways in turn."""
    result = run_matrix(False, tmp_path)
    clean(result)
    assert result.runs > 200


def test_a_verb_that_is_not_clean_is_found_out(tmp_path: Path) -> None:
    """The matrix sees half a change, and an error that no operator can read."""

    def dirty(operations: Operations) -> None:
        for name in ("one", "two"):
            disk.write(operations.path("acme") / name, b"x")

    matrix = Matrix(tmp_path)
    matrix.run(Case("dirty", "standing", dirty), True)
    found = "\n".join(matrix.result().failures)
    assert "not one of the four families" in found
    assert "not done, and not as before: tenants/<acme>/one" in found


@pytest.mark.full
def test_every_site_of_every_verb_fails_clean_in_every_way(tmp_path: Path) -> None:
    clean(run_matrix(True, tmp_path))
