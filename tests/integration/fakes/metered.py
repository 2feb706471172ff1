"""An OpenAI that counts what it holds at every moment: files stored, and the
bytes of files under way, piece by piece.

    fake = Metered(max_bytes=100_000)
    ...
    assert fake.excess == []     # never more than that, never

An upload whose connection was closed before its body ended cannot become a
file; what came of it does not count from then on, whether it was noticed here
or not.
"""

from .openai import OpenAI


class Metered(OpenAI):
    def __init__(self, max_bytes=0, max_files=0, **kw):
        self.max_bytes, self.max_files = max_bytes, max_files
        self.under_way = {}  # Exchange -> bytes of its file so far
        self.excess = []
        self.most_bytes = self.most_files = 0
        self.deletions = {}  # id -> how often it was asked to be deleted
        super().__init__(**kw)

    @property
    def stored_bytes(self):
        with self.lock:
            return sum(f.size for f in self.files.values())

    def _sink(self, x, data):
        keep = super()._sink(x, data)

        def sink(piece):
            keep(piece)
            with self.lock:
                self.under_way[x] = self.under_way.get(x, 0) + len(piece)
                self._weigh()

        return sink

    def _store(self, x, stored):
        with self.lock:
            self.under_way.pop(x, None)
            self.files[stored.id] = stored
            self._weigh()

    def _weigh(self):
        stored = sum(f.size for f in self.files.values())
        total = stored + sum(self.under_way.values())
        if total > self.most_bytes:
            for x in [x for x in self.under_way if x.conn.is_gone()]:
                del self.under_way[x]
            total = stored + sum(self.under_way.values())
        if self.max_bytes and total > self.max_bytes:
            self.excess.append(f"{total} bytes")
        if self.max_files and len(self.files) > self.max_files:
            self.excess.append(f"{len(self.files)} files")
        self.most_bytes = max(self.most_bytes, total)
        self.most_files = max(self.most_files, len(self.files))

    def _delete(self, x, file_id):
        with self.lock:
            self.deletions[file_id] = self.deletions.get(file_id, 0) + 1
        super()._delete(x, file_id)

    def handle(self, conn, head):
        try:
            return super().handle(conn, head)
        finally:
            with self.lock:
                for x in [x for x in self.under_way if x.conn is conn]:
                    del self.under_way[x]
