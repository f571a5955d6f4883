"""The SQL of the call path: for each message one read and one guarded write, prepared, beside its Python.

A write takes its locks in the order card, call, and changes all of its rows or none. What touches a card's money is
composed from the ledger's fragments.
"""

from __future__ import annotations

from engine.cards.access import card_queries
from engine.db import Statement
from engine.funds import ledger

AUTHORIZE_READ = card_queries(
    columns="""
    , (SELECT v.id FROM deck_version v WHERE v.deck_id = c.deck_id AND v.effective_from <= %(now)s
       ORDER BY v.effective_from DESC, v.id DESC LIMIT 1) AS version_id
    , (SELECT l.id FROM call l WHERE l.switch_id = %(switch_id)s AND l.call_ref = %(call_ref)s) AS live_id
    """
)
"""The card, the deck version in force, and whether this call_ref is known already."""

_RATED = """
    call_ref, caller, destination, access_number, one_shot, authorized_at, answered_at, first_granted_s, granted_s,
    affordable_s, balance_before, deck_version_id, rate_id, prefix, destination_name, price_per_minute, connect_fee,
    access_per_minute, access_per_call, post_call_fee, first_increment, increment, grace, precision, rounding
"""
_GONE = ", ".join(f"gone.{name.strip()}" for name in _RATED.split(",")).replace(
    "gone.answered_at", "coalesce(gone.answered_at, %(answered_at)s)"
)

_NOT_ENDED = """NOT EXISTS (
        SELECT 1 FROM cdr d WHERE d.switch_id = %(switch_id)s AND d.call_ref = %(call_ref)s
        AND d.ended_at >= %(cdr_since)s
    )"""

AUTHORIZE_WRITE = Statement(f"""
    WITH held AS ({ledger.hold(_NOT_ENDED)}),
    opened AS (
        INSERT INTO call (card_id, switch_id, token, hold, sweep_after, {_RATED})
        SELECT id, %(switch_id)s, %(token)s, %(hold)s, %(sweep_after)s,
            %(call_ref)s, %(caller)s, %(destination)s, %(access_number)s, %(one_shot)s, %(now)s, NULL,
            %(granted_s)s, %(granted_s)s, %(affordable_s)s, balance, %(version_id)s, %(rate_id)s, %(prefix)s,
            %(destination_name)s, %(price_per_minute)s, %(connect_fee)s, %(access_per_minute)s,
            %(access_per_call)s, %(post_call_fee)s, %(first_increment)s, %(increment)s, %(grace)s, %(precision)s,
            %(rounding)s
        FROM held
        RETURNING id
    )
    SELECT opened.id, held.balance FROM held, opened
""")

FIND_LIVE = Statement("""
    SELECT call.*, TRUE AS live, c.balance, c.held, c.currency, c.first_used_at,
        c.locked_at IS NOT NULL OR c.damaged_at IS NOT NULL AS stopped,
        EXISTS (SELECT 1 FROM auto_recharge_member m WHERE m.card_id = call.card_id) AS enrolled,
        (SELECT revision FROM settings_head WHERE id = 1) AS revision
    FROM call JOIN card c ON c.id = call.card_id
    WHERE call.switch_id = %(switch_id)s AND call.call_ref = %(call_ref)s
""")

FIND_ENDED = Statement("""
    SELECT d.*, FALSE AS live, NULL::bytea AS token, (SELECT revision FROM settings_head WHERE id = 1) AS revision,
        (SELECT c.first_used_at FROM card c WHERE c.id = d.card_id) AS first_used_at,
        x.at AS corrected_at, x.duration_ms AS corrected_ms, x.duration_s AS corrected_s, x.cause AS corrected_cause,
        x.billed_s AS corrected_billed_s, x.charged AS corrected_charged,
        x.balance_after AS corrected_balance_after, x.cost AS corrected_cost, x.flags AS corrected_flags
    FROM cdr d LEFT JOIN cdr_correction x ON x.card_id = d.card_id AND x.cdr_id = d.id
    WHERE d.switch_id = %(switch_id)s AND d.call_ref = %(call_ref)s AND d.ended_at >= %(cdr_since)s
    ORDER BY d.ended_at DESC LIMIT 1
""")

ANSWER_WRITE = Statement("""
    UPDATE call SET answered_at = %(answered_at)s, sweep_after = %(sweep_after)s
    WHERE card_id = %(card_id)s AND id = %(id)s AND answered_at IS NULL
    RETURNING id
""")

_PROGRESS_SET = """
    granted_s = greatest(call.granted_s, %(granted_s)s),
    confirmed_s = greatest(call.confirmed_s, %(confirmed_s)s),
    answered_at = coalesce(call.answered_at, %(answered_at)s),
    sweep_after = greatest(call.sweep_after, %(sweep_after)s)
"""

