//! The one integration binary.

mod accounts;
mod store;
mod tidy;
