"""The dashboard in a headless Chromium, as people use it, before a real rollerd and an etcd."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator

import pytest

from tests.support import netns
from tests.support.browser import CHROMIUM, DRIVER, ENTER, ESCAPE, SPACE, Browser, foreign
from tests.support.procs import EtcdCluster, eventually
from tests.support.rollerd import COREOS, PASSWORD, STABLE, Machine, Rollerd

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium-driver"),
]

GROUP = f"#/apps/{COREOS}/groups/{STABLE}"
INSTANCES = f"{GROUP}/instances"
LOCK = "/coreos.com/updateengine/rebootlock/semaphore"
FAILED_POSTINSTALL = 268435456 + 5


@pytest.fixture(scope="module")
def offline():
    """No network but the own machine's: nothing can be fetched, and no change of one disturbs."""
    with contextlib.nullcontext() if netns.why_not() else netns.alone():
        yield


@pytest.fixture(scope="module")
def etcd(offline, tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("etcd"), 1) as cluster:
        yield cluster.members[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory, etcd) -> Iterator[Rollerd]:
    flags = (f"-etcd={etcd.client_url}", "-title=Harbour")
    process = Rollerd(tmp_path_factory.mktemp("rollerd"), *flags)
    process.start()
    try:
        process.wait_ready()
        process.must("POST", "/api/users", {"name": "eve", "password": PASSWORD, "role": "viewer"})
        yield process
    finally:
        process.close()


