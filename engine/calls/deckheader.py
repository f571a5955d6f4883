"""Which column of a rate sheet is what: the names that carriers give their columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.calls.deckproblem import FIELD_NAMES, FILE, Problem
from engine.money import AmountError, parse_currency

_NAMES = {
    "prefix": "prefix,prefixes,code,codes,dial code,dial codes,dialcode,dialcodes,dialing code,dialling code,"
    "dialed code,destination code,destination prefix,prefix code,code prefix,number prefix,dial prefix,area prefix,"
    "digits,dialed digits,breakout,breakouts,e164,e 164",
    "country_code": "country code,country codes,country dial code,country prefix,cc",
    "area_code": "area code,area codes,city code,city codes,network code,ndc",
    # In order of preference: a sheet may have several of them.
    "destination_name": "destination name,destination,destinations,destination description,description,name,route,"
    "zone,terminating destination,location,operator,network,region,area,carrier",
    "country": "country,country name",
    "price_per_minute": "price min,price,prices,rate min,rate,rates,voice rate,voice price,call rate,new rate,"
    "new price,current rate,sell rate,selling rate,sale rate,usage rate,tariff,charge min,cost min,cost,1 min",
    "connect_fee": "connect fee,connection fee,connection,connection charge,connect charge,connection cost,connect,"
    "setup,set up,setup fee,setup charge,call setup,call setup fee,flag fall,flagfall,call,call charge,call fee",
    "first_increment": "first increment,first interval,initial increment,initial interval,initial,initial period,"
    "first period,initial block,first block,initial billing,min,minimum,min duration,minimum duration,min time,"
    "minimum time,min charge duration,minimum charge duration,min increment,minimum increment,min interval,"
    "minimum interval,interval 1,increment 1,1st increment,1st interval",
    "increment": "increment,interval,next increment,next interval,next period,next block,next,"
    "subsequent increment,subsequent interval,subsequent period,subsequent,sub increment,additional increment,"
    "additional interval,recurring increment,step,interval n,increment n,interval 2,increment 2,2nd increment,"
    "2nd interval",
    "billing": "billing increment,billing increments,billing,billing interval,billing intervals,billing terms,"
    "billing rules,billing cycle,billing period,charging interval,increments,intervals,pulse",
    "grace": "grace,grace period,grace time,free",
    "effective_from": "effective from,effective date,effective,effective date from,effective on,effective start,"
    "valid from,valid since,start date,from date,date from,begin date,activation date,start,from,date",
    "effective_until": "effective until,effective to,effective date to,effective end,until,valid to,valid until,"
    "valid till,valid through,end date,to date,date to,expiry date,expiration date,expiry,expires,end,to",
    "days": "days,day,weekdays,days week,day week,week days",
    "from_time": "from time,time from,start time,begin time,time start,from hour",
    "to_time": "to time,time to,end time,time end,until time,to hour",
    "time_window": "time window,window,time,hours,time day,time band,day time",
    "currency": "currency,curr,ccy,rate currency",
}

SYNONYMS = {field_name: tuple(names.split(",")) for field_name, names in _NAMES.items()}
"""For each field the column names that mean it, reduced as `_key` reduces them."""

_FIELD_OF = {name: field_name for field_name, names in SYNONYMS.items() for name in names}
_RANK = {name: rank for names in SYNONYMS.values() for rank, name in enumerate(names)}
_FILLERS = frozenset({"per", "of", "the", "in", "a", "s", "sec", "secs", "second", "seconds"})
_MINUTES = frozenset({"min", "mins", "minute", "minutes"})
_BRACKETS = re.compile(r"[(\[{].*?[)\]}]")
_WORD = re.compile(r"[^\W_]+")
_NOT_UNITS = re.compile(r"(?:per |/) ?s(?:ec(?:ond)?s?)?\b|\bcents?\b|\bcts?\b|\bpence\b|\bmills?\b|¢")
"""A price per second, or in hundredths."""


@dataclass(slots=True)
class Header:
    """What a row of column names says. `columns` maps fields to positions; `line` is where the row stands."""

    line: int
    names: list[str]
    columns: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    currency: str | None = None

    @property
    def mapping(self) -> dict[str, str]:
        """Each field that was found, with the column's name as written."""
        return {field_name: self.names[index] for field_name, index in self.columns.items()}

    @property
    def complete(self) -> bool:
        """Whether a rate can be read from the columns."""
        return "price_per_minute" in self.columns and bool({"prefix", "country_code"} & self.columns.keys())

    @property
    def ignored(self) -> list[str]:
        """The names of the columns that nothing is read from."""
        used = set(self.columns.values())
        return [name for index, name in enumerate(self.names) if name and index not in used]


