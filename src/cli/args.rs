//! What can be typed: commands, their arguments and their help texts.

mod queue;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

pub(super) use queue::{Filters, Queue, Watched, Which};

/// One mail server: SMTP, IMAP, POP3 and an outbound queue over one durable store.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub(super) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Debug, ClapArgs)]
pub(super) struct Common {
    /// The configuration file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        default_value = "/etc/buzon/buzon.toml"
    )]
    pub(super) config: PathBuf,
    /// Set one key over the file, as in limits.connections_per_address=500 (may be repeated)
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server
    Serve(Serve),
    /// Check the configuration, certificate, ports, data directory and DNS without starting
    Check(Check),
    /// Print the configuration as it is in force, every default included, as a file to paste
    Config,
    /// Local domains
    #[command(subcommand)]
    Domain(Domain),
    /// Keys that sign the mail of local domains (DKIM)
    #[command(subcommand)]
    Dkim(Dkim),
    /// What to publish in the DNS
    #[command(subcommand)]
    Dns(Dns),
    /// Accounts
    #[command(subcommand)]
    Account(Account),
    /// Aliases: addresses that stand for others
    #[command(subcommand)]
    Alias(Alias),
    /// Groups: distribution lists, which send their mail on to their members
    #[command(subcommand)]
    Group(Group),
    /// Secrets of rewritten senders: what is forwarded elsewhere has a sender of ours (SRS)
    #[command(subcommand)]
    Srs(Srs),
    /// Mailboxes and who may use them
    #[command(subcommand)]
    Mailbox(Mailbox),
    /// Mail waiting to go to other servers
    #[command(subcommand)]
    Queue(Queue),
    /// Tell what happened to a message, step by step, or to all mail of an address
    Trace(Trace),
    /// The index of texts, which SEARCH asks
    #[command(subcommand)]
    SearchIndex(SearchIndex),
    /// The data directory, while no server runs
    #[command(subcommand)]
    Store(Store),
}

