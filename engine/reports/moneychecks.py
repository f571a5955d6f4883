"""Checks of the documents of money: payments, vouchers, transfers, fees, bulk runs, accounts."""

from __future__ import annotations

from engine.reports.check import Check, money

_PAYMENTS = """
    SELECT card_id, reference, coalesce(told.paid, 0) AS paid, coalesce(told.bonus, 0) AS bonus, told.account,
        coalesce(posted.paid, 0) AS posted_paid, coalesce(posted.bonus, 0) AS posted_bonus,
        posted.account AS posted_account
    FROM (
        SELECT card_id, 'payment:' || id AS reference, amount AS paid, bonus,
            CASE method WHEN 'voucher' THEN 'transfer' WHEN 'auto' THEN 'funding:' || account_id
                WHEN 'reseller' THEN 'reseller:' || account_id ELSE 'sales' END AS account
        FROM payment
        UNION ALL
        SELECT voucher_id, 'payment:' || id, -amount, 0, 'transfer' FROM payment WHERE voucher_id IS NOT NULL
    ) told FULL JOIN (
        SELECT card_id, reference, sum(amount) FILTER (WHERE kind <> 'bonus') AS paid,
            sum(amount) FILTER (WHERE kind = 'bonus') AS bonus,
            max(account) FILTER (WHERE kind <> 'bonus') AS account
        FROM ledger_entry
        WHERE kind IN ('recharge', 'bonus', 'voucher') AND reference NOT LIKE 'run:%%'
        GROUP BY card_id, reference
    ) posted USING (card_id, reference)
    WHERE coalesce(told.paid, 0) <> coalesce(posted.paid, 0)
        OR coalesce(told.bonus, 0) <> coalesce(posted.bonus, 0)
        OR told.account IS DISTINCT FROM posted.account
"""

_TRANSFERS = """
    SELECT card_id, reference, coalesce(told.amount, 0) AS amount, coalesce(posted.amount, 0) AS posted_amount
    FROM (
        SELECT from_id AS card_id, 'transfer:' || id AS reference, -amount AS amount FROM card_transfer
        UNION ALL
        SELECT to_id, 'transfer:' || id, amount FROM card_transfer
    ) told FULL JOIN (
        SELECT card_id, reference, sum(amount) AS amount FROM ledger_entry WHERE kind = 'transfer'
        GROUP BY card_id, reference
    ) posted USING (card_id, reference)
    WHERE told.amount IS DISTINCT FROM posted.amount
"""

# What a replacement moved went from the old card to the new one of that replacement.
_REPLACEMENTS = """
    SELECT t.from_id AS card_id, t.id FROM card_transfer t LEFT JOIN replacement r ON r.old_id = t.from_id
    WHERE t.kind = 'replace' AND r.new_id IS DISTINCT FROM t.to_id
    UNION ALL
    SELECT r.old_id, 0 FROM replacement r JOIN card c ON c.id = r.old_id WHERE c.damaged_at IS NULL
"""

# The documents of fees, write-offs and bulk runs: what they say was moved, and what was.
_RUNS = """
    SELECT document, coalesce(told.amount, 0) AS amount, coalesce(posted.amount, 0) AS posted_amount,
        told.cards, posted.entries
    FROM (
        SELECT 'charge:' || id AS document, -amount AS amount, cards,
            CASE kind WHEN 'breakage' THEN 'breakage' ELSE 'fee' END AS kind
        FROM charge_run
        UNION ALL
        SELECT 'run:' || id, amount, NULL, NULL FROM bulk_run
    ) told FULL JOIN (
        SELECT reference AS document, sum(amount) AS amount, count(*) AS entries, min(kind) AS least, max(kind) AS most
        FROM ledger_entry WHERE kind IN ('fee', 'breakage', 'discard') OR reference LIKE 'run:%%'
        GROUP BY reference
    ) posted USING (document)
    WHERE coalesce(told.amount, 0) <> coalesce(posted.amount, 0)
        OR (told.amount IS NULL AND posted.entries > 0)
        OR (told.cards IS NOT NULL AND (told.cards <> coalesce(posted.entries, 0)
            OR told.kind IS DISTINCT FROM posted.least OR told.kind IS DISTINCT FROM posted.most))
"""

_DISCARDS = """
    SELECT gone.card_id, gone.amount, born.amount AS opening, c.damaged_at
    FROM ledger_entry gone JOIN card c ON c.id = gone.card_id
    LEFT JOIN ledger_entry born ON born.card_id = gone.card_id AND born.kind = 'opening'
    WHERE gone.kind = 'discard' AND (gone.amount <> -coalesce(born.amount, 0) OR c.damaged_at IS NULL)
"""

