"""How the cardholder's pages look: the operator's brand, and each reseller's own, with a preview in both themes."""

from __future__ import annotations

import re

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.people import brands
from engine.people.brands import LONGEST_NAME, BrandView
from engine.people.resellers import ResellerView
from portal import arguments
from portal.brand import PLAIN_COLOUR, PLAIN_NAME, dressed, plates_of
from portal.forms import ColourField, CommandForm, TextField, UploadField, attempt
from portal.installation import db, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.resellers.page import ONE, reseller_or_404
from portal.respond import go_to, respond
from portal.security import takes_files

BOTH = ["GET", "POST"]
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)


class BrandForm(CommandForm):
    """What the cardholder's pages are called, their colour, and whom they name."""

    name = TextField(
        "Name", most=LONGEST_NAME, description="On top of every page, and under the icon on a phone."
    )
    colour = ColourField(
        "Colour",
        most=7,
        description="Of links and buttons. It is made darker or lighter where it would be hard to read.",
    )
    logo = UploadField(
        "Logo",
        required=False,
        description="Instead of the name: PNG, JPEG or WebP, up to 2 MB. Wide ones look best.",
        render_kw={"accept": "image/png,image/jpeg,image/webp"},
    )
    help_phone = TextField(
        "Help by phone", required=False, most=30, render_kw={"inputmode": "tel", "autocomplete": "off"}
    )
    help_email = TextField(
        "Help by e-mail", required=False, most=254, render_kw={"inputmode": "email", "autocomplete": "off"}
    )
    help_hours = TextField(
        "Hours",
        required=False,
        most=100,
        description="When somebody answers, such as Mon to Fri 9:00 to 17:00.",
    )


@console.route("/settings/brand", methods=BOTH)
@needs("brand.set")
@takes_files
def own_brand() -> ResponseReturnValue:
    """The operator's brand."""
    intro = (
        "How the cardholder's pages look. Resellers may have a brand of their own: choose one, then “Brand”."
    )
    return brand_page(None, "Brand", url_for("operator.own_brand"), PLAIN_NAME, intro=intro)


@console.route(ONE + "/brand", methods=BOTH)
@needs("brand.set")
@takes_files
def reseller_brand(reseller_id: int) -> ResponseReturnValue:
    """A reseller's own brand, for the cards that it has."""
    found = reseller_or_404(reseller_id)
    here = url_for("operator.reseller_brand", reseller_id=reseller_id)
    intro = "How the pages look for who holds this reseller's cards. As long as it has no brand, they look like yours."
    name = found.name[:LONGEST_NAME]
    return brand_page(reseller_id, f"Brand of {found.name}", here, name, intro=intro, reseller=found)


@console.route("/settings/brand/remove-logo", methods=BOTH)
@needs("brand.remove_logo")
def own_logo_remove() -> ResponseReturnValue:
    """Take the operator's logo away."""
    return remove_logo(None, url_for("operator.own_brand"))


@console.route(ONE + "/brand/remove-logo", methods=BOTH)
@needs("brand.remove_logo")
def reseller_logo_remove(reseller_id: int) -> ResponseReturnValue:
    """Take a reseller's logo away."""
    reseller_or_404(reseller_id)
    return remove_logo(reseller_id, url_for("operator.reseller_brand", reseller_id=reseller_id))


@console.route("/settings/brand/remove", methods=BOTH)
@needs("brand.remove")
def own_brand_remove() -> ResponseReturnValue:
    """Give the operator's brand up."""
    return remove_brand(
        None, f"The pages are plain again and say “{PLAIN_NAME}”.", url_for("operator.own_brand")
    )


@console.route(ONE + "/brand/remove", methods=BOTH)
@needs("brand.remove")
def reseller_brand_remove(reseller_id: int) -> ResponseReturnValue:
    """Give a reseller's brand up."""
    reseller_or_404(reseller_id)
    here = url_for("operator.reseller_brand", reseller_id=reseller_id)
    return remove_brand(reseller_id, "Its cards' pages look like yours again.", here)


def brand_page(
    reseller_id: int | None,
    title: str,
    here: str,
    name: str,
    *,
    intro: str,
    reseller: ResellerView | None = None,
) -> ResponseReturnValue:
    """The form with its preview, or what became of it, in the console and at a reseller's desk.

    `name`: what stands in the form at first; `reseller`: whose page leads here.
    """
    view = brands.brand_of(db(), reseller_id)
    form = BrandForm(obj=view, data=None if view else {"name": name, "colour": PLAIN_COLOUR})
    if request.method == "POST" and form.validate() and _saved(form, reseller_id):
        said("The brand is saved. Cardholders see it from their next page on.")
        return go_to(here)
    tried = arguments.words("colour") or form.colour.data or ""
    return respond(
        "operator/rules/brand.html",
        block="look" if request.method == "GET" else None,
        status=422 if form.refused else 200,
        form=form,
        title=title,
        here=here,
        view=view,
        wears=dressed(view) if view else None,
        plates=plates_of(view.id) if view else (),
        colour=tried.lower() if _COLOUR.fullmatch(tried) else PLAIN_COLOUR,
        intro=intro,
        reseller=reseller,
        operators=reseller_id is None,
    )


def _saved(form: BrandForm, reseller_id: int | None) -> BrandView | None:
    return attempt(
        form,
        lambda: brands.set_brand(
            db(),
            reseller_id,
            form.name.data or "",
            form.colour.data or "",
            actor(),
            now(),
            help_phone=form.help_phone.data,
            help_email=form.help_email.data,
            help_hours=form.help_hours.data,
            logo=form.logo.content if form.logo.data else None,
        ),
    )


def remove_logo(reseller_id: int | None, back: str) -> ResponseReturnValue:
    """The act that takes a logo away; `reseller_id` None: the operator's."""
    return act(
        CommandForm(),
        lambda: brands.remove_logo(db(), reseller_id, actor(), now()),
        Ask("Remove the logo", "Remove it", back, intro="The pages show the name instead.", tone="bad"),
        done="The logo is removed.",
    )


def remove_brand(reseller_id: int | None, then: str, back: str) -> ResponseReturnValue:
    """The act that gives a brand up; `then`: what the pages look like afterwards."""
    return act(
        CommandForm(),
        lambda: brands.remove_brand(db(), reseller_id, actor(), now()),
        Ask(
            "Remove the brand",
            "Remove it",
            back,
            intro=f"Name, colour, logo and help are forgotten. {then}",
            tone="bad",
        ),
        done=f"The brand is removed. {then}",
    )
