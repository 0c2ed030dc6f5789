"""The report of a forecast as a page: errors by family, what came against what was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.card.svg import colour, dot, picture, rect, text, track
from builder.forecast.result import ForecastResult, Judged, SeriesScore
from builder.report.axes import Axes
from builder.report.page import Section, safe, template, trial_pictures

LINES = (("what came", "var(--ink)"), ("forecast", "var(--minus)"), ("a season ago", "var(--c0)"))


def render_forecast(result: ForecastResult, *, name: str) -> str:
    """The HTML text of the report of a forecast; ``name`` is the forecaster's."""
    shown = [one for one in result.scores if one.truth]
    return template("forecast.html.j2").render(
        name=name,
        result=result,
        winner=result.winner,
        zeros=f"{result.judged[0].test.zeros:.1%}",
        figures=list(_figures(result)),
        families=[_family(one) for one in result.judged],
        pictures=[(one.name, safe(_lines(one))) for one in shown],
        steps=safe(_steps(result.steps)) if len(result.steps) > 1 else None,
        trials=trial_pictures(result.trials),
    )


def _figures(result: ForecastResult) -> Iterator[Section]:
    share, low, high = result.gain
    yield f"{share:.1%}", f"smaller MAE than seasonal naive ({low:.1%} to {high:.1%})"
    yield f"{result.judged[0].test.mae:,.4g}", f"MAE, {result.config['of']} per window"
    yield f"{result.judged[0].test.smape:.3f}", "sMAPE, from 0 to 2"
    yield f"{result.config['horizon']} windows of {result.config['window_s']:g} s", "ahead"


def _family(one: Judged) -> dict[str, str]:
    test, (share, low, high) = one.test, one.gain
    return {
        "family": one.family,
        "trial": str(one.trial),
        "validation": f"{one.validation_mae:,.4g}",
        "mae": f"{test.mae:,.4g}",
        "mse": f"{test.mse:,.4g}",
        "mape": "-" if test.mape is None else f"{test.mape:.1%}",
        "smape": f"{test.smape:.3f}",
        "gain": f"{share:.1%}",
        "between": f"{low:.1%} to {high:.1%}",
    }


def _lines(one: SeriesScore) -> str:
    """A series of the test, moment by moment, with the forecasts of the next window."""
    every = (one.truth, one.forecast, one.seasonal)
    most = max(max(values) for values in every)
    axes = Axes(
        x=(0, max(len(one.truth) - 1, 1)), y=(0, most * 1.08 or 1.0), width=900, height=280, left=70
    )
    shapes = axes.frame("windows of the test", "")
    for place, ((words, stroke), values) in enumerate(zip(LINES, every, strict=True)):
        points = [axes.at(moment, value) for moment, value in enumerate(values)]
        shapes.append(track(points, stroke, width=1.8 if place < 2 else 1.0, tip=words))
        shapes += [
            rect(90 + 130 * place, 6, 10, 10, stroke),
            text(104 + 130 * place, 15, words, style="small"),
        ]
    return picture(axes.width, axes.height, f"Forecast of {one.name}", shapes)


def _steps(steps: Sequence[tuple[float, float]]) -> str:
    """MAE by how far ahead, of the winner and of the seasonal naive forecast."""
    most = max(max(pair) for pair in steps)
    axes = Axes(x=(1, len(steps)), y=(0, most * 1.1 or 1.0), width=420, left=70)
    shapes = axes.frame("windows ahead", "")
    for place, words in enumerate(("forecast", "seasonal naive")):
        points = [axes.at(step + 1, pair[place]) for step, pair in enumerate(steps)]
        stroke = colour(place)
        shapes.append(track(points, stroke, tip=words))
        shapes += [dot(*point, 3, stroke) for point in points]
        shapes += [
            rect(90 + 110 * place, 6, 10, 10, stroke),
            text(104 + 110 * place, 15, words, style="small"),
        ]
    return picture(axes.width, axes.height, "MAE by step", shapes)
