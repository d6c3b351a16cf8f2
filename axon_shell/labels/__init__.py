"""What features are said to mean: complete, offline, and with who says so.

labels.py     the labels of all features, answered at once
store.py      labels.db: published labels and facts, negative answers, the user's own labels
rows.py       labels to its rows and back
search.py     finding labels by their words
schema.py     its tables, as migrations
calibrated.py  what was measured of features on a corpus
ranking.py    which of several labels is shown
automatic.py  what can be said of a feature that nobody described
fetcher.py    asking publishers for single features, in the background
download.py   getting whole label sets
packs.py      label packs: files to give to others
files.py      files of labels, read bounded
web.py        asking servers politely
text.py       text from strangers, made safe to keep
"""

from .calibrated import HERE
from .labels import Labels, Named, Network, as_fields, as_record, hit_record
from .rows import OwnLabel, Promoted
from .store import LabelStore
from .web import Web

__all__ = [
    "HERE",
    "LabelStore",
    "Labels",
    "Named",
    "Network",
    "OwnLabel",
    "Promoted",
    "Web",
    "as_fields",
    "as_record",
    "hit_record",
]
