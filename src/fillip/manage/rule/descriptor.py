"""Protobuf descriptors made at run time from attribute types: how the CEL checker learns a tenant's schema."""

from google.protobuf import descriptor_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pool import DescriptorPool

from fillip.core.schema.types import Kind, ListOf, ObjectType

PACKAGE = "fillip.rule"
_Field = descriptor_pb2.FieldDescriptorProto
_PLAIN = {
    Kind.BOOL: _Field.TYPE_BOOL,
    Kind.INT: _Field.TYPE_INT64,
    Kind.DOUBLE: _Field.TYPE_DOUBLE,
    Kind.STRING: _Field.TYPE_STRING,
}
_WRAPPERS = {Kind.BOOL: "BoolValue", Kind.INT: "Int64Value", Kind.DOUBLE: "DoubleValue", Kind.STRING: "StringValue"}


def build_pool(**roots: ObjectType) -> DescriptorPool:
    """A pool of its own with one message for each root, named `fillip.rule.NAME`, and those below it.

    Nullable scalars are wrappers, instants are Timestamps, lists are repeated. The syntax is proto2, so that a plain
    field has presence and `has()` of one that is set to zero is true.
    """
    pool = DescriptorPool()
    for module in (wrappers_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="fillip_rule.proto", package=PACKAGE, syntax="proto2")
    file.dependency.extend(["google/protobuf/wrappers.proto", "google/protobuf/timestamp.proto"])
    for name, shape in roots.items():
        _fill(file.message_type.add(name=name), f".{PACKAGE}.{name}", shape)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _fill(message: descriptor_pb2.DescriptorProto, path: str, shape: ObjectType) -> None:
    for number, part in enumerate(shape.fields, 1):
        kind, label = part.type, _Field.LABEL_OPTIONAL
        if isinstance(kind, ListOf):
            kind, label = kind.element, _Field.LABEL_REPEATED
        # Numbered JSON names: foo_bar and fooBar may stand side by side.
        field = message.field.add(name=part.name, number=number, json_name=f"f{number}", label=label)
        if isinstance(kind, ObjectType):
            field.type, field.type_name = _Field.TYPE_MESSAGE, f"{path}.T{number}"
            _fill(message.nested_type.add(name=f"T{number}"), f"{path}.T{number}", kind)
        elif kind.kind is Kind.TIMESTAMP:
            field.type, field.type_name = _Field.TYPE_MESSAGE, ".google.protobuf.Timestamp"
        elif kind.nullable:
            field.type, field.type_name = _Field.TYPE_MESSAGE, f".google.protobuf.{_WRAPPERS[kind.kind]}"
        else:
            field.type = _PLAIN[kind.kind]
