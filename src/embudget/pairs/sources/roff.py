r"""How the source of a manual page becomes prose: its title line, and the first paragraphs of a section.

Pages are written in roff with one of two sets of macros: man(7), which says how a text looks (``.B``, ``.PP``), and
mdoc(7), which says what it is (``.Nm``, ``.Fl``). This is no renderer. It keeps the words of running text in both, and
leaves out lists, tables and code, which need a layout to be read.
"""

import re
from collections.abc import Collection, Iterator

_SECTION = re.compile(r"\n(?=\.\s*S[Hh]\b)")
_HEAD = re.compile(r"\.\s*S[Hh]\s+(.*)")
_COMMENT = re.compile(r'^[.\'](?:\\"|\s*$).*|\\".*$')
_FONT = re.compile(
    r"\\f(?:\[[^\]]*\]|\(..|.)|\\s[-+]?\d+|\\[&%|^,/:)c]|\\m\[[^\]]*\]|\\[hv]'[^']*'|\\k.|\\z|\\[ud](?!\w*=)"
)
_STRINGS = {
    "lq": '"', "rq": '"', "dq": '"', "oq": "'", "cq": "'", "aq": "'", "em": " - ", "en": "-", "hy": "-", "mi": "-",
    "bu": "", "co": "(C)", "rg": "(R)", "ga": "`", "ha": "^", "ti": "~", "rs": "\\", "bv": "|", "ba": "|", "mu": "x",
    "<=": "<=", ">=": ">=", "!=": "!=", "->": "->", "<-": "<-", "Aq": "'", "C`": '"', "C'": '"', "C+": "C++",
    "--": " - ", "PI": "pi", "L\"": '"', "R\"": '"', "Tm": "(TM)", "R": "(R)", "lt": "<", "gt": ">", "q": '"',
    "Lq": '"', "Rq": '"', "S": "", "Fo": '"', "Fc": '"', "at": "@", "sh": "#", "tm": "(TM)", "de": "°",
    "+-": "±", "12": "1/2", "ua": "^", "eq": "=", "pl": "+", "dg": "", "sc": "§", "ss": "ß", "ae": "æ", "oe": "œ",
    "lB": "[", "rB": "]", "lC": "{", "rC": "}", "la": "<", "ra": ">", "sl": "/", "u002D": "-", "u2010": "-",
    "u2014": " - ",
}  # fmt: skip
_STRING = re.compile(r"\\[(*](?:\[([^\]]*)\]|\((..)|(..))|\\\[([^\]]*)\]|\\\*(.)")
_ACCENT = {"'": "\u0301", "`": "\u0300", ":": "\u0308", "^": "\u0302", "~": "\u0303", ",": "\u0327"}
_ESCAPES = {"\\-": "-", "\\e": "\\", "\\ ": " ", "\\~": " ", "\\0": " ", "\\'": "'", "\\`": "`", "\\.": ".", "\\t": " "}
_WORDS = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')

_SPACED = frozenset({"B", "I", "SM", "SB", "R", "CW"})  # font macros that put spaces between their arguments
_JOINED = frozenset({"BR", "RB", "BI", "IB", "IR", "RI"})
_BREAKS = frozenset({"PP", "P", "LP", "Pp", "HP", "sp", "RS", "RE", "Lp"})
_LISTS = frozenset({"TP", "IP", "TQ", "It", "IX"})
_LAYOUTS = {"nf": "fi", "EX": "EE", "Bd": "Ed", "Bl": "El", "TS": "TE", "Vb": "Ve", "de": ".", "ig": ".", "Cs": "Ce"}
_INLINE = frozenset(
    {
        "Nm", "Fl", "Ar", "Cm", "Ic", "Pa", "Va", "Vt", "Fa", "Fn", "Ft", "Dv", "Er", "Ev", "Em", "Sy", "Li",
        "Ql", "Dq", "Sq", "Qq", "Pq", "Aq", "Bq", "Op", "Xr", "Ux", "Bx", "At", "Fx", "Nx", "Ox", "Lk", "Mt",
        "Tn", "An", "St", "Rs", "No", "Ns", "Sx", "Do", "Dc", "Qo", "Qc", "Nd", "In", "Lb", "Ap", "Ad", "Cd",
        "Xo", "Xc", "Pf", "Ms", "Sc", "So", "Oo", "Oc", "Po", "Pc", "Ao", "Ac", "Bo", "Bc", "Brq", "Ta",
    }
)  # fmt: skip
_ENCLOSED = {
    "Dq": '""',
    "Sq": "''",
    "Qq": '""',
    "Pq": "()",
    "Aq": "<>",
    "Bq": "[]",
    "Op": "[]",
    "Brq": "{}",
    "Ql": "''",
}


