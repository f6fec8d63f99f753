"""How kept mappings are named, and what kept_mappings.pyx offers to other modules here under these names."""

from libc.stdint cimport uint32_t, uint64_t

from _mappings cimport Mapping
from _tile_parts cimport TileParts, place_of


cdef struct Key:
    uint64_t place
    uint64_t flight_high
    uint64_t flight_low
    uint32_t hash


cdef inline void key_of_parts(const TileParts *parts, Key *key) noexcept nogil:
    cdef uint64_t mixed
    key.place = place_of(parts)
    key.flight_high = parts.flight_high
    key.flight_low = parts.flight_low
    # Multiplying by a large odd number carries every bit upwards; the highest ones are taken.
    mixed = (key.place ^ parts.flight_low) * <uint64_t>0x9E3779B97F4A7C15
    mixed = (mixed ^ mixed >> 32 ^ parts.flight_high) * <uint64_t>0xD6E8FEB86659FD93
    key.hash = <uint32_t>(mixed >> 32)


cdef inline bint same(const Key *one, const Key *other) noexcept nogil:
    return (
        one.place == other.place
        and one.flight_low == other.flight_low
        and one.flight_high == other.flight_high
    )


# As a capsule, like `PixelsInterface`. Each takes a `CompiledMappingCache` first, and does what its method does.
ctypedef object (*GetBy)(object, const Key *)
ctypedef uint32_t (*TicketBy)(object, const Key *) noexcept
ctypedef object (*KeepBy)(object, const Key *, object, object, Mapping *, uint32_t)
ctypedef int (*Note)(object, object) except -1

cdef struct KeptInterface:
    GetBy get_by
    TicketBy ticket_by
    KeepBy keep_by
    Note note
