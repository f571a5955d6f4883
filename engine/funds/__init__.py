"""The money: the ledger (the only writer of balances), recharges, vouchers, transfers, replacements, bonuses, fees and
breakage; the accounts that recharges and stock are paid from, and auto-recharge.
"""