def sections(source: str, names: Collection[str]) -> dict[str, list[str]]:
    r"""Give the paragraphs of some sections of a page, whose names come in capitals.

    Example:
        >>> page = ".SH NAME\nls - list files\n.SH DESCRIPTION\nList\n.B all\nfiles.\n.PP\nSorted.\n.SH BUGS"
        >>> sections(page, ("NAME", "DESCRIPTION"))
        {'NAME': ['ls - list files'], 'DESCRIPTION': ['List all files.', 'Sorted.']}
    """
    source = "\n".join(part for part in _SECTION.split(source) if _title(part) in names)
    found: dict[str, list[str]] = {}
    paragraphs: list[str] = []
    words: list[str] = []

    def flush() -> None:
        text = re.sub(r"\s+([.,;:)!?\]])", r"\1", re.sub(r"([(\[])\s+", r"\1", " ".join(" ".join(words).split())))
        if text:
            paragraphs.append(text)
        words.clear()

    for macro, text in _requests(source):
        if macro in ("SH", "Sh"):
            flush()
            paragraphs = found.setdefault(text.strip().upper(), [])
        elif macro in _BREAKS or macro in ("SS", "Ss", "list"):
            flush()
        else:
            words.append(text)
    flush()
    return found


def _title(section: str) -> str:
    head = _HEAD.match(section)
    return head.group(1).strip(' "').upper() if head else ""


def _requests(source: str) -> Iterator[tuple[str, str]]:
    """Give the text line by line with the macro of the line, which is empty for plain text. List items are left out."""
    name = ""
    in_item = False
    for macro, rest in _lines(source):
        if macro == "list" or macro in _LISTS:
            in_item = in_item or macro != "list"
            yield "list", ""
        elif macro in ("SH", "Sh", "SS", "Ss", *_BREAKS):
            # a new paragraph in man(7) ends a list; `sp` and `RS` go on with it
            in_item = in_item and macro in ("sp", "RS", "RE")
            yield macro, _plain(rest.replace('"', ""))
        elif in_item:
            continue
        elif macro == "Nm":  # without an argument it stands for the name that the page gave first
            name = name or rest
            yield "", _plain(_of_mdoc([macro, *_arguments(rest or name)]))
        else:
            yield "", _plain(_running(macro, rest))


def _lines(source: str) -> Iterator[tuple[str, str]]:
    """Split each line into its macro and the rest. Comments, tables and code are left out."""
    until = ""
    for raw in source.splitlines():
        line = _COMMENT.sub("", raw)
        macro, _, rest = line[1:].lstrip().partition(" ") if line[:1] in (".", "'") else ("", "", line)
        if until:
            until = "" if macro == until else until
        elif macro in _LAYOUTS:
            until = _LAYOUTS[macro]
            yield "list", ""
        elif not macro and not line.strip():
            yield "PP", ""
        elif macro or not line.startswith((" ", "\t")):  # an indented line is printed as it is
            yield macro, rest


def _running(macro: str, rest: str) -> str:
    """Give the running text of a line: plain, in another font, or marked by what it is."""
    if not macro:
        return rest
    if macro in _SPACED:
        return " ".join(_arguments(rest))
    if macro in _JOINED:
        return "".join(_arguments(rest))
    return _of_mdoc([macro, *_arguments(rest)]) if macro in _INLINE else ""


def _arguments(rest: str) -> list[str]:
    return [quoted.replace('""', '"') or bare for quoted, bare in _WORDS.findall(rest)]


def _of_mdoc(words: list[str]) -> str:
    """Take the words of a line of mdoc(7): macros may follow one another, and punctuation stands by itself."""
    out: list[str] = []
    close = ""
    macro = ""
    glue = False
    for number, word in enumerate(words):
        if word in _INLINE or (number == 0):
            macro, glue = word, word in ("Ns", "Ap")
            if word in _ENCLOSED:
                out.append(_ENCLOSED[word][0])
                close, glue = _ENCLOSED[word][1] + close, True
            elif word == "Nd":
                out.append("-")
            continue
        text = "-" + word if macro == "Fl" and word not in ".,;:)" else word
        text = f"({text})" if macro == "Xr" and word.isdigit() else text
        glue = glue or (macro == "Xr" and word.isdigit())
        if glue and out:
            out[-1] += text
        else:
            out.append(text)
        glue = False
    return " ".join(out) + close


def _plain(text: str) -> str:
    text = _STRING.sub(_string, text)
    text = _FONT.sub("", text)
    return re.sub(r"\\(?:[-e ~0'`.t])", lambda match: _ESCAPES[match.group()], text).replace("\\", "")


def _string(match: re.Match[str]) -> str:
    name = next(group for group in match.groups() if group is not None)
    if name in _STRINGS:
        return _STRINGS[name]
    if len(name) == 2 and name[0] in _ACCENT:
        return name[1] + _ACCENT[name[0]]
    if re.fullmatch(r"u[0-9A-F]{4,6}", name):
        return chr(int(name[1:], 16))
    return ""
