//! The configuration: one TOML file, every key optional but the host name and the certificate.
//!
//! File -> [`raw`] shape (unknown keys are errors, with their line) -> overrides of the command
//! line -> cross-checks -> [`Config`]. Nothing below `app` sees it: services get small `Options` of
//! their own. Not here: reading certificates or touching the data directory; that is `check`'s and
//! `serve`'s work.

pub mod load;
pub mod locate;
pub mod raw;
pub mod units;

pub use load::{ConfigError, load, load_text};
pub use raw::Config;
