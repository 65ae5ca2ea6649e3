"""The glossary: one word a line, in order, each where it says."""

import re

import pytest

from tests.docs.commands import ROOT

ROWS = re.findall(
    r"^\| (\S[^|]*?) \| ([^|]+) \| `([^`]+)` \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE
)
WORDS = [word for word, _, _ in ROWS]


def test_words_are_in_order():
    assert len(WORDS) > 19
    assert sorted(set(WORDS)) == WORDS


@pytest.mark.parametrize(("word", "place"), [(word, place) for word, _, place in ROWS], ids=WORDS)
def test_each_is_where_it_says(word, place):
    assert (ROOT / place).exists(), word
