"""The web page at /ui, driven in a headless Chromium like an operator would."""

import os
import re
import shutil
import threading

import httpx
import pytest
from fakes.openai import call, on_head
from gw import MASTER, config, free_port, refused, until
from ui_stub import Stub

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

FILES = {
    "/ui": "text/html", "/ui/app.js": "text/javascript", "/ui/app.css": "text/css",
    "/ui/icon.svg": "image/svg+xml",
}  # fmt: skip
# A process that a test starts has a profile of its own and asks nobody.
QUIET = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
# What the page asks and finds refused is an error to the console too.
REFUSED = "Failed to load resource"


def chromium():
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser",
             "google-chrome")  # fmt: skip
    return next((p for n in names if n and (p := shutil.which(n))), None)


@pytest.fixture(scope="module")
def browser():
    program = chromium()
    if not program:
        pytest.skip("no chromium (Debian's package `chromium`, or CHROMIUM=path)")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, gw):
    """A page of its own, which must not have broken its policy at the end."""
    context = browser.new_context(base_url=gw.url)
    context.set_default_timeout(15000)
    page = context.new_page()
    said = []
    page.on("console", lambda m: said.append(f"{m.type}: {m.text}"))
    page.on("pageerror", lambda e: said.append(f"thrown: {e}"))
    page.on("request", lambda r: r.url.startswith((gw.url, "blob:")) or
            said.append(f"asked elsewhere: {r.url}"))  # fmt: skip
    yield page
    context.close()
    assert [s for s in said if REFUSED not in s] == []


def sign_in(page, secret, section=""):
    page.goto(f"/ui#{section}")
    page.get_by_label("Key", exact=True).fill(secret)
    page.get_by_role("button", name="Sign in").click()


def press(page, name, inside=None):
    (inside or page).get_by_role("button", name=name, exact=True).click()


def opened(page, name):
    """The dialog of that title, there and seen."""
    dialog = page.get_by_role("dialog", name=name)
    expect(dialog).to_be_visible()
    return dialog


def row(page, text):
    return page.get_by_role("row").filter(has_text=text)


def told(page, text):
    expect(page.get_by_role("status").filter(has_text=text).first).to_be_visible()


def made(page, gw, alias):
    """A key made in the page; its secret."""
    press(page, "New key")
    form = opened(page, "New key")
    form.get_by_label("Alias").fill(alias)
    press(page, "Create", form)
    shown = opened(page, "The secret of the key")
    secret = shown.get_by_label("Secret").input_value()
    press(page, "Done", shown)
    expect(page.locator("dialog")).to_have_count(0)
    return secret


def answers(client):
    try:
        return client.get("/health/readiness").status_code == 200
    except httpx.TransportError:
        return False


# --- what is served ---


