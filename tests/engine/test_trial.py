"""Trial calls: charged to the second like any other, with a password that nobody sees."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.actor import Actor
from engine.calls import trial
from engine.calls.sweep import sweep
from engine.calls.trial import TrialView
from engine.cards import lifecycle
from engine.db import Database
from engine.errors import Conflict, Forbidden, InvalidInput, NotFound
from engine.people import audit, switches
from engine.refusal import Refusal
from engine.schema import Card
from engine.stock import shredding
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, TestCard

RATES = "prefix,destination,price,connect_fee,first_increment,increment\n880,Bangladesh,0.60,0.10,30,6\n"


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    scenes.deck(db, RATES)
    return scenes.card(db, vault, name="May")


def begin(
    db: Database, vault: Vault, card: TestCard, key: str = "form-1", **more: str
) -> TrialView | Refusal:
    asked = {"destination": scenes.BANGLADESH, **more}
    return trial.start(db, vault, serial=card.serial, key=key, actor=OPERATOR, now=NOW, **asked)


def begun(db: Database, vault: Vault, card: TestCard, key: str = "form-1") -> TrialView:
    view = begin(db, vault, card, key)
    assert isinstance(view, TrialView)
    return view


def test_it_costs_more_with_each_block_and_is_charged_exactly(
    db: Database, vault: Vault, card: TestCard
) -> None:
    view = begun(db, vault, card)
    assert (view.live, view.seconds, view.cost, view.next_at) == (True, 0, 0, 1)
    so_far = [trial.show(db, view.call_ref, NOW + timedelta(seconds=s)) for s in (1, 30, 31, 37)]
    assert [one.billed_seconds for one in so_far] == [30, 30, 36, 42]
    assert [one.cost for one in so_far] == [USD("0.40"), USD("0.40"), USD("0.46"), USD("0.52")]
    assert [one.next_at for one in so_far] == [31, 31, 37, 43]
    assert so_far[-1].balance == USD("4.48")
    ended = trial.hang_up(db, view.call_ref, OPERATOR, NOW + timedelta(seconds=37))
    assert (ended.live, ended.cost, ended.billed_seconds, ended.balance) == (
        False,
        USD("0.52"),
        42,
        USD("4.48"),
    )
    assert ended.explanation is not None
    assert "billed as 42 s" in ended.explanation
    row = scenes.facts(db, card)
    assert (row.balance, row.held, row.live_calls) == (USD("4.48"), 0, 0)
    assert row.first_used_at == NOW


def test_hanging_up_twice_or_later_changes_nothing(db: Database, vault: Vault, card: TestCard) -> None:
    view = begun(db, vault, card)
    first = trial.hang_up(db, view.call_ref, OPERATOR, NOW + timedelta(seconds=5))
    assert trial.hang_up(db, view.call_ref, OPERATOR, NOW + timedelta(seconds=90)) == first


def test_the_same_form_is_the_same_call(db: Database, vault: Vault, card: TestCard) -> None:
    assert begun(db, vault, card) == begun(db, vault, card)
    assert len(audit.search(db, action="trial.call").rows) == 1
    with pytest.raises(Conflict, match="key_reused"):
        begin(db, vault, card, destination=scenes.BRITAIN)


def test_it_never_talks_beyond_its_grant_and_left_open_it_is_swept(
    db: Database, vault: Vault, card: TestCard
) -> None:
    view = begun(db, vault, card)
    late = NOW + timedelta(seconds=view.max_seconds + 30)
    assert trial.show(db, view.call_ref, late).seconds == view.max_seconds == 486  # all that five dollars buy
    assert sweep(db, NOW + timedelta(seconds=view.max_seconds + 61)).voided == 1
    left = trial.show(db, view.call_ref, late)
    assert (left.live, left.swept, left.cost) == (False, True, 0)
    assert trial.hang_up(db, view.call_ref, OPERATOR, late) == left


def test_a_card_that_may_not_call_hears_the_reason(db: Database, vault: Vault, card: TestCard) -> None:
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)
    refused = begin(db, vault, card)
    assert isinstance(refused, Refusal)
    assert refused.reason == "locked"
    assert scenes.facts(db, card).held == 0
    assert isinstance(begin(db, vault, card, "form-2", destination="12"), Refusal)


def test_a_bound_card_wants_a_caller(db: Database, vault: Vault, card: TestCard) -> None:
    bound = scenes.card(db, vault, name="Bound", binding="single", auto_bind=True)
    refused = begin(db, vault, bound)
    assert isinstance(refused, Refusal)
    assert refused.reason == "caller_required"
    assert isinstance(begin(db, vault, bound, "form-2", caller="+49 171 1234567"), TrialView)


def test_without_a_password_to_read_there_is_no_trial(db: Database, vault: Vault, card: TestCard) -> None:
    other = scenes.card(db, vault, name="Other")
    lifecycle.reset_password(db, vault, card_id=other.id, actor=OPERATOR, now=NOW)
    shredding.shred(db, "May", OPERATOR, NOW)
    for gone in (card, other):
        with pytest.raises(Conflict, match="trial_no_password"):
            begin(db, vault, gone)
    assert audit.search(db, action="trial.call").rows == []


def test_what_is_typed_is_checked(db: Database, vault: Vault, card: TestCard) -> None:
    for serial in ("", "123", card.number, "99999999993"):
        with pytest.raises(InvalidInput) as refused:
            trial.start(db, vault, serial=serial, destination="1", key="k", actor=OPERATOR, now=NOW)
        assert refused.value.data["field"] == "serial"
    with pytest.raises(InvalidInput):
        begin(db, vault, card, destination="880\n171")
    with pytest.raises(NotFound):
        trial.show(db, "trial-0", NOW)
    with pytest.raises(Forbidden):
        trial.hang_up(db, "trial-0", Actor("staff", 2, "Desk", "support"), NOW)


def test_its_switch_has_no_key_and_whoever_revokes_it_ends_trials(
    db: Database, vault: Vault, card: TestCard
) -> None:
    trial.hang_up(db, begun(db, vault, card).call_ref, OPERATOR, NOW)
    (switch,) = switches.list_switches(db)
    assert (switch.name, switch.keys, switch.trusted_callers) == (trial.SWITCH, (), False)
    switches.revoke_switch(db, trial.SWITCH, OPERATOR, NOW)
    with pytest.raises(Conflict, match="switch_revoked"):
        begin(db, vault, card, "form-2")


def test_a_batch_offers_its_first_card_that_can_pay(db: Database, vault: Vault, card: TestCard) -> None:
    cards = scenes.batch(db, vault, 3, name="June")
    scenes.vouchers(db, vault)
    held = scenes.batch(db, vault, 2, name="Held", release="activation")
    assert [one.name for one in trial.batches(db)] == ["Held", "June", "May"]
    june = trial.batches(db)[1].id
    lifecycle.lock(db, card_id=cards[0].id, reason="Lost", actor=OPERATOR, now=NOW)
    assert trial.usable_card(db, june, NOW) == cards[1].serial
    assert isinstance(begin(db, vault, cards[1]), TrialView)
    assert trial.usable_card(db, june, NOW) == cards[2].serial  # the other is in a call
    with db.begin() as session:
        batch_id = session.get_one(Card, held[0].id).batch_id
    assert trial.usable_card(db, batch_id, NOW) is None
    assert trial.usable_card(db, 999, NOW) is None
    shredding.shred(db, "June", OPERATOR, NOW)
    assert [one.name for one in trial.batches(db)] == ["Held", "May"]


def test_no_password_and_no_number_is_kept_or_shown(db: Database, vault: Vault, card: TestCard) -> None:
    begun(db, vault, card)
    trail = str(audit.search(db, action="trial.call").rows)
    shown = repr(
        trial.prepare(
            db,
            vault,
            serial=card.serial,
            destination=scenes.BANGLADESH,
            caller=None,
            key="x",
            actor=OPERATOR,
            now=NOW,
        )
    )
    for text in (trail, shown):
        assert card.number not in text
        assert card.password not in text
    with db.begin() as session:
        kept = session.connection().exec_driver_sql("SELECT answer::text FROM idempotent_request").all()
    assert card.number not in str(kept)
    assert card.password not in str(kept)
