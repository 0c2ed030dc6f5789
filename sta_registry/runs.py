"""A build as MLflow runs: one for the build, one nested in it for each trial, and the model.

Everything is logged by the driver after the search, in batches: SQLite has one writer.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builder.evaluation.records import Findings
from builder.metrics import LIMITS
from builder.result import BuildResult, Trial
from sta_registry.acceptance import measures
from sta_registry.manifest import CARD_FILE, MANIFEST_FILE, StaManifest, read_manifest
from sta_registry.signature import signature
from sta_registry.store import Store
from topologies.files import sha256_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

Clock = Callable[[], float]  # seconds since the epoch

PAYLOAD: Final = "data/sta"  # where the STA folder lies in the logged model
LOADER: Final = "sta_registry.pyfunc"
REQUIREMENTS: Final = ("numpy", "pandas", "pyarrow", "pydantic", "onnxruntime")
_STATUS: Final = {"ok": "FINISHED", "failed": "FAILED", "skipped": "KILLED"}
_MAX_TAG: Final = 1000


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """Where a build's model is in the store."""

    run_id: str
    model_id: str
    location: str
    tags: dict[str, str]


def log_build(store: Store, result: BuildResult, folder: Path, *, clock: Clock) -> LoggedModel:
    """Log a build, its trials and its STA; ``folder`` is the STA's and is called ``sta``."""
    client, experiment = store.client, store.experiment()
    manifest = read_manifest(folder)
    tags = {
        "gsta.kind": "build",
        "gsta.dataset_sha256": result.dataset_sha256,
        "gsta.spec_sha256": manifest.provenance.spec_sha256 or "",
    }
    with store.errors(), begin_run(client, experiment, manifest.name, tags, clock) as run_id:
        log_values(client, run_id, _build_params(result), _build_metrics(result), clock)
        log_source(client, run_id, result.dataset_path, result.dataset_sha256)
        client.log_text(run_id, as_json(result.to_json()), "build.json")
        _log_report(client, run_id, result, manifest.name)
        for file in (CARD_FILE, MANIFEST_FILE):
            client.log_artifact(run_id, str(folder / file))
        for trial in result.trials:
            log_trial(client, experiment, run_id, trial, clock)
        return log_model(
            client,
            experiment,
            run_id,
            folder,
            name=manifest.name,
            form=manifest.format,
            tags=_model_tags(folder, manifest),
            schema=signature(manifest),
        )


@contextmanager
def begin_run(
    client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str], clock: Clock
) -> Iterator[str]:
    """A run of MLflow that ends with the block, as failed if that fails; its id."""
    run = client.create_run(
        experiment, start_time=int(clock() * 1000), tags=dict(tags), run_name=name
    )
    run_id, status = str(run.info.run_id), "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status, end_time=int(clock() * 1000))


def log_trial(
    client: MlflowClient, experiment: str, parent: str, trial: Trial, clock: Clock
) -> None:
    """A trial as a run below ``parent``."""
    start_ms = int(clock() * 1000)
    tags = {
        "mlflow.parentRunId": parent,
        "gsta.kind": "trial",
        "gsta.status": trial.status,
        "gsta.error": (trial.error or "")[:_MAX_TAG],
    }
    run = client.create_run(
        experiment,
        start_time=start_ms,
        tags=tags,
        run_name=f"trial {trial.number:03d} {trial.family}",
    )
    run_id = run.info.run_id
    params = {"family": trial.family, "number": trial.number, **trial.params}
    metrics = {"seconds": trial.seconds}
    if trial.score is not None:
        metrics["score"] = trial.score
    log_values(client, run_id, params, metrics, clock, folds=trial.fold_scores)
    client.log_text(run_id, as_json(asdict(trial)), "trial.json")
    end_ms = start_ms + int(trial.seconds * 1000)
    client.set_terminated(run_id, _STATUS[trial.status], end_time=end_ms)


def log_values(
    client: MlflowClient,
    run_id: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    clock: Clock,
    *,
    folds: tuple[float, ...] = (),
) -> None:
    """Parameters and measures of a run, in one batch."""
    from mlflow.entities import Metric, Param

    now_ms = int(clock() * 1000)
    values = [Metric(_key(name), value, now_ms, 0) for name, value in metrics.items()]
    values += [Metric("fold_score", value, now_ms, fold) for fold, value in enumerate(folds)]
    client.log_batch(
        run_id,
        metrics=values,
        params=[Param(_key(name), str(value)) for name, value in params.items()],
    )


