"""The one error a user's mistake may end in.

Knows nothing of the rest. Everything that a user can get wrong (a path, a model id, a function's name, a run directory)
raises `HeadAtlasError` with one line: what was expected, what came, what to do. The CLI prints that line and exits with 2;
anything else that escapes is a fault of HeadAtlas and keeps its traceback.
"""


class HeadAtlasError(ValueError):
    """A mistake in the input. `str(error)` is one clear line: expected, came, what to do."""
