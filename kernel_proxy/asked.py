"""A request that is under way while its sender does something else."""

from __future__ import annotations

from kernel_proxy.exchange import Answer, Reply
from kernel_proxy.stream import Attachment


class Asked:
    """A request whose answer is waited for later.

    Args:
        answer: It, once it is there.
        attachment: The stream on which it comes.
    """

    def __init__(self, answer: Answer, attachment: Attachment) -> None:
        self._answer, self._attachment = answer, attachment

    def result(self, timeout_s: float | None = None) -> Reply:
        """Wait for the answer.

        Args:
            timeout_s: Longest wait; None waits for ever.

        Raises:
            TimeoutError: It did not come in time.
            WarmcellError: The request was refused.
        """
        if not self._attachment.wait(self._answer.bell, self._answer.ready, timeout_s):
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        return self._answer.result()
