"""How fast a model writes, measured while it does; and how many replies can be begun so that they end in time.

A step of the engine adds a token to every reply that is running, and takes longer the more there are. So what is
measured is the seconds of a step for each number of replies, and the tokens of replies that ended. Between and beyond
the numbers that were measured, a step is taken to grow with the replies, which is more than it does: the estimate errs
to the safe side, and is mended by what is measured then.
"""

import math
from collections import defaultdict, deque
from statistics import median

FIRST = 4  # replies begun before anything is measured
MEASURED = 3  # steps before what they take is believed
RECENT = 16  # steps of each number of replies that are remembered, as a machine has other work at times
REMEMBERED = 64  # replies whose lengths are
LENGTH = 300  # tokens of a reply, expected before any has ended, and counted as one that did; a guess
LEAST_READ = 200  # tokens of a question: of fewer a step's fixed part would be taken for theirs
QUANTILE = 0.75  # of the lengths: three in four replies are no longer
MARGIN = 0.9  # of the seconds are planned with


class WritingPace:
    """What is known of a model's speed; it lives as long as the model is loaded. `most`: replies at once."""

    def __init__(self, most: int, longest: int):
        self.most = most
        self._prior = min(LENGTH, longest)
        self._lengths = deque[int](maxlen=REMEMBERED)
        self._steps: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._reading = math.inf  # seconds for a token of a question, the fewest measured

    def add_step(self, running: int, tokens: int, seconds: float) -> None:
        """A step with so many replies running, none of them new, said so many tokens."""
        if running and tokens:
            self._steps[running].append(seconds * running / tokens)

    def add_reply(self, tokens: int) -> None:
        """A reply has so many tokens: it ended, or was cut off."""
        self._lengths.append(tokens)

    def add_reading(self, tokens: int, seconds: float) -> None:
        """To read so many tokens of a question took so long.

        The fastest counts: were it a slow one, questions might never be begun, and so never be measured again.
        """
        if tokens >= LEAST_READ:
            self._reading = min(self._reading, seconds / tokens)

    def length(self) -> int:
        """Tokens within which a reply is expected to end."""
        lengths = sorted([self._prior, *self._lengths])
        return lengths[min(len(lengths) - 1, int(QUANTILE * len(lengths)))]

    def step_seconds(self, running: int) -> float | None:
        """Seconds of a step with so many replies, None before anything is known."""
        known = {replies: median(steps) for replies, steps in self._steps.items() if len(steps) >= MEASURED}
        fewer = max((n for n in known if n <= running), default=0)
        estimates = [known[n] for n in known if n >= running]  # with more it takes no less
        if fewer:
            estimates.append(known[fewer] * running / fewer)
        return min(estimates, default=None)

    def reading_seconds(self, tokens: int) -> float:
        """Seconds to read so many tokens of a question, 0 before anything is known."""
        return self._reading * tokens if self._reading < math.inf else 0.0

    def more(self, running: int, seconds: float) -> int:
        """How many replies can be begun beside those running, so that all are expected to end within the seconds."""
        if self.step_seconds(1) is None:
            return max(0, min(FIRST, self.most) - running)
        replies = running
        while replies < self.most:
            step = self.step_seconds(replies + 1)
            if step is None or step * self.length() > MARGIN * seconds:
                break
            replies += 1
        return replies - running
