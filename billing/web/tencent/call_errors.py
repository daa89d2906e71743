"""Errors of calls: an error code of the Tencent Cloud API with a message that says what to do next.

Whoever is refused gets HTTP 200 and `{"Response": {"Error": {"Code", "Message"}, "RequestId"}}`; the SDK raises it.
"""


class CallError(Exception):
    """A call that is not answered, such as `InvalidParameter`: the SDK's exception has the same `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def missing(name: str) -> CallError:
    """A parameter that must be given is not."""
    return CallError("MissingParameter", f"give the parameter {name}")


def invalid(message: str) -> CallError:
    """A parameter has a value that cannot be meant."""
    return CallError("InvalidParameter", message)


def not_signed(message: str) -> CallError:
    """The signature is not the one that this key makes of this request."""
    return CallError("AuthFailure.SignatureFailure", message)
