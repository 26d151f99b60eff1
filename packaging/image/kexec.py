"""kexec.py KERNEL INITRD COMMAND-LINE: start another kernel, now. In the initramfs, as root.

The boot selector's last step: kexec_file_load and reboot, as the program kexec of kexec-tools does.
"""

from __future__ import annotations

import ctypes
import os
import sys

_KEXEC_FILE_LOAD = {"x86_64": 320, "aarch64": 294}
_REBOOT_KEXEC = 0x45584543


def main(kernel: str, initrd: str, command_line: str) -> None:
    """Load both and jump; OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    opened = [os.open(path, os.O_RDONLY) for path in (kernel, initrd)]
    text = command_line.encode() + b"\0"
    number = _KEXEC_FILE_LOAD[os.uname().machine]
    arguments = (*map(ctypes.c_long, (number, *opened, len(text))), text, ctypes.c_long(0))
    if libc.syscall(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), kernel)
    os.sync()
    libc.reboot(_REBOOT_KEXEC)
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "kexec")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as err:
        sys.exit(f"kexec.py: {err.filename}: {err.strerror}")
