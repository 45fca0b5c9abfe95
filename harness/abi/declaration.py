# SPDX-License-Identifier: GPL-2.0-only
"""C declarations as people write them, read as types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.abi import ctype
from harness.abi.ctype import Array, BitField, Composite, CType, Enumeration, Scalar, TypeKind
from harness.errors import ConfigError, nearest

# Qualifiers do not change where an argument is placed; those of a pointer's target stay in the
# spelling.
_QUALIFIERS = frozenset(
    (
        "const", "volatile", "restrict", "register",
        "__user", "__kernel", "__iomem", "__rcu", "__percpu", "__force",
    )
)  # fmt: skip
_TAG_WORDS = ("struct", "union", "enum")
_KEYWORDS = """
    asm auto bool break case char const continue default do double else enum extern float for goto
    if inline int long register restrict return short signed sizeof static struct switch typedef
    typeof union unsigned void volatile while _Alignas _Alignof _Atomic _Bool _Complex _Generic
    _Imaginary _Noreturn _Static_assert _Thread_local
"""
KEYWORDS = _QUALIFIERS | frozenset(_KEYWORDS.split())
_IDENTIFIER = r"[A-Za-z_]\w*"
# A number with a leading zero is left out, since it could be meant as octal.
_NUMBER = r"0[xX][0-9a-fA-F]+|0|[1-9]\d*"
# Limits of a type, its members included; the arguments of a call cannot have as many.
SCALARS_MAX, DEPTH_MAX = 1 << 16, 50


def _specifiers() -> dict[tuple[str, ...], Scalar]:
    """Return C's integers by their sorted words, so that "long unsigned int" is found, too."""
    found: dict[tuple[str, ...], Scalar] = {("_Bool",): ctype.BOOL}
    for words, plain, unsigned in (
        (("short",), ctype.SHORT, ctype.USHORT),
        ((), ctype.INT, ctype.UINT),
        (("long",), ctype.LONG, ctype.ULONG),
        (("long", "long"), ctype.LONG_LONG, ctype.ULONG_LONG),
        (("__int128",), ctype.INT128, ctype.UINT128),
    ):
        for last in ((), ("int",)):
            for sign, scalar in (((), plain), (("signed",), plain), (("unsigned",), unsigned)):
                found[tuple(sorted((*words, *last, *sign)))] = scalar
    del found[()]
    return found


_SPECIFIERS = _specifiers()


def check_extent(place: str, type_: CType) -> None:
    """Raise ConfigError for a type that would take long to look at."""
    extent = type_.extent
    if extent.scalars > SCALARS_MAX:
        raise ConfigError(
            f"{place}: it has more than {SCALARS_MAX:,} members in all, with those of its members"
            " and the elements of its arrays."
        )
    if extent.depth > DEPTH_MAX:
        raise ConfigError(f"{place}: more than {DEPTH_MAX} types in one another.")


def is_identifier(name: str) -> bool:
    """Return whether C accepts `name` as an identifier."""
    return bool(re.fullmatch(_IDENTIFIER, name)) and name not in KEYWORDS


