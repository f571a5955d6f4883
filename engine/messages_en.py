"""The catalogue of `engine.messages`: code to sentence, or to several sentences, the most particular first.

`{field:label}` is the field to blame in words, `{amount:amount}` micro-units as a decimal, `{seconds:wait}` a time to
wait. A sentence says what is wrong and, where that isn't plain, what to do.
"""

from __future__ import annotations

from typing import TypeAlias

Sentences: TypeAlias = dict[str, str | tuple[str, ...]]

REASONS: Sentences = {
    "bad_credentials": "The number or the password is not right.",
    "throttled": (
        "There were too many tries; try again in {retry_after_s:wait}.",
        "There were too many tries; wait a little and try again.",
    ),
    "locked": "The card is locked.",
    "expired": "The card has expired.",
    "damaged": "The card was voided and can't be used any more.",
    "empty": (
        "Fill in the {field:label}.",
        "Give an amount{text}, such as 5.00.",
        "There is nothing left on the card.",
    ),
    "not_activated": "The card is not activated yet.",
    "caller_not_bound": "The card can't be used from this phone.",
    "caller_required": "The card works only from a phone that shows its number.",
    "too_many_calls": "The card is in use for another call.",
    "destination_invalid": "That is not a number that can be called.",
    "destination_unknown": "There is no rate for this destination.",
    "destination_barred": "The card can't be used for this destination.",
    "insufficient_balance": "The balance is too low for this.",
    "voucher_used": "The voucher was used before.",
    "voucher_not_allowed": "The card can't be used for this; it is a voucher, or takes none.",
    "currency_mismatch": ("The currencies differ: {text}.", "The currencies differ."),
}

ENGINE: Sentences = {
    "unavailable": "The database can't be reached, or can't write now; try again in a few seconds.",
    "busy": "Too much is going on with this card at once; try again.",
    "pepper_missing": "The key (pepper) of version {version} is missing; without it these passwords can't be checked.",
    "seal_broken": "A sealed password can't be opened: it was changed, or belongs to another card.",
    "master_key_missing": "The master key of version {version} is missing; without it sealed passwords stay closed.",
    "work_not_found": "There is no such work.",
    "job_not_found": ("There is no job named {name}.", "There is no such job."),
    "alarm_not_found": "There is no such alarm.",
    "unknown_group": (
        "This can't be grouped by {value}; choose one of {known}.",
        "This can't be grouped so.",
    ),
    "not_permitted": "Your role doesn't allow this. Ask somebody whose role does.",
    "work_not_stopped": "This work has not failed and was not cancelled; there is nothing to go on with.",
    "work_cancelled": "The work was cancelled.",
    "work_lost": "Somebody else goes on with this work.",
    "work_interrupted": "The work was interrupted; it goes on as soon as somebody takes it.",
    "work_given_up": "It ended {attempts} times without a word and without getting on; the machine may lack memory.",
    "work_crashed": "Something went wrong inside Cardtone; the log of the jobs says where.",
    "unknown_setting": "There is no setting named {field}.",
    "bad_setting": ("The setting {field} can't be {value}.", "This setting can't have that value."),
    "setting_out_of_range": "The setting {field} must be between {low} and {high}.",
    "unknown_zone": "There is no time zone {value}; names look like Europe/London.",
}

VALUES: Sentences = {
    "too_long": "The {field:label} is too long; {high} characters at most.",
    "too_small": ("The {field:label} must be at least {low}.", "This is too small."),
    "too_large": (
        "The {field:label} must be at most {high}.",
        "The {field:label} is too large: {text}.",
        "{text} is too large.",
        "This is too large.",
    ),
    "too_fine": (
        "The {field:label} has more than six decimals: {text}.",
        "{text} has more than six decimals.",
    ),
    "not_a_number": (
        "The {field:label} is not a plain number: {text}.",
        "The {field:label} must be a whole number.",
        "{text} is not a plain number.",
    ),
    "comma": (
        "Write the {field:label} with a point for the decimals, not a comma: {text}.",
        "Write {text} with a point for the decimals, not a comma.",
    ),
    "negative": ("The {field:label} can't be negative: {text}.", "{text} is negative; that can't be."),
    "currency": "{text} is not a currency in use; give its three capital letters, such as USD.",
    "not_a_choice": "The {field:label} must be one of {allowed}.",
    "not_digits": "The {field:label} may hold digits only.",
    "control_character": "The {field:label} holds a control character ({character}); type it again without.",
    "invisible_character": "The {field:label} holds an invisible character ({character}); type it again without.",
    "name_taken": ("The name {name} is taken; choose another.", "This name is taken; choose another."),
    "bad_language": (
        "{value} is not a language; write it like en or pt-BR.",
        "That is not a language; write it like en or pt-BR.",
    ),
}

