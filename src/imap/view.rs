//! One session's picture of a mailbox: which message has which number, and what the client was not told yet.
