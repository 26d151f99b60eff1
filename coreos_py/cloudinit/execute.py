"""Carries out a plan, one step after the other, with upstream's log lines around each.

The first step that fails ends the run; what was done before stays done, as in coreos-cloudinit
1.13.0 (initialize/config.go).
"""

from __future__ import annotations

import posixpath
import socket
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.cloudinit import files, gotext, plan, render, tools
from coreos_py.cloudinit.config import File
from coreos_py.cloudinit.fetch import FetchError
from coreos_py.cloudinit.files import FileError
from coreos_py.cloudinit.metadata import MetadataError
from coreos_py.cloudinit.plan import StepError
from coreos_py.cloudinit.sources import gojson
from coreos_py.cloudinit.tools import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coreos_py.cloudinit.fetch import Client
    from coreos_py.cloudinit.log import Log
    from coreos_py.cloudinit.plan import Step
    from coreos_py.cloudinit.units import Units

SCRIPT_DESCRIPTION = "Unit generated and executed by coreos-cloudinit on behalf of user"


class Machine:
    """plan.Facts about the machine we run on."""

    def __init__(self, *, root: str = "/") -> None:
        self._root = root

    def user_exists(self, name: str) -> bool:
        return tools.user_exists(name)

    def hostname(self) -> str:
        return socket.gethostname()

    def update_conf(self) -> bytes:
        try:
            for path in (render.UPDATE_CONF, render.UPDATE_CONF_DEFAULTS):
                data = files.read(files.target(path, root=self._root))
                if data is not None:
                    return data
        except FileError as error:
            raise StepError(str(error)) from None
        raise StepError(f"open {render.UPDATE_CONF_DEFAULTS}: no such file or directory")


