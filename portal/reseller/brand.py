"""The reseller's own brand: how the cardholder's pages look for who holds its cards."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.people.brands import LONGEST_NAME
from portal.operator.rules.brand import brand_page, remove_brand, remove_logo
from portal.reseller.door import desk, needs, shop
from portal.security import takes_files

BOTH = ["GET", "POST"]


@desk.route("/brand", methods=BOTH)
@needs("desk.owner.see")
@takes_files
def brand() -> ResponseReturnValue:
    """Name, colour, logo and help, with a preview."""
    here = shop()
    return brand_page(
        here.reseller_id,
        "Brand",
        url_for("reseller.brand"),
        here.name[:LONGEST_NAME],
        intro="How the pages look for who holds your cards. Without a brand of yours they look like the operator's.",
    )


@desk.route("/brand/remove-logo", methods=BOTH)
@needs("brand.remove_logo")
def brand_remove_logo() -> ResponseReturnValue:
    """Take the logo away."""
    return remove_logo(shop().reseller_id, url_for("reseller.brand"))


@desk.route("/brand/remove", methods=BOTH)
@needs("brand.remove")
def brand_remove() -> ResponseReturnValue:
    """Give the brand up."""
    then = "The pages of your cards look like the operator's again."
    return remove_brand(shop().reseller_id, then, url_for("reseller.brand"))
