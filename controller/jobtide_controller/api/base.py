"""Base class of the resource's models (frozen, camelCase outside, snake_case inside), and the name of a pool."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

DAY_SECONDS = 86_400


class Model(BaseModel):
    """One object of the resource.

    Unknown fields are ignored: the API server refuses them, and an object written by a newer release must not stop
    the controller of an older one.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_serialization_defaults_required=False,
    )

    def as_object(self) -> dict[str, Any]:
        """As Kubernetes stores it: camelCase, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class PoolRef(NamedTuple):
    """Namespace and name of a pool; as text `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
