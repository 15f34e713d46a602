"""A systemd-logind that is none, on a D-Bus of its own: what the kubelet's graceful node shutdown asks for.

The kubelet reads how long a shutdown may be held up, takes an inhibitor lock, and waits for the signal
PrepareForShutdown. `Logind` (spare_node.py starts it) runs a bus and this file as a process, `python3 logind.py
ADDRESS`, which sends that signal: true on SIGUSR1 (the machine goes down), false on SIGUSR2 (it stays after all).
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import DBusConnection, open_dbus_connection

NAME = "org.freedesktop.login1"
_LONGEST_DELAY_MICROSECONDS = 3_600_000_000
"""More than any kubelet asks for: else it would write a configuration file for logind into /etc."""
_MANAGER = DBusAddress("/org/freedesktop/login1", bus_name=NAME, interface=f"{NAME}.Manager")
_SIGNALS = {signal.SIGUSR1: True, signal.SIGUSR2: False}


def bus_configuration(socket: Path) -> str:
    """A dbus-daemon.conf: one socket, and whoever reaches it may do everything."""
    return f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_type="method_return"/>
    <allow send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
  </policy>
</busconfig>
"""


def answer(call: Message, lock: Callable[[], int]) -> Message:
    """The reply to one method call; `lock` gives the file descriptor that stands for an inhibitor lock."""
    member = call.header.fields.get(HeaderFields.member)
    if member == "Inhibit":
        return new_method_return(call, "h", (lock(),))
    if member == "Get" and call.body[1] == "InhibitDelayMaxUSec":
        return new_method_return(call, "v", (("t", _LONGEST_DELAY_MICROSECONDS),))
    return new_error(call, "org.freedesktop.DBus.Error.UnknownMethod", "s", (f"this logind knows no {member}",))


def _lock() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def _serve(bus: DBusConnection, sending: threading.Lock) -> None:
    while True:
        call = bus.receive()
        if call.header.message_type is MessageType.method_call:
            with sending:
                bus.send(answer(call, _lock))


def main(address: str) -> None:
    """Serves until it is ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # before the thread begins, which inherits it
    bus = open_dbus_connection(address, enable_fds=True)
    bus.send_and_get_reply(message_bus.RequestName(NAME))
    sending = threading.Lock()
    threading.Thread(target=_serve, args=(bus, sending), daemon=True).start()
    print("ready", flush=True)
    while True:
        going_down = _SIGNALS[signal.Signals(signal.sigwait(_SIGNALS))]
        with sending:
            bus.send(new_signal(_MANAGER, "PrepareForShutdown", "b", (going_down,)))
        print(f"PrepareForShutdown({going_down})", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
