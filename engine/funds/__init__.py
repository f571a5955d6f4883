"""The money: the ledger (the only writer of balances), recharges and vouchers."""
