"""The same registry against a real MLflow server on the loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import BuildResult
from sta_registry import Registry, Store, load_sta

pytestmark = pytest.mark.slow

START_TIMEOUT_S = 120


def await_health(uri: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = folder / "server.log"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=folder)
    try:
        await_health(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_register_fetch_and_roll_back(
    server: str,
    result: BuildResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    registry = Registry(Store.open(tmp_path / "home"))
    first = registry.register(result, name="kinds", acceptance={"f1_macro": 0.9})
    second = registry.register(result, name="kinds")
    assert (first.champion, second.champion) == (True, True)
    folder = registry.resolve("kinds@champion")
    assert folder.is_relative_to(tmp_path / "home")
    assert load_sta(folder).manifest.quality.test == result.test
    assert registry.rollback("kinds").version == 1
    assert [version.aliases for version in registry.show_model("kinds")] == [
        ("previous",),
        ("champion",),
    ]
    assert not (tmp_path / "home" / "mlflow.db").exists()
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_what_was_fetched_is_not_fetched_again(
    server: str, result: BuildResult, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "home", tracking_uri=server)
    Registry(store).register(result, name="again")
    folder = Registry(store).resolve("again")
    before = folder.stat().st_mtime_ns
    assert Registry(store).resolve("again").stat().st_mtime_ns == before
    assert list((tmp_path / "home" / "fetched").iterdir()) == [folder]
