"""A demo world: an operator with ninety days behind them, made through the engine's own commands with past times.

    prices, rates    what a minute costs; rate decks as CSV from the prefixes that `phonenumbers` knows
    world            what all makers share: sizes, days, cards as their holders know them
    people, stock    who is in it; its batches, one in every stage
    customers, traffic, trouble    who calls whom, call by call; what goes wrong
    office, night    what staff and the jobs do in those days
    life, making     day by day; the whole, from an unused installation to books that verify
    large            a million cards and a million calls by set statements, for benchmarks

Only `cardtone demo`, the benchmarks and the tests may import it: nothing of it reaches an operator's own books.
"""