PEOPLE: Sentences = {
    "bad_key": "The key is not known, or was revoked.",
    "bad_address": "{value} is not an address or network; write it like 10.0.0.7 or 10.0.0.0/8.",
    "bad_login": "The login may hold small letters, digits, points, dashes and underscores.",
    "login_taken": "There is somebody with the login {login} already.",
    "staff_not_found": ("There is nobody with the login {login}.", "There is no such person."),
    "last_admin": "This is the last administrator; make somebody else one first.",
    "unknown_role": "There is no role {value}.",
    "already_disabled": "{login} is disabled already.",
    "not_disabled": "{login} is not disabled.",
    "password_short": "The password is too short; use at least {least} characters.",
    "password_long": "The password is too long; use at most {most} characters.",
    "password_guessable": "This password is easy to guess; choose another.",
    "switch_exists": "There is a switch named {name} already.",
    "switch_revoked": "The switch {name} was revoked; its name can't be used again.",
    "switch_not_found": "There is no switch named {name}.",
    "two_keys_live": "The switch {name} has two keys already; finish that change first.",
    "key_not_found": "The switch {name} has no key that begins with {prefix}.",
    "person_not_found": "There is no such person.",
    "reseller_person_not_found": ("There is nobody with the login {login}.", "There is no such person."),
    "reseller_not_found": ("There is no reseller named {name}.", "There is no such reseller."),
    "reseller_disabled": "The reseller {name} is disabled.",
    "last_owner": "This is the reseller's last owner; make somebody else one first.",
    "totp_on": "There is a second factor already; take it off first.",
    "totp_off": "There is no second factor.",
    "totp_not_begun": "Begin with a new secret first.",
    "totp_code": "That code is not right; wait for the next one and check the clock of the phone.",
    "totp_required": "You need a second factor to log in; ask whoever runs Cardtone to set one up with you.",
    "ticket_over": "That took too long; log in again.",
    "proof_over": "Your password or second factor was changed just now; log in again.",
    "not_proven": "The log-in name, password or code is not right.",
    "bad_facts": "Give the facts as a JSON object, as the refused command told them with --json.",
    "bad_head": "This is not a head that `cardtone audit head` wrote.",
    "unknown_action": "{value} is not something that can be consented to.",
    "consent_needed": "A second person must agree to this first; ask for their consent.",
    "consent_at_console": "A second person must agree to this, and the first must be known: ask for their consent with"
    " `cardtone consents ask`, and when they agreed run this again with --as-me.",
    "consent_asked_by_person": "Prove who you are to ask for consent; the command line by itself can't.",
    "consent_one_hand": "Who asked made or changed your log-in in the last {days} days, or you theirs, or one person"
    " both of them; somebody else must decide.",
    "consent_not_found": "There is no such consent.",
    "consent_own": "You asked for this yourself; somebody else must decide.",
    "consent_by_person": "A member of staff must decide this and prove who they are.",
    "consent_decided": ("{name} decided this before.", "This was decided before."),
    "consent_expired": "This was asked too long ago; ask again.",
    "use_own_way": "This is your own log-in; your old password or a code changes what proves it, on your own page.",
    "chain_empty": "There is nothing in the chain of the audit trail yet; it grows within seconds.",
}

