//! The one integration binary.

mod mailbox;
mod store;
mod tidy;
