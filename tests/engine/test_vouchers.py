"""Vouchers: both cards proven, the whole value moved once, and no way to try passwords for free."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.cards import lifecycle
from engine.cards.access import Credentials
from engine.cards.authentication import Authenticated
from engine.cards.status import status_of
from engine.db import Database
from engine.errors import Conflict, InvalidInput
from engine.funds.vouchers import Redeemed
from engine.refusal import Refusal
from engine.schema import Attempt, CardEvent, LedgerEntry, Payment
from engine.vault import Vault
from tests import scenes
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

PHONE = "+8801912345678"


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


@pytest.fixture
def voucher(db: Database, vault: Vault) -> TestCard:
    return scenes.vouchers(db, vault, 1, "10.00")[0]


def reason(answer: Redeemed | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


def attempts(db: Database) -> list[str]:
    with db.begin() as session:
        return list(session.scalars(select(Attempt.reason).order_by(Attempt.id)))


def entries(db: Database, card: TestCard) -> list[tuple[str, str, int, str]]:
    with db.begin() as session:
        rows = session.scalars(
            select(LedgerEntry)
            .where(LedgerEntry.card_id == card.id, LedgerEntry.kind != "opening")
            .order_by(LedgerEntry.id)
        )
        return [(row.kind, row.account, row.amount, row.reference) for row in rows]


# --- the ordinary redemption ---


def test_a_voucher_pays_its_whole_value_into_a_card(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    assert line.redeem(card, voucher) == Redeemed(USD("10"), USD("15"), "USD")
    with db.begin() as session:
        payment = session.scalars(select(Payment)).one()
    assert (payment.method, payment.card_id, payment.voucher_id) == ("voucher", card.id, voucher.id)
    assert (payment.amount, payment.bonus, payment.actor) == (USD("10"), 0, f"switch:{line.switch.id}")
    reference = f"payment:{payment.id}"
    assert entries(db, voucher) == [("voucher", "transfer", USD("-10"), reference)]
    assert entries(db, card) == [("voucher", "transfer", USD("10"), reference)]
    assert status_of(facts(db, voucher), NOW) == "empty"


def test_both_timelines_name_the_other_by_serial_and_never_by_number(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    line.redeem(card, voucher)
    with db.begin() as session:
        told = {event.kind: event for event in session.scalars(select(CardEvent))}
    assert (told["redeem"].card_id, told["redeem"].data["into"]) == (voucher.id, card.serial)
    assert (told["voucher"].card_id, told["voucher"].data["voucher"]) == (card.id, voucher.serial)
    for secret in (voucher.number, voucher.password, card.number):
        assert secret not in "".join(str(event.data) for event in told.values())


def test_a_card_token_and_a_pinless_caller_prove_the_card_too(db: Database, vault: Vault, line: Line) -> None:
    known = scenes.card(db, vault, "0", name="PINless", pinless=True)
    first, second = scenes.vouchers(db, vault, 2, "1.00")
    proven = line.authenticate(known, caller=PHONE)
    assert isinstance(proven, Authenticated)
    assert line.redeem(Credentials(token=proven.card_token), first, key="a") == Redeemed(
        USD("1"), USD("1"), "USD"
    )
    assert line.redeem(Credentials(), second, key="b", caller=PHONE) == Redeemed(USD("1"), USD("2"), "USD")


def test_the_right_password_at_this_door_is_a_first_use_like_any_other(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    line.redeem(card, voucher)
    assert facts(db, card).first_used_at == NOW
    assert facts(db, card).expires_at is not None


def test_a_voucher_is_redeemed_during_a_call(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    line.open(card)
    assert isinstance(line.redeem(card, voucher), Redeemed)
    assert line.later(60).end(seconds=60).balance == USD("15") - USD("0.015")


def test_a_voucher_lets_an_expired_card_live_again_where_its_batch_allows(
    db: Database, vault: Vault, line: Line
) -> None:
    terms: dict[str, Any] = {"validity_from": "generation", "validity_days": 1, "grace_days": 5}
    long_ago = NOW - timedelta(days=3)
    kept = scenes.card(db, vault, name="Kept", now=long_ago, extension_days=30, **terms)
    gone = scenes.card(db, vault, name="Gone", now=long_ago, **terms)
    voucher = scenes.vouchers(db, vault, 1)[0]
    assert reason(line.redeem(gone, voucher, key="a")) == "expired"
    assert isinstance(line.redeem(kept, voucher, key="b"), Redeemed)
    assert facts(db, kept).expires_at == scenes.end_of_utc_day(NOW + timedelta(days=30))
    assert attempts(db) == ["expired"]


# --- once ---


def test_a_voucher_is_used_once(db: Database, line: Line, card: TestCard, voucher: TestCard) -> None:
    line.redeem(card, voucher, key="a")
    assert reason(line.redeem(card, voucher, key="b")) == "voucher_used"
    assert facts(db, card).balance == USD("15")
    assert attempts(db) == ["voucher_used"]


def test_a_repeated_request_gets_the_first_answer_even_when_its_proof_is_dead_by_then(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    proven = line.authenticate(card)
    assert isinstance(proven, Authenticated)
    token = Credentials(token=proven.card_token)
    first = line.redeem(token, voucher)
    lifecycle.lock(db, card_id=card.id, reason="Stolen", actor=OPERATOR, now=NOW)
    assert line.later(3600).redeem(token, voucher) == first
    assert attempts(db) == []


def test_the_same_key_for_something_else_is_a_conflict(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    one, other = scenes.vouchers(db, vault, 2)
    line.redeem(card, one)
    with pytest.raises(Conflict, match="key_reused"):
        line.redeem(card, other)
    with pytest.raises(Conflict, match="key_reused"):
        line.redeem(card, one, password="00000000")
    assert facts(db, other).balance == USD("5")


def test_every_switch_has_keys_of_its_own(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    one, other = scenes.vouchers(db, vault, 2)
    stranger = Line(db, vault, scenes.switch(db, "Other"))
    assert isinstance(line.redeem(card, one), Redeemed)
    assert isinstance(stranger.redeem(card, other), Redeemed)


def test_a_refused_request_leaves_its_key_free(line: Line, card: TestCard, voucher: TestCard) -> None:
    assert reason(line.redeem(card, voucher, password="wrong")) == "bad_credentials"
    assert isinstance(line.redeem(card, voucher), Redeemed)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb"])
def test_a_key_must_be_a_short_visible_text(line: Line, card: TestCard, voucher: TestCard, key: str) -> None:
    with pytest.raises(InvalidInput, match="bad_idempotency_key"):
        line.redeem(card, voucher, key=key)


def test_no_password_can_be_found_in_what_is_kept_of_a_request(
    db: Database, vault: Vault, line: Line, card: TestCard, voucher: TestCard
) -> None:
    line.redeem(card, voucher)
    (kept,) = scenes.kept_requests(db)
    assert len(kept.fingerprint) == 32
    text_kept = f"{kept.scope} {kept.key} {kept.answer} {base64.b64encode(kept.fingerprint)!r}"
    for secret in (card.password, voucher.password, card.number, voucher.number):
        assert secret not in text_kept
    # Another installation's keys give another digest of the same request: it can't be searched for without them.
    from engine.config import Keys
    from engine.funds.vouchers import _fingerprint

    asked = (card.credentials, Credentials(voucher.number, voucher.credentials.password), None)
    stranger = Vault(Keys({1: bytes(32)}, {1: bytes(32)}, bytes(32)))
    assert _fingerprint(vault, *asked) == kept.fingerprint != _fingerprint(stranger, *asked)


def test_racers_on_a_heap_of_vouchers_get_each_of_them_once(db: Database, vault: Vault, line: Line) -> None:
    count = scaled(500, 60)
    cards = scenes.batch(db, vault, 4, "0")
    vouchers = scenes.vouchers(db, vault, count, "1.00")
    tries = [(card, voucher, f"{n}") for voucher in vouchers for n, card in enumerate(cards)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda t: line.redeem(t[0], t[1], key=f"{t[1].serial}-{t[2]}"), tries))
    assert sum(isinstance(answer, Redeemed) for answer in answers) == count
    assert {answer.reason for answer in answers if isinstance(answer, Refusal)} == {"voucher_used"}
    assert sum(facts(db, card).balance for card in cards) == count * USD("1")


def test_racing_duplicates_of_one_request_get_one_answer(db: Database, vault: Vault, line: Line) -> None:
    vouchers = scenes.vouchers(db, vault, scaled(100, 20), "1.00")
    cards = scenes.batch(db, vault, len(vouchers), "5.00")
    with ThreadPoolExecutor(8) as pool:
        for card, voucher in zip(cards, vouchers, strict=True):
            line.authenticate(card)
            ask = partial(line.redeem, card, voucher, key=voucher.serial)
            answers = {asked.result() for asked in [pool.submit(ask) for _ in range(8)]}
            assert answers == {Redeemed(USD("1"), USD("6"), "USD")}
    assert attempts(db) == []


def test_a_reset_between_the_proof_and_the_lock_is_noticed(
    db: Database, vault: Vault, line: Line, card: TestCard, voucher: TestCard
) -> None:
    # The lock is held by somebody who changes the password and lets go: the old proof is worth nothing then.
    with db.raw() as conn, ThreadPoolExecutor(1) as pool:
        conn.execute("SELECT id FROM card WHERE id = %s FOR NO KEY UPDATE", (voucher.id,))
        answer = pool.submit(line.redeem, card, voucher)
        _wait_for_a_waiter(db)
        conn.execute("UPDATE card SET digest = sha256('other') WHERE id = %s", (voucher.id,))
        conn.commit()
        assert reason(answer.result(20)) == "bad_credentials"
    assert facts(db, card).balance == USD("5")


def _wait_for_a_waiter(db: Database) -> None:
    with db.connection() as conn:
        for _ in range(2_000):
            row = conn.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).fetchone()
            if row is not None and row[0]:
                return
            conn.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("nobody waits")


# --- who is refused ---


def test_a_wrong_password_of_card_or_voucher_looks_the_same(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    nobody = TestCard(1, "999999999999", "00000000")
    answers = {
        line.redeem(card.with_password("wrong"), voucher),
        line.redeem(nobody, voucher),
        line.redeem(card, voucher, password="wrong"),
        line.redeem(card, nobody),
    }
    assert answers == {Refusal("bad_credentials")}
    assert attempts(db) == ["wrong_password", "unknown_number", "wrong_password", "unknown_number"]


def test_wrong_voucher_passwords_are_counted_delayed_and_lock_the_voucher(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    for _ in range(4):
        assert reason(line.redeem(card, voucher, password="wrong")) == "bad_credentials"
    throttled = line.redeem(card, voucher)
    assert isinstance(throttled, Refusal)
    assert (throttled.reason, throttled.retry_after_s) == ("throttled", 2)
    for _ in range(16):
        line.later(3600).redeem(card, voucher, password="wrong")
    assert facts(db, voucher).locked_by == "failures"
    assert reason(line.later(3600).redeem(card, voucher)) == "locked"
    assert facts(db, card).locked_at is None


def test_a_redeemed_voucher_forgets_the_failures_before_it(
    db: Database, line: Line, card: TestCard, voucher: TestCard
) -> None:
    for _ in range(3):
        line.redeem(card, voucher, password="wrong")
    assert isinstance(line.redeem(card, voucher), Redeemed)
    with db.begin() as session:
        assert session.scalar(text("SELECT count(*) FROM failure_counter")) == 0


def test_only_a_voucher_pays_and_never_into_a_voucher(
    db: Database, vault: Vault, line: Line, card: TestCard, voucher: TestCard
) -> None:
    other = scenes.vouchers(db, vault, 1, name="Others")[0]
    assert reason(line.redeem(card, card)) == "voucher_not_allowed"
    assert reason(line.redeem(other, voucher)) == "voucher_not_allowed"
    assert reason(line.redeem(voucher, voucher)) == "voucher_not_allowed"
    used = scenes.card(db, vault, "0", name="An empty calling card")
    assert reason(line.redeem(card, used)) == "voucher_not_allowed"


def test_a_voucher_of_another_currency_is_refused(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    voucher = scenes.vouchers(db, vault, 1, currency="EUR")[0]
    assert line.redeem(card, voucher) == Refusal("currency_mismatch", serial=voucher.serial)


@pytest.mark.parametrize("who", ["card", "voucher"])
@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("locked", "locked_at = :now, locked_by = 'staff:1'"),
        ("damaged", "damaged_at = :now, damaged_by = 'staff:1'"),
        ("expired", "expires_at = :now"),
        ("not_activated", "released_at = NULL"),
    ],
)
def test_a_card_or_voucher_in_a_state_that_forbids_it(
    db: Database, line: Line, card: TestCard, voucher: TestCard, who: str, state: str, change: str
) -> None:
    one = card if who == "card" else voucher
    with db.begin() as session:
        session.execute(text(f"UPDATE card SET {change} WHERE id = :id"), {"id": one.id, "now": NOW})
    assert line.redeem(card, voucher) == Refusal(state, serial=one.serial)
    assert (facts(db, card).balance, facts(db, voucher).balance) == (USD("5"), USD("10"))
    with db.begin() as session:
        kept = session.scalars(select(Attempt)).one()
    assert (kept.reason, kept.card_id) == (state, one.id)


def test_a_bound_card_is_recharged_only_from_its_phone(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, binding="single")
    voucher = scenes.vouchers(db, vault)[0]
    assert isinstance(line.authenticate(card, caller=PHONE), Authenticated)
    assert reason(line.redeem(card, voucher, caller="+8801999999999")) == "caller_not_bound"
    assert reason(line.redeem(card, voucher)) == "caller_required"
    assert isinstance(line.redeem(card, voucher, caller=PHONE), Redeemed)
