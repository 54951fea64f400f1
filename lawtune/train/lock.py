"""One run at a time in a folder: a second one would share its log and remove its checkpoints."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lawtune.errors import UserError
from lawtune.files import make_folder
from lawtune.train.distributed import Alone


@contextmanager
def only_run_in(out: Path, team: Alone) -> Iterator[None]:
    """Within the context, no other run can enter it for `out`, which is created if need be.

    It is the folder itself that is locked, so that nothing is left behind, and the system ends the
    lock with the process, however that ends. Folders that were made for it and are empty in the
    end are removed. A file system that cannot lock a folder (some network ones) goes without.

    Raises:
        UserError: another run is at work in `out`.
    """
    held, new = None, [path for path in (out, *out.parents) if not path.exists()]
    with team.together():
        if team.is_main:
            held = _lock(make_folder(out))
    try:
        yield
    finally:
        if held is not None:
            with suppress(OSError):
                for path in new:
                    path.rmdir()  # until one holds something
            with suppress(OSError):
                # Told, not only closed: a process forked meanwhile would keep it.
                fcntl.flock(held, fcntl.LOCK_UN)
            os.close(held)


def _lock(folder: Path) -> int:
    """The descriptor that holds the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"another run is at work in {folder}: wait for its end, or choose another --out"
        ) from None
    except OSError:
        pass  # This file system has no such locks.
    return descriptor
