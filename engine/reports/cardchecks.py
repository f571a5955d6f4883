"""Checks of cards and calls: balances, holds, entries against calls and batches."""

from __future__ import annotations

from engine.reports.check import Check, money

_BALANCES = """
    SELECT card_id, balance, total FROM (
        SELECT id AS card_id, balance FROM card
    ) card FULL JOIN (
        SELECT card_id, sum(amount) AS total FROM ledger_entry GROUP BY card_id
    ) entries USING (card_id)
    WHERE balance IS DISTINCT FROM total
"""

_OPENINGS = """
    SELECT card.id AS card_id, count(entry.id) AS openings
    FROM card LEFT JOIN ledger_entry entry ON entry.card_id = card.id AND entry.kind = 'opening'
    GROUP BY card.id HAVING count(entry.id) <> 1
"""

_CHAIN = """
    SELECT card_id, id, before, amount, balance_after FROM (
        SELECT card_id, id, amount, balance_after,
            coalesce(lag(balance_after) OVER (PARTITION BY card_id ORDER BY id), 0) AS before
        FROM ledger_entry
    ) entry
    WHERE balance_after <> before + amount
"""

# Which account of a reseller or for funding a recharge stands against is compared with its payment.
_ACCOUNTS = """
    SELECT card_id, id, kind, account FROM ledger_entry
    WHERE account IS DISTINCT FROM CASE kind
        WHEN 'opening' THEN 'sales' WHEN 'discard' THEN 'sales' WHEN 'bonus' THEN 'bonus'
        WHEN 'recharge' THEN CASE WHEN account LIKE 'funding:%%' OR account LIKE 'reseller:%%' THEN account
            ELSE 'sales' END
        WHEN 'usage' THEN 'usage' WHEN 'correction' THEN 'usage' WHEN 'overrun' THEN 'overrun_loss'
        WHEN 'refund' THEN CASE WHEN account = 'bonus' THEN 'bonus' ELSE 'sales' END
        WHEN 'voucher' THEN 'transfer' WHEN 'transfer' THEN 'transfer' WHEN 'adjustment' THEN 'adjustment'
        WHEN 'fee' THEN 'fees' WHEN 'breakage' THEN 'breakage' END
"""

_CALLS = """
    SELECT card_id, reference, told.cost, told.loss, posted.cost AS posted_cost, posted.loss AS posted_loss
    FROM (
        SELECT d.card_id, 'call:' || d.id AS reference, coalesce(x.cost, d.cost) AS cost,
            coalesce(x.cost - x.charged, d.cost - d.charged) AS loss
        FROM cdr d LEFT JOIN cdr_correction x ON x.card_id = d.card_id AND x.cdr_id = d.id
    ) told FULL JOIN (
        SELECT card_id, reference, coalesce(-sum(amount) FILTER (WHERE account = 'usage'), 0) AS cost,
            coalesce(sum(amount) FILTER (WHERE account = 'overrun_loss'), 0) AS loss
        FROM ledger_entry WHERE account IN ('usage', 'overrun_loss') GROUP BY card_id, reference
    ) posted USING (card_id, reference)
    WHERE coalesce(told.cost, 0) <> coalesce(posted.cost, 0) OR coalesce(told.loss, 0) <> coalesce(posted.loss, 0)
"""

_BATCH_OPENINGS = """
    SELECT coalesce('batch:' || b.id, posted.reference) AS document, b.name, b.generated, posted.entries,
        b.denomination, posted.least, posted.most
    FROM batch b FULL JOIN (
        SELECT reference, count(*) AS entries, min(amount) AS least, max(amount) AS most
        FROM ledger_entry WHERE kind = 'opening' GROUP BY reference
    ) posted ON posted.reference = 'batch:' || b.id
    WHERE coalesce(posted.entries, 0) <> coalesce(b.generated, 0)
        OR (NOT b.imported AND (posted.least <> b.denomination OR posted.most <> b.denomination))
"""

_BATCH_CARDS = """
    SELECT b.id AS batch, b.name, b.count, b.generated, b.ready_at, coalesce(made.cards, 0) AS cards,
        b.first_id, b.last_id, made.least, made.most
    FROM batch b LEFT JOIN (
        SELECT batch_id, count(*) AS cards, min(id) AS least, max(id) AS most FROM card GROUP BY batch_id
    ) made ON made.batch_id = b.id
    WHERE coalesce(made.cards, 0) <> b.generated OR made.least < b.first_id OR made.most > b.last_id
        OR (b.ready_at IS NOT NULL AND b.generated <> b.count)
"""

