"""updatectl's commands and settings, as data. Mirrors the tables of updateservicectl 2.1.0."""

from __future__ import annotations

from coreos_py.cli.program import Command
from coreos_py.cli.settings import BOOL, FLOAT, INT, Setting

_APPS = "coreos_py.updatectl.apps"
_CHANNELS = "coreos_py.updatectl.channels"
_GROUPS = "coreos_py.updatectl.groups"
_ROLLOUTS = "coreos_py.updatectl.rollouts"
_PACKAGES = "coreos_py.updatectl.packages"
_UPLOAD = "coreos_py.updatectl.upload"
_DOWNLOAD = "coreos_py.updatectl.download"
_INSTANCES = "coreos_py.updatectl.instances"
_FAKE = "coreos_py.updatectl.fake"
_WATCH = "coreos_py.updatectl.watch"
_ADMIN = "coreos_py.updatectl.admin"

SETTINGS = (
    Setting("debug", BOOL, help="show what is sent and received (watch only)"),
    Setting("help", BOOL, help="show this help", hidden=True),
    Setting(
        "key",
        env="UPDATECTL_KEY",
        help="the user's key; or, without a user, a token of rollerd's",
        metavar="KEY",
    ),
    Setting(
        "server",
        default="http://localhost:8000",
        env="UPDATECTL_SERVER",
        help="the update server",
        metavar="URL",
    ),
    Setting("skip-ssl-verify", BOOL, help="do not check the server's certificate"),
    Setting("user", env="UPDATECTL_USER", help="who asks", metavar="NAME"),
    Setting("version", BOOL, help="show the version"),
)

_APP = Setting("app-id", help="the application", metavar="ID")
_GROUP = Setting("group-id", help="the group", metavar="ID")
_CHANNEL = Setting("channel", help="the channel", metavar="NAME")
_START = Setting("start", INT, "0", help="from when, in seconds since 1970", metavar="SECONDS")
_END = Setting("end", INT, "0", help="until when; 0 for now", metavar="SECONDS")
_RESOLUTION = Setting(
    "resolution",
    INT,
    "60",
    help="count per so many seconds: 60, 3600 or 86400",
    metavar="SECONDS",
)
_PUBLISH = Setting("publish", BOOL, help="let downstream servers see it; without it they do not")
_DIR = Setting("dir", help="the directory (default: the current one)", metavar="DIR")

ADMIN_USER = Command(
    "admin-user",
    help="manage who may use this program",
    commands=(
        Command(
            "create",
            f"{_ADMIN}:create_user",
            args="NAME",
            help="create an administrator and show the key",
            about="The key is shown this once.",
        ),
        Command("list", f"{_ADMIN}:list_users", help="list the administrators"),
        Command("delete", f"{_ADMIN}:delete_user", args="NAME", help="delete an administrator"),
    ),
)

APP = Command(
    "app",
    help="manage applications",
    commands=(
        Command(
            "create",
            f"{_APPS}:create",
            help="create an application",
            settings=(
                Setting("app-id", help="its ID (default: a random UUID)", metavar="ID"),
                Setting("description", help="a description", metavar="TEXT"),
                Setting("label", help="its name", metavar="NAME"),
            ),
        ),
        Command("list", f"{_APPS}:list_all", help="list the applications"),
        Command(
            "update",
            f"{_APPS}:update",
            help="give an application another name and description",
            about="Needs both.",
            settings=(
                _APP,
                Setting("description", help="the new description", metavar="TEXT"),
                Setting("label", help="the new name", metavar="NAME"),
            ),
        ),
        Command("delete", f"{_APPS}:delete", help="delete an application", settings=(_APP,)),
    ),
)

_CHANNEL_CHANGE = (
    _APP,
    _CHANNEL,
    _PUBLISH,
    Setting("version", help="the package it offers", metavar="VERSION"),
)
CHANNEL = Command(
    "channel",
    help="manage the channels of an application",
    commands=(
        Command("list", f"{_CHANNELS}:list_all", help="list the channels", settings=(_APP,)),
        Command(
            "update",
            f"{_CHANNELS}:update",
            help="point a channel to a package",
            settings=_CHANNEL_CHANGE,
        ),
        Command("create", f"{_CHANNELS}:create", help="create a channel", settings=_CHANNEL_CHANGE),
        Command(
            "delete", f"{_CHANNELS}:delete", help="delete a channel", settings=(_APP, _CHANNEL)
        ),
    ),
)

