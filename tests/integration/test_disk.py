"""The disk provider: a local directory as the place where files live."""

import hashlib
import os
import shutil
import subprocess

import any_provider as any_
import pytest
from gw import MB, config, refused, until
from wire import file_part, form, part, upload_chunked

UP = "/local/v1/files"


@pytest.fixture
def folder(gw):
    return gw.folder / "data/files"


def stored(folder, made):
    """The file that holds it: found by the ULID of its id."""
    (path,) = [p for p in folder.rglob("*") if made["id"][-26:] in p.name]
    return path


def test_the_whole_life_of_a_file(gw, key, folder):
    made = gw.upload(key, b"hello", path=UP).json()
    assert made["bytes"] == 5 and made["status"] == "processed"
    assert made["filemux"] == {"provider": "local"}
    assert stored(folder, made).read_bytes() == b"hello"
    one = f"/v1/files/{made['id']}"
    assert gw.call(key, "GET", one).json() == made
    assert gw.call(key, "GET", one + "/content").content == b"hello"
    assert gw.call(key, "DELETE", one).json()["deleted"] is True
    assert made["id"][-26:] not in " ".join(p.name for p in folder.rglob("*"))
    refused(gw.call(key, "GET", one), 404)


class Stored:
    def __init__(self, path):
        self.path, self.size = path, path.stat().st_size
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()


class Files:
    """The files of a folder, as the fakes hold theirs."""

    def __init__(self, folder):
        self.folder = folder

    def values(self):
        return [Stored(p) for p in self.folder.rglob("*") if p.is_file()]

    def clear(self):
        for stored in self.values():
            stored.path.unlink()

    def __len__(self):
        return len(self.values())


class Disk:
    """A folder, as if it were a fake."""

    violations = []

    def __init__(self, folder=None):
        self.files = Files(folder)

    def uploads(self):
        return []

    def stop(self):
        pass


def provider(fake):
    return {"type": "disk", "path": "./data/files"}


class TestEvery(any_.Stores):
    path = UP

    @pytest.fixture
    def gw(self, gw):
        gw.key = gw.new_key()
        return gw

    @pytest.fixture
    def fake(self, folder):
        fake = Disk(folder)
        fake.files.clear()
        return fake


def test_the_length_of_a_download_is_told(gw, key):
    made = gw.upload(key, bytes(300_000), path=UP).json()
    got = gw.call(key, "GET", f"/v1/files/{made['id']}/content")
    assert got.headers["content-length"] == "300000"


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", ".tmp-x", "a/b", "%2e%2e"]
)
def test_a_clients_name_is_no_path(gw, key, folder, name):
    before = {p for p in folder.parent.rglob("*")}
    made = gw.upload(key, b"x", name, path=UP).json()
    new = {p for p in folder.parent.rglob("*") if p.is_file()} - before
    assert [p for p in new if "redis" not in str(p)] == [stored(folder, made)]


def test_files_are_the_owners_alone(gw, key, folder):
    made = gw.upload(key, path=UP).json()
    assert stored(folder, made).stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0


def test_the_expiry_is_kept(gw, key):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = gw.upload(key, path=UP, fields=fields).json()
    assert made["expires_at"] == made["created_at"] + 3600


def test_a_file_removed_behind_our_back_is_not_found(gw, key, folder):
    made = gw.upload(key, path=UP).json()
    stored(folder, made).unlink()
    refused(gw.call(key, "GET", f"/v1/files/{made['id']}/content"), 404)
    assert gw.call(key, "DELETE", f"/v1/files/{made['id']}").status_code == 200


def test_a_broken_form_leaves_no_file(gw, key, folder):
    before = set(folder.rglob("*"))
    body = form(part("purpose", "vision"), file_part(b"x" * 9999, "a"))[:-9]
    with gw.wire() as w:
        refused(upload_chunked(w, key, body, target=UP), 400)
    until(lambda: set(folder.rglob("*")) == before, "nothing is left")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "filemux-test", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)
    shutil.rmtree(path)


def test_a_full_disk_is_a_507_and_leaves_nothing(start, fake, small_disk):
    disk = {"type": "disk", "path": str(small_disk / "files")}
    gw = start(config({"providers": {"local": disk}}, up=fake))
    key = gw.new_key()
    refused(gw.upload(key, bytes(8 * MB), path=UP), 507, "insufficient_storage")
    until(
        lambda: not [p for p in small_disk.rglob("*") if p.is_file()],
        "the temporary file is removed",
    )
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []
    assert gw.upload(key, bytes(MB), path=UP).status_code == 200


def test_the_embedded_defaults_need_no_file_at_all(start):
    gw = start({"master_key": config()["master_key"]})
    made = gw.upload(gw.new_key()).json()
    assert made["filemux"] == {"provider": "local"}
    assert gw.call(gw.new_key(), "GET", "/v1/files").json()["data"] == []
