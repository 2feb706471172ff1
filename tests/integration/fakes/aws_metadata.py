"""Where AWS hands out temporary keys: an instance's metadata service, in its
second version alone, and a container's endpoint.

Each key that is handed out is made known to the S3 behind it.
"""

import json
import secrets
import time
from datetime import datetime, timezone

from .http import Body, Server, head_bytes
from .s3 import Key

ROLES = "/latest/meta-data/iam/security-credentials/"


class AwsMetadata(Server):
    def __init__(self, s3, role="filemux-role", container_token="Bearer c0ntainer"):
        self.s3, self.role, self.container_token = s3, role, container_token
        self.tokens = set()
        self.given = []  # key ids
        self.lifetime = 6 * 3600
        self.asked = []  # (method, path)
        self.instead = None  # a status to answer everything with
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def handle(self, conn, head):
        Body(conn, head).read_all()
        self.asked.append((head.method, head.path))
        status, text = self._answer(head)
        conn.send(head_bytes(status, [("Content-Length", str(len(text)))]) + text)
        return True

    def _answer(self, head):
        if self.instead:
            return self.instead, b"no"
        if head.path == "/container/credentials":
            return self._container(head)
        if head.path == "/latest/api/token":
            return self._token(head)
        return self._instance(head)

    def _container(self, head):
        if head.get("authorization") != self.container_token:
            return 401, b"Unauthorized"
        return 200, self._credentials()

    def _token(self, head):
        ttl = head.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if head.method != "PUT" or not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            return 400, b"Bad Request"
        token = secrets.token_urlsafe(40) + "=="
        self.tokens.add(token)
        return 200, token.encode()

    def _instance(self, head):
        if head.get("x-aws-ec2-metadata-token") not in self.tokens:
            return 401, b"Unauthorized"
        if not self.role or not head.path.startswith(ROLES):
            return 404, b"Not Found"
        if head.path == ROLES:
            return 200, self.role.encode()
        if head.path != ROLES + self.role:
            return 404, b"Not Found"
        return 200, self._credentials()

    def _credentials(self):
        key_id = "ASIA" + secrets.token_hex(8).upper()
        key = Key(secrets.token_urlsafe(30), secrets.token_urlsafe(200),
                  time.time() + self.lifetime)  # fmt: skip
        self.s3.keys[key_id] = key
        self.given.append(key_id)
        end = datetime.fromtimestamp(key.expires, timezone.utc)
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": key_id,
                "SecretAccessKey": key.secret,
                "Token": key.token,
                "Expiration": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            }
        ).encode()