class Reader:
    """Reads declarations that use C's and the kernel's types, and those of one case."""

    def __init__(self) -> None:
        self.known: dict[str, CType] = {**ctype.SCALARS, "va_list": ctype.VA_LIST}
        # The keyword (struct, union or enum) that each tag was used with.
        self._tags: dict[str, str] = {}

    def tag(self, keyword: str, name: str) -> None:
        """Record the keyword of a tag; raise ConfigError where the tag has another keyword."""
        if (known := self._tags.setdefault(name, keyword)) != keyword:
            article = "an" if known == "enum" else "a"
            raise ConfigError(f"'{keyword} {name}': '{name}' is {article} {known} here.")

    def parameter(self, text: str) -> CType:
        """
        Return the type of a parameter such as "long", "struct file *" or "size_t count".

        Raises ConfigError.
        """
        type_ = self.member(text)
        if isinstance(type_, Array):
            raise ConfigError(f"'{text}': C passes an array as a pointer, such as 'char *'.")
        if isinstance(type_, BitField):
            raise ConfigError(f"'{text}': only a member of a struct can be a bit-field.")
        return type_

    def member(self, text: str) -> CType | BitField:
        """
        Return the type of a member such as "long", "char[2][6]" or "unsigned int flags:3".

        A name and qualifiers of the member itself are ignored, since they do not change where
        it lies.  Raises ConfigError.
        """
        text = text.strip().removesuffix(";").rstrip()
        if match := re.fullmatch(r"(.+?)\(\s*\*([^()[\]]*)((?:\[[^\]]*\]\s*)*)\)\s*\((.*)\)", text):
            return _array(self._function(text, match), match[3], text)
        if match := re.fullmatch(r"([^:]+?)\s*:\s*(\d+)", text):
            container, width = self._plain(match[1]), int(match[2])
            bits = 1 if container == ctype.BOOL else 8 * container.size
            if not isinstance(container, Scalar) or not 1 <= width <= bits:
                raise ConfigError(f"'{text}': no such bit-field.")
            return BitField(container, width)
        if match := re.fullmatch(r"([^\[\]]+?)\s*((?:\[[^\]]*\]\s*)+)", text):
            return _array(self._plain(match[1]), match[2], text)
        return self._plain(text)

    def _function(self, text: str, match: re.Match[str]) -> Scalar:
        """Return a pointer to a function, of which only the spelling matters."""
        name = match[2].split()
        if any(word not in _QUALIFIERS for word in name[:-1]):
            raise _not_understood(text)
        result = "void" if match[1].split() == ["void"] else self._plain(match[1]).spelling
        parameters = []
        for word in (part.strip() for part in match[4].split(",")):
            plain = word in ("", "...", "void")
            parameters.append(word if plain else self.parameter(word).spelling)
        return Scalar(f"{result} (*)({', '.join(parameters) or 'void'})", 8, TypeKind.POINTER)

    def _plain(self, text: str) -> CType:
        """Return the type of a declaration without dimensions, such as "struct file *file"."""
        tokens = re.findall(r"\w+|\S", text)
        if "*" in tokens:
            return self._pointer(text, tokens)
        words = [token for token in tokens if token not in _QUALIFIERS]
        found = self._base(words)
        if found is None and len(words) > 1 and self._is_name(words[-1]):
            found = self._base(words[:-1])
        if found is None:
            raise self._unknown(text, words)
        return found

    def _pointer(self, text: str, tokens: list[str]) -> Scalar:
        last = len(tokens) - tokens[::-1].index("*")
        behind = [token for token in tokens[last:] if token not in _QUALIFIERS]
        first = tokens.index("*")
        base = [token for token in tokens[:first] if token not in _QUALIFIERS]
        if (
            len(behind) > 1
            or not all(map(self._is_name, behind))
            or not set(tokens[first:last]) <= {"*", *_QUALIFIERS}
        ):
            raise _not_understood(text)
        found = None if base == ["void"] else self._base(base)
        spelled = found.spelling if found else " ".join(base)
        # A pointer may point to any struct, defined or not: its target is never laid out.
        opaque = len(base) == 2 and base[0] in _TAG_WORDS and is_identifier(base[1])
        if not found and base != ["void"] and not opaque:
            raise self._unknown(text, base)
        said = [word for word in tokens[:first] if word != "register"]
        start = said.index(base[0])
        written = [*said[:start], spelled, *(t for t in said[start:] if t in _QUALIFIERS)]
        stars = "".join(t if t == "*" else f"{t} " for t in tokens[first:last])
        return Scalar(f"{' '.join(written)} {stars}", 8, TypeKind.POINTER)

    def _is_name(self, word: str) -> bool:
        return is_identifier(word) and word not in self.known

    def _base(self, words: list[str]) -> CType | None:
        """Return a type that is no pointer, or None where these words name no known type."""
        if len(words) == 2 and words[0] in _TAG_WORDS:
            if not is_identifier(words[1]):
                return None
            self.tag(*words)
            found = self.known.get(words[1])
            return found if isinstance(found, Composite | Enumeration) else None
        return self.known.get(" ".join(words)) or _SPECIFIERS.get(tuple(sorted(words)))

    def _unknown(self, text: str, words: list[str]) -> ConfigError:
        name = " ".join(words) or text
        if words and words[0] in _TAG_WORDS:
            return ConfigError(f"no type '{name}'.", "Define it under 'types', or pass a pointer.")
        return ConfigError(f"no type '{name}'.{nearest(name, self.known)}")


def _not_understood(text: str) -> ConfigError:
    return ConfigError(f"'{text}': not understood; write one thing, as in 'struct file *file'.")


def _array(element: CType, dimensions: str, text: str) -> CType:
    for count in reversed(re.findall(r"\[\s*(.*?)\s*\]", dimensions)):
        if not re.fullmatch(_NUMBER, count) or not int(count, 0):
            raise ConfigError(f"'{text}': an array needs an element; give a number of them.")
        element = Array(element, int(count, 0))
        check_extent(f"'{text}'", element)
    return element


def enumerators(members: Iterable[str]) -> Mapping[str, int]:
    """
    Return an enum's values by name, from members such as "RED" and "GREEN = 7".

    Raises ConfigError.
    """
    values: dict[str, int] = {}
    following = 0
    for text in members:
        match = re.fullmatch(rf"({_IDENTIFIER})\s*(?:=\s*(-?(?:{_NUMBER})))?,?", text)
        if not match or match[1] in KEYWORDS or match[1] in values:
            raise ConfigError(f"'{text}': give each value a name of its own, as in 'GREEN = 7'.")
        value = int(match[2], 0) if match[2] else following
        values[match[1]] = value
        following = value + 1
    return values
