//! The one integration binary.

mod queue;
mod relay;
mod smtp_client;
mod store;
