"""The plan: which steps, in which order, and where it gives up."""

from __future__ import annotations

import pytest

from coreos_py.cloudinit import config, plan
from coreos_py.cloudinit.describe import describe
from coreos_py.cloudinit.netconf import debian
from coreos_py.cloudinit.plan import StepError

NO_ADDRESSES = {"COREOS_PUBLIC_IPV4": ""}
UNITS = ("etcd.service", "etcd2.service", "fleet.service", "locksmithd.service")


class Facts:
    """A machine in memory; `asked` tells when it was asked."""

    def __init__(self, *, users=(), conf=b"GROUP=stable\n", hostname="before"):
        self.users = set(users)
        self.conf = conf
        self.name = hostname
        self.asked = []

    def user_exists(self, name):
        self.asked.append(name)
        return name in self.users

    def hostname(self):
        self.asked.append("hostname")
        return self.name

    def update_conf(self):
        self.asked.append("update.conf")
        if self.conf is None:
            raise StepError("open /usr/share/coreos/update.conf: no such file or directory")
        return self.conf


def steps(text, facts=None, *, addresses=NO_ADDRESSES, interfaces=()):
    found = config.from_texts([f"#cloud-config\n{text}".encode()])
    return plan.steps(
        found, facts or Facts(), key_set="set", addresses=addresses, interfaces=interfaces
    )


def words(text, facts=None, **options):
    """The plan in words, without the steps that are in all plans."""
    always = {f"unmask {unit}: remove /run/systemd/system/{unit} if it is empty" for unit in UNITS}
    described = [describe(step, lambda _: "new") for step in steps(text, facts, **options)]
    return [line for line in described if line not in always]


WHOLE = """\
coreos:
  units:
    - name: b.service
      content: "[Service]"
      enable: yes
      command: restart
    - name: a.network
      content: "[Match]"
      command: start
      enable: yes
    - content: x
    - name: c.service
      runtime: true
      command: stop
      drop-ins:
        - name: 10.conf
          content: x
        - name: empty.conf
        - content: nameless
  etcd2: {name: n}
  update: {group: beta, reboot-strategy: off}
  flannel: {interface: eth0}
  oem: {id: me}
manage-etc-hosts: localhost
write-files:
  - {path: /etc/one, content: x, owner: "a:b", permissions: "0600"}
ssh-authorized-keys: [" k1 ", k2]
users:
  - {name: old, passwd: hash, ssh-authorized-keys: [k3]}
  - {name: new, passwd: hash, groups: [a, b], coreos-ssh-import-github: gh}
  - {gecos: nobody}
hostname: core-01
"""


def test_the_order_of_everything():
    addresses = {"COREOS_PUBLIC_IPV4": "1.2.3.4", "COREOS_PRIVATE_IPV4": ""}
    assert words(WHOLE, Facts(users=["old"]), addresses=addresses) == [
        "set the host name to core-01",
        "User 'old' exists, ignoring creation-time fields",
        "set the password of user old",
        "Authorizing 1 SSH keys for user 'old'",
        "authorize 1 SSH keys for user old as set",
        "create user new: useradd --password *** --create-home --groups a,b new",
        "authorize SSH keys for user new as github-gh from https://api.github.com/users/gh/keys",
        "User object has no 'name' field, skipping",
        "authorize 2 SSH keys for user core as set",
        "write file /etc/one (1 bytes, mode 0600, owner a:b): new",
        "write file /etc/oem-release (56 bytes, mode 0644): new",
        "write file /etc/coreos/update.conf (31 bytes, mode 0644): new",
        "write file /etc/hosts (17 bytes, mode 0644): new",
        "write file /run/flannel/options.env (19 bytes, mode 0644): new",
        "set in /etc/environment: COREOS_PUBLIC_IPV4=1.2.3.4",
        "write unit b.service to /etc/systemd/system/b.service (9 bytes, mode 0644): new",
        "enable b.service",
        "write unit a.network to /etc/systemd/network/a.network (7 bytes, mode 0644): new",
        'Skipping enable for network-like unit "a.network"',
        "Skipping unit without name",
        "write drop-in unit 10.conf to /run/systemd/system/c.service.d/10.conf"
        " (1 bytes, mode 0644): new",
        "unmask c.service: remove /run/systemd/system/c.service if it is empty",
        "write drop-in unit 20-cloudinit.conf to"
        " /run/systemd/system/etcd2.service.d/20-cloudinit.conf (36 bytes, mode 0644): new",
        'Ensuring runtime unit file "locksmithd.service" is unmasked',
        "mask locksmithd.service: link /run/systemd/system/locksmithd.service to /dev/null",
        "make systemd read unit files again",
        "restart systemd-networkd.service",
        "restart b.service",
        "stop c.service",
        "stop locksmithd.service",
        "restart update-engine.service",
    ]


