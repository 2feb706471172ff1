"""Answers for the web page that a gateway does not give so soon: usage of many
days, quotas near their end, providers that are down. They are given in the
browser, in place of the gateway's (playwright's route), so the page itself and
its headers stay the gateway's own."""

import datetime
import json
from urllib.parse import parse_qs, urlsplit

from gw import MASTER

GB = 1 << 30
KEYS = 60
WORKSPACES = ["research", "billing", None]


def day(ago):
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (today - datetime.timedelta(days=ago)).isoformat()


def a_key(i):
    return {
        "token": f"{i:064x}", "key_name": f"sk-...{i:04x}",
        "key_alias": f"service-{i}", "team_id": WORKSPACES[i % 3],
        "user_id": "ann" if i % 4 == 0 else None, "blocked": i % 7 == 3,
        "expires": "2031-01-31T10:00:00Z" if i % 5 == 0 else None,
        "created_at": "2026-03-01T09:30:00Z", "providers": ["openai", "local"],
        "operations": ["create", "read"], "purposes": [], "models": [],
        "tags": [], "max_storage_bytes": 10 * GB, "max_files": 200,
        "max_file_bytes": None, "max_upload_bytes_per_day": 2 * GB,
        "max_download_bytes_per_day": None, "rpm_limit": 600,
        "max_parallel_requests": 8,
    }  # fmt: skip


def a_team(name, i):
    return {
        "team_id": name, "team_alias": name.title(), "blocked": False,
        "created_at": "2026-03-01T09:30:00Z", "max_storage_bytes": 100 * GB,
        "max_files": 1000 * (i + 1), "providers": [], "rpm_limit": None,
    }  # fmt: skip


def usage(i):
    """Less and less: the first key is full, the second nearly so."""
    part = [1.0, 0.85, 0.4, 0.05][i % 4]
    return {
        "storage_bytes": int(10 * GB * part), "files": 37 + i,
        "upload_bytes_today": int(GB * part), "download_bytes_today": 5 * GB,
        "requests_per_minute": int(600 * part), "parallel_requests": i % 9,
    }  # fmt: skip


class Stub:
    def __init__(self):
        self.keys = [a_key(i) for i in range(KEYS)]
        self.teams = [a_team(n, i) for i, n in enumerate(["research", "billing"])]
        self.asked = []  # (method, path, query or body)

    def attach(self, page, *paths):
        """Answer these paths, the others stay the gateway's."""
        for path in paths:
            page.route(lambda url, p=path: urlsplit(url).path == p, self.answer)

    def answer(self, route):
        request = route.request
        url = urlsplit(request.url)
        said = {k: v[0] for k, v in parse_qs(url.query).items()}
        if request.method == "POST":
            said = json.loads(request.post_data)
        self.asked.append((request.method, url.path, said))
        is_master = request.headers["authorization"] == f"Bearer {MASTER}"
        if not is_master and not url.path.startswith("/v1/"):
            route.continue_()
            return
        name = url.path.strip("/").replace("/", "_")
        route.fulfill(json=getattr(self, name)(said))

    def called(self, path):
        """What was last said to that path."""
        return [said for _, p, said in self.asked if p == path][-1]

    # --- what it answers ---

    def key_list(self, said):
        found = [
            k for k in self.keys
            if all(k.get(n) == said[n] for n in ("team_id", "key_alias", "user_id")
                   if n in said)
        ]  # fmt: skip
        page, size = int(said.get("page", 1)), int(said.get("size", 10))
        return {
            "keys": found[(page - 1) * size : page * size],
            "total_count": len(found), "current_page": page,
            "total_pages": -(-len(found) // size),
        }  # fmt: skip

    def key_info(self, said):
        i = next(i for i, k in enumerate(self.keys) if k["token"] == said["key"])
        return {"key": said["key"], "info": {**self.keys[i], "usage": usage(i)}}

    def key_update(self, said):
        return said

    def key_regenerate(self, said):
        return {**self.keys[0], "key": "sk-a-new-secret-of-the-key"}

    def team_list(self, said):
        return self.teams

    def team_info(self, said):
        team = next(t for t in self.teams if t["team_id"] == said["team_id"])
        return {"team_id": said["team_id"], "team_info": {**team, "usage": usage(1)},
                "total_keys": 3}  # fmt: skip

    def team_delete(self, said):
        self.teams = [t for t in self.teams if t["team_id"] not in said["team_ids"]]
        return {"deleted_teams": said["team_ids"], "deleted_keys": []}

    def team_new(self, said):
        self.teams.append({**a_team("made", 0), **said})
        return self.teams[-1]

    def v1_usage(self, said):
        team = {**a_team("billing", 1), "usage": usage(3)}
        return {"object": "usage", "key": {**a_key(1), "usage": usage(1)},
                "team": team}  # fmt: skip

    def admin_usage(self, said):
        names = {"provider": ["openai", "local"], "key": ["service-1", "service-2"],
                 "team": ["research", "billing"],
                 "all": ["all"]}[said["group_by"]]  # fmt: skip
        return {"data": [
            {"date": day(ago), said["group_by"]: name, "errors": ago % 3,
             "requests": 1000 + 90 * (ago * 7 % 11) * (i + 1),
             "upload_bytes": (ago * 5 % 9 + 1) * GB // (i + 1),
             "download_bytes": (ago * 3 % 7) * GB // (i + 2)}
            for ago in range(30) for i, name in enumerate(names)
        ]}  # fmt: skip

    def admin_jobs(self, said):
        made = [("running", 40, 160), ("running", 1200, None), ("done", 9, 9),
                ("failed", 3, 8), ("cancelled", 0, None)]  # fmt: skip
        kinds = ["delete_files", "import", "reconcile"]
        return {"object": "list", "has_more": False, "last_id": None, "data": [
            {"id": f"job-{i:026d}", "object": "job", "kind": kinds[i % 3],
             "state": state, "done": done, "total": total, "failed": i // 2,
             "args": {"provider": "openai", "owner": f"k:{i:064x}", "prefix": "old/"},
             "counts": {"adopted": done, "failures": i // 2},
             "error": "provider 'openai' answered with status 500 again and again"
             if state == "failed" else None, "created_at": 1_800_000_000,
             "started_at": 1_800_000_000, "updated_at": None, "ended_at": None}
            for i, (state, done, total) in enumerate(made)
        ]}  # fmt: skip

    def admin_providers(self, said):
        rows = [("openai", "openai", "up", "closed", 0),
                ("local", "disk", "on trial", "half_open", 1),
                ("azure", "azure", "down", "open", 5)]  # fmt: skip
        return {"object": "list", "data": [
            {"name": name, "type": kind, "default": name == "openai", "state": state,
             "breaker": breaker, "consecutive_failures": failures,
             "opened_at": None if state == "up" else 1_800_000_000,
             "bytes_under_way": GB // 4, "bytes_last_minute": GB,
             "operations": ["create", "get", "list", "delete", "content"],
             "max_file_bytes": GB // 2 if kind == "openai" else None,
             "today": {"requests": 1234, "errors": 5, "upload_bytes": 3 * GB,
                       "download_bytes": GB}}
            for name, kind, state, breaker, failures in rows
        ]}  # fmt: skip
