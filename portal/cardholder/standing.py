"""How a card stands, in whole sentences: how long it lasts, and why it can't be looked at."""

from __future__ import annotations

from flask import Flask
from flask_babel import gettext as _
from flask_babel import ngettext

from engine.cards.holder import HolderCard, Shut
from portal.cardholder import formats
from portal.installation import now


def init_app(app: Flask) -> None:
    """Make the sentences known to the templates."""
    app.jinja_env.globals.update(
        lasting=lasting, after_expiry=after_expiry, title_of_shut=title_of_shut, text_of_shut=text_of_shut
    )


def lasting(card: HolderCard) -> str:
    """Until when a card can be used."""
    if card.expires_at is None:
        if card.lasts_days is None:
            return _("Your card does not expire.")
        return ngettext(
            "Your card lasts %(days)s day from your first call.",
            "Your card lasts %(days)s days from your first call.",
            card.lasts_days,
            days=formats.number(card.lasts_days),
        )
    if card.expired:
        return _("Your card expired on %(day)s.", day=formats.until(card.expires_at))
    return _(
        "You can use your card until %(day)s (%(far)s).",
        day=formats.until(card.expires_at),
        far=formats.relative(card.expires_at, now()),
    )


def after_expiry(card: HolderCard) -> str:
    """What is still possible with an expired card, and until when."""
    if card.extension_days is None:
        return _("It can't be used for calls any more, and can't be recharged.")
    if card.grace_until is None:
        return _("Recharge it to call again.")
    return _(
        "Recharge it by %(day)s to call again. After that the money on it is lost.",
        day=formats.until(card.grace_until),
    )


def title_of_shut(shut: Shut) -> str:
    """What is the matter with a card that can't be looked at."""
    titles = {
        "locked": _("Your card is locked"),
        "expired": _("Your card has expired"),
        "damaged": _("Your card is no longer valid"),
        "not_activated": _("Your card is not activated yet"),
        "voucher_not_allowed": _("This is a recharge voucher"),
    }
    return titles[shut.reason]


def text_of_shut(shut: Shut) -> str:
    """Why, and what its holder can do."""
    if shut.reason == "locked":
        return _locked(shut)
    if shut.reason == "expired" and shut.expired_at is not None:
        return _(
            "It expired on %(day)s, and the time to recharge it is over. Ask if something can still be done.",
            day=formats.until(shut.expired_at),
        )
    texts = {
        "damaged": _(
            "It was cancelled, for example because it was lost. Its money may be on a new card. Ask for it."
        ),
        "not_activated": _("It must be activated by the shop that sold it. Go back there, or ask for help."),
        "voucher_not_allowed": _(
            "It holds money for another card. Log in with your calling card, choose Recharge, and type it there."
        ),
    }
    return texts.get(shut.reason, _("Ask if something can still be done."))


def _locked(shut: Shut) -> str:
    if shut.by == "failures":
        return _(
            "A wrong password was typed too often, so we locked your card to protect your money. It is still there."
        )
    if shut.by == "holder":
        return _(
            "It was reported lost. Nobody can use it. Your money is still there: ask for help to get it back."
        )
    return _("We locked it. Your money is still there. Ask for help to use it again.")
