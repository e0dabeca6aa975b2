"""`HeadAtlasError`, which a user's mistake raises.

The message is one line: what something must be, what it is, and what to do. The CLI prints that line and exits with 2. Any other
exception is a fault of HeadAtlas and keeps its traceback.
"""

LONGEST = 2000
"""Most characters of a message."""


class HeadAtlasError(ValueError):
    """A mistake in the input, such as a wrong path, model id or name. `str(error)` is one printable line.

    Messages quote data and the errors of libraries: line ends in them become spaces, other control characters U+FFFD, and what is
    longer than 2,000 characters is cut in its middle.
    """

    def __init__(self, message: object = ""):
        super().__init__(_one_line(str(message)))


def _one_line(text: str) -> str:
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text.strip())
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[len(text) + 5 - LONGEST // 2 :]}"
