"""The cardholder's way in at a browser: what each state answers, and the limits it shares with every other door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from engine.cards.authentication import MOST_SOURCES, Authenticated
from engine.cards.weblogin import CardProof, log_in_card
from engine.db import Database
from engine.people import sessions
from engine.refusal import Refusal
from engine.schema import Attempt, CardEvent, KnownSource
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, USD, Line, TestCard, facts

HERE, ELSEWHERE = "203.0.113.9", "198.51.100.7"
HOME, OTHER = "browser-of-the-owner", "browser-of-somebody"
WRONG = "0" * 8
BAD = Refusal("bad_credentials")


class Web:
    """Browsers with a clock."""

    def __init__(self, db: Database, vault: Vault, now: datetime = NOW) -> None:
        self.db, self.vault, self.now = db, vault, now

    def later(self, seconds: float) -> Web:
        self.now += timedelta(seconds=seconds)
        return self

    def log_in(
        self,
        card: TestCard,
        password: str | None = None,
        *,
        address: str = HERE,
        browser: str | None = HOME,
    ) -> CardProof | Refusal:
        secret = Secret(card.password if password is None else password)
        return log_in_card(self.db, self.vault, card.number, secret, address, browser, self.now)

    def fail(self, card: TestCard, times: int, *, address: str = HERE, browser: str | None = OTHER) -> None:
        """Wrong passwords, each as soon as the delays before it are over."""
        for _ in range(times):
            while (answer := self.log_in(card, WRONG, address=address, browser=browser)) != BAD:
                assert isinstance(answer, Refusal)
                assert answer.reason == "throttled"
                self.later(answer.retry_after_s or 0)


@pytest.fixture
def web(db: Database, vault: Vault) -> Web:
    scenes.deck(db)
    return Web(db, vault)


@pytest.fixture
def card(db: Database, vault: Vault, web: Web) -> TestCard:
    return scenes.card(db, vault)


def ok(answer: CardProof | Refusal) -> CardProof:
    assert isinstance(answer, CardProof), answer
    return answer


def reason(answer: CardProof | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


# --- what each state answers ---


def test_the_right_password_proves_a_card_and_starts_no_validity(
    db: Database, web: Web, card: TestCard
) -> None:
    proof = ok(web.log_in(card))
    assert proof == CardProof(
        proof.session,
        card.id,
        card.serial,
        "unused",
        USD("5"),
        USD("5"),
        "USD",
        expires_at=None,
        language=proof.language,
    )
    assert (facts(db, card).first_used_at, facts(db, card).expires_at) == (None, None)
    assert isinstance(Line(db, web.vault, scenes.switch(db)).authenticate(card), Authenticated)
    assert ok(web.log_in(card)).status == "active"


def test_an_unknown_number_and_a_wrong_password_get_the_same_message(
    db: Database, web: Web, card: TestCard
) -> None:
    nobody = TestCard(0, "999999999999", WRONG)
    assert web.log_in(card, WRONG) == web.log_in(nobody) == BAD
    with db.begin() as session:
        kept = session.execute(
            select(Attempt.door, Attempt.source, Attempt.reason, Attempt.card_id).order_by(Attempt.id)
        ).all()
    assert kept == [
        ("web", f"address:{HERE}", "wrong_password", card.id),
        ("web", f"address:{HERE}", "unknown_number", None),
    ]


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("locked_at = :now, locked_by = 'staff:1'", "locked"),
        ("damaged_at = :now, damaged_by = 'staff:1'", "damaged"),
        ("released_at = NULL", "not_activated"),
    ],
)
def test_a_state_that_keeps_its_holder_out_is_told_only_to_the_right_password(
    db: Database, web: Web, card: TestCard, change: str, answer: str
) -> None:
    ok(web.log_in(card))
    with db.begin() as session:
        session.execute(text(f"UPDATE card SET {change}"), {"now": NOW})
    assert web.log_in(card) == Refusal(answer, serial=card.serial)
    assert web.log_in(card, WRONG) == BAD


def test_an_expired_card_lets_in_within_its_grace_and_an_empty_one_always(
    db: Database, vault: Vault, web: Web
) -> None:
    card = scenes.card(db, vault, name="Grace", validity_days=10, grace_days=3)
    line = Line(db, vault, scenes.switch(db))
    line.authenticate(card)
    web.now = datetime(2026, 12, 1, tzinfo=UTC)
    assert ok(web.log_in(card)).status == "expired"
    web.now = datetime(2026, 12, 4, tzinfo=UTC)
    assert reason(web.log_in(card)) == "expired"
    assert ok(web.log_in(scenes.card(db, vault, "0", name="Empty"))).status == "empty"


def test_a_voucher_has_no_pages(db: Database, vault: Vault, web: Web) -> None:
    assert reason(web.log_in(scenes.vouchers(db, vault)[0])) == "voucher_not_allowed"


def test_a_card_bound_to_a_phone_lets_its_holder_in_and_binds_nothing(
    db: Database, vault: Vault, web: Web
) -> None:
    card = scenes.card(db, vault, name="Bound", binding="single")
    ok(web.log_in(card))
    with db.begin() as session:
        assert session.scalar(text("SELECT count(*) FROM binding")) == 0


# --- limits ---


def test_an_address_may_fail_ten_times_a_minute_on_whatever_numbers(
    db: Database, vault: Vault, web: Web
) -> None:
    cards = scenes.batch(db, vault, 12)
    answers = [web.log_in(card, WRONG, browser=None) for card in cards]
    assert answers == [BAD] * 10 + [Refusal("throttled", retry_after_s=60)] * 2
    assert reason(web.log_in(cards[11], browser=None)) == "throttled", "not even the right one is heard"
    ok(web.log_in(cards[11], address=ELSEWHERE))
    assert web.later(60).log_in(cards[10], WRONG) == BAD


def test_of_two_people_behind_one_address_the_one_who_was_right_before_is_not_held_up(
    db: Database, vault: Vault, web: Web
) -> None:
    mine, *theirs = scenes.batch(db, vault, 12)
    ok(web.log_in(mine, browser=HOME))
    for card in theirs:
        web.log_in(card, WRONG, browser=OTHER)
    assert reason(web.log_in(mine, browser=OTHER)) == "throttled"
    assert ok(web.log_in(mine, browser=HOME)).card_id == mine.id
    assert reason(web.log_in(theirs[0], browser=HOME)) == "throttled", (
        "known on one card is known on that one"
    )


def test_a_known_browser_has_a_quota_of_its_own_and_it_is_one(web: Web, card: TestCard) -> None:
    ok(web.log_in(card))
    answers = [reason(web.log_in(card, WRONG)) for _ in range(6)]
    assert answers == ["bad_credentials"] * 4 + ["throttled"] * 2
    ok(web.log_in(card, browser=OTHER))  # what the owner mistyped delays nobody else


def test_one_line_of_ipv6_is_one_source(db: Database, vault: Vault, web: Web) -> None:
    cards = scenes.batch(db, vault, 12)
    answers = [
        web.log_in(card, WRONG, address=f"2001:db8:1:2:{n:x}::1", browser=None)
        for n, card in enumerate(cards)
    ]
    assert [answer == BAD for answer in answers] == [True] * 10 + [False] * 2
    assert web.log_in(cards[11], WRONG, address="2001:db8:1:3::1") == BAD


def test_an_ipv4_address_is_the_same_however_it_is_written(db: Database, vault: Vault, web: Web) -> None:
    cards = scenes.batch(db, vault, 11)
    for card in cards[:10]:
        web.log_in(card, WRONG, address=f"::ffff:{HERE}")
    assert reason(web.log_in(cards[10], WRONG, address=HERE)) == "throttled"


def test_delays_of_a_number_hold_at_every_door(db: Database, vault: Vault, web: Web, card: TestCard) -> None:
    web.fail(card, 4)
    line = Line(db, vault, scenes.switch(db))
    assert line.authenticate(card) == Refusal("throttled", retry_after_s=2)


def test_a_lock_by_wrong_passwords_goes_where_the_browser_was_right_before_and_nowhere_else(
    db: Database, web: Web, card: TestCard
) -> None:
    ok(web.log_in(card))
    cookie = sessions.open_session(db, "cardholder", card.id, None, NOW)
    web.fail(card, 20)
    assert facts(db, card).locked_by == "failures"
    assert sessions.find_session(db, "cardholder", cookie, NOW) is None
    web.later(7_200)
    assert web.log_in(card, browser=OTHER) == Refusal("locked", serial=card.serial)
    ok(web.log_in(card, browser=HOME))
    assert facts(db, card).locked_at is None
    with db.begin() as session:
        kinds = session.scalars(select(CardEvent.kind).order_by(CardEvent.id)).all()
    assert kinds[-2:] == ["lock", "unlock"]


def test_of_a_browsers_id_only_a_digest_is_kept(db: Database, web: Web, card: TestCard) -> None:
    ok(web.log_in(card))
    ok(web.log_in(card, browser=None))
    with db.begin() as session:
        sources = session.scalars(select(KnownSource.source)).all()
    assert [source.split(":")[0] for source in sources] == ["browser"]
    assert HOME not in sources[0]


def test_of_browsers_that_change_their_id_a_card_knows_the_newest(
    db: Database, web: Web, card: TestCard
) -> None:
    phone = Line(db, web.vault, scenes.switch(db))
    assert isinstance(phone.authenticate(card, caller="442079460000"), Authenticated)
    ok(web.log_in(card))
    for number in range(MOST_SOURCES + 5):
        ok(web.later(1).log_in(card, browser=f"changing-browser-{number}"))
    kept = known(db)
    assert len(kept) == MOST_SOURCES + 1
    assert kept[0].startswith("caller:"), "they crowd no phone out"
    ok(web.log_in(card))
    assert len(known(db)) == MOST_SOURCES + 1


def known(db: Database) -> list[str]:
    """The sources that any card knows, the oldest first."""
    with db.begin() as session:
        return list(session.scalars(select(KnownSource.source).order_by(KnownSource.first_right_at)))


@pytest.mark.parametrize("unfit", ["", "\x00", "not an address", "9" * 10_000])
def test_an_address_that_is_none_is_limited_like_one(
    db: Database, vault: Vault, web: Web, unfit: str
) -> None:
    cards = scenes.batch(db, vault, 11)
    answers = [web.log_in(card, WRONG, address=unfit, browser=None) for card in cards]
    assert [answer == BAD for answer in answers] == [True] * 10 + [False]
