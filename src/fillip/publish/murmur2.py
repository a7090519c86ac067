"""Which partition a key goes to, as Kafka's own default partitioner says."""

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def choose_partition(key: bytes, partitions: int) -> int:
    """The partition of a key by murmur2 with Kafka's seed (librdkafka's `murmur2_random`, for keys that are set)."""
    return (hash_murmur2(key) & 0x7FFFFFFF) % partitions


def hash_murmur2(data: bytes, seed: int = 0x9747B28C) -> int:
    """Austin Appleby's MurmurHash2 (public domain), 32 bits."""
    result = (seed ^ len(data)) & _MASK
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        part = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        part = (part ^ part >> 24) * _M & _MASK
        result = result * _M & _MASK ^ part
    if whole < len(data):
        result = (result ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    result = (result ^ result >> 13) * _M & _MASK
    return result ^ result >> 15
