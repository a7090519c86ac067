"""What the HTTP door says of itself in the OpenAPI document."""

from typing import Any

from msgspec import json

from fillip.ingest.answer.answer import EventsAnswer

_BYTES = "At most 256 bytes in UTF-8"
_SEGMENT = f"{_BYTES}, not . or .."
_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "A CloudEvents 1.0 event, at most 64 KiB and 16 levels; `data` as the action's schema types it",
    "required": ["specversion", "id", "source", "type", "subject", "time"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": f"Source and id together name the event. {_SEGMENT}",
        },
        "source": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "description": "Where the id was given: the same in each try. At most 1,024 bytes in UTF-8",
        },
        "type": {"type": "string", "minLength": 1, "maxLength": 256, "description": f"The action. {_BYTES}"},
        "subject": {"type": "string", "minLength": 1, "maxLength": 256, "description": f"The user. {_SEGMENT}"},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "From 1970 on, at most 5 minutes ahead; no leap second",
        },
        "tenantid": {"type": "string", "description": "The key's tenant, or left out"},
        "datacontenttype": {"type": "string", "default": "application/json"},
        "data": {"type": "object"},
    },
}
_PURCHASE = {
    "specversion": "1.0",
    "id": "till-7/2026-01-31/4711",
    "source": "/shop/till-7",
    "type": "PURCHASE",
    "subject": "user-42",
    "time": "2026-01-31T09:30:00Z",
    "data": {"amount": 1250, "category": "coffee"},
}
_BATCH = {"type": "array", "maxItems": 1000, "items": _EVENT}


def _answer(description: str, schema: dict[str, Any], media_type: str, **extra: object) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}, **extra}


def _problem(description: str, **extra: object) -> dict[str, Any]:
    return _answer(description, {"$ref": "#/components/schemas/Problem"}, "application/problem+json", **extra)


_UNSAID = ("title", "default")


def _describe_told() -> dict[str, Any]:
    """The answer to who waits, as its structs declare it, in one piece: these are no components."""
    [whole], parts = json.schema_components([EventsAnswer], ref_template="{name}")

    def inline(schema: Any) -> Any:  # noqa: ANN401  # any JSON
        if isinstance(schema, dict):
            part = parts.get(schema.get("$ref", ""))
            return (
                inline(part) if part else {name: inline(value) for name, value in schema.items() if name not in _UNSAID}
            )
        return [inline(each) for each in schema] if isinstance(schema, list) else schema

    described: dict[str, Any] = inline(whole)
    return described


_WAIT = {
    "name": "wait",
    "in": "query",
    "description": "Milliseconds to wait for the committed decisions, from when the log has the events",
    "schema": {"type": "integer", "minimum": 1, "maximum": 2000},
    "example": 200,
}
_TOLD = _describe_told()
_ON_ERROR = {
    "name": "on_error",
    "in": "query",
    "description": "`continue`: the good events are taken, the others named; all or none where it is left out",
    "schema": {"type": "string", "enum": ["continue"]},
}
_ROOM = {
    "headers": {
        "RateLimit": {"schema": {"type": "string"}, "example": '"events_per_s";r=199000'},
        "RateLimit-Policy": {"schema": {"type": "string"}, "example": '"events_per_s";q=200000;w=10'},
    }
}
_SLOW_DOWN = {
    "headers": {
        "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until as many events are let in"},
        "RateLimit": {"schema": {"type": "string"}, "example": '"events_per_s";r=12;t=3'},
        "RateLimit-Policy": {"schema": {"type": "string"}, "example": '"events_per_s";q=200000;w=10'},
    }
}
_RETRY_AFTER = {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}}

EVENTS_OPENAPI: dict[str, Any] = {
    "post": {
        "tags": ["events"],
        "operationId": "sendEvents",
        "summary": "Send events",
        "description": "One event or up to 1,000, all or none, unless `on_error=continue`. Answered once they are safely in the log, with `wait` "
        "once they are decided; repeat freely, an event of the same source and id counts once. Needs the scope events:write.",
        "security": [{"ApiKey": []}],
        "parameters": [_WAIT, _ON_ERROR],
        "requestBody": {
            "required": True,
            "content": {
                "application/cloudevents+json": {"schema": _EVENT, "example": _PURCHASE},
                "application/cloudevents-batch+json": {"schema": _BATCH, "example": [_PURCHASE]},
                "application/json": {"schema": {"anyOf": [_EVENT, _BATCH]}, "example": _PURCHASE},
            },
        },
        "responses": {
            "200": _answer(
                "With `wait`: what came of each event, as it is committed", _TOLD, "application/json", **_ROOM
            ),
            "202": _answer(
                "The events are in the log; with `wait`: the time was over for some of them",
                _TOLD | {"examples": [{"accepted": 1}]},
                "application/json",
                **_ROOM,
            ),
            "400": _problem("The body is not JSON, or the address not UTF-8"),
            "401": _problem("No live API key"),
            "403": _problem("The key lacks the scope, or an event names another tenant"),
            "408": _problem("The body did not come in time; nothing was taken"),
            "409": _problem("Source and id were used before for another event"),
            "413": _problem("More than 1 MiB or 1,000 events"),
            "415": _problem("Another media type"),
            "422": _problem(
                "Some events are invalid, or a parameter is unknown or wrong; `errors` names each, and nothing was taken"
            ),
            "429": _problem("More events than the tenant's quota allows; nothing was taken", **_SLOW_DOWN),
            "503": _problem("The log or the key store is away; nothing is lost, send again", **_RETRY_AFTER),
        },
    }
}
