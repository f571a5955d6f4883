"""What a minute costs, country by country: plausible retail prices of a prepaid card sold in the United States.

Nothing here is any carrier's offer. What a table does not name is drawn by a seeded random, so that the same country
costs the same in every demo world.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

SEED = 20_260_823
"""Of the prices and of everything else in the demo world that may be drawn without a secret in it."""

NANP = "1"

_MARKUP = 2.2
# Country code: what a minute to a fixed line and to a mobile is bought for, in tenths of a cent.
_KNOWN = {
    "1": (9, 9),
    "7": (35, 89),
    "20": (89, 119),
    "27": (29, 99),
    "30": (19, 59),
    "31": (15, 79),
    "32": (15, 89),
    "33": (15, 39),
    "34": (15, 35),
    "36": (15, 39),
    "39": (15, 49),
    "40": (15, 39),
    "41": (19, 129),
    "43": (17, 69),
    "44": (12, 29),
    "45": (15, 35),
    "46": (12, 29),
    "47": (15, 39),
    "48": (15, 39),
    "49": (12, 29),
    "51": (15, 29),
    "52": (10, 14),
    "53": (690, 720),
    "54": (15, 99),
    "55": (19, 59),
    "56": (19, 29),
    "57": (19, 25),
    "58": (35, 79),
    "60": (15, 29),
    "61": (19, 49),
    "62": (39, 59),
    "63": (109, 129),
    "64": (19, 49),
    "65": (12, 12),
    "66": (15, 19),
    "81": (25, 99),
    "82": (19, 35),
    "84": (49, 55),
    "86": (15, 15),
    "90": (29, 119),
    "91": (12, 12),
    "92": (35, 39),
    "93": (219, 229),
    "94": (149, 159),
    "95": (199, 209),
    "98": (119, 139),
    "212": (49, 389),
    "213": (89, 459),
    "216": (449, 479),
    "220": (459, 479),
    "221": (259, 289),
    "233": (179, 199),
    "234": (69, 89),
    "237": (259, 319),
    "251": (189, 199),
    "252": (429, 449),
    "254": (139, 149),
    "256": (189, 199),
    "263": (119, 399),
    "353": (12, 29),
    "380": (129, 189),
    "501": (249, 279),
    "502": (99, 119),
    "503": (129, 149),
    "504": (149, 169),
    "505": (169, 199),
    "506": (29, 69),
    "507": (29, 109),
    "509": (289, 319),
    "591": (99, 119),
    "592": (259, 279),
    "593": (119, 189),
    "595": (29, 49),
    "598": (49, 139),
    "852": (19, 19),
    "855": (59, 65),
    "880": (21, 24),
    "886": (19, 69),
    "961": (119, 199),
    "962": (99, 129),
    "963": (199, 249),
    "966": (79, 139),
    "967": (139, 149),
    "970": (199, 219),
    "971": (199, 199),
    "972": (12, 39),
    "977": (119, 125),
    "998": (79, 89),
}

# Area codes of the North American plan that are countries of their own.
CARIBBEAN = {
    "1242": ("Bahamas", 149, 179),
    "1246": ("Barbados", 189, 219),
    "1264": ("Anguilla", 219, 249),
    "1268": ("Antigua and Barbuda", 219, 249),
    "1284": ("British Virgin Islands", 199, 229),
    "1340": ("US Virgin Islands", 19, 19),
    "1345": ("Cayman Islands", 149, 179),
    "1441": ("Bermuda", 39, 49),
    "1473": ("Grenada", 239, 269),
    "1649": ("Turks and Caicos Islands", 219, 249),
    "1658": ("Jamaica", 79, 189),
    "1664": ("Montserrat", 279, 299),
    "1671": ("Guam", 29, 29),
    "1684": ("American Samoa", 49, 49),
    "1721": ("Sint Maarten", 199, 229),
    "1758": ("Saint Lucia", 229, 259),
    "1767": ("Dominica", 239, 259),
    "1784": ("Saint Vincent and the Grenadines", 229, 259),
    "1787": ("Puerto Rico", 12, 12),
    "1809": ("Dominican Republic", 29, 69),
    "1829": ("Dominican Republic", 29, 69),
    "1849": ("Dominican Republic", 29, 69),
    "1868": ("Trinidad and Tobago", 99, 159),
    "1869": ("Saint Kitts and Nevis", 219, 249),
    "1876": ("Jamaica", 79, 189),
    "1939": ("Puerto Rico", 12, 12),
}

# Codes that are no country: name and tenths of a cent a minute.
NETWORKS = {
    "870": ("Inmarsat", 6990),
    "878": ("Universal personal telecommunications", 1290),
    "881": ("Global mobile satellite", 4990),
    "882": ("International networks", 3990),
    "883": ("International networks", 2990),
    "888": ("Disaster relief", 990),
    "979": ("International premium rate", 4490),
}


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a country costs. Prices in tenths of a US cent a minute; `terms` are the increments, such as `60/60`."""

    fixed: int
    mobile: int
    terms: str
    connect_fee: int = 0


@cache
def tariff(country_code: str) -> Tariff:
    """The tariff of a country code, the same every time."""
    dice = random.Random(f"{SEED}/{country_code}")
    terms = dice.choices(["1/1", "60/60", "30/6", "6/6", "60/1"], [10, 6, 4, 3, 2])[0]
    if country_code in _KNOWN:
        fixed, mobile = (_nice(tenths * _MARKUP) for tenths in _KNOWN[country_code])
    else:
        fixed = _nice(dice.lognormvariate(5.4, 0.7))
        mobile = _nice(fixed * dice.uniform(1.05, 1.6))
    # Where minutes are cheap, some cards take a fee for the connection.
    fee = dice.choice([0, 0, 0, 50, 90, 190]) if fixed < 120 and country_code != NANP else 0
    return Tariff(fixed, max(fixed, mobile), "1/1" if country_code == NANP else terms, fee)


def _nice(tenths: float) -> int:
    """As prices are written: at least 1.9 cents, at most 1.99, and ending in nine."""
    return min(1990, max(19, round(tenths / 10) * 10 - 1))
