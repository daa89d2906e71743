"""Actions: what a call may ask for.

Seven are answered. The others that Tencent's client for TRTC has are refused with `UnsupportedOperation`, because
nothing here measures or does that: zeros would look like figures. Any other name is `InvalidAction`.
"""

from collections.abc import Callable
from typing import Any

from billing.web.tencent.arguments import Arguments
from billing.web.tencent.call_errors import CallError
from billing.web.tencent.calls import VERSION, Call
from billing.web.tencent.readers import Reader
from billing.web.tencent.room_actions import describe_rooms, describe_scale, describe_users
from billing.web.tencent.unsupported_actions import UNSUPPORTED_ACTIONS
from billing.web.tencent.usage_actions import (
    describe_mixing,
    describe_recording,
    describe_room_usage,
    describe_usage,
)

Action = Callable[[Reader, Arguments], dict[str, Any]]

ACTIONS: dict[str, Action] = {
    "DescribeMixTranscodingUsage": describe_mixing,
    "DescribeRecordingUsage": describe_recording,
    "DescribeRoomInfo": describe_rooms,
    "DescribeScaleInfo": describe_scale,
    "DescribeTrtcRoomUsage": describe_room_usage,
    "DescribeTrtcUsage": describe_usage,
    "DescribeUserInfo": describe_users,
}

# Their days are metered again.
HEAVY_ACTIONS = frozenset(("DescribeRoomInfo", "DescribeScaleInfo", "DescribeTrtcRoomUsage", "DescribeUserInfo"))


def answered(reader: Reader, call: Call) -> dict[str, Any]:
    """The answer to a call that is signed; a `CallError` when there is none."""
    name = call.common("Action")
    if call.common("Version") != VERSION:
        raise CallError("NoSuchVersion", f"there is only version {VERSION}")
    action = ACTIONS.get(name)
    if action is None and name in UNSUPPORTED_ACTIONS:
        raise CallError("UnsupportedOperation", f"{name} is not metered here; known are {', '.join(ACTIONS)}")
    if action is None:
        raise CallError("InvalidAction", f"there is no such action; known are {', '.join(ACTIONS)}")
    return action(reader, Arguments(call.parameters()))
