"""What the tests' logind answers to the kubelet's calls."""

import pytest
from jeepney import DBusAddress, HeaderFields, Message, MessageType, Properties, new_method_call

from tests.cluster import logind

MANAGER = DBusAddress("/org/freedesktop/login1", bus_name=logind.NAME, interface=f"{logind.NAME}.Manager")


def called(call: Message) -> Message:
    call.header.serial = 7
    return logind.answer(call, lambda: 42)


def test_a_lock_is_a_file_descriptor() -> None:
    answer = called(new_method_call(MANAGER, "Inhibit", "ssss", ("shutdown", "kubelet", "why", "delay")))
    assert answer.header.fields[HeaderFields.signature] == "h"
    assert answer.body == (42,)


def test_the_delay_is_longer_than_any_kubelet_s_grace() -> None:
    ((kind, microseconds),) = called(Properties(MANAGER).get("InhibitDelayMaxUSec")).body
    assert kind == "t"
    assert microseconds >= 3600 * 10**6


@pytest.mark.parametrize(
    "call",
    [new_method_call(MANAGER, "PowerOff", "b", (True,)), Properties(MANAGER).get("IdleHint")],
    ids=["a method", "a property"],
)
def test_all_else_is_refused(call: Message) -> None:
    assert called(call).header.message_type is MessageType.error