CARDS: Sentences = {
    "card_not_found": "There is no such card.",
    "account_not_found": "There is no such account, or it was closed.",
    "account_exhausted": "The account has not enough credit left. Deposit to it, or raise its limit, and try again.",
    "bad_filter": "What was searched for can't be read ({field}); search again.",
    "bad_cursor": "This page of the list can't be found again; begin at its first page.",
    "bad_date": (
        "{value} is not a date; write it like 2026-11-30, or with a time like 2026-11-30 14:00.",
        "That is not a date; write it like 2026-11-30.",
    ),
    "number_or_serial": "Search for a number or for serials, not for both.",
    "nothing_to_extend": "The card has no expiry date yet; its validity begins with its first use, or never ends.",
    "bad_caller": "{value} is not a caller; write it like +14155550123.",
    "binding_off": "The cards of the batch {name} are not bound to callers.",
    "binding_full": "The card has all the callers it may have ({high}); take one off first.",
    "pinless_off": "The cards of the batch {name} always ask for their password.",
    "pinless_elsewhere": (
        "This caller uses the card {serial} without a password; take it off there first.",
        "This caller uses another card without a password; take it off there first.",
    ),
    "bad_serial": (
        "The last digit of the serial {mistyped} does not fit the others; one of them may be mistyped.",
        "{serial} is not a serial; it has 11 digits.",
        "That is not a serial; it has 11 digits.",
    ),
}

FUNDS: Sentences = {
    "amount_zero": "The {field:label} can't be zero.",
    "amount_too_small": "The {field:label} must be more than zero.",
    "amount_too_large": "The {field:label} is too large; a card can have {high:amount} at most.",
    "key_reused": "This key was used before for something else; use a new one.",
    "bad_idempotency_key": "The key must have 1 to {high} visible characters.",
    "account_exists": "This reseller has an account in this currency already.",
    "account_owes": "The account owes {amount:amount} already; its limit can't be lower than that.",
    "account_not_empty": "The account has a balance of {amount:amount}; bring it to zero before you close it.",
    "account_in_use": "The auto-recharge rule {name} pays from this account; disable it or change it first.",
    "account_not_funding": "Auto-recharge is paid from a funding account, and this one is a reseller's.",
    "reseller_missing": "Name the reseller for a reseller's account, and none for a funding account.",
    "bonus_missing": "Say what the rule gives: a percentage, a fixed sum, or both.",
    "bonus_backwards": "The rule ends before it begins.",
    "bonus_rule_not_found": ("There is no bonus rule named {name}.", "There is no such bonus rule."),
    "auto_recharge_not_found": (
        "There is no auto-recharge rule named {name}.",
        "There is no such auto-recharge rule.",
    ),
    "limit_under_amount": "The {field:label} is less than one recharge; the rule could never recharge a card.",
    "rule_for_whom": "Give a filter that says for which cards the rule is; one that asks for nothing fits every card.",
    "same_card": "Both are the same card.",
    "already_replaced": ("The card was replaced by {serial} already.", "The card was replaced already."),
    "too_many_cards": "That is more than {high} cards at once.",
}

CALLS: Sentences = {
    "call_not_found": "There is no such call.",
    "call_ref_conflict": "This call_ref was used before for another call.",
    "call_ended": "The call has ended.",
    "end_too_late": "The end of the call came too late; its charge stands.",
    "answered_before_start": "The call can't have been answered before it was authorized.",
}

