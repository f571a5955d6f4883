"""The texts of the cardholder's pages in every language: none missing, none left over, none that would break."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.plurals import get_plural

from portal.cardholder.languages import LANGUAGES
from tools.messages import FOLDER, catalogue, texts, untranslated

TRANSLATED = sorted(set(LANGUAGES) - {"en"})
_PLACE = re.compile(r"%\((\w+)\)s|%%|%")
_LETTERS = {"ar": "\u0600-\u06ff", "bn": "\u0980-\u09ff", "ru": "\u0400-\u04ff", "zh": "\u4e00-\u9fff"}


@pytest.fixture(scope="module")
def source() -> Catalog:
    return texts()


def _key(message: Message) -> tuple[object, str | None]:
    return message.id, message.context


def _forms(message: Message) -> list[str]:
    return list(message.string) if isinstance(message.string, (list, tuple)) else [message.string]


def _english(message: Message) -> list[str]:
    return list(message.id) if isinstance(message.id, (list, tuple)) else [message.id]


def test_every_language_has_its_catalogue() -> None:
    assert sorted(path.stem for path in Path(FOLDER).glob("*.po")) == TRANSLATED
    assert len(TRANSLATED) == 7


def test_there_are_texts_to_translate(source: Catalog) -> None:
    assert len(source) > 300
    assert not [one.id for one in source if one.id and re.search("[<>&]", " ".join(_english(one)))]


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_the_texts_of_the_pages_and_no_others(source: Catalog, language: str) -> None:
    here = {_key(one) for one in catalogue(language) if one.id}
    there = {_key(one) for one in source if one.id}
    assert here == there, "python -m tools.messages brings them in step"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_in_each_of_its_forms(language: str) -> None:
    catalog = catalogue(language)
    assert catalog.num_plurals == get_plural(language).num_plurals
    assert [one.id for one in untranslated(catalog)] == []
    assert [one.id for one in catalog if one.fuzzy and one.id] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_is_filled_in_stands_in_every_translation(language: str) -> None:
    wrong = []
    for message in catalogue(language):
        if not message.id:
            continue
        wanted = sorted(_PLACE.findall(_english(message)[-1]))
        for form in _forms(message):
            filled = sorted(_PLACE.findall(form))
            # One form may name its number in words, as "one minute" does.
            spelled = message.pluralizable and set(wanted) - set(filled) <= {"num", "count"}
            if filled != wanted and not (spelled and set(filled) <= set(wanted)):
                wrong.append((message.id, form))
            if re.search("[<>&\u200e\u200f\u202a-\u202e\u2066-\u2069]", form) or form != form.strip():
                wrong.append((message.id, form))
    assert wrong == []


@pytest.mark.parametrize("language", sorted(_LETTERS))
def test_translations_are_written_in_the_letters_of_their_language(language: str) -> None:
    letters = re.compile(f"[{_LETTERS[language]}]")
    loose = [
        message.id
        for message in catalogue(language)
        if message.id
        for form in _forms(message)
        if not letters.search(form) and re.search("[A-Za-z]", re.sub(r"%\(\w+\)s", "", form))
    ]
    assert set(map(str, loose)) <= {"CSV", "PDF"}


def test_a_stale_or_broken_translation_is_noticed(source: Catalog) -> None:
    made = Catalog(locale="ar")
    made.add("Log in", "")
    made.add(("%(num)s call", "%(num)s calls"), ("a", "b"))
    assert len(list(untranslated(made))) == 2
    assert ("Log in", None) in {_key(one) for one in source}