DATABASE = Command(
    "database",
    help="look after the server's database",
    commands=(
        Command("init", f"{_ADMIN}:init_database", help="have the server make its tables"),
        Command(
            "backup", f"{_ADMIN}:backup_database", args="FILE", help="save a copy of the database"
        ),
    ),
)

_ONE_GROUP = (_APP, _GROUP)
_COUNTS = (_APP, _END, _GROUP, _RESOLUTION, _START)
_GROUP_CHANGE = (
    _APP,
    _CHANNEL,
    _GROUP,
    Setting("label", help="its name", metavar="NAME"),
)
_BLACKLIST = Setting(
    "oem-blacklist", help="OEMs that get no updates, separated by commas", metavar="OEM,..."
)
GROUP = Command(
    "group",
    help="manage the groups of an application",
    commands=(
        Command("list", f"{_GROUPS}:list_all", help="list the groups", settings=(_APP,)),
        Command("create", f"{_GROUPS}:create", help="create a group", settings=_GROUP_CHANGE),
        Command("delete", f"{_GROUPS}:delete", help="delete a group", settings=_ONE_GROUP),
        Command(
            "update",
            f"{_GROUPS}:update",
            help="change a group's name, channel or excluded OEMs",
            settings=(*_GROUP_CHANGE, _BLACKLIST),
        ),
        Command("pause", f"{_GROUPS}:pause", help="give out no updates", settings=_ONE_GROUP),
        Command(
            "unpause", f"{_GROUPS}:unpause", help="give out updates again", settings=_ONE_GROUP
        ),
        Command(
            "events",
            f"{_GROUPS}:events",
            help="count the events that instances reported",
            settings=_COUNTS,
        ),
        Command(
            "versions",
            f"{_GROUPS}:versions",
            help="count the versions that instances ran",
            settings=_COUNTS,
        ),
        Command(
            "percent",
            f"{_GROUPS}:percent",
            help="say what part of the instances may update",
            settings=(
                _APP,
                _GROUP,
                Setting("update-percent", FLOAT, "-1", help="0 to 100", metavar="PERCENT"),
            ),
        ),
        Command(
            "status",
            f"{_GROUPS}:status",
            help="show how far a group's update is, and why it stands still",
            about="Not in updateservicectl.",
            settings=_ONE_GROUP,
        ),
    ),
)

INSTANCE = Command(
    "instance",
    help="see the machines that update, or pretend to be some",
    commands=(
        Command(
            "list-updates",
            f"{_INSTANCES}:list_updates",
            help="list the instances and what they run",
            settings=(_APP, _END, _GROUP, _START),
        ),
        Command(
            "list-app-versions",
            f"{_INSTANCES}:list_app_versions",
            help="count the instances of every version",
            settings=(_APP, _END, _GROUP, _START),
        ),
        Command(
            "fake",
            f"{_FAKE}:fake",
            help="be many instances that check in, update and sometimes fail",
            about="Runs until it is interrupted. Nothing is downloaded.",
            settings=(
                _APP,
                Setting("clients-per-app", INT, "20", help="how many instances"),
                Setting(
                    "errorrate",
                    INT,
                    "1",
                    help="how often a step of an update fails",
                    metavar="PERCENT",
                ),
                Setting("force-update", BOOL, help="ask as a person would, not as the schedule"),
                _GROUP,
                Setting(
                    "max-sleep", INT, "10", help="seconds between checks, most", metavar="SECONDS"
                ),
                Setting(
                    "min-sleep", INT, "1", help="seconds between checks, least", metavar="SECONDS"
                ),
                Setting("oem", default="fakeclient", help="the OEM to report", metavar="NAME"),
                Setting(
                    "ping-only", INT, "0", help="pings to send where a machine awaits its reboot"
                ),
                Setting("verbose", BOOL, help="show every request and answer"),
                Setting(
                    "version",
                    default="0.0.0",
                    help="the version to begin with",
                    metavar="VERSION",
                ),
            ),
        ),
    ),
)

