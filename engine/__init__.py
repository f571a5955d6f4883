"""The business: cards, money and calls. No web framework, no page, and never a look at the clock.

From the ground up; each room may use those above it in this list, never those below:

    config, embedded       what the machine must know before the database can be asked; a PostgreSQL of one's own
    db, schema, migrations the ways to the database, every table (the data dictionary), how a database gets them
    money, phone, names    value types: whole micro-units, E.164 numbers, text that people type
    vault                  keys, digests of passwords, sealed copies
    errors, refusal, actor what is raised, what is returned, and who did it
    permissions            who may do what, and the mark that makes a function a command
    settings, house        the business's own rules as rows, and as a process keeps them
    limits, work           counted failures; background work that survives a kill
    timetable, jobruns     what happens by the clock, and its runs, each claimed once; alarms; faults without values
    people                 staff, resellers and theirs, log-ins, switches, consents, the chained audit trail
    cards                  status, authentication and its limits, binding, tokens, expiry, search
    funds                  the ledger (the only writer of balances), recharges, transfers, accounts, auto-recharge, fees
    calls                  rating, decks, call control, the sweep, the charge explained
    stock                  numbers, batches, generation, custody, resale, exports, imports, shredding
    bulk                   commands over many cards: preview, frozen targets, chunks, result
    reports                the self-check of the books, aggregates by quarters of an hour, liability, pruning

A command is one transaction and opens it itself: `redeem_voucher(db, …, actor, now)`. Steps that commands share take
a `session` and never commit. A broken rule is raised as an `EngineError` with a code and data, and undoes everything;
a refusal that must leave a trace is returned. Who acts and what time it is are always parameters.
"""
