//! Removing an account: its login and addresses at once, what its mailboxes held afterwards in pieces.
