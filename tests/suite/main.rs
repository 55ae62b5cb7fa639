//! The one integration binary.

mod accounts;
mod mailbox;
mod route;
mod store;
mod tidy;