_ACCOUNT_BALANCES = """
    SELECT id AS account, name, balance, total FROM account
    LEFT JOIN (SELECT account_id AS id, sum(amount) AS total FROM account_entry GROUP BY account_id) entries USING (id)
    WHERE balance <> coalesce(total, 0) OR balance < -credit_limit
"""

_ACCOUNT_CHAIN = """
    SELECT account_id AS account, id, before, amount, balance_after FROM (
        SELECT account_id, id, amount, balance_after,
            coalesce(lag(balance_after) OVER (PARTITION BY account_id ORDER BY id), 0) AS before
        FROM account_entry
    ) entry
    WHERE balance_after <> before + amount
"""

# A recharge is paid by the account that its payment names, stock by the one that its move names.
_ACCOUNT_DOCUMENTS = """
    SELECT account, reference, coalesce(told.amount, 0) AS amount, coalesce(posted.amount, 0) AS posted_amount
    FROM (
        SELECT account_id AS account, 'payment:' || id AS reference, -amount AS amount
        FROM payment WHERE account_id IS NOT NULL
        UNION ALL
        SELECT account_id, 'move:' || id, -amount FROM stock_move WHERE account_id IS NOT NULL AND amount <> 0
    ) told FULL JOIN (
        SELECT account_id AS account, reference, sum(amount) AS amount FROM account_entry
        WHERE kind NOT IN ('deposit', 'adjustment') GROUP BY account_id, reference
    ) posted USING (account, reference)
    WHERE told.amount IS DISTINCT FROM posted.amount
"""

# What resellers were charged for the cards they have is what their documents say, less what they gave back.
_STOCK_PRICES = """
    SELECT reseller, currency, coalesce(priced.amount, 0) AS amount, coalesce(moved.amount, 0) AS moved
    FROM (
        SELECT coalesce(reseller_id, 0) AS reseller, currency, sum(reseller_price) AS amount
        FROM card WHERE reseller_price IS NOT NULL GROUP BY 1, 2
    ) priced FULL JOIN (
        SELECT m.reseller_id AS reseller, coalesce(a.currency, '') AS currency, sum(m.amount) AS amount
        FROM stock_move m LEFT JOIN account a ON a.id = m.account_id GROUP BY 1, 2
    ) moved USING (reseller, currency)
    WHERE coalesce(priced.amount, 0) <> coalesce(moved.amount, 0)
"""

_AUTO_RECHARGES = """
    SELECT card_id, payment_id FROM (
        SELECT card_id, id AS payment_id FROM payment WHERE method = 'auto'
    ) paid FULL JOIN (
        SELECT card_id, payment_id, count(*) AS times FROM auto_recharge_crossing
        WHERE payment_id IS NOT NULL GROUP BY card_id, payment_id
    ) crossed USING (card_id, payment_id)
    WHERE paid IS NULL OR coalesce(times, 0) <> 1
"""

_KEYS = """
    SELECT 'ledger_entry' AS table, card_id || ' ' || idempotency_key AS key, count(*) AS times
    FROM ledger_entry WHERE idempotency_key IS NOT NULL GROUP BY card_id, idempotency_key HAVING count(*) > 1
    UNION ALL
    SELECT 'payment', idempotency_key, count(*) FROM payment
    WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key HAVING count(*) > 1
    UNION ALL
    SELECT 'account_entry', account_id || ' ' || idempotency_key, count(*) FROM account_entry
    WHERE idempotency_key IS NOT NULL GROUP BY account_id, idempotency_key HAVING count(*) > 1
    UNION ALL
    SELECT 'card_transfer', idempotency_key, count(*) FROM card_transfer
    WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key HAVING count(*) > 1
    UNION ALL
    SELECT 'idempotent_request', scope || ' ' || key, count(*) FROM idempotent_request
    GROUP BY scope, key HAVING count(*) > 1
    UNION ALL
    SELECT 'call', switch_id || ' ' || call_ref, count(*) FROM call GROUP BY switch_id, call_ref HAVING count(*) > 1
"""

_VOUCHERS = """
    SELECT c.id AS card_id, c.balance, count(*) AS times FROM payment p JOIN card c ON c.id = p.voucher_id
    GROUP BY c.id, c.balance HAVING count(*) > 1 OR c.balance <> 0
"""

_REFUNDS = """
    SELECT coalesce(told.card_id, posted.card_id) AS card_id, reference, coalesce(told.taken, 0) AS taken,
        coalesce(told.bonus_taken, 0) AS bonus_taken, coalesce(posted.taken, 0) AS posted_taken,
        coalesce(posted.bonus_taken, 0) AS posted_bonus
    FROM (SELECT card_id, 'refund:' || id AS reference, taken, bonus_taken FROM refund) told FULL JOIN (
        SELECT card_id, reference, -sum(amount) FILTER (WHERE account = 'sales') AS taken,
            -sum(amount) FILTER (WHERE account = 'bonus') AS bonus_taken
        FROM ledger_entry WHERE kind = 'refund' GROUP BY card_id, reference
    ) posted USING (reference)
    WHERE coalesce(told.taken, 0) <> coalesce(posted.taken, 0)
        OR coalesce(told.bonus_taken, 0) <> coalesce(posted.bonus_taken, 0)
        OR told.card_id IS DISTINCT FROM coalesce(posted.card_id, told.card_id)
"""