_UPLOAD_FILE = Setting("file", help="the payload", metavar="FILE")
PACKAGE = Command(
    "package",
    help="manage the packages of an application",
    commands=(
        Command("list", f"{_PACKAGES}:list_all", help="list the packages", settings=(_APP,)),
        Command(
            "create",
            f"{_PACKAGES}:create",
            help="create a package from a payload's size and sums",
            about="The payload itself stays where it is: upload brings it to the server.",
            settings=(
                _APP,
                Setting("file", help="the payload", metavar="FILE"),
                Setting("meta", help="a JSON file with its metadata", metavar="FILE"),
                Setting("release-notes", help="a file with its release notes", metavar="FILE"),
                Setting("url", help="where instances get the payload", metavar="URL"),
                Setting("version", help="its version", metavar="VERSION"),
            ),
            commands=(
                Command(
                    "bulk",
                    f"{_PACKAGES}:create_bulk",
                    help="create the packages that download has saved",
                    settings=(
                        Setting("base-url", help="where the payloads will be", metavar="URL"),
                        _DIR,
                    ),
                ),
            ),
        ),
        Command(
            "delete",
            f"{_PACKAGES}:delete",
            help="delete a package",
            settings=(_APP, Setting("version", help="which", metavar="VERSION")),
        ),
        Command(
            "download",
            f"{_DOWNLOAD}:download",
            help="save the packages of published channels, checked",
            settings=(
                Setting("app-id", help="only of this application", metavar="ID"),
                _DIR,
                Setting("min-version", help="only from this version on", metavar="VERSION"),
                Setting("version", help="only this version", metavar="VERSION"),
            ),
        ),
        Command(
            "publish",
            f"{_UPLOAD}:publish",
            args="FILE",
            help="upload a payload, create its package and point a channel to it",
            about="Not in updateservicectl. A channel that is not there is made; a package that is "
            "there already with the same payload is kept. What update_engine would refuse is not "
            "published as a version of CoreOS.",
            settings=(
                _APP,
                _CHANNEL,
                Setting("no-check", BOOL, help="publish it whatever it is"),
                Setting("release-notes", help="a file with its release notes", metavar="FILE"),
                Setting("version", help="its version", metavar="VERSION"),
            ),
        ),
        Command(
            "upload",
            f"{_UPLOAD}:upload",
            help="upload a payload; the server must keep some",
            settings=(_UPLOAD_FILE,),
            commands=(
                Command(
                    "bulk",
                    f"{_UPLOAD}:upload_bulk",
                    help="upload every file of a directory",
                    settings=(Setting("dir", help="the directory", metavar="DIR"),),
                ),
            ),
        ),
    ),
)

ROLLOUT = Command(
    "rollout",
    f"{_ROLLOUTS}:show_frames",
    help="let a group's percentage grow with time; alone, show how",
    settings=_ONE_GROUP,
    commands=(
        Command(
            "create",
            help="say how it grows",
            commands=(
                Command(
                    "linear",
                    f"{_ROLLOUTS}:create_linear",
                    help="by equal steps",
                    settings=(
                        _APP,
                        Setting(
                            "duration",
                            INT,
                            "86400",
                            help="from nobody to everybody",
                            metavar="SECONDS",
                        ),
                        Setting("frame-size", INT, "60", help="one step", metavar="SECONDS"),
                        _GROUP,
                    ),
                ),
            ),
        ),
        Command("activate", f"{_ROLLOUTS}:activate", help="begin", settings=_ONE_GROUP),
        Command(
            "deactivate",
            f"{_ROLLOUTS}:deactivate",
            help="stop; the percentage stays as it is",
            settings=_ONE_GROUP,
        ),
    ),
)

