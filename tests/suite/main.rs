//! The one integration binary.

mod tidy;
mod store;
