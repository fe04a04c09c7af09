"""The pod template of a pool: Kubernetes' PodTemplateSpec, of which the CRD declares only the fields in its rules.

The whole PodTemplateSpec would make the CRD half a megabyte. The API server refuses a misspelt field in the template
when the Deployment is applied; the pool shows ApplyFailed.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

from jobtide_controller.api import rules

PRESERVE = {"x-kubernetes-preserve-unknown-fields": True}

_STRING_MAP = {"type": "object", "additionalProperties": {"type": "string"}}

_CONTAINER = {
    "type": "object",
    "required": ["name"],
    **PRESERVE,
    "properties": {
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "description": "Name of the container; the one that runs the jobs is named worker. Required.",
        },
        "image": {
            "type": "string",
            "maxLength": 1024,
            "description": "Image of the container. Required for the container named worker.",
        },
    },
}

_POD_SPEC = {
    "type": "object",
    "required": ["containers"],
    "description": "The pods' spec (PodSpec). Required.",
    **PRESERVE,
    **rules.POD_SPEC,
    "properties": {
        "containers": {
            "type": "array",
            "minItems": 1,
            "maxItems": 32,
            "items": _CONTAINER,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "description": "The containers. One of them is named worker and runs the jobs. Required.",
        },
        "restartPolicy": {
            "type": "string",
            "maxLength": 32,
            "description": "Always, the only value that a Deployment allows. Default: Always.",
        },
        "terminationGracePeriodSeconds": {
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "description": "Seconds between SIGTERM and SIGKILL. "
            f"Default: drainSeconds + {rules.DRAIN_MARGIN_SECONDS}.",
        },
    },
}

_POD_TEMPLATE = {
    "type": "object",
    "required": ["spec"],
    **PRESERVE,
    "properties": {
        "metadata": {
            "type": "object",
            "description": "Labels and annotations of the pods. Default: none beyond Jobtide's own.",
            **PRESERVE,
            "properties": {
                "labels": {**_STRING_MAP, "description": "Labels of the pods. Default: none."},
                "annotations": {**_STRING_MAP, "description": "Annotations of the pods. Default: none."},
            },
        },
        "spec": _POD_SPEC,
    },
}

PodTemplate = Annotated[dict[str, Any], WithJsonSchema(_POD_TEMPLATE)]
