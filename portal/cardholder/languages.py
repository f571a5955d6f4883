"""The languages of the cardholder's pages, and which of them a request is answered in.

The console speaks English. A cardholder reads what they chose, else what their browser asks for; where that is English
or none of ours, the language that the operator gave the card's batch, from the first log-in on.

Catalogues are the `.po` files under `portal/translations`, read and compiled when a language is first needed.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, Response, current_app, request
from flask_babel import Babel, Domain, get_locale

LANGUAGES = {
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "pt": "Português",
    "ru": "Русский",
    "ar": "العربية",
    "bn": "বাংলা",
    "zh": "中文",
}
"""Each by the name that its speakers know it by."""
ENGLISH = "en"
FOLDER = Path(__file__).parent.parent / "translations"
COOKIE = "cardtone-language"
_YEAR_S = 365 * 24 * 3600


class Catalogues(Domain):
    """Translations from `.po` files, each read once a process."""

    def get_translations(self) -> NullTranslations:
        """Those of the request's language; English ones are the texts themselves."""
        return self._of(str(get_locale() or ENGLISH))

    def _of(self, language: str) -> NullTranslations:
        kept: NullTranslations | None = self.cache.get(language)
        if kept is None:
            kept = self.cache[language] = load(language)
        return kept


def load(language: str) -> NullTranslations:
    """The catalogue of a language."""
    path = FOLDER / f"{language}.po"
    if language == ENGLISH or not path.exists():
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def init_app(app: Flask) -> None:
    """Make Flask-Babel answer in the request's language, and tell templates of languages."""
    babel = Babel(app, locale_selector=language)
    babel.domain_instance = Catalogues()
    app.jinja_env.globals.update(
        languages_known=LANGUAGES,
        language=language,
        page_language=page_language,
        text_direction=text_direction,
    )


def is_cardholders(path: str) -> bool:
    """Whether a path is one of the cardholder's pages."""
    return path == "/card" or path.startswith("/card/")


def language() -> str:
    """The language of this request, one of `LANGUAGES`."""
    if not is_cardholders(request.path):
        return ENGLISH
    return chosen() or wished() or ENGLISH


def chosen() -> str | None:
    """What the reader chose, or a card of theirs brought."""
    choice = request.cookies.get(COOKIE)
    return choice if choice in LANGUAGES else None


def wished() -> str | None:
    """What the browser asks for, where it is one of ours."""
    for wanted, quality in request.accept_languages:
        base = wanted.replace("_", "-").partition("-")[0].lower()
        if quality > 0 and base in LANGUAGES:
            return base
    return None


def keep(response: Response, choice: str) -> None:
    """Remember a language in this browser."""
    response.set_cookie(
        COOKIE,
        choice,
        max_age=_YEAR_S,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )


def keep_cards(response: Response, card_language: str) -> None:
    """Remember the card's own language, where neither the reader nor their browser said another than English."""
    base = card_language.replace("_", "-").partition("-")[0].lower()
    if chosen() is None and wished() in (None, ENGLISH) and base in LANGUAGES and base != ENGLISH:
        keep(response, base)


def page_language() -> str:
    """The tag of the page's language, for `lang`."""
    return language()


def text_direction() -> str:
    """`ltr` or `rtl`, for `dir`."""
    return Locale.parse(language()).text_direction
