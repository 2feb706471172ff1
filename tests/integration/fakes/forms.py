"""OpenAI's calls that take a form with a file beside the Files API: images and
audio, for the fake of its files.
"""

import json

from .form import Refused, read_form
from .kept import only, route

MODELS = {
    "audio/transcriptions": {"whisper-1", "gpt-4o-transcribe"},
    "audio/translations": {"whisper-1"},
    "images/edits": {"gpt-image-1", "dall-e-2"},
    "images/variations": {"dall-e-2"},
}
FORM_FIELDS = {
    "audio/transcriptions": {"model", "language", "prompt", "response_format",
                             "temperature", "stream"},
    "audio/translations": {"model", "prompt", "response_format", "temperature"},
    "images/edits": {"model", "prompt", "n", "size", "quality", "stream"},
    "images/variations": {"model", "n", "size", "response_format"},
}  # fmt: skip
FILE_PARTS = {
    "audio/transcriptions": ("file",),
    "audio/translations": ("file",),
    "images/edits": ("image", "image[]", "mask"),
    "images/variations": ("image",),
}


class Forms:
    """The routes, mixed into the fake."""

    @route("POST", "(audio/transcriptions|audio/translations|images/edits"
                   "|images/variations)")  # fmt: skip
    def _form(self, x, call):
        if call == "images/edits" and x.head.get("content-type") == "application/json":
            return self._edit_json(x)
        parts = FILE_PARTS[call]
        form = read_form(x.body, x.head.get("content-type"), lambda p: None, parts)
        x.seen.form = form
        only(x.seen.fields, FORM_FIELDS[call])
        if not form.file:
            raise Refused(400, f"'{parts[0]}' is a required property", parts[0])
        model = form.get("model")
        if model is None and call != "images/variations":
            raise Refused(400, "you must provide a model parameter", "model")
        if model is not None and model not in MODELS[call]:
            raise Refused(404, f"The model '{model}' does not exist", "model")
        x.at("stored")
        if call.startswith("images/"):
            return x.answer(200, {"created": 1, "data": [{"b64_json": "aGVsbG8="}]})
        return self._transcribed(x, form)

    def _edit_json(self, x):
        names = {"model", "prompt", "images", "mask", "n", "size", "quality"}
        r = self._read_json(x, names, ("prompt", "images"))
        for image in [*r["images"], r.get("mask") or {}]:
            if "file_id" in image:
                self._file_for(image["file_id"], "images")
        x.answer(200, {"created": 1, "data": [{"b64_json": "aGVsbG8="}]})

    def _transcribed(self, x, form):
        text = f"{form.file.size} bytes"
        kind = form.get("response_format") or "json"
        if form.get("stream") == "true":
            events = [{"type": "transcript.text.delta", "delta": text},
                      {"type": "transcript.text.done", "text": text}]  # fmt: skip
            data = "".join(f"data: {json.dumps(e)}\n\n" for e in events).encode()
            return x.stream(200, [("Content-Type", "text/event-stream"),
                                  ("Content-Length", str(len(data)))], [data])  # fmt: skip
        if kind in ("text", "srt", "vtt"):
            return x.answer(200, f"{text}\n", {"Content-Type": "text/plain"})
        return x.answer(200, {"text": text})