#[derive(Debug, ClapArgs)]
pub(super) struct Serve {
    /// No configuration: high ports on loopback, a certificate made at start, two accounts,
    /// commands to paste
    #[arg(long)]
    pub(super) demo: bool,
    /// With --demo: keep everything in this directory, and use what an earlier start left there
    #[arg(long, value_name = "DIR", requires = "demo")]
    pub(super) data: Option<PathBuf>,
    /// With --demo: ports are N+25, N+587, N+465, N+110, N+995, N+143, N+993 [default: 2525, and
    /// the others from 2000]
    #[arg(long, value_name = "N", requires = "demo")]
    pub(super) base_port: Option<u16>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Check {
    /// Leave out what asks name servers
    #[arg(long)]
    pub(super) offline: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Domain {
    /// Take mail for a domain
    Add {
        /// For example example.org
        name: String,
    },
    /// Stop taking mail for a domain that has no accounts
    Remove {
        /// The domain
        name: String,
    },
    /// Say who gets mail for addresses of a domain that nothing else takes
    CatchAll {
        /// The domain
        name: String,
        /// Who gets it
        #[arg(conflicts_with = "none")]
        target: Option<String>,
        /// Nobody: such mail is refused again
        #[arg(long)]
        none: bool,
    },
    /// Let a domain stand for another: all addresses there are addresses here
    Alias {
        /// The domain; it becomes a local one
        name: String,
        /// The local domain that it stands for
        #[arg(conflicts_with = "none")]
        other: Option<String>,
        /// It stands for itself again
        #[arg(long)]
        none: bool,
    },
    /// List local domains
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Dns {
    /// Print the records of a local domain as lines of a zone file
    Records {
        /// The domain
        domain: String,
        /// Ask name servers which of them are published
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Dkim {
    /// Make keys that sign at once, and say what to publish
    Generate {
        /// The domain
        domain: String,
        /// Only this kind: rsa or ed25519; both are made without
        #[arg(long)]
        kind: Option<String>,
    },
    /// Make new keys, say what to publish, and sign with them later; the old ones stay until then,
    /// and are published until they are dropped
    Rotate {
        /// The domain
        domain: String,
        /// Only this kind: rsa or ed25519
        #[arg(long)]
        kind: Option<String>,
        /// When the new ones begin to sign
        #[arg(long, default_value = "2d", value_name = "TIME")]
        after: String,
    },
    /// List keys and what is published of them
    List {
        /// Only those of this domain
        domain: Option<String>,
    },
    /// Remove a key: nothing is signed with it any more, and its record can go a week later
    Drop {
        /// The domain
        domain: String,
        /// Which
        selector: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Make an account; the password is asked on the terminal or read from standard input
    Add {
        /// For example alice@example.org
        address: String,
        /// Nobody logs in to it: it takes mail, and `buzon mailbox acl` says who may use it
        #[arg(long)]
        shared: bool,
    },
    /// Remove an account and all its mail
    Remove {
        /// Its address
        address: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List accounts
    List,
    /// Set a new password; asked on the terminal or read from standard input
    Password {
        /// Its address
        address: String,
    },
    /// Set how much an account may hold
    Quota {
        /// Its address
        address: String,
        /// For example "10 GiB"
        size: String,
    },
    /// Take an account out of use: nobody logs in, its mail is refused, what it holds stays
    Disable {
        /// Its address
        address: String,
    },
    /// Take a disabled account back into use
    Enable {
        /// Its address
        address: String,
    },
    /// What an account may send with beside its own addresses, its aliases and groups it owns
    #[command(subcommand)]
    SendAs(SendAs),
    /// Forward an account's mail; without options, say where it goes
    Forward(Forward),
    /// Answer whoever writes to an account, once a week each; without options, say what is answered
    OutOfOffice(OutOfOffice),
}

#[derive(Debug, Subcommand)]
pub(super) enum SendAs {
    /// Let an account send with an address, or with all of a domain
    Add {
        /// Its address
        account: String,
        /// For example sales@example.org, or @example.org
        sender: String,
    },
    /// Take that away
    Remove {
        /// Its address
        account: String,
        /// As it is listed
        sender: String,
    },
    /// List what was granted to an account
    List {
        /// Its address
        account: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct Forward {
    /// Its address
    pub(super) address: String,
    /// Where its mail goes, here or elsewhere (may be repeated)
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Vec<String>,
    /// And into its own mailbox, too
    #[arg(long, requires = "to")]
    pub(super) keep: bool,
    /// Forward no more
    #[arg(long, conflicts_with = "to")]
    pub(super) off: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct OutOfOffice {
    /// Its address
    pub(super) address: String,
    /// The first day, or the time it begins, in UTC: 2026-12-24 or 2026-12-24T12:30 [default: now]
    #[arg(long, value_name = "DATE", requires = "until")]
    pub(super) from: Option<String>,
    /// The last day, or the time it ends, in UTC
    #[arg(long, value_name = "DATE", requires = "text")]
    pub(super) until: Option<String>,
    /// What it says: a file of UTF-8 text, or - for standard input
    #[arg(long, value_name = "FILE", requires = "until")]
    pub(super) text: Option<PathBuf>,
    /// Its subject [default: "Auto:" and that of the message it answers]
    #[arg(long, requires = "until")]
    pub(super) subject: Option<String>,
    /// For so many days nobody is answered twice
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(super) days: u8,
    /// Answer no more
    #[arg(long, conflicts_with = "until")]
    pub(super) off: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Srs {
    /// List when the secrets were made
    List,
    /// Make a new secret; senders that were rewritten with the ones before still take reports
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(super) enum Alias {
    /// Let an address stand for one or more others
    Add {
        /// For example sales@example.org
        address: String,
        /// Where its mail goes
        #[arg(required = true)]
        targets: Vec<String>,
    },
    /// Replace the targets of an alias
    Set {
        /// Its address
        address: String,
        /// Where its mail goes from now on
        #[arg(required = true)]
        targets: Vec<String>,
    },
    /// Remove an alias
    Remove {
        /// Its address
        address: String,
    },
    /// List aliases
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// Make a group
    Add {
        /// For example team@example.org
        address: String,
        /// Who gets its mail: accounts, aliases, other groups, addresses elsewhere
        #[arg(required = true)]
        members: Vec<String>,
        #[command(flatten)]
        running: Running,
    },
    /// Change a group: what is given replaces what was
    Set {
        /// Its address
        address: String,
        /// All its members
        members: Vec<String>,
        /// One more member (may be repeated)
        #[arg(long, value_name = "MEMBER")]
        join: Vec<String>,
        /// A member no more (may be repeated)
        #[arg(long, value_name = "MEMBER")]
        leave: Vec<String>,
        #[command(flatten)]
        running: Running,
    },
    /// Remove a group
    Remove {
        /// Its address
        address: String,
    },
    /// List groups
    List,
    /// Everything about one group
    Show {
        /// Its address
        address: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct Running {
    /// Who hears of what cannot be delivered, may always write to it and send as it (may be
    /// repeated) [default: the postmaster]
    #[arg(long = "owner", value_name = "ADDRESS")]
    pub(super) owners: Vec<String>,
    /// Who may write to it: anyone, members, owners, or an address (may be repeated) [default:
    /// members]
    #[arg(long, value_name = "WHO")]
    pub(super) senders: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Mailbox {
    /// Who else than its owner may use a mailbox, and for what (RFC 4314)
    #[command(subcommand)]
    Acl(Acl),
}

#[derive(Debug, Subcommand)]
pub(super) enum Acl {
    /// List identifiers and their rights
    List {
        /// Whose mailbox
        account: String,
        /// Its name there, for example INBOX
        mailbox: String,
    },
    /// Give or take rights
    Set {
        /// Whose mailbox
        account: String,
        /// Its name there
        mailbox: String,
        /// An account's address or "anyone"; behind - for rights it shall not have
        #[arg(allow_hyphen_values = true)]
        identifier: String,
        /// l list, r read, s seen, w other flags, i add, t deleted flag, e expunge, k make below,
        /// x delete or rename, a administer; behind + or - to add or take away
        #[arg(allow_hyphen_values = true)]
        rights: String,
    },
    /// Remove an identifier
    Delete {
        /// Whose mailbox
        account: String,
        /// Its name there
        mailbox: String,
        /// As it is listed
        #[arg(allow_hyphen_values = true)]
        identifier: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct Trace {
    /// The id that the server gave it ("accepted, id ..."), its Message-ID, an address of its
    /// envelope, or a client's or a server's address or name
    pub(super) key: String,
    /// How many messages, the youngest ones
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(super) most: usize,
}

#[derive(Debug, Subcommand)]
pub(super) enum SearchIndex {
    /// Say how far it is
    Status,
    /// Make it again; searches read all messages meanwhile
    Rebuild,
}

#[derive(Debug, Subcommand)]
pub(super) enum Store {
    /// Read everything and check every checksum
    Verify,
    /// Make the index again from the journal
    Rebuild,
}
