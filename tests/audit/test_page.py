from __future__ import annotations

from audit import all_checks
from audit.page import PAGE, page


def test_the_page_is_as_the_code_says():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m audit.page"


def test_every_check_has_a_paragraph_and_says_how_it_measures():
    text = page()
    for check in all_checks().values():
        assert f"#### {check.id}: {check.title}\n" in text
        assert check.measure.__doc__
