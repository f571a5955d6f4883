"""The section's sentences: what a rule costs, why a card is left, what a column is called. Jinja filters and tables."""

from __future__ import annotations

from markupsafe import Markup, escape

from engine.stock.orders import BatchOrder
from engine.stock.queries import BatchPage, Handout
from portal.formats import count, money
from portal.operator.console import console

LEFT = {
    "damaged": "voided",
    "released": "can be used already",
    "held_back": "held back already",
    "printed": "printed already",
    "printed_by_reseller": "on paper that a reseller printed: void them, or reset their passwords first",
    "shipped": "shipped already",
    "sold": "sold already",
    "used": "used",
    "in_call": "in a call just now",
    "charged": "charged to their reseller",
    "resellers_stock": "in a reseller's stock, which only its own sale or activation charges",
    "assigned": "this reseller's already",
    "other_reseller": "another reseller's",
    "unassigned": "nobody's",
    "expired": "expired",
    "locked": "locked",
}
"""Why a command leaves a card as it is."""
COLUMNS = {
    "serial": "Serial",
    "number": "Card number",
    "password": "Password",
    "denomination": "Face value",
    "currency": "Currency",
    "expires_on": "Last day",
    "validity_days": "Days of validity",
    "batch": "Batch",
}
FORMATS = {
    "csv": "CSV",
    "tsv": "Tabs",
    "txt": "Text with tabs",
    "fixed": "Fixed width",
    "xlsx": "Spreadsheet (XLSX)",
}
MANGLED = {
    "leading_zeros": "A spreadsheet drops leading zeros of numbers and passwords. Open it as text, or choose XLSX.",
    "long_digits": "A spreadsheet keeps 15 digits of a number and makes the rest zeros: these numbers would be lost. "
    "Choose XLSX, or group the digits.",
    "exponent": "A spreadsheet shows numbers this long as 4.47E+11. Choose XLSX, or group the digits.",
    "not_ascii": "The batch's name has letters that Excel reads rightly only in UTF-8 with a mark (BOM) or UTF-16.",
    "no_password": "There is no column for the password.",
    "no_number": "There is no column for the card number.",
}
"""What to know of a file before it is made."""


@console.app_template_filter("fees")
def fees(rules: BatchOrder | BatchPage, currency: str) -> Markup:
    """The fees of a batch, or `none`."""
    told = []
    if rules.post_call_fee:
        told.append(Markup("{} a call").format(money(rules.post_call_fee, currency)))
    if rules.maintenance_fee and rules.maintenance_days:
        told.append(
            Markup("{} every {} days").format(
                money(rules.maintenance_fee, currency), count(rules.maintenance_days)
            )
        )
    return Markup(", ").join(told) if told else escape("none")


@console.app_template_filter("handed")
def handed(handout: Handout) -> Markup:
    """What a file was: its form and for whom."""
    name = FORMATS.get(handout.format, handout.format)
    form = Markup("<bdi>{}</bdi>").format(handout.template) if handout.template else escape(name)
    return form + (Markup(", encrypted") if handout.recipient else Markup(""))


def left_over(why: dict[str, int]) -> list[str]:
    """`8 used`, `2 sold already`: how many cards a command leaves, and why."""
    return [f"{count(cards)} {LEFT.get(word, word.replace('_', ' '))}" for word, cards in why.items()]
