//! The command line: one file per group of commands.
//!
//! What changes data goes to the running server over its local socket, or, when none runs, to the
//! store opened here. Passwords come from the terminal or standard input, never from arguments,
//! where every user of the machine could read them.

mod args;
mod check;
mod dkim;
mod dns;
mod manage;
mod password;
mod personal;
mod queue;
mod search_index;
mod serve;
mod store;
mod table;
mod trace;

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

pub use args::Args;
use args::Command;

/// Runs the command line and says how it went: 0 done, 1 failed with a message, 2 wrong usage.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Serve(serve) => serve::run(&args.common, &serve),
        Command::Check(check) => check::run(&args.common, &check),
        Command::Config => check::print_config(&args.common),
        Command::Domain(domain) => manage::domain(&args.common, domain),
        Command::Dkim(dkim) => dkim::run(&args.common, dkim),
        Command::Dns(dns) => dns::run(&args.common, &dns),
        Command::Account(account) => manage::account(&args.common, account),
        Command::Alias(alias) => manage::alias(&args.common, alias),
        Command::Srs(command) => personal::srs(&args.common, &command),
        Command::Group(group) => manage::group(&args.common, group),
        Command::Mailbox(mailbox) => manage::mailbox(&args.common, mailbox),
        Command::Queue(queue) => queue::run(&args.common, queue),
        Command::Trace(trace) => trace::run(&args.common, &trace),
        Command::SearchIndex(command) => search_index::run(&args.common, &command),
        Command::Store(store) => store::run(&args.common, &store),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if nobody_reads(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints a line on standard output.
fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Prints a line on standard error. When even that is closed there is nobody left to tell.
fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "buzon: {line}");
}

/// Whether all that failed is that whoever read the output has seen enough, as `head` has.
fn nobody_reads(error: &Failure) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What a failed command says.
type Failure = Box<dyn std::error::Error + Send + Sync>;
