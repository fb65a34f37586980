"""Who is at the keyboard."""

from __future__ import annotations

import os
import pwd


def operator() -> str:
    """The user and the machine, as ``ana@desk``; by the kernel's word, since variables can say anything."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"
