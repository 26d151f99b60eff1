"""coreos-cloudinit's command line: flags, presets of clouds, and the texts of release 1.13.0.

Complaints about flags' values go to standard output, as upstream has it.
"""

from __future__ import annotations

import sys

from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Program, load
from coreos_py.cli.settings import BOOL, STRING, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError
    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values

VERSION = "1.13.0"  # of the program whose behaviour this is; scripts compare it
DEFAULT_WORKSPACE = "/var/lib/coreos-cloudinit"
DEFAULT_KEY_SET = "coreos-cloudinit"
NETWORK_FORMATS = ("debian", "packet", "vmware")

_EC2 = "http://169.254.169.254/"
_PRESETS: dict[str, dict[str, str | bool]] = {
    "azure": {"from-waagent": "/var/lib/waagent"},
    "cloudsigma": {"from-cloudsigma-metadata": True},
    "digitalocean": {"from-digitalocean-metadata": "http://169.254.169.254/"},
    "ec2-compat": {"from-ec2-metadata": _EC2, "from-configdrive": "/media/configdrive"},
    "gce": {"from-gce-metadata": "http://metadata.google.internal/"},
    "packet": {"from-packet-metadata": "https://metadata.packet.net/"},
    "rackspace-onmetal": {
        "from-configdrive": "/media/configdrive",
        "convert-netconf": "debian",
    },
    "vmware": {"from-vmware-guestinfo": True, "convert-netconf": "vmware"},
}
_NO_SOURCE = (
    "Provide at least one of --from-file, --from-configdrive, --from-ec2-metadata,"
    " --from-gce-metadata, --from-cloudsigma-metadata, --from-packet-metadata,"
    " --from-digitalocean-metadata, --from-vmware-guestinfo, --from-waagent, --from-url or"
    " --from-proc-cmdline"
)

# In the order in which sources are looked at.
SOURCES = (
    Setting("from-file", STRING, help="read user-data from this file", metavar="FILE"),
    Setting("from-url", STRING, help="fetch user-data from this URL", metavar="URL"),
    Setting("from-configdrive", STRING, help="read a config drive mounted here", metavar="DIR"),
    Setting("from-metadata-service", BOOL, deprecated="use -from-ec2-metadata"),
    Setting("from-ec2-metadata", STRING, help="ask EC2's metadata service here", metavar="URL"),
    Setting("from-gce-metadata", STRING, help="ask GCE's metadata service here", metavar="URL"),
    Setting("from-cloudsigma-metadata", BOOL, help="ask CloudSigma over the serial port"),
    Setting(
        "from-digitalocean-metadata",
        STRING,
        help="ask DigitalOcean's metadata service here",
        metavar="URL",
    ),
    Setting("from-waagent", STRING, help="read what Azure's agent left here", metavar="DIR"),
    Setting(
        "from-packet-metadata", STRING, help="ask Packet's metadata service here", metavar="URL"
    ),
    Setting(
        "from-proc-cmdline",
        BOOL,
        help="fetch user-data from the cloud-config-url= of the kernel's command line",
    ),
    Setting("from-vmware-guestinfo", BOOL, help="ask VMware for guestinfo variables"),
    Setting(
        "from-vmware-ovf-env", STRING, help="read this OVF environment document", metavar="FILE"
    ),
)

SETTINGS = (
    *SOURCES,
    Setting("oem", STRING, help="set the flags for this cloud", metavar="NAME"),
    Setting(
        "convert-netconf",
        STRING,
        help="make networkd units of the source's network configuration, which is in this format",
        metavar="|".join(NETWORK_FORMATS),
    ),
    Setting("validate", BOOL, help="judge the user-data and apply nothing"),
    Setting("dry-run", BOOL, help="print what would be done, in order, and do nothing"),
    Setting("ignore-failure", BOOL, help="exit with 0 when the user-data cannot be used"),
    Setting("workspace", STRING, DEFAULT_WORKSPACE, help="where scripts are kept", metavar="DIR"),
    Setting(
        "ssh-key-name",
        STRING,
        DEFAULT_KEY_SET,
        help="what the set of authorized keys is called",
        metavar="NAME",
    ),
    Setting("version", BOOL, help="print the version and exit"),
)


class CloudinitProgram(Program):
    """Go's flag package around the checks of release 1.13.0, in its order."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        sys.stderr.write(f"{err}\n{self.usage_text(call)}\n")
        return err.exit_code

    def on_help(self, call: Call) -> int:
        sys.stderr.write(self.usage_text(call) + "\n")
        return 0

    def on_version(self, call: Call) -> int:
        if not _is_known_cloud(call.settings["oem"]):
            return 2
        sys.stdout.write(f"{self.name} {self.version}\n")
        return 0

    def usage_text(self, call: Call) -> str:
        """Every flag, by name, as Go lays them out."""
        lines = [f"Usage of {self.name}:"]
        for item in sorted(self.settings, key=lambda setting: setting.name):
            kind = "" if item.kind.is_bool else " string"
            default = f' (default "{item.default}")' if kind and item.default else ""
            text = item.help or f"deprecated: {item.deprecated}"
            lines += [f"  -{item.name}{kind}", f"    \t{text}{default}"]
        return "\n".join(lines)


def start(call: Call) -> int:
    """Check what was asked for, and only then load what does it."""
    settings = call.settings
    if not _is_known_cloud(settings["oem"]):
        return 2
    _preset(settings)
    wanted = settings["convert-netconf"]
    if wanted and wanted not in NETWORK_FORMATS:
        supported = ", ".join(NETWORK_FORMATS)
        sys.stdout.write(
            f"Invalid option to -convert-netconf: '{wanted}'. Supported options: '{supported}'\n"
        )
        return 2
    if not any(settings[source.name] for source in SOURCES):
        sys.stdout.write(_NO_SOURCE + "\n")
        return 2
    return load("coreos_py.cloudinit.run:run")(call)


def _is_known_cloud(name: str) -> bool:
    if not name or name in _PRESETS:
        return True
    supported = " ".join(f'"{known}"' for known in _PRESETS)
    from coreos_py.cloudinit import gotext

    sys.stdout.write(
        f"Invalid option to -oem: {gotext.quote(name)}. Supported options: [{supported}]\n"
    )
    return False


def _preset(settings: Values) -> None:
    """A cloud's flags replace those that were given."""
    for name, value in _PRESETS.get(settings["oem"], {}).items():
        settings.put(name, "oem", text=str(value), value=value)


PROGRAM = CloudinitProgram(
    "coreos-cloudinit",
    GO,
    settings=SETTINGS,
    target="coreos_py.cloudinit.program:start",
    version=VERSION,
    help="configure this machine as its user-data says",
)
