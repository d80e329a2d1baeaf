"""What the service answers: bodies with their status, and refusals in the documented form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

JSON = "application/json"
CSV = "text/csv; charset=utf-8"
CLOSE = (("connection", "close"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """A body to send."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):  # noqa: N818 (it is an answer, not a fault)
    """A request that gets an error for an answer.

    Parameters
    ----------
    status
        Of HTTP; the body's errorCode is the same.
    message
        What is wrong and what to do, for the one who sent it.
    reason
        One word for the metrics.
    """

    def __init__(self, status: int, message: str, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = headers

    def answer(self, log_id: str) -> Answer:
        """Return the error in the documented form."""
        body = {"logId": log_id, "errorCode": self.status, "errorMsg": str(self)}
        return Answer(msgspec.json.encode(body), status=self.status, headers=self.headers)


def answer_json(content: Any, status: int = 200) -> Answer:
    """Return plain lists, texts and numbers as JSON; NaN as null."""
    return Answer(msgspec.json.encode(content), status=status)
