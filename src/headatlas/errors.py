"""`HeadAtlasError`, which a user's mistake raises.

The message is one line: what something must be, what it is, and what to do. The CLI prints that line and exits with 2. Any other
exception is a fault of HeadAtlas and keeps its traceback.
"""


class HeadAtlasError(ValueError):
    """A mistake in the input, such as a wrong path, model id or name. `str(error)` is one line."""
