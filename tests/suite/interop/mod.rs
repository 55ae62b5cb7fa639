//! The built binary and the world's clients: each does what its user does, against a demo of its
//! own.
//!
//! A client that is not installed is skipped with a printed reason; `.ci/run` installs them all.

mod clients;
mod crash;
mod install;
mod peers;
mod server;
mod telnet;