def _build_params(result: BuildResult) -> dict[str, object]:
    return {
        "task": result.task,
        "metric": result.metric,
        "validation": result.validation,
        "seed": result.seed,
        "trials": len(result.trials),
        "features": len(result.features),
        "sequence_length": result.sequence_length,
        "train_runs": " ".join(result.train_runs),
        "test_runs": " ".join(result.test_runs),
        "dataset": result.dataset_path,
        "winner.number": result.winner.number,
        "winner.family": result.winner.family,
    } | {f"winner.{name}": value for name, value in result.winner.params.items()}


def _build_metrics(result: BuildResult) -> dict[str, float]:
    return (
        {"validation_score": result.validation_score, "train_flows": float(result.train_flows)}
        | {f"test_{name}": value for name, value in measures(result.test).items()}
        | _unseen(result)
        | _found(result.findings)
        | {f"seconds_{stage}": seconds for stage, seconds in result.timings.items()}
    )


def _found(found: Findings | None) -> dict[str, float]:
    if found is None:
        return {}
    interval, speed = found.test.intervals["f1_macro"], found.speed
    figures = {
        "test_f1_macro_low": interval.low,
        "test_f1_macro_high": interval.high,
        "test_ece": found.test.ece,
        "test_log_loss": found.test.log_loss,
    } | {name: float(getattr(speed, name)) for name in LIMITS}
    figures |= {f"family_{one.family}_test_f1_macro": one.f1_macro for one in found.families}
    if found.open_set is not None:
        figures["test_coverage"] = found.open_set.test_coverage
    return figures


def _unseen(result: BuildResult) -> dict[str, float]:
    if result.unseen is None:
        return {}
    return {f"unseen_{name}": value for name, value in measures(result.unseen).items()}


def _log_report(client: MlflowClient, run_id: str, result: BuildResult, name: str) -> None:
    from builder.report import REPORT_FILE, render_report

    if result.findings is not None:
        client.log_text(run_id, render_report(result, name=name), REPORT_FILE)


def log_source(client: MlflowClient, run_id: str, path: str, sha256: str) -> None:
    """What a run learnt from."""
    from mlflow.entities import Dataset, DatasetInput

    dataset = Dataset(
        name=Path(path).name or "dataset",
        digest=sha256[:36],  # MLflow's limit; the tag holds all of it
        source_type="local",
        source=path,
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [])])


def log_model(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    folder: Path,
    *,
    name: str,
    form: str,
    tags: dict[str, str],
    schema: ModelSignature,
) -> LoggedModel:
    """The model of a run: a folder, which is called ``sta``, as `sta_registry.pyfunc` loads it."""
    import mlflow.pyfunc
    from mlflow.models import Model

    logged = client.create_logged_model(experiment, name=name, source_run_id=run_id, tags=tags)
    model = Model(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        metadata={"sta_format": form},
        signature=schema,
    )
    with tempfile.TemporaryDirectory(prefix="gsta-") as temporary:
        local = Path(temporary) / "model"
        # A loader module and a data folder: the one form of a pyfunc that holds no pickle.
        mlflow.pyfunc.save_model(
            str(local),
            loader_module=LOADER,
            data_path=str(folder),
            mlflow_model=model,
            pip_requirements=_requirements(),
        )
        client.log_model_artifacts(logged.model_id, str(local))
    client.finalize_logged_model(logged.model_id, "READY")
    return LoggedModel(run_id, logged.model_id, logged.artifact_location, tags)


def _model_tags(folder: Path, manifest: StaManifest) -> dict[str, str]:
    # What the registry shows of an STA without opening it; the digest ties it to its files.
    return {
        "gsta.manifest_sha256": sha256_file(folder / MANIFEST_FILE),
        "gsta.dataset_sha256": manifest.provenance.dataset_sha256,
        "gsta.task": manifest.task,
        "gsta.family": manifest.provenance.family,
        "gsta.classes": ", ".join(manifest.classes),
        "gsta.f1_macro": repr(manifest.quality.test.f1_macro),
    }


def _requirements() -> list[str]:
    installed = {d.name.lower() for d in metadata.distributions() if d.name}
    names = [name for name in (*REQUIREMENTS, "gsta") if name in installed]
    return [f"{name}=={metadata.version(name)}" for name in names]


def _key(name: str) -> str:
    """``name`` with nothing in it that MLflow refuses in a key."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)


def as_json(value: object) -> str:
    """Text of an artefact."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