class Executor:
    """Does steps on this machine; `units` is made when the first step needs it."""

    def __init__(
        self,
        log: Log,
        *,
        client: Client,
        units: Callable[[], Units],
        root: str = "/",
    ) -> None:
        self._log = log
        self._client = client
        self._make_units = units
        self._units_made: Units | None = None
        self._root = root

    @property
    def _units(self) -> Units:
        if self._units_made is None:
            self._units_made = self._make_units()
        return self._units_made

    def run(self, steps: Iterable[Step]) -> None:
        """All steps; StepError at the first that fails."""
        for step in steps:
            try:
                self._do(step)
            except (FileError, ToolError, FetchError, MetadataError, CoreosError) as error:
                raise StepError(str(error)) from None

    def _do(self, step: Step) -> None:
        match step:
            case plan.Note():
                self._log(step.text)
            case plan.SetHostname():
                tools.set_hostname(step.name)
                self._log(f"Set hostname to {step.name}")
            case plan.SetPassword():
                self._set_password(step)
            case plan.CreateUser():
                self._create_user(step)
            case plan.AuthorizeKeys():
                tools.authorize_keys(step.user, step.name, step.keys)
                if step.note:
                    self._log(step.note)
            case plan.ImportKeys():
                self._import_keys(step)
            case plan.WriteFile():
                self._write(step)
            case plan.MergeEnvironment():
                self._merge_environment(step)
            case plan.RestartNetwork():
                self._restart_network(step)
            case _:
                self._do_unit(step)

    # -- users

    def _set_password(self, step: plan.SetPassword) -> None:
        self._log(f"Setting '{step.user}' user's password")
        try:
            tools.set_password(step.user, step.passwd)
        except ToolError as error:
            self._log(f"Failed setting '{step.user}' user's password: {error}")
            raise

    def _create_user(self, step: plan.CreateUser) -> None:
        user = step.user
        self._log(f"Creating user '{user.name}'")
        words = plan.useradd_arguments(user)
        done = tools.create_user(words)
        if done.error:
            # Upstream logs the password's hash too.
            shown = " ".join("***" if word and word == user.passwd else word for word in words)
            output = done.stdout + done.stderr
            self._log(f"Command 'useradd {shown}' failed: {done.error}\n{output}")
            self._log(f"Failed creating user '{user.name}': {done.error}")
            raise ToolError(done.error)

    def _import_keys(self, step: plan.ImportKeys) -> None:
        self._log(step.note)
        keys = gojson.parse_list(self._client.get_retry(step.url))
        texts = tuple(item.text("key").strip() for item in keys)
        tools.authorize_keys(step.user, step.name, texts)

    # -- files

    def _write(self, step: plan.WriteFile) -> None:
        if not step.what:
            path = files.write(step.file, self._log, root=self._root)
            self._log(f"Wrote file {path} to filesystem")
            return
        name = gotext.quote(step.name)
        self._log(f"Writing {step.what} {name} to filesystem")
        files.write(step.file, self._log, root=self._root)
        self._log(f"Wrote {step.what} {name}")

    def _merge_environment(self, step: plan.MergeEnvironment) -> None:
        old = files.read(files.target(render.ENVIRONMENT, root=self._root)) or b""
        new = render.environment(old, step.values)
        if new != old:
            files.write(File(render.ENVIRONMENT, new), self._log, root=self._root)
        self._log("Updated /etc/environment")

    # -- units and the network

    def _do_unit(self, step: Step) -> None:
        match step:
            case plan.Mask():
                self._log(f"Masking unit file {gotext.quote(step.unit)}")
                files.mask(files.target(step.path, root=self._root))
            case plan.Unmask():
                self._log(plan.unmask_text(step.unit))
                files.unmask(files.target(step.path, root=self._root), self._log)
            case plan.Enable():
                self._log(f"Enabling unit file {gotext.quote(step.unit)}")
                self._units.enable(step.unit, runtime=step.runtime)
                self._log(f"Enabled unit {gotext.quote(step.unit)}")
            case plan.Reload():
                try:
                    self._units.reload()
                except CoreosError as error:
                    raise StepError(f"failed systemd daemon-reload: {error}") from None
            case plan.RestartNetworkd():
                self._log("Restarting systemd-networkd")
                result = self._units.run(plan.NETWORKD, "restart")
                self._log(f"Restarted systemd-networkd ({result})")
            case plan.Command():
                self._command(step)

    def _command(self, step: plan.Command) -> None:
        command, unit = gotext.quote(step.command), gotext.quote(step.unit)
        self._log(f"Calling unit command {command} on {unit}")
        if step.command not in plan.COMMANDS:
            raise StepError(f"Unsupported systemd command {command}")
        result = self._units.run(step.unit, step.command)
        self._log(f"Result of {command} on {unit}: {result}")

    def _restart_network(self, step: plan.RestartNetwork) -> None:
        """networkd is restarted whatever happened before; its failure is the one that counts."""
        try:
            self._take_down(step)
            for words in plan.modprobes(step.interfaces):
                shown = " ".join(map(gotext.quote, words))
                shown = f"[{shown}]" if len(words) > 1 else shown
                self._log(f"Probing LKM {gotext.quote(words[0])} ({shown})")
                tools.check(["modprobe", *words])
        finally:
            self._log("Restarting networkd.service")
            self._units.run(plan.NETWORKD, "restart")

    def _take_down(self, step: plan.RestartNetwork) -> None:
        there = tools.interface_names()
        for interface in step.interfaces:
            if interface.name not in there:
                continue
            name = gotext.quote(interface.name)
            self._log(f"Taking down interface {name}")
            try:
                tools.take_down(interface.name)
            except ToolError as error:
                self._log(f"Error while downing interface {name} ({error}). Continuing...")

    # -- scripts

    def run_script(self, script: bytes, workspace: str, *, name: str) -> None:
        """Keep a script in the workspace and start it as a unit; StepError."""
        scripts = posixpath.join(files.target(workspace, root=self._root), "scripts")
        try:
            for directory in (posixpath.dirname(scripts), scripts):
                files.make_directory(directory)
        except FileError as error:
            self._log(f"Failed preparing workspace: {error}")
            raise StepError(str(error)) from None
        unit = f"coreos-cloudinit-{name}.service"
        try:
            path = files.write(File(posixpath.join(scripts, name), script, "0744"), self._log)
            self._log(f"Creating transient systemd unit '{unit}'")
            try:
                self._units.run_script(unit, SCRIPT_DESCRIPTION, ["/bin/bash", path])
            finally:
                self._keep_unit_name(unit, scripts)
        except (FileError, CoreosError) as error:
            raise StepError(str(error)) from None

    def _keep_unit_name(self, unit: str, scripts: str) -> None:
        file = File(posixpath.join(scripts, "unit-name"), unit.encode(), "0644")
        try:
            files.write(file, self._log)
        except FileError as error:
            self._log(f"Failed to keep the script's unit name: {error}")
