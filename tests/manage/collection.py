"""A collection for Postman (which Bruno and Insomnia import, too), made from the OpenAPI document."""

import json
import re
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
VARIABLES = {
    "url": "http://127.0.0.1:8080",
    "reports_url": "http://127.0.0.1:8082",
    "key": "",
    "operator_key": "",
}
"""What whoever imports it fills in; both keys belong into an environment, not into a file that is shared."""
DEEPEST = 6
SAMPLES = {"boolean": True, "integer": 1, "number": 1, "string": "…", "null": None}

Json = dict[str, Any]


def make_collection(document: Json) -> Json:
    """The collection (format 2.1): a folder for each tag, a request for each operation, with an example of its body."""
    folders: dict[str, list[Json]] = {}
    for path, item in document["paths"].items():
        base = "{{reports_url}}" if "servers" in item else "{{url}}"
        for method in METHODS:
            if method in item:
                request = _describe_request(document, item[method], method, path, base)
                folders.setdefault(item[method]["tags"][0], []).append(request)
    return {
        "info": {
            "name": "Fillip",
            "description": "Made from openapi.json. Set the variable `key` to an API key of your tenant.",
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": _describe_bearer("key"),
        "variable": [{"key": name, "value": value} for name, value in VARIABLES.items()],
        "item": [{"name": tag, "item": requests} for tag, requests in sorted(folders.items())],
    }


def _describe_request(document: Json, operation: Json, method: str, path: str, base: str) -> Json:
    given = operation.get("parameters", [])
    of_query = [each for each in given if each["in"] == "query"]
    asked = [
        {
            "key": each["name"],
            "value": _write(make_example(document, each["schema"])),
            "disabled": not each.get("required", False),
        }
        for each in of_query
    ]
    raw = base + re.sub(r"\{(\w+)\}", r":\1", path)
    request: Json = {
        "method": method.upper(),
        "description": operation.get("description", ""),
        "header": [_describe_header(document, each) for each in given if each["in"] == "header"],
        "url": {
            "raw": raw,
            "host": [base],
            "path": re.sub(r"\{(\w+)\}", r":\1", path).strip("/").split("/"),
            "query": asked,
            "variable": [
                {"key": each["name"], "value": _write(make_example(document, each["schema"]))}
                for each in given
                if each["in"] == "path"
            ],
        },
    }
    if any("OperatorKey" in each for each in operation["security"]):
        request["auth"] = _describe_bearer("operator_key")
    if content := operation.get("requestBody", {}).get("content"):
        media = "application/json" if "application/json" in content else next(iter(content))
        body = content[media].get("example", make_example(document, content[media]["schema"]))
        request["header"].append({"key": "Content-Type", "value": media})
        request["body"] = {
            "mode": "raw",
            "raw": body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False),
        }
    return {"name": operation["summary"], "request": request}


def _describe_bearer(name: str) -> Json:
    return {"type": "bearer", "bearer": [{"key": "token", "value": f"{{{{{name}}}}}", "type": "string"}]}


def _describe_header(document: Json, header: Json) -> Json:
    needed = header["name"].lower() == "if-match"  # which FastAPI calls optional, since it is answered by a 428
    value = "*" if needed else _write(make_example(document, header["schema"]))
    return {"key": header["name"], "value": value, "disabled": not needed}


def make_example(document: Json, schema: Json, depth: int = 0) -> Any:
    """A value that a schema says is one, or that it would be if each text were well-formed."""
    if "$ref" in schema:
        return make_example(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], depth)
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    for name in ("example", "const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return make_example(document, schema[name][0], depth)
    if "allOf" in schema:
        return make_example(document, schema["allOf"][0], depth)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [make_example(document, schema["items"], depth + 1)] if depth < DEEPEST and schema.get("items") else []
    if kind == "object":
        needed = schema.get("required", []) if depth < DEEPEST else []
        return {name: make_example(document, schema["properties"][name], depth + 1) for name in needed}
    if schema.get("format") == "uuid":
        return "00000000-0000-0000-0000-000000000000"
    if schema.get("format") == "date-time":
        return "2026-01-31T09:30:00Z"
    return SAMPLES[kind]


def _write(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
