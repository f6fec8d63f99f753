"""Every number that the extension shares with the domain or the configuration; no other file here repeats one.

tests/unit/test_ext_constants.py reads this file and compares each constant with its counterpart.
"""

from libc.stdint cimport int64_t

cdef enum:
    # Tile keys: `domain.values.tile_grid`, `domain.values.tile_key`.
    MAX_ZOOM = 22
    MORTON_BITS = 44
    VARIANT_BITS = 14
    VARIANT_MASK = (1 << 14) - 1
    SATELLITE_PROVIDER_ORDINAL = 0
    IMPORTED_ORDINAL = 1
    FIRST_FLIGHT_ORDINAL = 2
    # Catalogue entries: `domain.values.catalogue_entries`.
    SHA256_BYTES = 32
    DOWNGRADED = 1
    PINNED = 2
    UPLOADED = 4
    EVICTABLE = 8
    # Footprints: `domain.values.disk_usage`.
    FOOTPRINT_BLOCK = 4096
    FOOTPRINT_PAIR = 4608
    VOTING_SHIFT = 4
    VOTING_CODE_COUNT = 5
    ENTRY_FIELD_COUNT = 10
    # Faults of a JPEG: `domain.policies.jpeg.JpegFault`.
    NO_FAULT = 0
    NO_START = 1
    BAD_MARKER = 2
    BAD_SEGMENT = 3
    CUT_SHORT = 4
    NO_FRAME = 5
    NO_SCAN = 6
    NO_HEIGHT = 7
    PROCESS = 8
    COMPONENTS = 9
    # `domain.values.sectors.SectorClassification`.
    CLASSIFICATION_COUNT = 2
    # The configuration's limit for `reads.max_mappings`.
    MAX_MAPPINGS = 1 << 20

cdef extern from *:
    """
    #define AEROTILE_MAX_DISK_BYTES ((INT64_C(1) << 40) - 1)
    #define AEROTILE_MAX_LATITUDE 85.0511287798066
    #define AEROTILE_EARTH_RADIUS_M 6371008.8
    #define AEROTILE_ROUNDING 1e-12
    """
    const int64_t MAX_DISK_BYTES "AEROTILE_MAX_DISK_BYTES"
    const double MAX_LATITUDE "AEROTILE_MAX_LATITUDE"
    const double EARTH_RADIUS_M "AEROTILE_EARTH_RADIUS_M"
    const double ROUNDING "AEROTILE_ROUNDING"
