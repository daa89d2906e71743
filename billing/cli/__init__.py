"""The command line."""

import gc
import os

from billing.cli.main import main as main

# To get memory from the system again for each batch of rows takes a tenth of an ingest. (The allocator of polars reads
# this when polars is loaded.)
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:60000,muzzy_decay_ms:60000")
# Nothing multiplies matrices, and numpy would start a thread for each processor, which waits for work by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The many objects of the imports are no garbage: to look for some among them takes half a second.
gc.set_threshold(100_000, 50, 50)
