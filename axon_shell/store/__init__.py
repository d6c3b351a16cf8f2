"""Past sessions, in one SQLite file: every run is written as it happens and comes back equal to what was streamed.

store.py     what the rest of the program calls; what is not on disk yet is answered from memory
writer.py    the one thread that writes, at most 20 steps or 250 ms behind
rows.py      messages to rows and back
library.py   finding, renaming, pinning, deleting
firings.py   where each feature fired, over all sessions
packing.py   features and alternatives to bytes and back, exactly
database.py  the file, and whose sessions still run
schema.py    the tables, as migrations
"""

from .firings import Firing
from .library import Search
from .rows import SessionSummary
from .store import Store, new_uid

__all__ = ["Firing", "Search", "SessionSummary", "Store", "new_uid"]
