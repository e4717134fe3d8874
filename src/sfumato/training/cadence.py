"""When something is due again: every so many steps or images, every so many minutes, or so many times in a run.

What is counted in steps or images is decided by the number of the step alone, so a resumed run does it at the same
steps. The clock and the share of the run that is done begin anew with each start, and look back at the last time.
"""

from dataclasses import dataclass

from sfumato.training.loop import Progress


@dataclass(frozen=True)
class Every:
    """Due where a run passes a multiple of so many images.

    Attributes:
        images: between two times.
        batch: images of a step.
    """

    images: int
    batch: int

    def at(self, step: int) -> bool:
        """Whether it is due after this many steps."""
        return step * self.batch // self.images > (step - 1) * self.batch // self.images

    def due(self, progress: Progress) -> bool:
        """Whether it is due now."""
        return self.at(progress.step)


@dataclass
class Clock:
    """Due when so many minutes of training have passed since the last time.

    Attributes:
        minutes: between two times.
        since: seconds of training at the last time.
    """

    minutes: float
    since: float

    def due(self, progress: Progress) -> bool:
        """Whether it is due now; if so, the next interval begins."""
        if progress.seconds - self.since < self.minutes * 60:
            return False
        self.since = progress.seconds
        return True


@dataclass
class Shares:
    """Due when another equal share of the run is done.

    Attributes:
        times: shares of a run.
        passed: shares that are done.
    """

    times: int
    passed: int

    def due(self, progress: Progress) -> bool:
        """Whether it is due now; if so, the next share begins."""
        before, self.passed = self.passed, int(progress.fraction * self.times)
        return self.passed > before


Cadence = Every | Clock | Shares
