"""SIGINT (Ctrl-C) and SIGTERM: a run finishes its step, saves, and then stops."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from lawtune.train.distributed import Alone


class Interrupt:
    """Turns the first signal into a request, its number in `signal`; use it as a context manager
    around the loop.

    A second SIGINT raises KeyboardInterrupt at once; nothing saved is lost, as files are replaced
    whole. Outside the main thread, where Python takes no signals, nothing is changed.

    Args:
        say: hears what will happen, in a sentence.
        team: the processes that stop together.
    """

    def __init__(self, say: Callable[[str], None], team: Alone):
        self.signal: int | None = None
        self._say, self._team = say, team
        self._before: dict[int, object] = {}

    def asked(self) -> bool:
        """Whether a signal has come, to any of the processes; all know its number then."""
        self.signal = self._team.highest(self.signal or 0) or None
        return self.signal is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            self._say(
                f"{signal.Signals(number).name}: finishing this step and saving"
                " (Ctrl-C once more stops at once)"
            )
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
