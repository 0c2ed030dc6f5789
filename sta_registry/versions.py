"""Reading the registry: which STAs there are, their versions and their aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sta_registry.reference import CHAMPION, Reference
from sta_registry.store import Store
from topologies.errors import NotFoundError, Problem

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a registered STA."""

    name: str
    version: int
    aliases: tuple[str, ...]
    created_ms: int
    run_id: str
    location: str
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        """MLflow's name for it."""
        return f"models:/{self.name}/{self.version}"

    @property
    def accepted(self) -> bool:
        """Whether it met its acceptance when it was registered."""
        return self.tags.get("gsta.accepted") == "true"

    @property
    def f1_macro(self) -> float:
        """Macro-F1 on its own test run; not a number for a forecaster."""
        return float(self.tags.get("gsta.f1_macro", "nan"))

    @property
    def mae_gain(self) -> float:
        """How much smaller a forecaster's MAE is than the seasonal naive one's, as a share."""
        return float(self.tags.get("gsta.mae_gain", "nan"))

    @property
    def dataset_sha256(self) -> str:
        """Digest of the dataset it was built and tested on."""
        return self.tags.get("gsta.dataset_sha256", "")

    @property
    def manifest_sha256(self) -> str:
        """Digest of its ``sta.json`` (``forecast.json``), which holds that of its model."""
        return self.tags.get("gsta.manifest_sha256", "")

    def __str__(self) -> str:
        return " ".join((f"{self.name}/{self.version}", *(f"@{alias}" for alias in self.aliases)))


def read_models(store: Store) -> dict[str, tuple[Version, ...]]:
    """Every registered STA with its versions, newest first."""
    return {model.name: _versions(store, model) for model in _models(store)}


def read_versions(store: Store, name: str) -> tuple[Version, ...]:
    """Versions of one STA, newest first; empty when there is none of that name."""
    for model in _models(store):
        if model.name == name:
            return _versions(store, model)
    return ()


def find_version(store: Store, reference: Reference) -> Version:
    """The version that ``reference`` means; raises `NotFoundError` listing what there is."""
    versions = read_versions(store, reference.name)
    for version in versions:
        if reference.version is None:
            if (reference.alias or CHAMPION) in version.aliases:
                return version
        elif reference.version == version.version:
            return version
    known = versions or [version for all_of in read_models(store).values() for version in all_of]
    raise NotFoundError(
        Problem(
            str(reference),
            "",
            "a registered STA",
            "none of that name",
            f"{store.tracking_uri} has: {', '.join(map(str, known)) or 'none yet, run gsta build'}",
        )
    )


def _models(store: Store) -> list[RegisteredModel]:
    if not store.exists:
        return []
    found: list[RegisteredModel] = []
    token: str | None = None
    with store.errors():
        while True:
            page = store.client.search_registered_models(order_by=["name"], page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def _versions(store: Store, model: RegisteredModel) -> tuple[Version, ...]:
    found: list[ModelVersion] = []
    token: str | None = None
    with store.errors():
        while True:
            page = store.client.search_model_versions(f"name='{model.name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                break
    versions = [
        Version(
            name=str(model.name),
            version=int(one.version),
            aliases=tuple(
                sorted(name for name, at in model.aliases.items() if int(at) == int(one.version))
            ),
            created_ms=int(one.creation_timestamp),
            run_id=str(one.run_id),
            location=str(one.source),
            tags=dict(one.tags),
        )
        for one in found
    ]
    return tuple(sorted(versions, key=lambda version: -version.version))
