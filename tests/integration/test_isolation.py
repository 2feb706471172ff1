"""A file is its owner's: to all others it does not exist."""

import pytest
from gw import refused


@pytest.fixture
def theirs(gw, up):
    """A file of somebody else."""
    return gw.upload(gw.new_key()).json()["id"]


@pytest.mark.parametrize(
    "method, tail", [("GET", ""), ("DELETE", ""), ("GET", "/content")]
)
def test_anothers_file_reads_as_one_that_never_was(gw, up, key, theirs, method, tail):
    up.seen.clear()
    never = theirs[:-4] + "zzzz"
    mine = refused(gw.call(key, method, f"/v1/files/{theirs}{tail}"), 404)
    none = refused(gw.call(key, method, f"/v1/files/{never}{tail}"), 404)
    assert mine["message"].replace(theirs, "X") == none["message"].replace(never, "X")
    assert (mine["code"], mine["param"]) == (none["code"], none["param"])
    assert up.seen == [] and len(up.files) == 1


def test_what_a_provider_says_of_a_file_does_not_name_its_id(gw, up, key):
    up.first_status = "error"
    up.details = "line 3 of {id} is none; see http://10.0.0.1/x or file-9f3a1cQ"
    made = gw.upload(key).json()
    want = f"line 3 of {made['id']} is none; see [url] or [id]"
    assert made["status"] == "error" and made["status_details"] == want
    shown = gw.call(key, "GET", f"/v1/files/{made['id']}").json()
    assert shown["status_details"] == want
    assert next(iter(up.files)) not in gw.call(key, "GET", "/v1/files").text


def test_a_list_holds_ones_own_alone(gw, up, key, theirs):
    mine = gw.upload(key).json()["id"]
    listed = gw.call(key, "GET", "/v1/files").json()
    assert [f["id"] for f in listed["data"]] == [mine]


def test_anothers_id_is_no_cursor(gw, up, key, theirs):
    gw.upload(key)
    mine = gw.call(key, "GET", f"/v1/files?after={theirs}")
    none = gw.call(key, "GET", f"/v1/files?after={theirs[:-4]}zzzz")
    assert mine.status_code == none.status_code
    if mine.status_code == 200:
        assert len(mine.json()["data"]) == len(none.json()["data"])


def test_keys_of_one_user_share_their_files(gw, up):
    one, two = gw.new_key(user_id="ann"), gw.new_key(user_id="ann")
    made = gw.upload(one).json()["id"]
    assert gw.call(two, "GET", f"/v1/files/{made}/content").content == b"hello"


def test_keys_of_one_team_share_their_files(gw, up):
    one = gw.new_key(team_id="red", user_id="ann")
    two = gw.new_key(team_id="red", user_id="bob")
    made = gw.upload(one).json()["id"]
    assert gw.call(two, "DELETE", f"/v1/files/{made}").status_code == 200


def test_a_user_does_not_see_the_teams_of_the_same_name(gw, up):
    made = gw.upload(gw.new_key(team_id="same")).json()["id"]
    refused(gw.call(gw.new_key(user_id="same"), "GET", f"/v1/files/{made}"), 404)


def test_the_master_key_owns_no_ones_files(gw, up, theirs):
    listed = gw.admin("GET", "/v1/files")
    assert listed.status_code != 200 or listed.json()["data"] == []
