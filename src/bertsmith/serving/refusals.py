"""Why a request is not answered, and what HTTP calls it: the one place where errors become status codes.

Every refusal is one line that says what is wrong and what to do. Its ``kind`` is what text-embeddings-inference calls
``error_type``; OpenAI's clients are told its own names for the same.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Refusal(Exception):
    """A request that is not answered. ``str(refusal)`` is the whole message, on one line."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "Backend"

    @property
    def headers(self) -> dict[str, str]:
        """What the response says beside its body."""
        return {}

    @property
    def reason(self) -> str | None:
        """What the log tells: the message, unless texts may be in it."""
        return str(self)


class Malformed(Refusal):
    """The request is no HTTP, or its body no JSON."""

    status, kind = 400, "Malformed"


class Unauthorized(Refusal):
    """No key, or a wrong one."""

    status, kind = 401, "Unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        return {"www-authenticate": "Bearer"}


class Forbidden(Refusal):
    """Not for whoever asks."""

    status, kind = 403, "Forbidden"


class NotFound(Refusal):
    """There is no such route, model or index."""

    status, kind = 404, "NotFound"


class NotAllowed(Refusal):
    """The route takes another method."""

    status, kind = 405, "NotAllowed"


class TooSlow(Refusal):
    """The request did not arrive in time."""

    status, kind = 408, "Timeout"


class TooLarge(Refusal):
    """A body, a text, or a number of texts beyond the limits."""

    status, kind = 413, "TooLarge"


class NoJson(Refusal):
    """The body is said to be something else than JSON."""

    status, kind = 415, "Malformed"


class Unfit(Refusal):
    """The body is JSON, but not what the route or the model takes."""

    status, kind = 422, "Validation"


class UnfitForTask(Unfit):
    """What the task itself says of its input, which it may quote."""

    @property
    def reason(self) -> None:
        return None


class Overloaded(Refusal):
    """There is too much to do. ``retry_after`` is seconds."""

    status, kind = 429, "Overloaded"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": str(self.retry_after)}


class HeadersTooLarge(Refusal):
    """The head of the request is beyond the limit."""

    status, kind = 431, "TooLarge"


class ClientGone(Refusal):
    """Nobody waits for the answer any more. The status is nginx's, for the log: nobody sees it."""

    status, kind = 499, "ClientGone"


class Failed(Refusal):
    """The model failed on what it was given."""

    status, kind = 500, "Backend"


class Unready(Refusal):
    """Not warm yet, shutting down, or broken."""

    status, kind = 503, "Unhealthy"


_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 404: "not_found", 413: "too_large", 429: "rate_limit_exceeded"}


def body_of(refusal: Refusal, *, openai: bool) -> dict[str, Any]:
    """The JSON that tells of it, as the clients of a route know it."""
    if not openai:
        return {"error": str(refusal), "error_type": refusal.kind}
    usual = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": str(refusal),
            "type": _OPENAI_TYPES.get(refusal.status, usual),
            "param": None,
            "code": _OPENAI_CODES.get(refusal.status),
        }
    }
