"""The fields of a row in a binary COPY, as they stand in its bytes; no GIL is needed.

The format is in PostgreSQL's manual under COPY, "Binary Format".
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from _constants cimport FIRST_FLIGHT_ORDINAL, IMPORTED_ORDINAL, SATELLITE_PROVIDER_ORDINAL, SHA256_BYTES

cdef extern from *:
    """
    /* The value of a lower-case hexadecimal digit, and 0x10 more; 0 for any other byte. */
    static const unsigned char hexadecimal_digits[256] = {
        ['0'] = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19,
        ['a'] = 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
    };
    """
    const uint8_t[256] HEXADECIMAL_DIGITS "hexadecimal_digits"


cdef enum:  # the columns, in their order
    ZOOM_LEVEL
    X
    Y
    SOURCE
    FLIGHT_ID
    CAPTURED_AT
    ACCESSED_AT
    DISK_BYTES
    FRESH
    VOTING_STATUS
    PINNED_COLUMN
    UPLOADED_COLUMN
    CONTENT_SHA256
    COLUMNS

cdef enum:
    FLIGHT_BYTES = 16


cdef struct Field:
    const uint8_t *bytes  # NULL for SQL's NULL
    int32_t length


cdef inline uint32_t big_endian_32(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef inline int64_t whole_number(const Field *field) noexcept nogil:
    """The signed number of 2, 4 or 8 bytes."""
    cdef const uint8_t *at = field.bytes
    if field.length == 8:
        return <int64_t>(<uint64_t>big_endian_32(at) << 32 | big_endian_32(at + 4))
    if field.length == 4:
        return <int32_t>big_endian_32(at)
    return <int32_t>(<uint32_t>at[0] << 24 | <uint32_t>at[1] << 16) >> 16


cdef inline bint is_text(const Field *field, const char *text, int32_t length) noexcept nogil:
    return field.length == length and memcmp(field.bytes, text, length) == 0


cdef inline int source_ordinal(const Field *source) noexcept nogil:
    """The variant's ordinal, `FIRST_FLIGHT_ORDINAL` for any flight, -1 for an unknown source."""
    if is_text(source, b"satellite_provider", 18):
        return SATELLITE_PROVIDER_ORDINAL
    if is_text(source, b"onboard", 7):
        return FIRST_FLIGHT_ORDINAL
    return IMPORTED_ORDINAL if is_text(source, b"imported", 8) else -1


cdef inline bint read_sha256(const Field *text, uint8_t *digest) noexcept nogil:
    """Whether the text is a SHA-256 in lower-case hexadecimal, which is then in `digest`."""
    cdef int place
    cdef uint8_t high, low
    cdef uint8_t digits = 0x10
    if text.length != 2 * SHA256_BYTES:
        return False
    for place in range(SHA256_BYTES):
        high = HEXADECIMAL_DIGITS[text.bytes[2 * place]]
        low = HEXADECIMAL_DIGITS[text.bytes[2 * place + 1]]
        digits &= high & low
        digest[place] = <uint8_t>(high << 4 | low & 0xF)
    return digits != 0


cdef inline str text_of(const Field *field):
    """For a message; this one needs the GIL."""
    return field.bytes[:field.length].decode("utf-8", "replace")
