//! The one integration binary.

mod accounts;
mod route;
mod store;
mod tidy;
