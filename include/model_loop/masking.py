"""Logins in texts: masked on every way out, and refused in the addresses of sources.

Rather too much is masked than too little. Each pattern is bounded, so that the time grows with the
length of a text and not with its square: errors quote what a request holds.
"""

from __future__ import annotations

import bisect
import re

MASK = "***"

_QUOTE = r"""(?:\\?["']|&(?:quot|\#34|\#39|\#x27);)"""
_NAMED = r"(?:token|key|secret|pass|pwd|sig|credential|auth)"
# Presigned addresses (X-Amz-Signature, X-Goog-Credential, sig), ?token=, and the words of libpq.
_NAME = rf"(?<![\w.-])[\w.-]{{0,48}}?{_NAMED}[\w.-]{{0,48}}"
# Names that stand for a secret also in JSON, and where blanks surround the sign.
_PLAIN = (
    r"(?:[\w.-]{1,48}?token|[\w.-]{0,48}?(?:passw(?:or)?d|passphrase|pwd|secret|credential)"
    r"|authorization|[\w.-]{0,48}?(?:api|access|private|account|secret)[_-]?key)[\w.-]{0,48}"
)
_PLAIN_NAME = rf"(?<![\w.-]){_PLAIN}"
_IN_QUOTES = (
    rf"(?P<quote>{_QUOTE})(?:(?!(?P=quote))(?:\\[^\r\n]|[^\r\n])){{1,2048}}(?P<end>(?P=quote)?)"
)
# Brackets and full stops around a value are the sentence's.
_WORD = r"""[^\s&;"'<>]{0,4096}[^\s&;"'<>)\]},.](?P<quote>)(?P<end>)"""
_TO_END_OF_LINE = r"""[^\r\n"'<>]{1,4096}(?P<quote>)(?P<end>)"""

_PATTERNS = tuple(
    re.compile(rf"(?P<kept>{before}){value}", re.IGNORECASE)
    for before, value in (
        (rf"{_NAME}(?:=|%3D)", _IN_QUOTES),
        (rf"{_NAME}(?:=|%3D)", _WORD),
        (rf"{_PLAIN_NAME}\s{{0,4}}=\s{{0,4}}", _IN_QUOTES),
        (rf"{_PLAIN_NAME}\s{{0,4}}=\s{{0,4}}", _WORD),
        (rf"{_QUOTE}(?:token|{_PLAIN}){_QUOTE}\s{{0,4}}:\s{{0,4}}", _IN_QUOTES),
        (r"\b(?:authorization|cookie)\s{0,4}:\s{0,4}", _TO_END_OF_LINE),
        (r"\b(?:x-)?(?:api|auth|access)-(?:key|token)\s{0,4}:\s{0,4}", _WORD),
        (r"\b(?:Bearer|Basic)\s{1,4}(?=\S{8})", _WORD),
        # Words of command lines.
        (rf"(?<!\S)--?(?:token|{_PLAIN})\s{{1,4}}", _WORD),
        (r"(?<!\S)-u\s{0,4}[^\s:]{1,64}:", _WORD),
        # Addresses that are a secret themselves.
        (r"\bhooks\.slack\.com/\w{1,16}/", _WORD),
        (r"\b(?:api\.telegram\.org/bot|discord(?:app)?\.com/api/webhooks/)", _WORD),
        # name:password@host:port, without a scheme.
        (
            r"(?<![\w/:@.+-])(?=[\w.+-]{1,64}:)",
            r"""[\w.+-]{1,64}:[^\s:@/"'<>]{1,128}(?P<quote>)(?P<end>)(?=@[\w.-]{1,128}:\d{2,5}\b)""",
        ),
        # Oracle's name/password@host.
        (r"\bjdbc:[\w:]{1,48}?:", r"[^\s/@:]{1,64}/[^\s@]{1,256}(?P<quote>)(?P<end>)(?=@)"),
        # An address within an address.
        (r"%3A%2F%2F", r"""(?:(?!%40)[^\s"'<>]){0,512}(?P<quote>)(?P<end>)(?=%40)"""),
        # Tokens of the prediction server.
        (r"\btd_", r"[\w-]{16,256}(?P<quote>)(?P<end>)"),
    )
)
_AUTHORITY = re.compile(
    r"""(?::(?:\\?/){2}|(?<![\w:/\\])//)(?P<login>(?P<name>\[[0-9a-f:.]{2,45}\]|[^\s:/?\#@"'<>\\]{0,512})(?P<mark>[:@]?))""",
    re.IGNORECASE,
)
_PORT = re.compile(r"""\d{1,5}(?=[/?\#"'<>\s),;.\]}\\]|$)""")
#: Characters of a line in which a password that holds blanks is looked for.
_LONGEST_WITH_BLANKS = 256


def mask_logins(text: str) -> str:
    """Replace names and passwords, tokens and signatures by three stars."""
    # Parameters first: the value of one may hold an `@`, too.
    for pattern in _PATTERNS:
        text = pattern.sub(_masked, text)
    return _mask_addresses(text)


def _masked(found: re.Match[str]) -> str:
    return f"{found['kept']}{found['quote']}{MASK}{found['end']}"


def _mask_addresses(text: str) -> str:
    """Mask what stands before the ``@`` of addresses."""
    parts, done, marks = [], 0, _Marks(text)
    for found in _AUTHORITY.finditer(text):
        start = found.start("login")
        end = _end_of_login(found, marks) if start >= done else None
        if end is not None and end > start:
            parts += [text[done:start], MASK]
            done = end
    return "".join([*parts, text[done:]])


class _Marks:
    """Places of a text where logins, words and lines end, each found once."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        self._at = [found.start() for found in re.finditer("@", text)]
        self._blanks = [found.start() for found in re.finditer(r"\s", text)]
        self._quotes = [found.start() for found in re.finditer(r"""[\s"'<>]""", text)]
        self._parts = [found.start() for found in re.finditer(r"\n|://", text)]

    def last_at(self, start: int, *, quotes: bool) -> int | None:
        """Return the last ``@`` of the word that goes on at *start*, which may hold quotes."""
        ends = self._blanks if quotes else self._quotes
        return self._last(start, self._next(ends, start))

    def first_at(self, start: int, longest: int) -> int | None:
        """Return the first ``@`` within so many characters, of this line and before an address."""
        found = self._next(self._at, start)
        return found if found < min(start + longest, self._next(self._parts, start)) else None

    def _next(self, places: list[int], start: int) -> int:
        number = bisect.bisect_left(places, start)
        return places[number] if number < len(places) else self._length

    def _last(self, start: int, end: int) -> int | None:
        number = bisect.bisect_left(self._at, end) - 1
        return self._at[number] if number >= 0 and self._at[number] >= start else None


def _end_of_login(found: re.Match[str], marks: _Marks) -> int | None:
    """Return the place of the ``@`` that ends a login; None where an address has none.

    A password may hold `/` and `@`, so that it ends at the last `@` of the address; without a
    colon, an `@` behind the first `/` belongs to a path.
    """
    after = found.end("login")
    if found["mark"] == "":
        encoded = found["name"].lower().rfind("%40")
        return found.start("name") + encoded if encoded >= 0 else None
    last = marks.last_at(after, quotes=False)
    if found["mark"] == "@":
        return last if last is not None and ":" in found.string[after:last] else after - 1
    if last is not None or _PORT.match(found.string, after):
        return last
    # No port is called so, so this is a password, which quotes or blanks may be part of.
    last = marks.last_at(after, quotes=True)
    return last if last is not None else marks.first_at(after, _LONGEST_WITH_BLANKS)