@pytest.mark.parametrize("path", FILES)
def test_the_page_is_served_with_a_strict_policy(gw, path):
    reply = gw.http.get(path)
    assert reply.status_code == 200
    assert reply.headers["content-type"].split(";")[0] == FILES[path]
    policy = dict(
        p.split(" ", 1) for p in reply.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in str(policy)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-store"
    assert "set-cookie" not in reply.headers


def test_head_tells_the_same_without_the_page(gw):
    head, whole = gw.http.head("/ui"), gw.http.get("/ui")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == str(len(whole.content))


def test_nothing_else_is_served_below_it(gw):
    for path in ("/ui/embed.cmake", "/ui/nothing", "/ui/..%2fapp.c"):
        refused(gw.http.get(path), 404, "unknown_route")
    refused(gw.http.post("/ui"), 405)


def test_the_page_names_no_other_place(gw):
    page = gw.http.get("/ui").text
    parts = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(parts) >= 3
    for part in parts:
        assert gw.http.get(part).status_code == 200
        text = gw.http.get(part).text.replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text and "innerHTML" not in text, part
    assert "<style" not in page and "style=" not in page


def test_an_admin_listener_has_the_page_to_itself(start, fake):
    port = free_port()
    gw = start(config({"admin_listen": f"127.0.0.1:{port}"}, up=fake), wait=False)
    admin = httpx.Client(base_url=f"http://127.0.0.1:{port}")
    until(lambda: answers(admin), "the admin listener answers")
    assert "Content-Security-Policy" in admin.get("/ui").headers
    refused(gw.http.get("/ui"), 404, "unknown_route")


# --- signing in ---


def test_a_wrong_key_does_not_get_in(page):
    sign_in(page, "sk-nobody-at-all-0123456789")
    expect(page.get_by_role("alert")).to_contain_text("incorrect API key")
    expect(page.get_by_role("navigation", name="Sections")).to_be_hidden()
    assert page.get_by_label("Key", exact=True).input_value() == ""


def test_a_blocked_key_is_told_so(page, gw, key):
    gw.admin("POST", "/key/block", json={"key": key})
    sign_in(page, key)
    expect(page.get_by_role("alert")).to_contain_text("blocked")


def test_a_virtual_key_sees_only_itself(page, gw, up, key):
    gw.upload(key, filename="mine.txt")
    gw.upload(gw.new_key(), filename="theirs.txt")
    sign_in(page, key, "keys")
    sections = page.get_by_role("navigation", name="Sections")
    expect(sections.get_by_role("link")).to_have_text(["Usage", "Files"])
    sections.get_by_role("link", name="Files").click()
    expect(row(page, "mine.txt")).to_be_visible()
    expect(row(page, "theirs.txt")).to_have_count(0)


def test_the_secret_is_kept_nowhere_and_forgotten(page, gw):
    sign_in(page, MASTER)
    for name in ("Keys", "Teams", "Providers", "Files", "Jobs", "Traffic"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    kept = page.evaluate(
        "async () => JSON.stringify([{...localStorage}, {...sessionStorage},"
        " document.cookie, location.href, history.state, window.name,"
        " await indexedDB.databases(), await caches.keys().catch(() => []),"
        " document.documentElement.outerHTML,"
        " [...document.querySelectorAll('input')].map((i) => i.value)])"
    )
    assert MASTER not in kept
    assert kept.startswith('[{},{},"",')
    assert page.context.storage_state()["cookies"] == []
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_half_an_hour_without_use_signs_out(page, gw):
    page.clock.install()
    sign_in(page, MASTER, "keys")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.clock.run_for("29:00")
    page.keyboard.press("Shift")
    page.clock.run_for("29:00")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.clock.run_for("01:01")
    expect(page.get_by_role("alert")).to_contain_text("Signed out")


def test_a_key_that_is_deleted_meanwhile_signs_out(page, gw, up, key):
    sign_in(page, key, "files")
    expect(page.get_by_text("No files.")).to_be_visible()
    gw.admin("POST", "/key/delete", json={"keys": [key]})
    page.get_by_role("search").get_by_label("Purpose").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not valid any more")


def test_signing_out_leaves_nothing_on_the_page(page, gw):
    gw.new_key(key_alias="seen-before-leaving")
    sign_in(page, MASTER, "keys")
    expect(row(page, "sk-...").first).to_be_visible()
    press(page, "Sign out")
    expect(page.get_by_role("row")).to_have_count(0)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


# --- keys and teams ---


def test_a_key_is_made_shown_once_and_works(page, gw, up):
    sign_in(page, MASTER, "keys")
    secret = made(page, gw, "made-in-page")
    assert gw.call(secret, "GET", "/v1/files").status_code == 200
    expect(row(page, "made-in-page")).to_be_visible()
    assert secret not in page.content()
    assert page.get_by_role("dialog").count() == 0


def test_a_key_is_blocked_unblocked_and_deleted(page, gw, up):
    sign_in(page, MASTER, "keys")
    secret = made(page, gw, "short-lived")
    press(page, "short-lived")
    press(page, "Block", opened(page, "short-lived"))
    expect(row(page, "short-lived")).to_contain_text("blocked")
    refused(gw.call(secret, "GET", "/v1/files"), 403, "key_blocked")
    press(page, "short-lived")
    press(page, "Unblock", opened(page, "short-lived"))
    expect(row(page, "short-lived")).to_contain_text("active")
    assert gw.call(secret, "GET", "/v1/files").status_code == 200
    press(page, "short-lived")
    press(page, "Delete", opened(page, "short-lived"))
    press(page, "Cancel", opened(page, "Delete short-lived?"))
    assert gw.call(secret, "GET", "/v1/files").status_code == 200
    press(page, "Delete", opened(page, "short-lived"))
    press(page, "Delete", opened(page, "Delete short-lived?"))
    expect(row(page, "short-lived")).to_have_count(0)
    refused(gw.call(secret, "GET", "/v1/files"), 401)


def test_a_limit_is_changed_and_nothing_else(page, gw):
    secret = gw.new_key(key_alias="limited", max_files=5, tags=["a", "b"])
    sign_in(page, MASTER, "keys")
    press(page, "limited")
    press(page, "Edit", opened(page, "limited"))
    form = opened(page, "Edit limited")
    form.get_by_label("Storage").fill("1.5GB")
    form.get_by_label("Files", exact=True).fill("")
    press(page, "Save", form)
    told(page, "saved")
    info = gw.admin("GET", "/key/info", params={"key": secret}).json()["info"]
    assert info["max_storage_bytes"] == 3 << 29
    assert info["max_files"] is None and info["tags"] == ["a", "b"]


def test_a_refused_value_is_shown_at_its_field(page):
    sign_in(page, MASTER, "keys")
    press(page, "New key")
    form = opened(page, "New key")
    wrong = form.get_by_label("Storage")
    wrong.fill("plenty")
    press(page, "Create", form)
    expect(form.get_by_role("alert")).to_contain_text("max_storage_bytes")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_be_focused()


def test_an_edit_sends_what_was_changed(page):
    stub = Stub()
    stub.attach(page, "/key/list", "/key/info", "/key/update")
    sign_in(page, MASTER, "keys")
    press(page, "service-4")
    press(page, "Edit", opened(page, "service-4"))
    form = opened(page, "Edit service-4")
    expect(form.get_by_label("Storage")).to_have_value("10GB")
    form.get_by_label("Upload per day").fill("512MB")
    form.get_by_label("Team").fill("")
    form.get_by_label("Files expire after").fill("2d")
    form.get_by_label("Providers").fill("local, azure")
    form.get_by_label("delete", exact=True).check()
    form.get_by_label("Storage").press("Enter")
    told(page, "saved")
    assert stub.called("/key/update") == {
        "key": f"{4:064x}", "max_upload_bytes_per_day": "512MB", "team_id": None,
        "file_expiry_seconds": 172800, "providers": ["local", "azure"],
        "operations": ["create", "read", "delete"],
    }  # fmt: skip


def test_a_regenerated_secret_is_shown_once(page):
    Stub().attach(page, "/key/list", "/key/info", "/key/regenerate")
    sign_in(page, MASTER, "keys")
    press(page, "service-0")
    press(page, "Regenerate", opened(page, "service-0"))
    press(page, "Regenerate", opened(page, "Regenerate the secret?"))
    shown = opened(page, "The secret of the key")
    expect(shown.get_by_label("Secret")).to_have_value("sk-a-new-secret-of-the-key")
    press(page, "Copy", shown)
    told(page, "Copied")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert "sk-a-new-secret" not in page.content()


def test_keys_are_paged_and_filtered(page):
    Stub().attach(page, "/key/list", "/key/info")
    sign_in(page, MASTER, "keys")
    expect(page.get_by_text("Page 1 of 3, 60 in all")).to_be_visible()
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    press(page, "Next")
    expect(row(page, "service-25")).to_be_visible()
    press(page, "Next")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_label("Team").fill("billing")
    press(page, "Filter")
    expect(page.get_by_text("Page 1 of 1, 20 in all")).to_be_visible()


def test_teams_are_listed_and_made(page):
    stub = Stub()
    stub.attach(page, "/team/list", "/team/info", "/team/new")
    sign_in(page, MASTER, "teams")
    expect(row(page, "Research")).to_contain_text("8.5 GB of 100 GB")
    press(page, "New team")
    form = opened(page, "New team")
    form.get_by_label("Name").fill("Sales")
    form.get_by_label("Requests per minute").fill("60")
    press(page, "Create", form)
    expect(row(page, "Sales")).to_be_visible()
    assert stub.called("/team/new") == {"team_alias": "Sales", "rpm_limit": 60}


def test_a_team_is_deleted_with_its_files_when_that_is_ticked(page):
    stub = Stub()
    stub.attach(page, "/team/list", "/team/info", "/team/delete")
    sign_in(page, MASTER, "teams")
    press(page, "Research")
    press(page, "Delete", opened(page, "Research"))
    asked = opened(page, "Delete Research?")
    expect(asked).to_contain_text("Its keys are deleted with it")
    asked.get_by_role("checkbox").check()
    press(page, "Delete", asked)
    expect(row(page, "Research")).to_have_count(0)
    want = {"team_ids": ["research"], "delete_files": True}
    assert stub.called("/team/delete") == want


def test_usage_is_told_against_each_quota(page, key):
    Stub().attach(page, "/v1/usage")
    sign_in(page, key)
    key = page.get_by_role("region", name="This key")
    team = page.get_by_role("region", name="Its team")
    expect(team).to_contain_text("512 MB of 100 GB")
    storage = key.get_by_role("meter", name="Storage")
    expect(storage).to_have_attribute("aria-valuetext", "8.5 GB of 10 GB")
    box = storage.bounding_box()
    inside = storage.locator("div").bounding_box()
    assert abs(inside["width"] / box["width"] - 0.85) < 0.02
    expect(key.get_by_text("5 GB (no limit)")).to_be_visible()


# --- files ---


def test_a_file_is_uploaded_downloaded_and_deleted(page, gw, up, key):
    sign_in(page, key, "files")
    page.get_by_text("Upload a file").click()
    form = page.get_by_role("form", name="Upload a file")
    form.get_by_label("File", exact=True).set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"some notes"}
    )
    form.get_by_label("Purpose").fill("vision")
    press(page, "Upload")
    expect(row(page, "notes.txt")).to_contain_text("10 B")
    with page.expect_download() as download:
        press(page, "Download notes.txt")
    assert download.value.suggested_filename == "notes.txt"
    assert download.value.path().read_bytes() == b"some notes"
    press(page, "Delete notes.txt")
    press(page, "Delete", opened(page, "Delete notes.txt?"))
    expect(page.get_by_text("No files.")).to_be_visible()
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []


