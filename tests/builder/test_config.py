from __future__ import annotations

import pytest
from pydantic import ValidationError

from builder import BuildConfig, FeatureSelection


def test_defaults_are_whole_and_survive_json():
    config = BuildConfig()
    assert BuildConfig.model_validate_json(config.model_dump_json()) == config
    assert config.families == ("random_forest", "xgboost")


@pytest.mark.parametrize("model", [BuildConfig, FeatureSelection])
def test_every_field_says_what_it_is(model):
    undescribed = [
        n for n, f in model.model_fields.items() if not f.description and n != "features"
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"families": ("svm",)},
            "expected families among cnn, .*, resann, xgboost, each once, got svm",
        ),
        ({"families": ("xgboost", "xgboost")}, "each once"),
        ({"families": ()}, "at least 1"),
        ({"task": "binary"}, "expected positive for the binary task"),
        ({"positive": ("web",)}, "expected positive for the binary task, and only for it"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"speed": 1}, "Extra inputs"),
    ],
)
def test_wrong_values_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        BuildConfig(**wrong)
