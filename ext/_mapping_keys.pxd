"""The names of cached mappings: a tile id as three numbers and a hash."""

from libc.stdint cimport uint32_t, uint64_t

from _tile_parts cimport TileParts, position_of


cdef struct MappingKey:
    uint64_t position
    uint64_t flight_high
    uint64_t flight_low
    uint32_t hash


cdef inline void mapping_key_of(const TileParts *parts, MappingKey *key) noexcept nogil:
    cdef uint64_t mixed
    key.position = position_of(parts)
    key.flight_high = parts.flight_high
    key.flight_low = parts.flight_low
    # Multiplying by a large odd number carries every bit upwards; the highest ones are taken.
    mixed = (key.position ^ parts.flight_low) * <uint64_t>0x9E3779B97F4A7C15
    mixed = (mixed ^ mixed >> 32 ^ parts.flight_high) * <uint64_t>0xD6E8FEB86659FD93
    key.hash = <uint32_t>(mixed >> 32)


cdef inline bint is_same_key(const MappingKey *one, const MappingKey *other) noexcept nogil:
    return (
        one.position == other.position
        and one.flight_low == other.flight_low
        and one.flight_high == other.flight_high
    )
