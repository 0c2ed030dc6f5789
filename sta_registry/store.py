"""The one door to MLflow: where the store is, and a quiet client for it.

Nothing global of MLflow is set (its tracking URI, its active run), so one process may work with
several stores; what it would print, send home or warn about is turned off here.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from urllib.request import url2pathname

from topologies.errors import InputError, MachineError, Problem

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOME_VARIABLE: Final = "GSTA_HOME"
TRACKING_VARIABLE: Final = "MLFLOW_TRACKING_URI"
DEFAULT_HOME: Final = ".gsta"
DATABASE: Final = "mlflow.db"
EXPERIMENT: Final = "gsta"

_QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that does not answer is a message now, not after two minutes of retries.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


@dataclass(frozen=True)
class Store:
    """Where runs and models are kept. Making one touches nothing; the client does.

    Attributes
    ----------
    home
        Folder of the default store and of fetched models.
    tracking_uri
        MLflow's name for the store: a ``sqlite:///`` database or the URL of a server.
    """

    home: Path
    tracking_uri: str

    @classmethod
    def open(cls, home: Path | None = None, *, tracking_uri: str | None = None) -> Store:
        """The store of a project: an SQLite database and a folder below ``home``.

        ``home`` defaults to GSTA_HOME, else to ``.gsta`` in the working directory;
        ``tracking_uri``, else MLFLOW_TRACKING_URI, points to another store, such as a server's.
        """
        chosen = home or Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)
        folder = chosen.expanduser().absolute()
        uri = tracking_uri or os.environ.get(TRACKING_VARIABLE) or f"sqlite:///{folder / DATABASE}"
        scheme = uri.partition(":")[0]
        if scheme in ("", "file") or "://" not in uri:
            raise InputError(
                Problem(
                    TRACKING_VARIABLE,
                    "",
                    "a sqlite:/// database or the http:// address of an MLflow server",
                    f"'{uri}'",
                    "a plain folder cannot hold registered models: unset it, or start a server",
                )
            )
        return cls(folder, uri)

    @property
    def database(self) -> Path | None:
        """File of a SQLite store; None for a server."""
        prefix, _, path = self.tracking_uri.partition(":///")
        return Path(path) if prefix == "sqlite" else None

    @property
    def exists(self) -> bool:
        """False only where a local database has not been made yet."""
        return self.database is None or self.database.exists()

    @cached_property
    def client(self) -> MlflowClient:
        """The connected client; the first use makes a local database."""
        with _without_warnings():
            _import_mlflow()
            from mlflow import MlflowClient

            with self.errors():
                if self.database is not None:
                    self.database.parent.mkdir(parents=True, exist_ok=True)
                client = MlflowClient(self.tracking_uri, registry_uri=self.tracking_uri)
                client.search_registered_models(max_results=1)
        return client

    def experiment(self) -> str:
        """Id of the experiment that holds all builds; made at the first call."""
        with self.errors():
            found = self.client.get_experiment_by_name(EXPERIMENT)
            if found is not None:
                return str(found.experiment_id)
            # A local store keeps its files beside its database, wherever the process runs.
            database = self.database
            local = None if database is None else (database.parent / "artifacts").as_uri()
            return str(self.client.create_experiment(EXPERIMENT, artifact_location=local))

    def local_path(self, location: str) -> Path | None:
        """Where artefacts at ``location`` lie on this machine; None if a server has them."""
        scheme, _, path = location.partition("://")
        if scheme == "file":
            return Path(url2pathname(path))
        return Path(location) if location.startswith("/") else None

    def fetch(self, location: str, folder: Path) -> None:
        """Fetch the directory at ``location`` from a server as ``folder``, whole or not at all."""
        from mlflow.artifacts import download_artifacts

        folder.parent.mkdir(parents=True, exist_ok=True)
        with self.errors(), TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
            found = download_artifacts(
                artifact_uri=location, dst_path=scratch, tracking_uri=self.tracking_uri
            )
            Path(found).rename(folder)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn MLflow's failures into a `MachineError` that names the store."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MachineError(
                f"the model store {self.tracking_uri} does not work: {reason}",
                remedy="check that it runs and may be written, and MLFLOW_TRACKING_URI",
            ) from error


def _import_mlflow() -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow.pyfunc  # noqa: F401
    except ImportError as error:
        raise MachineError(
            "names of models need mlflow, which is not installed",
            remedy='install it with: pip install "mlflow>=3.17,<3.18", or give an STA folder',
        ) from error
    chatty = logging.getLogger().isEnabledFor(logging.INFO)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.INFO if chatty else logging.ERROR)


@contextmanager
def _without_warnings() -> Iterator[None]:
    # SQLAlchemy and pydantic warn MLflow's authors of deprecations while its tables are mapped.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
