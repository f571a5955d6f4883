"""The texts of the cardholder's pages and their translations: brings the catalogues in step with the source.

`python -m tools.messages` adds what is new to each `portal/translations/*.po` (untranslated), takes out what is gone,
and says how much is left to translate. What stays keeps its translation; a text that changed is a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "portal" / "translations"
KEYWORDS = {**DEFAULT_KEYWORDS, "lazy_gettext": None, "lazy_ngettext": (1, 2)}
METHODS = [
    ("**/operator/**", "ignore"),
    ("**/switch_api/**", "ignore"),
    ("**.py", "python"),
    ("**/templates/**.html", "jinja2"),
]
OPTIONS = {"**/templates/**.html": {"trimmed": "true", "silent": "false"}}


def texts() -> Catalog:
    """Every text that the pages show, with the files that show it."""
    catalog = Catalog(project="Cardtone", charset="utf-8")
    found = extract_from_dir(ROOT / "portal", METHODS, OPTIONS, keywords=KEYWORDS)  # type: ignore[arg-type]
    for name, _line, text, _comments, context in found:
        catalog.add(text, locations=[(f"portal/{name}", 0)], context=context)
    return catalog


def catalogue(language: str) -> Catalog:
    """The translations of a language as they are kept."""
    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def untranslated(catalog: Catalog) -> Iterator[Message]:
    """The texts that have no translation, or not one for each plural form."""
    for message in catalog:
        if message.id:
            strings = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
            forms = catalog.num_plurals if message.pluralizable else 1
            if len(strings) != forms or not all(strings):
                yield message


def main() -> None:
    """Update every catalogue."""
    template = texts()
    for path in sorted(FOLDER.glob("*.po")):
        kept = catalogue(path.stem)
        made = Catalog(locale=path.stem, project="Cardtone", charset="utf-8", fuzzy=False)
        for message in template:
            if not message.id:
                continue
            old = kept.get(message.id, message.context)
            made.add(
                message.id,
                old.string if old is not None and not old.fuzzy else None,
                locations=sorted({(name, 0) for name, _ in message.locations}),
                context=message.context,
            )
        with path.open("wb") as file:
            write_po(file, made, sort_output=True, omit_header=True, include_lineno=False, width=120)
        print(f"{path.stem}: {len(made)} texts, {len(list(untranslated(made)))} to translate")


if __name__ == "__main__":
    main()
