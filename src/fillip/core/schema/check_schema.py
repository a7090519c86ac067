"""What may be saved as the JSON Schema of an action or of users."""

from collections.abc import Mapping

import jsonschema_rs
import msgspec

from fillip.core.problem import write_pointer
from fillip.core.schema.cost import check_schema_cost
from fillip.core.schema.types import ObjectType, SchemaUnusable, derive_type
from fillip.core.schema.validate import Validator

MAX_SCHEMA_BYTES = 65_536
_SHOWN = 300  # characters of a message


def check_schema(schema: Mapping[str, object]) -> ObjectType:
    """The type of attributes that `schema` describes; raises SchemaUnusable naming the place."""
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        raise SchemaUnusable("", f"larger than {MAX_SCHEMA_BYTES} bytes")
    shape = derive_type(schema)
    check_schema_cost(schema)
    try:
        Validator(schema)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        message = str(getattr(error, "message", error)).split("\n")[0][:_SHOWN]
        raise SchemaUnusable(write_pointer(getattr(error, "instance_path", [])), message) from None
    return shape
