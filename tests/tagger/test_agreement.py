from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.agreement import Agreement, Disagreement, LabelQuality, combined, wilson


@pytest.mark.parametrize(
    ("agreed", "checked", "low", "high"),
    # Published values: Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(agreed, checked, low, high):
    assert wilson(agreed, checked) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(pair):
    agreed, checked = pair
    low, high = wilson(agreed, checked)
    assert 0 <= low <= agreed / checked + 1e-12
    assert agreed / checked - 1e-12 <= high <= 1


def test_nothing_checked_proves_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    assert Agreement().share is None


def test_runs_are_added_up():
    one = LabelQuality(
        note="conntrack",
        overall=Agreement(checked=10, agreed=9),
        classes={"web": Agreement(checked=10, agreed=9)},
        undecided=1,
        unseen=2,
        disagreements=(
            Disagreement(
                flow_id="f", label="web", oracle="ssh", activity="a", owner="b", reason="r"
            ),
        ),
    )
    two = LabelQuality(
        note="no evidence", classes={"dns": Agreement(checked=1, agreed=1)}, unseen=5
    )
    both = combined([one, one, two], listed=1)
    assert both.overall == Agreement(checked=20, agreed=18)
    assert both.classes == {
        "dns": Agreement(checked=1, agreed=1),
        "web": Agreement(checked=20, agreed=18),
    }
    assert (both.undecided, both.unseen, len(both.disagreements)) == (2, 9, 1)
    assert both.note == "conntrack; no evidence"
