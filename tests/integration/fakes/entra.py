"""A strict token endpoint of Entra ID, for client credentials.

Refuses another tenant, application, secret, scope, grant or content type, in
Entra's words, which name what nobody else should read. Tokens end when their
life is over, or at revoke().
"""

import random
import re
import string
import time
from urllib.parse import parse_qs

from .form import Refused
from .openai import OpenAI

SCOPE = "https://cognitiveservices.azure.com/.default"


class Entra(OpenAI):
    tenant = "8c2f4d1e-0b7a-4f6e-9c3d-5a1b2c3d4e5f"
    client_id = "1f0e9d8c-7b6a-4958-8473-625140fedcba"
    secret = "s~e/c+r=t& "

    def __init__(self, port=0):
        self.port = port
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"
        self.life = 3599  # seconds
        self.skew = 0  # how far its clock is ahead
        self.tokens = {}  # token -> when it ends

    def knows(self, bearer):
        end = self.tokens.get(bearer.removeprefix("Bearer "), 0)
        return bearer.startswith("Bearer ") and end > time.time()

    def revoke(self):
        self.tokens.clear()

    def _route(self, x):
        m = re.fullmatch(r"/([^/]+)/oauth2/v2\.0/token", x.head.path)
        if x.head.method != "POST" or not m or x.head.query:
            raise Refused(404, "AADSTS900144: no such page", code="invalid_request")
        if x.head.get("content-type") != "application/x-www-form-urlencoded":
            raise Refused(400, "AADSTS900144: no form", code="invalid_request")
        if x.head.get("authorization") or x.head.get("api-key"):
            raise Refused(400, "AADSTS900144: too much", code="invalid_request")
        self._check(m[1], parse_qs(x.body.read_all().decode(), strict_parsing=True))
        self._grant(x)

    def _check(self, tenant, form):
        if tenant != self.tenant:
            told = f"AADSTS90002: Tenant '{tenant}' not found."
            raise Refused(400, told, code="invalid_request")
        if form.pop("grant_type", None) != ["client_credentials"]:
            raise Refused(400, "AADSTS70003: no such grant", code="invalid_grant")
        if form.pop("client_id", None) != [self.client_id]:
            told = f"AADSTS700016: Application not found in '{tenant}'."
            raise Refused(400, told, code="unauthorized_client")
        if form.pop("client_secret", None) != [self.secret]:
            told = f"AADSTS7000215: Invalid client secret for '{self.client_id}'."
            raise Refused(401, told, code="invalid_client")
        if form.pop("scope", None) != [SCOPE] or form:
            raise Refused(400, "AADSTS70011: invalid scope", code="invalid_scope")

    def _grant(self, x):
        token = "eyJ0." + "".join(random.choices(string.ascii_letters, k=900))
        now = time.time() + self.skew
        self.tokens[token] = time.time() + self.life
        x.at("stored")
        fields = [("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)))]
        x.answer(200, {
            "token_type": "Bearer", "expires_in": self.life,
            "ext_expires_in": self.life, "expires_on": int(now + self.life),
            "access_token": token,
        }, fields)  # fmt: skip

    @staticmethod
    def _answer_error(x, e):
        number = int(re.match(r"AADSTS(\d+)", e.message)[1])
        x.answer(e.status, {
            "error": e.code, "error_description": e.message,
            "error_codes": [number], "trace_id": "2c8f0f3a-1111-2222-3333-444455556666",
        }, then_close=not x.body.ended)  # fmt: skip
