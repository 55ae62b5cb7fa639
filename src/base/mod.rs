//! What every floor stands on: clock, randomness, identifiers, secrets, limits, safe text.
//!
//! Nothing here knows of mail, protocols or storage. Imports nothing of ours.

pub mod clock;
pub mod future;
pub mod ids;
pub mod limits;
pub mod network;
pub mod pieces;
pub mod random;
pub mod ranges;
pub mod secret;
pub mod text;
