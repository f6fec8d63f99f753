"""The walk over a JPEG's markers, without the GIL: the compiled twin of `domain.policies.jpeg.walk_jpeg`."""

from libc.string cimport memchr

from _constants cimport (
    BAD_MARKER,
    BAD_SEGMENT,
    COMPONENTS,
    CUT_SHORT,
    NO_FAULT,
    NO_FRAME,
    NO_HEIGHT,
    NO_SCAN,
    NO_START,
    PROCESS,
)


cdef struct JpegWalk:
    int fault
    Py_ssize_t position  # of the fault, or of the first byte behind the image
    int width
    int height


cdef struct Frame:
    int count  # of colour components; 0 before a frame header was met
    unsigned char[4] ids
    int unscanned  # a bit for each component


cdef inline JpegWalk walk_jpeg_bytes(const unsigned char *pixels, Py_ssize_t end) noexcept nogil:
    """Follow the markers to the end of the image, or to the first fault."""
    cdef JpegWalk walk = JpegWalk(NO_FAULT, 0, 0, 0)
    cdef Frame frame
    cdef Py_ssize_t position = 2
    cdef Py_ssize_t behind
    cdef int marker, length
    cdef bint scanned = False
    cdef bint has_data
    frame.count = frame.unscanned = 0
    if end < 3 or pixels[0] != 0xFF or pixels[1] != 0xD8 or pixels[2] != 0xFF:
        walk.fault = NO_START
        return walk
    while position + 2 <= end:
        walk.position = position
        marker = pixels[position + 1]
        if pixels[position] != 0xFF:
            walk.fault = BAD_MARKER
            return walk
        if marker == 0xFF:  # a fill byte before a marker
            position += 1
            continue
        if marker == 0xD9:  # end of image
            if frame.count == 0:
                walk.fault = NO_FRAME
            elif not scanned:
                walk.fault = NO_SCAN
            elif frame.unscanned != 0:
                walk.fault = COMPONENTS
            else:
                walk.position = position + 2
            return walk
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8:
            walk.fault = BAD_MARKER
            return walk
        if position + 4 > end:
            break
        length = pixels[position + 2] << 8 | pixels[position + 3]
        behind = position + 2 + length
        if length < 2:
            walk.fault = BAD_SEGMENT
            return walk
        if behind > end:
            break
        if marker == 0xDC:  # number of lines
            walk.fault = NO_HEIGHT
            return walk
        if marker == 0xDA:  # start of scan
            walk.fault = read_scan_header(&pixels[position + 4], length, &frame)
            if walk.fault != NO_FAULT:
                return walk
            behind = find_end_of_scan(pixels, behind, end, &has_data)
            if not has_data:
                walk.fault = NO_SCAN
                return walk
            scanned = True
        elif marker == 0xF7 or (marker <= 0xCF and marker != 0xC4 and marker != 0xCC):  # start of frame
            walk.fault = read_frame_header(marker, &pixels[position + 4], length, &frame, &walk)
            if walk.fault != NO_FAULT:
                return walk
        position = behind
    walk.fault = CUT_SHORT
    walk.position = end
    return walk


cdef inline int read_frame_header(
    int marker, const unsigned char *segment, int length, Frame *frame, JpegWalk *walk
) noexcept nogil:
    cdef int index
    if length < 8:
        return BAD_SEGMENT
    if frame.count != 0:
        return BAD_MARKER
    walk.height = segment[1] << 8 | segment[2]
    walk.width = segment[3] << 8 | segment[4]
    if (marker != 0xC0 and marker != 0xC2) or segment[0] != 8:
        return PROCESS
    if walk.height == 0:
        return NO_HEIGHT
    if segment[5] != 1 and segment[5] != 3 and segment[5] != 4:
        return COMPONENTS
    if length != 8 + 3 * segment[5]:
        return BAD_SEGMENT
    frame.count = segment[5]
    frame.unscanned = (1 << frame.count) - 1
    for index in range(frame.count):
        frame.ids[index] = segment[6 + 3 * index]
    return NO_FAULT


cdef inline int read_scan_header(const unsigned char *segment, int length, Frame *frame) noexcept nogil:
    cdef int count, index, component
    cdef int named = 0
    cdef int found
    if frame.count == 0:
        return NO_FRAME
    count = segment[0] if length > 2 else 0
    if count == 0 or count > frame.count or length != 6 + 2 * count:
        return BAD_SEGMENT
    for index in range(count):
        found = 0
        for component in range(frame.count):
            if frame.ids[component] == segment[1 + 2 * index]:
                found |= 1 << component
        if found == 0 or found & named:
            return BAD_SEGMENT
        named |= found
    frame.unscanned &= ~named
    return NO_FAULT


cdef inline Py_ssize_t find_end_of_scan(
    const unsigned char *pixels, Py_ssize_t position, Py_ssize_t end, bint *has_data
) noexcept nogil:
    """Where the marker behind a scan's data stands, or `end`; data that go on to the end count as data."""
    cdef const unsigned char *found
    cdef Py_ssize_t at
    has_data[0] = False
    while True:
        found = <const unsigned char *>memchr(&pixels[position], 0xFF, end - position)
        if found == NULL or found + 2 > pixels + end:
            has_data[0] = True
            return end
        at = found - pixels
        has_data[0] = has_data[0] or at > position or pixels[at + 1] == 0
        if pixels[at + 1] == 0xFF:
            position = at + 1
        elif pixels[at + 1] == 0 or 0xD0 <= pixels[at + 1] <= 0xD7:
            position = at + 2
        else:
            return at
