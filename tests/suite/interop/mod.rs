//! The built binary and the world's clients: each does what its user does, against a demo of its
//! own.
//!
//! A client that is not installed is skipped with a printed reason; `.ci/run` installs them all.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "real programs take real time; skipped ones are said; a client's round is one story"
)]

mod addresses;
mod authentication;
mod clients;
mod control;
mod crash;
mod data;
mod doors;
mod forwarding;
mod install;
mod keepers;
mod nginx;
mod peers;
mod policies;
mod relayed;
mod rounds;
pub(crate) mod server;
mod story;
mod syscalls;
mod telnet;
mod unfindable;
mod web;
