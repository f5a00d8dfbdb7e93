"""Follow the pages of the documentation as a reader would, in a fresh copy of the checkout."""

from tests.docs_runner.pages import Block, blocks, headings, links, prose, rows, section
from tests.docs_runner.reader import Reader

__all__ = ["Block", "Reader", "blocks", "headings", "links", "prose", "rows", "section"]
