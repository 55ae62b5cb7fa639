//! What the tests of the whole share: a server on in-memory pipes under a paused clock, and the
//! player of transcripts.
//!
//! `server` is the server, `world` what a transcript may ask of it beside talking, `client` one end
//! of a pipe, `script` the language of transcripts, `player` plays them.

pub(crate) mod client;
pub(crate) mod logs;
pub(crate) mod player;
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod world;
