"""The proof of the rendered configuration, in its small form."""

from pathlib import Path

from tests.proofs import edge_render


def test_a_house_with_domains_and_poison_rows_is_rendered_and_nginx_takes_it(tmp_path: Path) -> None:
    """What is poison is told, and nowhere in the text."""
    tally = edge_render.run(tmp_path, 100, 20, 1)
    assert (tally.complaints, tally.wrong) == ([], [])
    assert tally.seconds.keys() == {"live", "listed"}
