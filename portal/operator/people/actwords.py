"""Every act in plain words: as it is asked for and allowed ("lock {}"), and as it was done ("locked {}").

`{}` is what it is done to. The audit trail, the consents and the table of roles all say it with these.
"""

from __future__ import annotations

ACTS: dict[str, tuple[str, str]] = {
    # one card
    "card.lock": ("lock {}", "locked {}"),
    "card.unlock": ("unlock {}", "unlocked {}"),
    "card.damage": ("void {}", "voided {}"),
    "card.extend": ("extend the validity of {}", "extended the validity of {}"),
    "card.set_concurrency": ("set how many calls at a time {} may make", "set the calls at a time of {}"),
    "card.reset_password": ("reset the password of {}", "reset the password of {}"),
    "card.bind": ("bind a phone to {}", "bound a phone to {}"),
    "card.unbind": ("take a phone off {}", "took a phone off {}"),
    "card.add_phone": ("register a phone for {}", "registered a phone for {}"),
    "card.remove_phone": ("take a registered phone off {}", "took a registered phone off {}"),
    "card.set_pinless": (
        "let a phone of {} call without password",
        "changed the password rule of a phone of {}",
    ),
    "card.set_speed_dial": ("set a short number of {}", "set a short number of {}"),
    "card.remove_speed_dial": ("clear a short number of {}", "cleared a short number of {}"),
    "card.change_password": ("change their password on {}", "changed their password on {}"),
    "card.recharge": ("recharge {}", "recharged {}"),
    "card.adjust": ("correct the balance of {}", "corrected the balance of {}"),
    "checkout.begin": ("begin an online payment for {}", "began an online payment for {}"),
    "checkout.credit": ("put an online payment onto {}", "put an online payment onto {}"),
    "card.transfer": ("move money from {} to another", "moved money from {} to another"),
    "card.replace": ("replace {}", "replaced {}"),
    "trial.call": ("make a trial call with {}", "made a trial call with {}"),
    # many cards
    "bulk.lock": ("lock many cards at once", "locked many cards at once in {}"),
    "bulk.unlock": ("unlock many cards at once", "unlocked many cards at once in {}"),
    "bulk.damage": ("void many cards at once", "voided many cards at once in {}"),
    "bulk.activate": ("activate many cards at once", "activated many cards at once in {}"),
    "bulk.hold_back": ("hold many cards back at once", "held many cards back at once in {}"),
    "bulk.extend": ("extend many cards at once", "extended many cards at once in {}"),
    "bulk.recharge": ("recharge many cards at once", "recharged many cards at once in {}"),
    "bulk.bind": ("bind phones to many cards at once", "bound phones to many cards at once in {}"),
    "bulk.unbind": ("take phones off many cards at once", "took phones off many cards at once in {}"),
    "bulk.change_deck": ("change the rate deck of many cards", "changed the rate deck of many cards in {}"),
    "bulk.set_concurrency": (
        "set the calls at a time of many cards",
        "set the calls at a time of many cards in {}",
    ),
    "bulk.change_rules": (
        "change the destination rules of many cards",
        "changed the destination rules of many cards in {}",
    ),
    "bulk.assign": ("give many cards to a reseller at once", "gave many cards to a reseller in {}"),
    "bulk.discard": ("write off unused stock", "wrote off unused stock in {}"),
    "bulk.export": ("export cards without passwords to a file", "exported cards without passwords in {}"),
    "bulk.cancel": ("stop a run over many cards", "stopped {}"),
    "bulk.resume": ("let a run over many cards go on", "let {} go on"),
    # money
    "account.open": ("open {}", "opened {}"),
    "account.change": ("change {}, or its credit limit", "changed {}"),
    "account.deposit": ("deposit to {}", "deposited to {}"),
    "account.adjust": ("correct the balance of {}", "corrected the balance of {}"),
    "bonus_rule.add": ("add {}", "added {}"),
    "bonus_rule.disable": ("end {}", "ended {}"),
    "auto_recharge.add": ("add {}", "added {}"),
    "auto_recharge.change": ("change {}", "changed {}"),
    "auto_recharge.enrol": ("put cards under {}", "put cards under {}"),
    "auto_recharge.withdraw": ("take cards from {}", "took cards from {}"),
    # stock
    "batch.create": ("order {}", "ordered {}"),
    "batch.discard": ("give up {} before it is ready", "gave up {}"),
    "batch.resume": ("let the generation of {} go on", "let the generation of {} go on"),
    "batch.stop": ("stop the generation of {}", "stopped the generation of {}"),
    "batch.import": ("bring cards of an older system in as {}", "brought cards of an older system in as {}"),
    "batch.export": ("make a file with the passwords of {}", "made a file with the passwords of {}"),
    "batch.hand_over": (
        "make an encrypted file with the passwords of {}",
        "asked for an encrypted file of {}",
    ),
    "batch.fetch": ("fetch a file of {}", "fetched a file of {}"),
    "batch.shred": ("shred the passwords of {}", "shredded the passwords of {}"),
    "export_template.add": ("add {}", "added {}"),
    "export_template.change": ("change {}", "changed {}"),
    "export_template.remove": ("remove {}", "removed {}"),
    "cards.printed": ("mark cards as printed", "marked {} as printed"),
    "cards.shipped": ("mark cards as shipped", "marked {} as shipped"),
    "cards.sold": ("mark cards as sold", "marked {} as sold"),
    "cards.activate": ("activate cards", "activated {}"),
    "cards.hold_back": ("hold cards back", "held {} back"),
    "stock.assign": ("give cards to a reseller", "gave {} to a reseller"),
    "stock.unassign": ("take cards back from a reseller", "took {} back from a reseller"),
    "stock.activate": ("activate a reseller's cards", "activated {} for a reseller"),
    "stock.sell": ("mark a reseller's cards as sold", "marked {} as sold by a reseller"),
    "stock.return": ("return a reseller's cards", "returned {} for a reseller"),
    "stock.recharge": ("recharge a card at a reseller's till", "recharged {} at a reseller's till"),
    # rates and calls
    "deck.import": ("import rates into {}", "imported rates into {}"),
    "deck.change": ("change prices of {}", "changed prices of {}"),
    "deck.set_buy_deck": ("say what {} is bought at", "said what {} is bought at"),
    "deck.replay": ("price calls once more with {}", "priced calls once more with {}"),
    "deck.cancel_replay": ("stop a replay", "stopped a replay of {}"),
    "destination_group.set": ("change {}", "changed {}"),
    "destination_group.remove": ("remove {}", "removed {}"),
    "destination_rules.add": ("add {}", "added {}"),
    "destination_rules.change": ("change {}", "changed {}"),
    "access_number.add": ("list {}", "listed {}"),
    "access_number.change": ("change {}", "changed {}"),
    "access_number.disable": ("disable {}", "disabled {}"),
    "access_number.enable": ("enable {}", "enabled {}"),
    "call.end": ("end a live call", "ended a call of {}"),
    "call.resolve": ("settle a flagged call", "settled {}"),
    "report.export": ("export a list they may see", "exported a list"),
    "report.cancel": ("stop an export of their own", "stopped an export"),
    # people and machines
    "staff.add": ("add {}", "added {}"),
    "staff.change": ("change the name or role of {}", "changed the name or role of {}"),
    "staff.disable": ("disable {}", "disabled {}"),
    "staff.enable": ("enable {} again", "enabled {} again"),
    "staff.reset_password": ("reset the password of {}", "reset the password of {}"),
    "staff.reset_totp": ("take the second factor of {} away", "took the second factor of {} away"),
    "staff.end_sessions": ("end the log-ins of {}", "ended log-ins of {}"),
    "staff.log_in": ("log in", "logged in"),
    "staff.change_password": ("change their own password", "changed their own password"),
    "staff.totp_on": ("set up a second factor", "set up a second factor"),
    "staff.totp_off": ("give up their second factor", "gave up their second factor"),
    "staff.recovery_codes": ("make new recovery codes", "made new recovery codes"),
    "reseller.add": ("add {}", "added {}"),
    "reseller.change": ("change {}", "changed {}"),
    "reseller.disable": ("disable {}", "disabled {}"),
    "reseller.enable": ("enable {} again", "enabled {} again"),
    "reseller_person.add": ("add {}", "added {}"),
    "reseller_person.change": ("change the name or role of {}", "changed the name or role of {}"),
    "reseller_person.disable": ("disable {}", "disabled {}"),
    "reseller_person.enable": ("enable {} again", "enabled {} again"),
    "reseller_person.reset_password": ("reset the password of {}", "reset the password of {}"),
    "reseller_person.reset_totp": ("take the second factor of {} away", "took the second factor of {} away"),
    "reseller_person.end_sessions": ("end the log-ins of {}", "ended log-ins of {}"),
    "reseller_person.log_in": ("log in at a reseller", "logged in"),
    "reseller_person.change_password": ("change their own password", "changed their own password"),
    "reseller_person.totp_on": ("set up a second factor", "set up a second factor"),
    "reseller_person.totp_off": ("give up their second factor", "gave up their second factor"),
    "reseller_person.recovery_codes": ("make new recovery codes", "made new recovery codes"),
    "brand.set": ("change the brand of {}", "changed the brand of {}"),
    "brand.remove_logo": ("remove the logo of {}", "removed the logo of {}"),
    "brand.remove": ("remove the brand of {}", "removed the brand of {}"),
    "switch.add": ("add {}", "added {}"),
    "switch.change": ("change {}", "changed {}"),
    "switch.rotate": ("make a new key for {}", "made a new key for {}"),
    "switch.finish_rotation": ("end the old key of {}", "ended the old key of {}"),
    "switch.revoke_key": ("end a key of {}", "ended a key of {}"),
    "switch.revoke": ("revoke {}", "revoked {}"),
    "setting.set": ("change {}", "changed {}"),
    "consent.ask": ("ask for a second person's consent", "asked for {}"),
    "consent.decide": ("decide what others ask consent for", "decided {}"),
    "audit.export_head": ("export the head of the audit trail", "exported the head of {}"),
    "audit.verify": ("verify the audit trail", "verified {}"),
    "alarm.clear": ("close {}", "closed {}"),
    "job.run": ("run {} out of turn", "ran {} out of turn"),
    "job.pause": ("pause {}", "paused {}"),
    "job.continue": ("let {} go on", "let {} go on"),
}
LOOKS = {
    "me.see": "their own log-in, password and second factor",
    "cards.see": "cards",
    "calls.see": "calls",
    "batches.see": "batches",
    "decks.see": "rates",
    "money.see": "money: payments, ledger, accounts",
    "resellers.see": "resellers",
    "settings.see": "settings, switches and access numbers",
    "jobs.see": "background work and the timetable",
    "people.see": "staff and their log-ins",
    "audit.see": "the audit trail",
}
"""What a role may look at."""
NOUNS = {
    "access_number": "an access number",
    "account": "an account",
    "alarm": "an alarm",
    "audit": "the audit trail",
    "auto_recharge": "an auto-recharge rule",
    "batch": "a batch",
    "bonus_rule": "a bonus rule",
    "brand": "the operator or a reseller",
    "bulk": "a run",
    "call": "a call",
    "card": "a card",
    "cards": "cards",
    "checkout": "an online payment",
    "consent": "a consent",
    "deck": "a rate deck",
    "destination_group": "a destination group",
    "destination_rules": "destination rules",
    "export_template": "an export template",
    "job": "a job",
    "reseller": "a reseller",
    "reseller_person": "a reseller's person",
    "run": "a run",
    "setting": "a setting",
    "staff": "a member of staff",
    "stock": "cards",
    "switch": "a switch",
    "trial": "a card",
    "work": "background work",
}
"""What an act is done to, where it isn't said which."""
SECTIONS = (
    ("One card", ("card", "trial")),
    ("Many cards at once", ("bulk",)),
    ("Batches and stock", ("batch", "cards", "stock", "export_template")),
    (
        "Rates, calls and access numbers",
        ("deck", "destination_group", "destination_rules", "access_number", "call"),
    ),
    ("Money", ("checkout", "account", "bonus_rule", "auto_recharge")),
    ("Resellers", ("reseller", "reseller_person")),
    (
        "People, rules and machines",
        ("staff", "consent", "setting", "brand", "switch", "audit", "alarm", "job", "report"),
    ),
)
"""Acts by the beginning of their names, in the order of the console."""
ROLES = {
    "admin": ("Administrator", "Everything, people and settings included."),
    "operator": ("Operator", "Runs the house: cards, batches, rates, resellers, recharges."),
    "support": ("Support", "Helps cardholders: locks, unlocks, extends, binds, replaces, ends calls."),
    "finance": ("Finance", "Money: accounts, deposits, corrections, bonus and recharge rules, consents."),
    "auditor": ("Auditor", "Sees everything and changes nothing."),
}
SHOP_ROLES = {
    "owner": ("Owner", "Sells, recharges, and manages the reseller's people."),
    "clerk": ("Clerk", "Sells and recharges at the till."),
}


def asked_words(action: str) -> str:
    """An act as it is asked for, with a noun for what it is done to: `lock a card`."""
    return _words(action, 0)


def done_words(action: str) -> str:
    """An act as it was done: `locked a card`."""
    return _words(action, 1)


def _words(action: str, tense: int) -> str:
    noun = NOUNS.get(action.split(".")[0], "something")
    both = ACTS.get(action)
    return f"{action.replace('.', ' ').replace('_', ' ')}" if both is None else both[tense].format(noun)