# An online payment is that of one checkout, with its amount, and what went back of it is what the checkout says.
_CHECKOUTS = """
    SELECT coalesce(p.card_id, k.card_id) AS card_id, p.id AS payment_id, k.ref, p.amount, k.amount AS asked,
        coalesce(r.amount, 0) AS refunded, k.refunded AS told
    FROM (SELECT * FROM payment WHERE method = 'online') p
    FULL JOIN (SELECT * FROM checkout WHERE payment_id IS NOT NULL) k ON k.payment_id = p.id
    LEFT JOIN (SELECT payment_id, sum(amount) AS amount FROM refund GROUP BY payment_id) r ON r.payment_id = p.id
    WHERE p.amount IS DISTINCT FROM k.amount OR p.card_id IS DISTINCT FROM k.card_id
        OR coalesce(r.amount, 0) IS DISTINCT FROM k.refunded
"""

MONEY_CHECKS = (
    Check(
        "payments",
        "card",
        _PAYMENTS,
        lambda row: (
            f"{row.reference} brought {money(row.paid)} and a bonus of {money(row.bonus)}; "
            f"the ledger says {money(row.posted_paid)} and {money(row.posted_bonus)}"
            + (
                f", from {row.posted_account} and not {row.account}."
                if row.account != row.posted_account
                else "."
            )
        ),
    ),
    Check(
        "refunds",
        "card",
        _REFUNDS,
        lambda row: (
            f"{row.reference} took back {money(row.taken)} and {money(row.bonus_taken)} of a bonus; "
            f"the ledger says {money(row.posted_taken)} and {money(row.posted_bonus)}."
        ),
    ),
    Check(
        "checkouts",
        "card",
        _CHECKOUTS,
        lambda row: (
            f"The online payment {row.payment_id or row.ref} of {money(row.amount or 0)} does not fit what was asked: "
            f"{money(row.asked or 0)}, of which {money(row.told or 0)} went back."
        ),
    ),
    Check(
        "transfers",
        "card",
        _TRANSFERS,
        lambda row: f"{row.reference} moved {money(row.amount)}; the ledger says {money(row.posted_amount)}.",
    ),
    Check(
        "replacements",
        "card",
        _REPLACEMENTS,
        lambda row: (
            f"transfer:{row.id} went to a card that doesn't replace it."
            if row.id
            else "It was replaced, but is not void."
        ),
    ),
    Check(
        "runs",
        "document",
        _RUNS,
        lambda row: (
            f"It moved {money(row.amount)}{f' on {row.cards} cards' if row.cards is not None else ''}; "
            f"the ledger has {row.entries or 0} entries of {money(row.posted_amount)} together."
        ),
    ),
    Check(
        "discards",
        "card",
        _DISCARDS,
        lambda row: (
            f"It was discarded with {money(row.amount)}, and born with {money(row.opening)}"
            f"{'.' if row.damaged_at else '; it is not void.'}"
        ),
    ),
    Check(
        "account_balance",
        "account",
        _ACCOUNT_BALANCES,
        lambda row: (
            f"{row.name}: its balance is {money(row.balance)}, but its entries sum to {money(row.total)}."
        ),
    ),
    Check(
        "account_chain",
        "account",
        _ACCOUNT_CHAIN,
        lambda row: (
            f"Entry {row.id} moves {money(row.amount)} onto {money(row.before)}, "
            f"but says that {money(row.balance_after)} was left."
        ),
    ),
    Check(
        "account_documents",
        "account",
        _ACCOUNT_DOCUMENTS,
        lambda row: f"{row.reference} moved {money(row.amount)}; its entries say {money(row.posted_amount)}.",
    ),
    Check(
        "stock_prices",
        "reseller",
        _STOCK_PRICES,
        lambda row: (
            f"The prices of its cards sum to {money(row.amount)} {row.currency}, "
            f"but its documents to {money(row.moved)}."
        ),
    ),
    Check(
        "auto_recharge",
        "card",
        _AUTO_RECHARGES,
        lambda row: f"payment:{row.payment_id} belongs to no crossing of a threshold, or to several.",
    ),
    Check("key", "table", _KEYS, lambda row: f"The key {row.key} counted {row.times} times."),
    Check(
        "voucher",
        "card",
        _VOUCHERS,
        lambda row: f"This voucher was redeemed {row.times} times and has {money(row.balance)} left.",
    ),
)
