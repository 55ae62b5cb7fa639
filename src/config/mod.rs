//! The configuration: one TOML file, every key optional but the host name and the certificate.
//!
//! File -> [`raw`] shape (unknown keys are errors, with their line) -> overrides of the command
//! line -> ranges and cross-checks, those of the services included -> [`Config`]. Nothing below
//! `app` sees it: services get small `Options` of their own. Not here: reading certificates or
//! touching the data directory; that is `check`'s and `serve`'s work.

mod addresses;
pub mod destinations;
pub mod load;
pub mod locate;
mod ranges;
pub mod raw;
pub mod routes;
pub mod units;

pub use addresses::Place;
pub use load::{ConfigError, Fits, Misfit, load, load_text};
pub use raw::Config;

/// A variable of the environment; the only door to it.
pub fn environment(name: &str) -> Option<String> {
    std::env::var_os(name)
        .and_then(|value| value.into_string().ok())
        .filter(|text| !text.is_empty())
}