@pytest.fixture(scope="module")
def window(offline, tmp_path_factory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(window, server) -> Iterator[Browser]:
    """A desktop window where nobody is signed in; in the end nothing may have gone wrong in it."""
    window.size(1280)
    window.devtools("Network.clearBrowserCookies")
    window.open("about:blank")
    list(window.requests())
    window.console()
    yield window
    assert foreign(window.requests(), server.url) == []
    assert window.console() == []


def sign_in(browser: Browser, server: Rollerd, place: str = "", *, user: str = "admin") -> None:
    browser.open(f"{server.url}/{place}")
    browser.fill("User", user)
    browser.fill("Password", PASSWORD)
    browser.press(ENTER)
    browser.until("document.querySelector('#top .who') !== null")


def go(browser: Browser, place: str) -> None:
    """Follow a link to another view."""
    script = """
    const [place] = arguments;
    return location.hash === place || new Promise((done) => {
      addEventListener('hashchange', () => done(true), {once: true});
      location.hash = place;
    });
    """
    browser.run(script, place)
    browser.until("document.querySelector('main h1') && !document.querySelector('.loading')")


def seed(server: Rollerd, numbers: range, *, version: str = "1.0.0") -> None:
    """Machines that ask once."""
    for number in numbers:
        assert server.omaha(Machine(number, version=version).check()).status == 200


def test_rolling_out_a_first_version(browser, server, tmp_path):
    """From nothing to machines that have updated, with what a person sees and clicks."""
    browser.open(server.url)
    browser.fill("User", "admin")
    browser.fill("Password", "not the password")
    browser.click("Sign in")
    browser.see("the user or the password is wrong")
    browser.fill("Password", PASSWORD)
    browser.click("Sign in")
    browser.see("Overview", "No instance has asked for updates", "Harbour")

    browser.click("Applications")
    browser.click("New application")
    browser.fill("Name", "Lighthouse")
    browser.fill("Description", "What turns the lamps")
    browser.click("Create")
    browser.click("Lighthouse")

    payload = tmp_path / "lamp.tgz"
    payload.write_bytes(b"lamp" * 100_000)
    browser.click("New package")
    browser.choose("Type", "Other")
    browser.fill("Version", "not one")
    browser.click("Create")
    browser.see("'not one' is not like 1.2.3")
    browser.fill("Version", "2.0.0")
    browser.attach("Payload", payload)
    browser.click("Create")
    browser.see("391 KiB", f"{server.url}/packages/")

    browser.click("New channel")
    browser.fill("Name", "main")
    browser.choose("Package", "2.0.0")
    browser.click("Create")
    browser.see("main")

    browser.click("New group")
    browser.fill("Name", "Coast")
    browser.choose("Channel", "main")
    browser.tick("Safe mode")
    browser.fill("Max updates per period", "5")
    browser.click("Create", kinds="button")
    browser.click("Coast")
    browser.see("Coast", "5 per 15 minutes", "2.0.0 is offered; no instance has asked yet")

    browser.run("window.sameDocument = true")
    (app,) = (one for one in server.must("GET", "/api/apps") if one["name"] == "Lighthouse")
    machines = [Machine(number, version="1.0.0", track="coast") for number in range(3)]
    for machine in machines:
        machine.client = machine.client._replace(app_id=app["id"])
        assert b'status="ok"' in server.omaha(machine.check()).body
    browser.see("0 of 3 instances run 2.0.0 (0 %), under way")
    for machine in machines[:2]:
        machine.reboot("2.0.0")
        server.omaha(machine.report(3, 2))
        server.omaha(machine.check())
    browser.see("2 of 3 instances run 2.0.0 (66 %), under way", "one version behind) 1")
    assert browser.run("return window.sameDocument") is True
    assert "2 of 3" in browser.run("return document.querySelector('#announcer').textContent")


def test_a_file_that_is_no_payload(browser, server, tmp_path):
    page = tmp_path / "update.gz"
    page.write_text("<html>404</html>")
    sign_in(browser, server, f"#/apps/{COREOS}")
    browser.click("New package")
    browser.fill("Version", "0.0.1")
    browser.attach("Payload", page)
    browser.click("Create")
    browser.see("The package is saved, but not its payload: update_engine would refuse")
    browser.click("Cancel")
    browser.click("Delete package 0.0.1")
    browser.click("Delete package")
    browser.see_no("0.0.1")


def test_a_session_that_has_ended(browser, server):
    sign_in(browser, server, f"#/apps/{COREOS}")
    browser.click("New channel")
    browser.fill("Name", "late")
    browser.devtools("Network.clearBrowserCookies")
    browser.click("Create")
    browser.see("Sign in first.")
    browser.click("Cancel")
    server.must("PUT", f"/api/apps/{COREOS}", {"name": "CoreOS", "description": "news"})
    browser.fill("User", "admin")
    browser.fill("Password", PASSWORD)
    browser.click("Sign in")
    browser.see("news")


def test_pausing_and_resuming_a_group(browser, server):
    server.open_group()
    sign_in(browser, server, GROUP)
    browser.click("Pause updates")
    browser.fill("Reason", "the harbour is frozen")
    browser.click("Pause updates")
    browser.see("Updates are paused: the harbour is frozen.", "Resume updates")
    group = server.must("GET", f"/api/apps/{COREOS}/groups/{STABLE}")
    assert group["policy_updates_enabled"] is False
    go(browser, "#/")
    browser.see("Held back: updates of CoreOS / Stable are paused (the harbour is frozen).")
    go(browser, GROUP)
    browser.click("Resume updates")
    browser.click("Cancel")
    browser.see("Updates are paused")
    browser.click("Resume updates")
    browser.see("Machines that ask are granted updates again")
    browser.click("Resume updates")
    browser.see_no("Updates are paused")
    browser.see("Updates resumed in CoreOS / Stable", "Updates paused in CoreOS / Stable")


def test_finding_instances(browser, server):
    server.open_group()
    seed(server, range(120), version="1.0.0")
    seed(server, range(120, 125), version="0.9.0")
    sign_in(browser, server, INSTANCES)
    browser.see("125 in all", "1 to 50 of 125")
    browser.click("Next")
    browser.see("51 to 100 of 125")
    browser.choose("Version", "0.9.0")
    browser.see("5 match")
    browser.see_no("Next")
    assert "version=0.9.0" in browser.run("return location.hash")
    rows = "[...document.querySelectorAll('tbody td:first-child')].map((e) => e.innerText.trim())"
    browser.click("Instance ID")
    browser.until("document.querySelector('th[aria-sort=ascending]') !== null")
    assert browser.run(f"return {rows}") == [f"{number:032x}" for number in range(120, 125)]
    browser.click("Instance ID")
    browser.until(f"{rows}[0] === '{124:032x}'")
    browser.choose("Version", "All")
    browser.fill("ID, name or address", f"{77:032x}")
    browser.press(ENTER)
    browser.see("1 match", f"{77:032x}")
    browser.choose("State", "Error")
    browser.see("No instance matches these filters.")


def test_versions_and_states_over_time(browser, server):
    hour_us = 3600 * 1_000_000
    now_us = time.time_ns() // 1000
    samples = [
        (STABLE, now_us - age * hour_us, version, status, count)
        for age in (1, 2, 3, 60)
        for version, status, count in (("1.0.0", 4, 40), ("0.9.0", 3, 7000 + age))
    ]
    with contextlib.closing(sqlite3.connect(server.database, timeout=60)) as database, database:
        database.executemany("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", samples)
    sign_in(browser, server, GROUP)
    browser.click("As a table")
    browser.see("7,001", "7,002", "7,003")
    browser.see_no("7,060")
    assert browser.run("return document.querySelectorAll('svg.areas path').length") >= 4
    browser.click("7 days")
    browser.see("7,060")  # and the table is still unfolded
    assert "range=7d" in browser.run("return location.hash")


def test_versions_are_compared_as_the_server_does(browser, server):
    browser.open(server.url)
    script = """
    const [rising, known] = arguments;
    return import('/versions.js').then(({compare, standing}) => {
      const pairs = rising.slice(1).map((one, at) => [compare(rising[at], one), compare(one, one)]);
      const texts = rising.map((one) => standing(one, '10.0.0', known).text);
      return [pairs.every(([up, same]) => up < 0 && same === 0), texts];
    });
    """
    rising = ["nonsense", "1.2.3-1", "1.2.3-2", "1.2.3-10", "1.2.3-a", "1.2.3", "9.0.0", "10.0.0"]
    rising += ["10.0.1"]
    known = ["1.2.3", "9.0.0", "10.0.0"]
    is_rising, standings = browser.run(script, rising, known)
    assert is_rising
    far, near = "3 versions behind", "2 versions behind"
    assert standings == [far] * 5 + [
        near,
        "one version behind",
        "current",
        "newer than the channel",
    ]


def test_what_became_of_one_machine(browser, server):
    server.open_group()
    server.add_package("3.0.0")
    machine = Machine(500, version="2.9.0")
    server.omaha(machine.check())
    server.omaha(machine.report(13, 1))
    server.omaha(machine.report(3, 0, FAILED_POSTINSTALL))
    sign_in(browser, server, f"{INSTANCES}/{machine.client.machine_id}")
    browser.see("Update failed", "POSTINSTALL_RUNNER_ERROR (5)", "code 268435461", "Error updating")
    browser.see("Download started: success", "one version behind", "amd64-usr")
    browser.click("Rename")
    browser.fill("Name", "pier-4")
    browser.click("Save")
    browser.until("document.querySelector('h1').innerText === 'pier-4'")
    browser.fill("Search everything", "pier-4")
    browser.press(ENTER)
    browser.see("1 result for “pier-4”")
    browser.click(machine.client.machine_id)
    browser.see("State history")
    go(browser, "#/")
    browser.see("Needs attention: 1 instance of CoreOS / Stable failed to update")


def test_releasing_a_reboot_lock(browser, server, etcd):
    held = {"semaphore": 0, "max": 1, "holders": [f"{1:032x}"]}
    etcd.write(LOCK, json.dumps(held))
    sign_in(browser, server, "#/locks")
    browser.see("0 of 1", f"{1:032x}", "Nobody else can reboot")
    browser.click(f"Unlock {1:032x}")
    browser.see("Another machine may then reboot")
    browser.press(ESCAPE)
    browser.until("document.activeElement.getAttribute('aria-label').startsWith('Unlock')")
    assert json.loads(etcd.value(LOCK)) == held
    browser.press(ENTER)
    browser.click("Unlock", kinds="dialog button")
    browser.see("1 of 1", "Nobody holds it.")
    browser.click("Change maximum of Default group")
    browser.fill("Machines that may reboot at a time", "3")
    browser.click("Change maximum")
    browser.see("3 of 3")
    assert json.loads(etcd.value(LOCK)) == {"semaphore": 3, "max": 3, "holders": []}
    etcd.write(LOCK, json.dumps({"semaphore": 2, "max": 3, "holders": ["another"]}))
    browser.see("2 of 3", "another")  # without anybody's doing


def test_who_may_only_look(browser, server):
    seed(server, range(1))
    sign_in(browser, server, user="eve")
    browser.see("read only")
    places = ("#/", "#/apps", f"#/apps/{COREOS}", GROUP, INSTANCES, "#/activity", "#/locks")
    for place in (*places, f"{INSTANCES}/{0:032x}", "#/account"):
        go(browser, place)
        buttons = browser.run(
            "return [...document.querySelectorAll('main button')].map((e) => e.innerText.trim())"
        )
        words = ("New", "Edit", "Delete", "Pause", "Resume", "Rename", "Unlock", "Change max")
        assert [text for text in buttons if text.startswith(words)] == []
    assert not browser.has("a", "Users")
    go(browser, "#/users")
    browser.see("eve may only look")


def test_accounts_and_tokens(browser, server):
    sign_in(browser, server, "#/users")
    browser.click("New user")
    browser.fill("Name", "pilot")
    browser.fill("Password", "short")
    browser.click("Create")
    browser.see("A password has 8 to 1024 characters.")
    browser.fill("Password", PASSWORD)
    browser.click("Create")
    browser.see("pilot", "Viewer (read only)")
    browser.click("Delete user admin")
    browser.click("Delete user")
    browser.see("Admin is the last admin.")
    browser.click("Cancel")

    browser.click("admin")
    browser.click("New token")
    browser.fill("Name", "for the crane")
    browser.click("Create")
    browser.see("it cannot be shown again")
    token = browser.run("return document.querySelector('dialog .secret').textContent")
    browser.click("Done")
    browser.see("for the crane")
    browser.click("Sign out")
    browser.click("Use a token instead")
    browser.fill("Token", token)
    browser.click("Sign in")
    browser.see("Overview", "read only")


def test_with_the_keyboard_alone(browser, server):
    sign_in(browser, server, f"#/apps/{COREOS}")
    browser.press("/")
    browser.until("document.activeElement.id === 'search'")
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    go(browser, f"#/apps/{COREOS}")
    browser.run("document.querySelector('.skip').focus()")
    browser.press(ENTER)
    browser.until("document.activeElement.id === 'main'")
    browser.tab_to("New channel")
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.run(outline) != "none"
    browser.press(SPACE)
    browser.tab_to("Name")
    browser.press(*"quay")
    browser.tab_to("Cancel")
    browser.tab_to("Name")  # round and round, never out of the dialog
    browser.press(ENTER)
    browser.see("quay")
    browser.until("document.activeElement.textContent === 'New channel'")
    channels = server.must("GET", f"/api/apps/{COREOS}/channels")
    assert "quay" in [channel["name"] for channel in channels]


def test_what_others_wrote_stays_text(browser, server):
    evil = '"><img src=x onerror=pwned=1>'
    app = server.must("POST", "/api/apps", {"name": evil, "description": evil})
    path = f"/api/apps/{app['id']}"
    package = {"type": 4, "version": "1.0.0", "url": "http://h/", "description": evil}
    package = server.must("POST", f"{path}/packages", {**package, "filename": evil})
    channel = {"name": evil[:25], "color": '"><script>1', "package_id": package["id"]}
    channel = server.must("POST", f"{path}/channels", channel)
    group = {"name": evil, "description": evil, "track": evil, "channel_id": channel["id"]}
    group = server.must("POST", f"{path}/groups", group)
    machine = Machine(900, track=group["id"])
    machine.client = machine.client._replace(
        app_id=app["id"], machine_id=evil, board=evil, oem=evil, alias=evil
    )
    server.omaha(machine.check())
    server.must("POST", f"{path}/groups/{group['id']}/pause", {"reason": evil})
    server.must("POST", "/api/tokens", {"name": evil, "role": "viewer"})
    sign_in(browser, server)
    place = f"#/apps/{app['id']}"
    own = f"{place}/groups/{group['id']}"
    instance = f"{own}/instances/%22%3E%3Cimg%20src%3Dx%20onerror%3Dpwned%3D1%3E"
    more = ("#/activity", "#/account", "#/search?q=%3Cimg", "#/<img src=x onerror=pwned=1>")
    for where in ("#/", "#/apps", place, own, f"{own}/instances", instance, *more):
        go(browser, where)
        browser.see("<img src=x onerror=pwned=1>")
    assert browser.run("return [typeof pwned, document.querySelectorAll('main img').length]") == [
        "undefined",
        0,
    ]


@pytest.mark.parametrize("width", [360, 1280])
def test_every_view_fits(browser, server, width):
    seed(server, range(3))
    browser.size(width)
    sign_in(browser, server)
    instance = f"{INSTANCES}/{0:032x}"
    places = ("#/", "#/apps", f"#/apps/{COREOS}", GROUP, INSTANCES, instance, "#/activity")
    for place in (*places, "#/locks", "#/search?q=0", "#/account", "#/users", "#/nowhere"):
        go(browser, place)
        measured = "return [document.documentElement.scrollWidth, window.innerWidth]"
        needed, there = browser.run(measured)
        assert needed <= there == width, place
        names = "[...document.querySelectorAll('button,a,input,select')].filter((e) => !(%s))"
        name = "e.textContent.trim() || e.labels?.length || e.ariaLabel || e.type === 'hidden'"
        assert browser.run(f"return {names % name}.length") == 0, place
    go(browser, GROUP)
    browser.click("Edit")
    browser.see("Edit group Stable")
    script = "const d = document.querySelector('dialog'); return [d.scrollWidth, d.clientWidth]"
    needed, there = browser.run(script)
    assert needed <= there


def test_a_server_that_has_gone(browser, server):
    seed(server, range(2))
    sign_in(browser, server, INSTANCES)
    browser.see(f"{0:032x}")
    server.kill9()
    browser.see("Stale. The server cannot be reached. Shown is what was true", f"{0:032x}")
    assert re.search(r"true \d+ (s|min) ago", browser.text())
    server.start()
    server.wait_ready()
    browser.see_no("Stale.")
    seed(server, range(700, 701), version="0.1.0")
    browser.see(f"{700:032x}")


def test_every_view_names_its_twin(browser, server):
    sign_in(browser, server)
    for place in ("#/", f"#/apps/{COREOS}", GROUP, INSTANCES, "#/activity", "#/locks"):
        go(browser, place)
        twin = eventually(
            lambda: browser.run("return document.querySelector('.twin')?.getAttribute('href')")
        )
        reply = server.ask("GET", twin.removeprefix(server.url))
        assert reply.status == 200
        assert reply.json() is not None