def test_an_empty_config_only_unmasks():
    assert words("") == []
    assert [step.unit for step in steps("")] == list(UNITS)


@pytest.mark.parametrize(
    ("text", "facts", "done", "message"),
    [
        ("manage-etc-hosts: yes", Facts(), 0, "Invalid option to manage_etc_hosts"),
        (
            "hostname: h\nusers: [{name: u}]\nwrite-files: [{path: /x}]\n"
            "coreos: {update: {reboot-strategy: never}}",
            Facts(),
            2,
            'invalid value "never" for option "RebootStrategy"'
            ' (valid options: "^(best-effort|etcd-lock|reboot|off)$")',
        ),
        (
            "coreos: {update: {group: g}}",
            Facts(conf=None),
            0,
            "open /usr/share/coreos/update.conf: no such file or directory",
        ),
    ],
)
def test_it_gives_up_after_the_users_and_before_any_file(text, facts, done, message):
    taken = []

    def take():
        for step in steps(text, facts):
            taken.append(type(step))  # noqa: PERF401 - what was taken before the error counts

    with pytest.raises(StepError) as caught:
        take()
    assert str(caught.value) == message
    assert taken == [plan.SetHostname, plan.CreateUser][:done]


def test_the_machine_is_asked_when_the_plan_gets_there():
    facts = Facts()
    found = steps("hostname: h\nmanage-etc-hosts: localhost\nusers: [{name: u}]", facts)
    assert isinstance(next(found), plan.SetHostname)
    assert facts.asked == []
    facts.name = "as the kernel has it now"
    rest = list(found)
    assert facts.asked == ["u", "hostname"]
    hosts = next(step for step in rest if isinstance(step, plan.WriteFile))
    assert hosts.file.content == b"127.0.0.1 as the kernel has it now\n"


@pytest.mark.parametrize(
    ("path", "merges"),
    [("/etc/environment", False), ("/etc/./x/../environment", False), ("etc/environment", True)],
)
def test_a_config_that_writes_the_environment_itself(path, merges):
    found = list(steps(f"write-files: [{{path: {path}}}]", addresses={"COREOS_PUBLIC_IPV4": "1"}))
    assert any(isinstance(step, plan.MergeEnvironment) for step in found) is merges


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("reboot-strategy: best-effort", ["restart locksmithd.service"]),
        ("reboot-strategy: off", ["stop locksmithd.service"]),
        ("server: http://u", ["restart update-engine.service"]),
        (
            "group: g\nreboot-strategy: reboot",
            ["restart locksmithd.service", "restart update-engine.service"],
        ),
    ],
)
def test_units_of_update(text, commands):
    body = text.replace("\n", "\n    ")
    found = steps(f"coreos:\n  update:\n    {body}\n")
    assert [f"{s.command} {s.unit}" for s in found if isinstance(s, plan.Command)] == commands


def test_paths_of_units_cannot_leave_the_root():
    text = "coreos: {units: [{name: ../../../../x.service, content: x}]}"
    (unit,) = [step.file.path for step in steps(text) if isinstance(step, plan.WriteFile)]
    assert unit == "/x.service"


def test_converted_interfaces():
    text = (
        b"iface bond0 inet dhcp\nbond-slaves eth0\nbond-mode 802.3ad\n"
        b"iface bond0.7 inet manual\nvlan_raw_device bond0\n"
    )
    interfaces = tuple(debian.build(debian.parse(text)))
    assert words("", interfaces=interfaces)[0] == (
        "take down bond0 bond0.7 eth0; restart systemd-networkd.service"
    )
    found = list(steps("", interfaces=interfaces))
    names = [step.name for step in found if isinstance(step, plan.WriteFile)]
    assert names == [
        "01-bond0.netdev",
        "01-bond0.network",
        "00-bond0.7.netdev",
        "00-bond0.7.network",
        "02-eth0.network",
    ]
    assert plan.modprobes(interfaces) == [["8021q"], ["bonding", "mode=802.3ad"]]
    assert [type(step) for step in found[-2:]] == [plan.Reload, plan.RestartNetworkd]


def test_all_of_useradd():
    text = """\
users:
  - name: ada
    gecos: 'Ada "L"'
    homedir: /h
    no-create-home: yes
    primary-group: g
    groups: [a]
    no-user-group: yes
    system: yes
    no-log-init: yes
    shell: /bin/sh
"""
    (create,) = [step for step in steps(text) if isinstance(step, plan.CreateUser)]
    assert plan.useradd_arguments(create.user) == [
        *("--password", "*", "--comment", '"Ada \\"L\\""', "--home-dir", "/h"),
        *("--no-create-home", "--gid", "g", "--groups", "a", "--no-user-group", "--system"),
        *("--no-log-init", "--shell", "/bin/sh", "ada"),
    ]