DECKS: Sentences = {
    "deck_not_found": ("There is no deck named {deck}.", "There is no such deck."),
    "deck_required": "Name a deck.",
    "deck_currency": (
        "The deck is in {deck} and not in {currency}; choose another deck or currency.",
        "The deck has another currency.",
    ),
    "deck_currency_fixed": "The deck {deck} is in {kept} since it was made; {asked} needs a deck of its own.",
    "deck_settings_fixed": (
        "The deck {deck} has the {field:label} {kept} since it was made; leave it out, or make a new deck."
    ),
    "deck_not_in_force": "The deck {deck} has no version in force on {at}.",
    "deck_file_refused": (
        "Nothing was imported. Problems in {filename}: {count}.",
        "Nothing was imported: the file has problems.",
    ),
    "deck_version_not_found": "There is no such version of a deck.",
    "deck_moved_on": "Somebody changed the deck {deck} since you looked at it; look at what would change again.",
    "change_missing": "Say by how much the prices change: a percentage, an amount, or both.",
    "change_percent_far": "The percentage must be between -100 and 1,000.",
    "change_fits_nothing": "No rate of the deck fits this.",
    "change_does_nothing": "No price would change; perhaps the change is lost in the rounding.",
    "price_too_large": "A price would be larger than any call could be charged.",
    "buy_deck_itself": "A deck can't buy at its own prices; choose another.",
    "buy_deck_currency": "The buy deck is in {found}, but the prices to compare are in {currency}.",
    "buy_deck_missing": (
        "The deck {deck} names no buy deck that has rates; name one first.",
        "There is no buy deck with rates; name one first.",
    ),
    "replay_not_found": "There is no such replay.",
    "period_reversed": "The period ends before it begins.",
    "period_too_long": "The period is too long; {days} days at most.",
    "period_in_future": "The period has not begun yet.",
    "effective_from_past": (
        "The deck can't be in force from {value}, which has passed; leave the date out to use it from now on."
    ),
    "effective_from_far": "The deck can't begin after the year {last}.",
    "bad_precision": "A charge can keep 0 to 6 decimals.",
    "bad_rounding": "The rounding must be one of {allowed}.",
    "bad_prefix": "{value} is not a prefix; it has 1 to 15 digits.",
    "prefixes_missing": "Give at least one prefix.",
    "group_is_built_in": "The group {name} is built in; choose another name.",
    "group_not_found": "There is no group named {name}.",
    "group_in_use": "The group {name} is used by the rules {rules}; change those first.",
    "unknown_group": "There is no group {name}; there are {known}.",
    "nothing_allowed": "Rules that allow nothing would bar every call; name a group, or allow all that isn't barred.",
    "rules_exist": "There are rules named {name} already.",
    "rules_not_found": "There are no rules named {name}.",
    "bad_access_number": "{value} is not an access number; it has 3 to 15 digits.",
    "bad_country": "{value} is not a country; give its two letters, such as GB.",
    "bad_surcharge": "The {field:label} must be between 0 and 1,000,000.",
    "access_number_exists": "The access number {number} is listed already.",
    "access_number_not_found": "The access number {number} is not listed.",
    "access_number_disabled": "The access number {number} is disabled already.",
    "access_number_enabled": "The access number {number} is not disabled.",
}