WATCH = Command(
    "watch",
    f"{_WATCH}:watch",
    args="COMMAND [ARGUMENT...]",
    help="run a command when an application has a new version",
    about="The command finds UPDATE_SERVICE_VERSION, UPDATE_SERVICE_APP_ID, "
    "UPDATE_SERVICE_OLD_VERSION and UPDATE_SERVICE_URL in its environment. Runs until it is "
    "interrupted.",
    settings=(
        _APP,
        Setting("client-id", help="who checks in (default: a random UUID)", metavar="ID"),
        Setting("group-id", help="the group to be in", metavar="ID"),
        Setting("interval", INT, "1", help="seconds between checks", metavar="SECONDS"),
        Setting("version", default="0.0.0", help="the version to begin with", metavar="VERSION"),
    ),
)

_UPSTREAM_URL = Setting("url", help="the root URL of the other server", metavar="URL")
_UPSTREAM_LABEL = Setting("label", help="a name for it", metavar="NAME")
_UPSTREAM_ID = Setting("id", help="which", metavar="ID")
UPSTREAM = Command(
    "upstream",
    help="manage the servers that packages are taken over from",
    commands=(
        Command(
            "create",
            f"{_ADMIN}:create_upstream",
            help="take packages over from a server",
            settings=(_UPSTREAM_LABEL, _UPSTREAM_URL),
        ),
        Command(
            "update",
            f"{_ADMIN}:update_upstream",
            help="change a server's URL and name",
            settings=(_UPSTREAM_ID, _UPSTREAM_LABEL, _UPSTREAM_URL),
        ),
        Command("list", f"{_ADMIN}:list_upstreams", help="list them"),
        Command(
            "delete",
            f"{_ADMIN}:delete_upstream",
            help="take nothing over from a server any more",
            settings=(_UPSTREAM_ID,),
        ),
        Command("sync", f"{_ADMIN}:sync_upstreams", help="ask all of them now"),
    ),
)

COMMANDS = (
    ADMIN_USER,
    APP,
    CHANNEL,
    DATABASE,
    GROUP,
    INSTANCE,
    PACKAGE,
    ROLLOUT,
    WATCH,
    UPSTREAM,
)

_NEW_VERSION = ("app-id", "channel", "version")
_NAMES = ("app-id", "group-id")

# The settings that a command cannot do without, by its target.
NEEDS = {
    f"{_ADMIN}:create_upstream": ("url",),
    f"{_ADMIN}:delete_upstream": ("id",),
    f"{_ADMIN}:update_upstream": ("id", "url"),
    f"{_APPS}:delete": ("app-id",),
    f"{_APPS}:update": ("app-id", "label", "description"),
    f"{_CHANNELS}:create": _NEW_VERSION,
    f"{_CHANNELS}:delete": ("app-id", "channel"),
    f"{_CHANNELS}:list_all": ("app-id",),
    f"{_CHANNELS}:update": _NEW_VERSION,
    f"{_FAKE}:fake": _NAMES,
    f"{_GROUPS}:create": (*_NAMES, "channel"),
    f"{_GROUPS}:delete": _NAMES,
    f"{_GROUPS}:events": _NAMES,
    f"{_GROUPS}:list_all": ("app-id",),
    f"{_GROUPS}:pause": _NAMES,
    f"{_GROUPS}:percent": (*_NAMES, "update-percent"),
    f"{_GROUPS}:status": _NAMES,
    f"{_GROUPS}:unpause": _NAMES,
    f"{_GROUPS}:update": _NAMES,
    f"{_GROUPS}:versions": _NAMES,
    f"{_PACKAGES}:create": ("app-id", "version"),
    f"{_PACKAGES}:delete": ("app-id", "version"),
    f"{_PACKAGES}:list_all": ("app-id",),
    f"{_ROLLOUTS}:activate": _NAMES,
    f"{_ROLLOUTS}:create_linear": _NAMES,
    f"{_ROLLOUTS}:deactivate": _NAMES,
    f"{_ROLLOUTS}:show_frames": _NAMES,
    f"{_UPLOAD}:publish": _NEW_VERSION,
    f"{_WATCH}:watch": _NAMES,
}
