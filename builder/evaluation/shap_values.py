"""Exact Shapley values of tree ensembles. The one door to shap."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from builder.families.base import Model
from builder.preprocess import Floats


def tree_contributions(model: Model, rows: Floats) -> Floats | None:
    """What each feature adds to each class's answer, [n, features, classes]; None for no trees.

    Boosted trees: log-odds, by XGBoost's own TreeSHAP. Forests of scikit-learn: probability, by
    shap's. ``rows`` [n, features] are preprocessed. Of two classes both columns are filled.
    """
    booster = getattr(model, "booster", None)
    if booster is not None:
        return _boosted(booster, rows)
    trees = getattr(model, "trees", None) or getattr(model, "forest", None)
    return None if trees is None else _forest(trees, rows, width=int(getattr(model, "width", 0)))


def _boosted(booster: Any, rows: Floats) -> Floats:
    import xgboost

    found = np.asarray(booster.predict(xgboost.DMatrix(rows), pred_contribs=True))
    if found.ndim == 2:  # one margin for both classes
        found = np.stack([-found, found], axis=1)
    contributions: Floats = np.moveaxis(found[:, :, :-1], 1, 2)  # without the bias
    return contributions


def _forest(trees: Any, rows: Floats, *, width: int) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it sets up plots that nobody asked for
        import shap

    found = np.asarray(shap.TreeExplainer(trees).shap_values(rows, check_additivity=False))
    spread = np.zeros((*rows.shape, width), dtype=np.float32)
    spread[:, :, trees.classes_] = found
    return spread