def test_files_are_paged_and_filtered(page, gw, up, key):
    for i in range(27):
        purpose = "assistants" if i == 5 else "vision"
        gw.upload(key, filename=f"f{i}.txt", fields={"purpose": purpose})
    sign_in(page, key, "files")
    expect(page.get_by_role("row")).to_have_count(26)
    press(page, "Next")
    expect(page.get_by_role("row")).to_have_count(3)
    press(page, "Previous")
    expect(page.get_by_role("row")).to_have_count(26)
    page.get_by_role("search").get_by_label("Purpose").fill("assistants")
    press(page, "Filter")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(row(page, "f5.txt")).to_be_visible()


def test_a_file_name_is_no_markup(page, gw, up, key):
    name = "<img src=x onerror=alert(1)>.txt"
    gw.upload(key, filename=name)
    sign_in(page, key, "files")
    expect(page.get_by_text(name)).to_be_visible()
    assert page.locator("td img").count() == 0


def show_files_of(page, kind, name):
    form = page.get_by_role("search", name="Filter files")
    form.get_by_label("Files of").select_option(kind)
    form.get_by_label(kind.title(), exact=True).fill(name)
    press(page, "Filter", form)


def test_the_master_key_looks_at_files_of_anybody(page, gw, up):
    owners = {"team": {"team_id": "lookers"}, "user": {"user_id": "looker-ann"},
              "key": {"key_alias": "looker"}}  # fmt: skip
    gw.admin("POST", "/team/new", json=owners["team"])
    for kind, owner in owners.items():
        gw.upload(gw.new_key(**owner), filename=f"of-a-{kind}.txt")
    sign_in(page, MASTER, "files")
    for kind, owner in owners.items():
        (name,) = owner.values()
        form = page.get_by_role("search", name="Filter files")
        form.get_by_label("Files of").select_option(kind)
        offer = page.locator(f"datalist option[value='{name}']")
        expect(offer).to_have_count(1)
        show_files_of(page, kind, name)
        expect(row(page, f"of-a-{kind}.txt")).to_be_visible()
        expect(page.get_by_role("row")).to_have_count(2)
        told(page, "Only a virtual key of this owner")
        for name in ("Delete", "Download"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.get_by_label("Files of").select_option("the master key")
    press(page, "Filter")
    expect(row(page, "of-a-key.txt")).to_have_count(0)
    expect(page.get_by_text("Only a virtual key of this owner")).to_have_count(0)


def test_files_of_a_key_that_is_in_a_team_are_found(page, gw, up):
    gw.admin("POST", "/team/new", json={"team_id": "shared-team"})
    gw.upload(gw.new_key(team_id="shared-team", key_alias="member"))
    sign_in(page, MASTER, "files")
    show_files_of(page, "key", "member")
    told(page, "Files of team shared-team (the key member keeps its files there)")
    expect(row(page, "a.txt")).to_be_visible()


def test_files_of_a_key_follow_it_to_its_new_secret(page, gw, up):
    key = gw.new_key(key_alias="renewed")
    gw.upload(key, filename="before.txt")
    assert gw.admin("POST", "/key/regenerate", json={"key": key}).status_code == 200
    sign_in(page, MASTER, "files")
    show_files_of(page, "key", "renewed")
    expect(row(page, "before.txt")).to_be_visible()


def test_files_of_an_owner_are_paged_and_filtered(page, gw, up):
    key = gw.new_key(user_id="pages")
    for i in range(27):
        purpose = "assistants" if i == 5 else "vision"
        gw.upload(key, filename=f"f{i}.txt", fields={"purpose": purpose})
    sign_in(page, MASTER, "files")
    show_files_of(page, "user", "pages")
    expect(page.get_by_role("row")).to_have_count(26)
    press(page, "Next")
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("search").get_by_label("Purpose").fill("assistants")
    press(page, "Filter")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(row(page, "f5.txt")).to_be_visible()


def test_a_secret_names_no_owner(page, gw):
    secret = gw.new_key()
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    sign_in(page, MASTER, "files")
    show_files_of(page, "key", secret)
    told(page, "not by its secret")
    assert not any(secret in url for url in asked)


# --- jobs ---


def begun_form(page, name):
    page.get_by_text(name).click()
    return page.get_by_role("form", name=name)


def test_an_import_is_begun_and_followed_to_its_end(page, gw, up):
    for i in range(3):
        up.put(f"old-{i}.txt")
    up.put("new.txt")
    key = gw.new_key(user_id="importer")
    sign_in(page, MASTER, "jobs")
    form = begun_form(page, "Import files that a provider has")
    form.get_by_label("Provider", exact=True).select_option("up")
    form.get_by_label("For a").select_option("user")
    form.get_by_label("User", exact=True).fill("importer")
    form.get_by_label("Name begins with").fill("old-")
    press(page, "Import", form)
    done = row(page, "user importer")
    expect(done).to_contain_text("done")
    assert len(gw.call(key, "GET", "/v1/files").json()["data"]) == 3
    done.get_by_role("button", name="Import").click()
    shown = opened(page, "Job")
    expect(shown).to_contain_text("adopted")
    expect(shown).to_contain_text("prefix old-")


def test_an_import_for_a_key_by_its_alias(page, gw, up):
    up.put("for-a-key.txt")
    key = gw.new_key(key_alias="importing-key")
    sign_in(page, MASTER, "jobs")
    form = begun_form(page, "Import files that a provider has")
    form.get_by_label("Provider", exact=True).select_option("up")
    form.get_by_label("For a").select_option("key")
    form.get_by_label("Key", exact=True).fill("importing-key")
    press(page, "Import", form)
    told(page, "Import: begun")
    until(lambda: gw.call(key, "GET", "/v1/files").json()["data"], "it is adopted")


def test_a_reconcile_is_asked_about_before_it_deletes(page, gw, up):
    stray = up.put("stray.txt")
    sign_in(page, MASTER, "jobs")
    form = begun_form(page, "Reconcile records")
    form.get_by_label("Provider", exact=True).select_option("up")
    press(page, "Reconcile", form)
    reported = row(page, "Reconcile")
    expect(reported).to_contain_text("done")
    assert stray.id in up.files
    reported.get_by_role("button", name="Reconcile").click()
    shown = opened(page, "Job")
    # Of what others left on this gateway, too, the page shows the first part.
    expect(shown.get_by_role("table", name="Report")).to_be_visible()
    press(page, "Close", shown)
    form.get_by_label("What differs").select_option("delete")
    press(page, "Reconcile", form)
    press(page, "Cancel", opened(page, "Delete files without a record?"))
    assert stray.id in up.files
    press(page, "Reconcile", form)
    press(page, "Delete", opened(page, "Delete files without a record?"))
    until(lambda: stray.id not in up.files, "the stray is deleted")


def test_a_job_is_stopped(page, gw, up):
    release = threading.Event()
    hold = on_head(call(lambda x: release.wait(30)))
    up.fault(hold, method="GET", path="/v1/files$", times=9)
    body = {"provider": "up", "owner": {"user_id": "stopper"}}
    assert gw.admin("POST", "/admin/files/import", json=body).status_code == 202
    sign_in(page, MASTER, "jobs")
    job = row(page, "user stopper")
    expect(job.get_by_role("progressbar", name="Import")).to_be_visible()
    job.get_by_role("button", name="Stop").click()
    press(page, "Stop it", opened(page, "Stop Import?"))
    expect(job).to_contain_text("cancelled")
    expect(job.get_by_role("button", name="Stop")).to_have_count(0)
    release.set()


def test_running_jobs_are_asked_after_while_they_are_seen(page):
    stub = Stub()
    stub.attach(page, "/admin/jobs")
    page.clock.install()
    sign_in(page, MASTER, "jobs")
    bar = page.get_by_role("progressbar", name="Progress: Delete files").first
    expect(bar).to_have_attribute("aria-valuenow", "40")
    expect(bar).to_have_attribute("aria-valuemax", "160")

    def asked():
        return len([p for _, p, _ in stub.asked if p == "/admin/jobs"])

    before = asked()
    page.clock.run_for(2100)
    until(lambda: page.evaluate("1") and asked() > before, "it is asked again")
    page.get_by_role("link", name="Teams").click()
    expect(page.get_by_role("heading", name="Teams", level=1)).to_be_visible()
    page.evaluate("fetch('/ui')")
    left = asked()
    page.clock.run_for(20000)
    page.evaluate("fetch('/ui')")
    assert asked() == left


def test_files_deleted_with_their_key_are_followed(page, gw, up):
    key = gw.new_key(key_alias="doomed-key")
    for i in range(3):
        gw.upload(key, filename=f"{i}.txt")
    sign_in(page, MASTER, "keys")
    press(page, "doomed-key")
    press(page, "Delete", opened(page, "doomed-key"))
    asked = opened(page, "Delete doomed-key?")
    asked.get_by_role("checkbox").check()
    press(page, "Delete", asked)
    job = opened(page, "Job")
    expect(job).to_contain_text("Delete files")
    expect(job).to_contain_text("3 of 3")
    expect(job).to_contain_text("done")
    assert up.files == {}


def test_files_of_a_team_are_not_deleted_with_one_key(page, gw):
    gw.new_key(key_alias="one-of-many", user_id="ann")
    sign_in(page, MASTER, "keys")
    press(page, "one-of-many")
    press(page, "Delete", opened(page, "one-of-many"))
    asked = opened(page, "Delete one-of-many?")
    expect(asked).to_contain_text("Its files are its user's, and stay.")
    expect(asked.get_by_role("checkbox")).to_have_count(0)


# --- traffic and providers ---


def test_traffic_of_the_last_hour_is_drawn_as_it_comes(page, gw, up, key):
    page.clock.install()
    sign_in(page, MASTER)
    chart = page.get_by_role("img", name="Requests per second")
    expect(chart).to_be_visible()
    gw.upload(key)
    until(lambda: gw.metric("filemux_requests_total", route="files.create"), "counted")
    page.clock.run_for(5100)
    expect(page.locator("path.line0").first).to_have_attribute("d", re.compile("^M"))
    expect(page.get_by_text("Sampled by this page every 5 s")).to_be_visible()


def test_the_last_30_days_are_drawn_by_group(page):
    stub = Stub()
    stub.attach(page, "/admin/usage")
    sign_in(page, MASTER)
    month = page.get_by_role("region", name="The last 30 days")
    expect(month.get_by_role("img", name="Bytes per day")).to_be_visible()
    assert month.locator("rect.bar0").count() == 60
    page.get_by_label("Group by").select_option("provider")
    expect(row(page, "openai")).to_be_visible()
    page.get_by_label("Group by").select_option("team")
    expect(row(page, "research")).to_be_visible()
    assert stub.called("/admin/usage") == {"group_by": "team", "days": "30"}


def test_providers_are_shown_with_their_state(page):
    Stub().attach(page, "/admin/providers")
    sign_in(page, MASTER, "providers")
    expect(row(page, "azure")).to_contain_text("down, breaker open")
    expect(row(page, "azure")).to_contain_text("5 failures in a row")
    expect(row(page, "local")).to_contain_text("let through to try it")
    expect(row(page, "openai")).to_contain_text("256 MB")
    expect(row(page, "openai (default)")).to_contain_text("3 GB")


def test_providers_are_listed_by_the_gateway_itself(page, gw, up):
    sign_in(page, MASTER, "providers")
    expect(row(page, "up (default)")).to_contain_text("openai")
    expect(page.get_by_role("row")).to_have_count(4)
    expect(page.get_by_text("breaker")).to_have_count(0)


def test_what_the_server_lacks_is_said(page):
    def absent(route):
        error = {"message": "unknown path", "type": "not_found_error",
                 "param": None, "code": "unknown_route"}  # fmt: skip
        route.fulfill(status=404, json={"error": error})

    for path in ("/admin/*", "/admin/usage?*", "/team/list", "/metrics"):
        page.route("**" + path, absent)
    sign_in(page, MASTER)
    for name, what in (("Traffic", "Usage by day"), ("Teams", "Teams"),
                       ("Providers", "State of the providers")):  # fmt: skip
        page.get_by_role("link", name=name).click()
        told(page, f"{what}: not available on this server")


# --- for everybody ---


def test_every_control_has_a_name(page, gw, up):
    Stub().attach(page, "/key/list", "/key/info", "/admin/usage", "/admin/jobs")
    sign_in(page, MASTER)
    gw.upload(MASTER)
    nameless = """() => [...document.querySelectorAll(
        'button, input, select, a, [role=meter], [role=img]')].filter((e) =>
        e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() ||
        (e.labels && e.labels.length))).map((e) => e.outerHTML)"""
    for name in ("Traffic", "Keys", "Files", "Jobs"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("row").first).to_be_visible()
        assert page.evaluate(nameless) == []
    page.get_by_role("link", name="Keys").click()
    press(page, "New key")
    assert page.evaluate(nameless) == []


def test_the_keyboard_alone_makes_a_key(page, gw):
    page.goto("/ui")
    page.keyboard.type(MASTER)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Keys").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="New key").focus()
    page.keyboard.press("Enter")
    form = opened(page, "New key")
    form.get_by_label("Alias").focus()
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    opened(page, "The secret of the key")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(row(page, "typed")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_cards_and_never_scrolls_sideways(page, scheme):
    Stub().attach(page, "/key/list", "/key/info", "/team/list", "/admin/usage",
                  "/team/info", "/admin/providers", "/admin/jobs")  # fmt: skip
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    sign_in(page, MASTER)
    for name in ("Traffic", "Keys", "Teams", "Providers", "Jobs"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("row").first).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, name
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(20, 23, 28)") == (scheme == "dark")