def is_header(rows: Iterable[list[str]], chosen: Mapping[str, str]) -> bool:
    """Whether one of the rows names a prefix and a price (or has the columns that were `chosen`)."""
    return any(read_header(0, cells, chosen).complete for cells in rows)


def read_header(line: int, cells: list[str], chosen: Mapping[str, str]) -> Header:
    """The fields of a row of column names; `chosen` ({field: column name}) overrules what the names suggest, and
    leaves out a field whose column name is empty."""
    header = Header(line, [" ".join(cell.split()) for cell in cells])
    wanted = {name.strip().casefold(): field_name for field_name, name in chosen.items() if name.strip()}
    candidates: dict[str, list[tuple[int, int]]] = {}
    for index, name in enumerate(header.names):
        picked = wanted.get(name.casefold())
        if picked is not None:
            header.columns.setdefault(picked, index)
            continue
        key, currency = _key(name)
        field_name = _FIELD_OF.get(key)
        if field_name is None or field_name in chosen:
            continue
        candidates.setdefault(field_name, []).append((_RANK[key], index))
        if field_name == "price_per_minute" and currency:
            header.currency = currency
    for field_name, found in candidates.items():
        found.sort()
        header.columns[field_name] = found[0][1]
        if len(found) > 1 and field_name != "destination_name":
            _several(header, field_name, [index for _, index in found])
    _settle(header)
    return header


def _several(header: Header, field_name: str, indexes: list[int]) -> None:
    headers = ", ".join(header.names[index] for index in sorted(indexes))
    header.problems.append(
        Problem(FILE, None, "column_twice", {"what": FIELD_NAMES[field_name], "headers": headers})
    )


def _settle(header: Header) -> None:
    """Codes in two columns count only where there is no whole prefix, and a price must be per minute, in units."""
    columns = header.columns
    if "prefix" in columns:
        columns.pop("country_code", None)
        columns.pop("area_code", None)
    elif "country_code" not in columns:
        columns.pop("area_code", None)
    if "billing" in columns and {"first_increment", "increment"} <= columns.keys():
        del columns["billing"]
    if "price_per_minute" in columns:
        name = header.names[columns["price_per_minute"]]
        if _NOT_UNITS.search(name.casefold()):
            header.problems.append(Problem(header.line, name, "price_unit", {"header": name}))


def _key(name: str) -> tuple[str, str | None]:
    """The name reduced to what tells columns apart, and the currency it mentions."""
    currency = None
    words = []
    asides = [match.span() for match in _BRACKETS.finditer(name)]
    for match in _WORD.finditer(name):
        word = match.group()
        code = _currency(word)
        if code:
            currency = code
        elif not any(start < match.start() < end for start, end in asides):
            lower = word.casefold()
            if lower not in _FILLERS:
                words.append("min" if lower in _MINUTES else lower)
    key = " ".join(words)
    if currency and key in ("min", "1 min", ""):
        key = "price"  # "USD/min", where "Min" alone is the first increment
    return key, currency


_UNMISTAKABLE = frozenset({"usd", "eur", "gbp", "chf", "inr", "bdt"})


def _currency(word: str) -> str | None:
    """The code, where the word is one: written in capitals, or one that is no word besides."""
    if len(word) != 3 or not (word.isupper() or word.casefold() in _UNMISTAKABLE):
        return None
    try:
        return parse_currency(word.upper())
    except AmountError:
        return None