PROGRESS_WRITE = Statement(f"""
    WITH card_lock AS MATERIALIZED ({ledger.LOCK_CARD}),
    locked_call AS MATERIALIZED (
        SELECT call.id FROM call, card_lock
        WHERE call.card_id = card_lock.id AND call.id = %(id)s AND call.hold = %(old_hold)s FOR UPDATE OF call
    ),
    extended AS ({ledger.EXTEND_HOLD})
    UPDATE call SET hold = call.hold + %(more)s, {_PROGRESS_SET}
    FROM extended WHERE call.card_id = extended.id AND call.id = %(id)s
    RETURNING call.id
""")
"""Grant more and hold its price, if call and card still are as they were read."""

PROGRESS_WRITE_FREE = Statement(f"""
    UPDATE call SET {_PROGRESS_SET}
    WHERE card_id = %(card_id)s AND id = %(id)s AND hold = %(old_hold)s
    RETURNING id
""")
"""Note how far the call is, where no more money is held."""

_KEEP_ALIVE = """,
    kept_token AS (
        UPDATE card_token SET used_at = %(now)s FROM gone
        WHERE card_token.card_id = gone.card_id AND card_token.digest = gone.token
    )
"""

_END = """
    WITH card_lock AS MATERIALIZED ({lock}),
    gone AS (
        DELETE FROM call USING card_lock
        WHERE call.card_id = card_lock.id AND call.id = %(call_id)s AND call.hold = %(hold)s {unmoved}
        RETURNING call.*
    ),
    settled AS ({settle}),
    entry AS ({entries}){crossings}{kept_token}
    INSERT INTO cdr (
        card_id, ended_at, id, switch_id, currency, duration_ms, duration_s, billed_s, cost, charged, balance_after,
        cause, flags, {rated}
    )
    SELECT gone.card_id, %(now)s, gone.id, gone.switch_id, %(currency)s, %(duration_ms)s, %(duration_s)s,
        %(billed_s)s, %(cost)s, %(charged)s, settled.balance, %(cause)s, %(flags)s, {gone}
    FROM gone, settled
    RETURNING balance_after
"""


def _end(entries: str, kept_token: str = "", unmoved: str = "", *, crossings: bool = True) -> Statement:
    return Statement(
        _END.format(
            lock=ledger.LOCK_CARD,
            settle=ledger.SETTLE,
            entries=entries,
            crossings=f",\n    {ledger.CALL_CROSSINGS}" if crossings else "",
            kept_token=kept_token,
            unmoved=unmoved,
            rated=_RATED,
            gone=_GONE,
        )
    )


END_WRITE = _end(ledger.SETTLE_ENTRY, crossings=False)
"""End a call whose hold covers its cost: hold released, cost taken, entry and CDR written, call gone; or nothing."""

END_TOKEN_WRITE = _end(ledger.SETTLE_ENTRY, _KEEP_ALIVE, crossings=False)
"""The same for a call that a card_token opened, and which kept it alive."""

END_ENROLLED_WRITE = _end(ledger.SETTLE_ENTRY, _KEEP_ALIVE)
"""The same for a card that auto-recharge rules watch. Most cards have none, and are spared the table of crossings."""

END_OVERRUN_WRITE = _end(ledger.OVERRUN_ENTRIES, _KEEP_ALIVE)
"""The same where the operator bears a part. Run under the card's lock, with a charge computed under it."""

SWEEP_WRITE = _end(
    ledger.SETTLE_ENTRY,
    _KEEP_ALIVE,
    """AND call.sweep_after <= %(now)s AND call.confirmed_s = %(confirmed_s)s
          AND call.answered_at IS NOT DISTINCT FROM %(was_answered_at)s""",
)
"""The same for a call that is overdue, if it still is and nothing was heard of it since it was read."""

READ_FUNDS = Statement("SELECT balance, held FROM card WHERE id = %(card_id)s FOR NO KEY UPDATE")

FIRST_USE_READ = Statement("""
    SELECT c.id, c.expires_at, c.first_used_at, b.validity_from, b.validity_days, b.maintenance_fee, b.maintenance_days
    FROM card c JOIN batch b ON b.id = c.batch_id WHERE c.id = %(card_id)s
""")

SWEEP_READ = Statement("""
    SELECT call.*, TRUE AS live, TRUE AS enrolled, c.balance, c.held, c.currency, c.first_used_at
    FROM call JOIN card c ON c.id = call.card_id
    WHERE call.sweep_after <= %(now)s ORDER BY call.sweep_after LIMIT %(limit)s
""")
