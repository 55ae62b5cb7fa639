//! The one integration binary.

mod accounts;
mod mailbox;
mod store;
mod tidy;