_HOLDS = """
    SELECT c.id AS card_id, c.held, c.live_calls, coalesce(live.hold, 0) AS hold, coalesce(live.calls, 0) AS calls
    FROM card c LEFT JOIN (
        SELECT card_id, sum(hold) AS hold, count(*) AS calls FROM call GROUP BY card_id
    ) live ON live.card_id = c.id
    WHERE c.held <> coalesce(live.hold, 0) OR c.live_calls <> coalesce(live.calls, 0)
"""

_ENDS = """
    SELECT card_id, id AS call, count(*) AS ends FROM (
        SELECT card_id, id FROM cdr UNION ALL SELECT card_id, id FROM call
    ) known GROUP BY card_id, id HAVING count(*) > 1
"""

_CORRECTIONS = """
    SELECT x.card_id, x.cdr_id FROM cdr_correction x
    WHERE NOT EXISTS (SELECT 1 FROM cdr d WHERE d.card_id = x.card_id AND d.id = x.cdr_id AND 'swept' = ANY(d.flags))
"""

_CURRENCIES = """
    SELECT c.id AS card_id, c.currency, b.currency AS other FROM card c JOIN batch b ON b.id = c.batch_id
    WHERE c.currency <> b.currency
    UNION ALL
    SELECT p.card_id, c.currency, p.currency FROM payment p JOIN card c ON c.id = p.card_id
    WHERE p.currency <> c.currency
    UNION ALL
    SELECT p.card_id, p.currency, a.currency FROM payment p JOIN account a ON a.id = p.account_id
    WHERE p.currency <> a.currency
    UNION ALL
    SELECT t.from_id, a.currency, b.currency
    FROM card_transfer t JOIN card a ON a.id = t.from_id JOIN card b ON b.id = t.to_id
    WHERE a.currency <> b.currency
"""

CARD_CHECKS = (
    Check(
        "balance",
        "card",
        _BALANCES,
        lambda row: f"Its balance is {money(row.balance)}, but its entries sum to {money(row.total)}.",
    ),
    Check("opening", "card", _OPENINGS, lambda row: f"It was born {row.openings} times."),
    Check(
        "chain",
        "card",
        _CHAIN,
        lambda row: (
            f"Entry {row.id} moves {money(row.amount)} onto {money(row.before)}, "
            f"but says that {money(row.balance_after)} was left."
        ),
    ),
    Check(
        "overspent",
        "card",
        "SELECT id AS card_id, balance, held FROM card WHERE balance < held OR held < 0",
        lambda row: f"Its balance is {money(row.balance)}, its calls hold {money(row.held)}.",
    ),
    Check(
        "holds",
        "card",
        _HOLDS,
        lambda row: (
            f"It counts {row.live_calls} live calls that hold {money(row.held)}; "
            f"there are {row.calls} that hold {money(row.hold)}."
        ),
    ),
    Check(
        "account",
        "card",
        _ACCOUNTS,
        lambda row: f"Entry {row.id} of kind {row.kind} stands against the account {row.account}.",
    ),
    Check(
        "calls",
        "card",
        _CALLS,
        lambda row: (
            f"{row.reference} cost {money(row.cost)}, of which {money(row.loss)} was lost; "
            f"the ledger says {money(row.posted_cost)} and {money(row.posted_loss)}."
        ),
    ),
    Check(
        "openings",
        "document",
        _BATCH_OPENINGS,
        lambda row: (
            f"{row.generated or 0} cards were made with {money(row.denomination)} each; the ledger has "
            f"{row.entries or 0} openings from {money(row.least)} to {money(row.most)}."
        ),
    ),
    Check(
        "batch",
        "batch",
        _BATCH_CARDS,
        lambda row: (
            f"{row.name}: {row.generated} of {row.count} cards are said to be made, {row.cards} stand"
            f"{'; it is said to be ready' if row.ready_at else ''}."
        ),
    ),
    Check(
        "overdue",
        "call",
        "SELECT id AS call, sweep_after FROM call WHERE sweep_after < %(overdue)s",
        lambda row: f"It should have been swept at {row.sweep_after:%Y-%m-%d %H:%M:%S} UTC.",
    ),
    Check("ends", "call", _ENDS, lambda row: f"It is known {row.ends} times as live or ended."),
    Check(
        "correction", "card", _CORRECTIONS, lambda row: f"Call {row.cdr_id} was corrected, but never swept."
    ),
    Check("currency", "card", _CURRENCIES, lambda row: f"It is in {row.currency}, and also in {row.other}."),
)