STOCK: Sentences = {
    "batch_not_found": "There is no batch named {name}.",
    "batch_discarded": "The batch {name} was discarded.",
    "installation_used": "Somebody works with this installation already; a demo world is made only in an unused one.",
    "demo_books_wrong": "The books of the demo world are wrong in {count} places.",
    "batch_ready": "The batch {name} is ready; it can't be discarded.",
    "serials_used_up": "There are only {left} serials left.",
    "batch_not_ready": "The batch {name} is not ready yet.",
    "batch_shredded": "The passwords of the batch {name} were shredded; nobody can read them any more.",
    "batch_moved_on": "The batch was changed meanwhile; look at it again.",
    "cards_missing": "Cards of the batch {name} are missing; run `cardtone verify`.",
    "cards_not_found": "{count} serials of the range belong to no card.",
    "range_too_long": "The range is too long; {high} serials at most.",
    "range_too_dear": "The cards of the range cost too much at once; take a shorter range.",
    "mixed_currencies": "The range holds cards in {currencies}; take one currency at a time.",
    "not_their_stock": (
        "{count} cards of the range are not in the stock of {name}; assign them first, or take another range."
    ),
    "no_reseller_account": "{name} has no account in {currency}; open one first.",
    "reseller_unnamed": "Say which reseller it is for.",
    "discount_out_of_range": "The discount must be between 0 and 100 percent, with at most two decimals.",
    "already_issued": (
        "The passwords of the batch {name} were exported on {at}; to export them again, say why.",
        "The passwords of the batch {name} were exported before; to export them again, say why.",
    ),
    "card_file_refused": (
        "Nothing was imported: {count} problems in {filename}.",
        "Nothing was imported: the file has problems.",
    ),
    "numbers_exist": "Nothing was imported: some of the numbers were given to other cards just now; try again.",
    "unknown_format": "The format must be one of {allowed}.",
    "not_a_file": "{path} is not a place for a file.",
    "reason_missing": "Say why.",
    "export_not_placed": "The file could not be put at {path}: {why}.",
    "unknown_deck": "There is no deck named {name}.",
    "deck_missing": "Name the deck that the cards are charged by.",
    "unknown_rules": "There are no destination rules of that name.",
    "unknown_reseller": "There is no reseller of that name.",
    "space_full": "There are only {free} free numbers; {wanted} are wanted.",
    "space_too_full": (
        "{count} cards would fill too much of these numbers, which makes them easy to guess; "
        "there is room for {free}. Use longer numbers or a shorter prefix.",
    ),
    "max_bound_missing": "Say how many callers a card may be bound to.",
    "maintenance_days_missing": "Say every how many days the maintenance fee is taken.",
    "prefix_too_long": "The prefix leaves no digits free in numbers of {length}.",
    "too_many_free_digits": "Too many digits are left free; {high} at most.",
    "range_incomplete": "Give both ends of the range.",
    "not_a_card_number": "That is not a card number; use 4 to 32 digits.",
    "range_or_prefix": "Give a range or a prefix, not both.",
    "range_lengths_differ": "Both ends of the range must have the same number of digits.",
    "range_backwards": "The range ends before it begins.",
    "range_too_small": "The range has only {size} numbers.",
    "no_columns": "Choose at least one column.",
    "unknown_column": "There is no column “{value}”.",
    "column_repeated": "A column stands in the file twice; each can be there once.",
    "widths_incomplete": "Give a width for each column.",
    "bad_width": "A column is 1 to {high} characters wide.",
    "column_too_narrow": (
        "The column “{column:label}” is {width} characters wide, but a card needs {length}. Make it wider."
    ),
    "encoding_unfit": "The name {name} can't be written in this encoding; take UTF-8.",
    "bad_recipient": "That is not an age recipient. It begins with age1 and has 62 characters.",
    "template_not_found": (
        "There is no export template named {name}.",
        "There is no such export template.",
    ),
    "too_many_templates": "There are {high} templates already; remove one first.",
    "hand_over_gone": "This file is not there any more: it was downloaded, or waited longer than a day.",
    "hand_over_not_done": "This file is still being made.",
    "hand_over_not_theirs": "{name} may not export cards any more.",
}

BULK: Sentences = {
    "targets_unclear": "Say which cards: a filter, --serials or --file; --all for every card.",
    "no_targets": "No card meets what was asked for; nothing was done.",
    "targets_changed": (
        "The cards have changed since you looked: there were {before}, now there are {after}. Look again.",
        "The cards have changed since you looked; nothing was done. Look again.",
    ),
    "run_not_found": "There is no such run.",
    "run_not_done": "This run is not done yet.",
    "export_gone": "The file of this run is not there any more; export again.",
    "list_empty": "The list is empty.",
    "listed_twice": "A card stands in the list twice; bind its second caller by another list.",
    "bad_line": "Line {line}: {why}.",
    "callers_missing": "Say which callers: a list of cards with a caller each, or one caller to take off.",
    "callers_unwanted": "Give the callers in the list or one for all the cards, not both, and only for binding.",
    "pinless_once": "A caller is PINless for one card at a time; give each card another caller.",
    "unknown_parameter": "This command takes no {field:label}.",
    "stock_reseller_disabled": "The reseller was disabled in the meantime.",
    "stock_other_reseller": "The card is another reseller's.",
    "stock_charged": "The card was charged to its reseller; let it be returned first.",
    "stock_sold": "The card was sold already.",
    "stock_used": "The card was used, or value was moved on it.",
    "stock_in_call": "The card is in use for a call.",
    "resellers_stock": "The card is a reseller's and not charged yet; use the reseller's own sale or activation.",
}

MESSAGES: Sentences = {
    **REASONS,
    **ENGINE,
    **VALUES,
    **PEOPLE,
    **CARDS,
    **FUNDS,
    **CALLS,
    **DECKS,
    **STOCK,
    **BULK,
}
