"""What an older kernel is to code that asks for newer system calls: answers that there are none."""

# Takes system calls away from this process, as a kernel from before them would.
REFUSE = """
import ctypes, errno, platform, struct
def refuse(refused):
    program = struct.pack("HBBI", 0x20, 0, 0, 0)  # load the call's number
    for number, failure in refused.items():
        program += struct.pack("HBBI", 0x15, 0, 1, number)
        program += struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | failure)
    program += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)  # allow the others
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program)
    filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    no_new_privileges, set_seccomp = 38, 22
    assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(set_seccomp, 2, ctypes.create_string_buffer(filter), 0, 0) == 0, ctypes.get_errno()
madvise, preadv2 = {"x86_64": (28, 327), "aarch64": (233, 286)}[platform.machine()]
refuse({451: errno.ENOSYS, madvise: errno.EINVAL, preadv2: errno.EOPNOTSUPP})  # 451 is cachestat
"""
