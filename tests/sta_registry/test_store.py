"""Where the store is, and what happens when it is not there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sta_registry import Registry, Store
from topologies.errors import InputError, MachineError


def test_the_default_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open()
    assert store.home == tmp_path / ".gsta"
    assert store.tracking_uri == f"sqlite:///{tmp_path}/.gsta/mlflow.db"
    assert not store.exists


def test_the_environment_points_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSTA_HOME", str(tmp_path / "models"))
    assert Store.open().home == tmp_path / "models"
    assert Store.open(tmp_path / "given").home == tmp_path / "given"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    store = Store.open()
    assert store.tracking_uri == "http://mlflow.example:5000"
    assert store.database is None
    assert store.exists
    other = f"sqlite:///{tmp_path}/other.db"
    assert Store.open(tracking_uri=other).database == tmp_path / "other.db"


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///var/mlruns"])
def test_a_plain_folder_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(InputError, match="a plain folder cannot hold registered models"):
        Store.open(tmp_path, tracking_uri=uri)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to look like one" * 50)
    with pytest.raises(MachineError, match=r"mlflow\.db") as refused:
        Registry(Store.open(tmp_path)).list_models()
    assert refused.value.exit_code == 3


def test_a_home_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="Not a directory"):
        Store.open(tmp_path / "file" / "home").experiment()


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = Store.open(tmp_path, tracking_uri=f"http://127.0.0.1:{port}")
    with pytest.raises(MachineError, match=f"127.0.0.1:{port}"):
        Registry(store).list_models()
