"""What the system bus has to allow for update_engine."""

from __future__ import annotations

NAME = "com.coreos.update1"
INTERFACE = "com.coreos.update1.Manager"
FILE = f"{NAME}.conf"

# Root may own the name and call; the user core may call the three methods and nothing else.
POLICY = f"""\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy context="default">
    <deny send_destination="{NAME}"/>
  </policy>
  <policy user="root">
    <allow own="{NAME}"/>
    <allow send_destination="{NAME}"/>
    <allow send_interface="{INTERFACE}"/>
  </policy>
  <policy user="core">
    <allow send_destination="{NAME}" send_interface="{INTERFACE}"
           send_member="AttemptUpdate"/>
    <allow send_destination="{NAME}" send_interface="{INTERFACE}"
           send_member="ResetStatus"/>
    <allow send_destination="{NAME}" send_interface="{INTERFACE}"
           send_member="GetStatus"/>
  </policy>
</busconfig>
"""
