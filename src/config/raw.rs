//! The shape of the file and every default.
//!
//! `config/buzon.toml` shows each key with its default; a test keeps the two equal.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{
    addresses::{Place, listeners, name_servers, networks, write_networks},
    destinations::Destination,
    routes::{Route, Smarthost, SmarthostTls},
    units::{Size, Span},
};
use crate::base::network::Network;

/// Declares a table of the file: fields, types and defaults in one place.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

table! {
    /// The whole configuration.
    Config {
        /// What this server is.
        server: Server = Server::default(),
        /// Certificate and key.
        tls: Tls = Tls::default(),
        /// Ports.
        listen: Listen = Listen::default(),
        /// Proxies before the ports.
        proxy: Proxy = Proxy::default(),
        /// Logging in.
        auth: Auth = Auth::default(),
        /// Domains and accounts.
        accounts: Accounts = Accounts::default(),
        /// Bounds for all protocols.
        limits: Limits = Limits::default(),
        /// Mail coming in.
        smtp: Smtp = Smtp::default(),
        /// Mail handed over by an MTA in front.
        lmtp: Lmtp = Lmtp::default(),
        /// Who mail is from.
        verify: Verify = Verify::default(),
        /// Mail read over IMAP.
        imap: Imap = Imap::default(),
        /// Searches in texts.
        search: Search = Search::default(),
        /// Mail read over POP3.
        pop3: Pop3 = Pop3::default(),
        /// Retries and bounces.
        queue: Queue = Queue::default(),
        /// Mail going out.
        relay: Relay = Relay::default(),
        /// What others are told to demand of us.
        mta_sts: MtaSts = MtaSts::default(),
        /// Name servers.
        dns: Dns = Dns::default(),
        /// The data on the disk.
        store: Store = Store::default(),
        /// What is logged.
        log: Log = Log::default(),
        /// What is kept of it.
        trace: Trace = Trace::default(),
    }
}

table! {
    /// `[server]`
    Server {
        /// The name in greetings, Received fields and EHLO.
        hostname: String = String::new(),
        /// The data directory.
        data: PathBuf = PathBuf::from("/var/lib/buzon"),
        /// Who gets the mail for postmaster; empty: the first account of the domain.
        postmaster: String = String::new(),
        /// How long sessions may finish what they do when the server stops.
        shutdown: Span = Span::secs(20),
    }
}

table! {
    /// `[tls]`
    Tls {
        /// PEM chain, ours first.
        certificate: Option<PathBuf> = None,
        /// PEM private key.
        key: Option<PathBuf> = None,
    }
}

table! {
    /// `[listen]`: addresses of each port; an empty list switches it off.
    Listen {
        /// SMTP, mail from other servers.
        #[serde(deserialize_with = "listeners")]
        smtp: Vec<SocketAddr> = any(25),
        /// Mail from users, STARTTLS.
        #[serde(deserialize_with = "listeners")]
        submission: Vec<SocketAddr> = any(587),
        /// Mail from users, TLS.
        #[serde(deserialize_with = "listeners")]
        submissions: Vec<SocketAddr> = any(465),
        /// POP3, STLS.
        #[serde(deserialize_with = "listeners")]
        pop3: Vec<SocketAddr> = any(110),
        /// POP3, TLS.
        #[serde(deserialize_with = "listeners")]
        pop3s: Vec<SocketAddr> = any(995),
        /// IMAP, STARTTLS.
        #[serde(deserialize_with = "listeners")]
        imap: Vec<SocketAddr> = any(143),
        /// IMAP, TLS.
        #[serde(deserialize_with = "listeners")]
        imaps: Vec<SocketAddr> = any(993),
        /// HTTPS, for those who ask for our policies.
        #[serde(deserialize_with = "listeners")]
        https: Vec<SocketAddr> = Vec::new(),
        /// The same without TLS, for a web server in front.
        #[serde(deserialize_with = "listeners")]
        http: Vec<SocketAddr> = Vec::new(),
        /// LMTP, mail from an MTA in front.
        lmtp: Vec<Place> = Vec::new(),
    }
}

table! {
    /// `[proxy]`
    Proxy {
        /// Proxies, whose connections begin with a PROXY header.
        #[serde(deserialize_with = "networks", serialize_with = "write_networks")]
        from: Vec<Network> = Vec::new(),
        /// At which of the addresses in `[listen]`; empty: at all.
        #[serde(deserialize_with = "listeners")]
        listeners: Vec<SocketAddr> = Vec::new(),
    }
}

table! {
    /// `[auth]`
    Auth {
        /// Lets clients log in without TLS.
        insecure_without_tls: bool = false,
        /// Argon2id memory in KiB (AUTH-01).
        argon2_memory_kib: u32 = 19_456,
        /// Argon2id passes.
        argon2_passes: u32 = 2,
        /// Different wrong pairs of name and password from one address that block it (AUTH-04).
        failures: usize = 10,
        /// Within this time.
        failures_window: Span = Span::secs(600),
        /// For this long.
        failures_block: Span = Span::secs(900),
    }
}

table! {
    /// `[accounts]`
    Accounts {
        /// `user+tag` goes to `user`; empty for none.
        tag_separator: String = "+".to_owned(),
        /// Mail for `user+tag` goes to the mailbox `tag` of an account that has one.
        tag_mailboxes: bool = false,
        /// Accounts that are out of use take mail all the same.
        disabled_take_mail: bool = false,
        /// Quota of an account that has none of its own.
        quota: Size = Size(10 << 30),
    }
}

table! {
    /// `[limits]`
    Limits {
        /// LIM-01: connections in all; absent: 0.8 x the limit of open files, less 256.
        connections: Option<usize> = None,
        /// LIM-02: connections of one address (/64 for IPv6) by SMTP that have not logged in.
        connections_per_address: usize = 50,
        /// LIM-02: connections of one address by IMAP and POP3 that have not logged in.
        mailbox_connections_per_address: usize = 30,
        /// LIM-13: largest message, by SMTP and by APPEND.
        message: Size = Size::mib(50),
        /// LIM-37: messages coming in that are held in memory, together.
        message_memory: Size = Size::mib(256),
        /// LIM-04: connects of one address a minute.
        connects_per_minute: usize = 300,
        /// LIM-03: sessions of one account from one address.
        sessions_per_account_and_address: usize = 64,
        /// LIM-03: sessions of one account.
        sessions_per_account: usize = 200,
    }
}

table! {
    /// `[smtp]`
    Smtp {
        /// LIM-14: recipients of one message.
        recipients: usize = 500,
        /// recipients at other servers that one account may have in an hour.
        recipients_per_hour: u32 = 500,
        /// LIM-15: messages of one connection.
        transactions: u32 = 100,
        /// LIM-07: silence between commands.
        idle: Span = Span::secs(300),
        /// The highest MT-PRIORITY that accounts may give their messages (RFC 6710).
        priority_max: i8 = 4,
        /// Who is told whom an alias or a group stands for (EXPN).
        expn: Expn = Expn::Off,
        /// AUTH-07: accounts may send under any address.
        insecure_any_sender: bool = false,
        /// RLY-01: who may tell by XCLIENT for whom it speaks.
        #[serde(deserialize_with = "networks", serialize_with = "write_networks")]
        xclient_from: Vec<Network> = Vec::new(),
    }
}

table! {
    /// `[lmtp]`
    Lmtp {
        /// Who may connect to a port.
        #[serde(deserialize_with = "networks", serialize_with = "write_networks")]
        from: Vec<Network> = loopback(),
        /// The mode of a socket in the file system.
        mode: String = "0660".to_owned(),
        /// Its group; empty: the server's.
        group: String = String::new(),
        /// SPF, DKIM, DMARC and ARC are looked at here, too.
        verify: bool = false,
    }
}

table! {
    /// `[imap]`
    Imap {
        /// LIM-09: silence after the login (RFC 9051 5.4: 30 minutes at least).
        idle: Span = Span::secs(1800),
        /// What clients show about this server (RFC 5464 6.2.1).
        comment: String = String::new(),
        /// How clients reach the operator, a URI (RFC 5464 6.2.2).
        admin: String = String::new(),
        /// Messages that one command may be about; 0: no limit (RFC 9738).
        message_limit: u32 = 0,
    }
}

table! {
    /// `[search]`
    Search {
        /// Keeps an index of texts beside the store.
        index: bool = true,
    }
}

table! {
    /// `[pop3]`
    Pop3 {
        /// LIM-09: silence after the login (RFC 1939 3: 10 minutes at least).
        idle: Span = Span::secs(600),
    }
}

table! {
    /// `[queue]`
    Queue {
        /// Waits before the second, third, ... attempt; the last one repeats and then grows.
        retry: Vec<Span> = [300, 600, 1200, 1800].map(Span::secs).to_vec(),
        /// Longest wait between attempts.
        retry_max: Span = Span::secs(4 * 3600),
        /// When to give up.
        give_up: Span = Span::secs(5 * 86_400),
        /// When to tell the sender about a delay.
        delay_notice: Span = Span::secs(4 * 3600),
        /// How long senders may have their messages wait (HOLDFOR, RFC 4865).
        hold_max: Span = Span::secs(30 * 86_400),
    }
}

table! {
    /// `[relay]`
    Relay {
        /// Port of other servers.
        port: u16 = 25,
        /// Attempts at once.
        attempts: usize = 100,
        /// Attempts at once to one destination.
        attempts_per_destination: usize = 20,
        /// Rewrites the senders of mail that is passed on for addresses here (SRS).
        srs: bool = true,
        /// The domain of rewritten senders; empty: that of the address that passes the mail on.
        srs_domain: String = String::new(),
        /// Domains elsewhere that name this host as their backup (MX): their mail is taken from
        /// everybody.
        backup_mx: Vec<String> = Vec::new(),
        /// Contacts servers in loopback, private and link-local networks.
        insecure_private_targets: bool = false,
        /// Sends everything to this server instead of looking up MX.
        smarthost: Option<Smarthost> = None,
        /// Follows TLSA records that DNSSEC proves.
        dane: bool = true,
        /// Follows the MTA-STS policies of other domains.
        mta_sts: bool = true,
        /// Reports to other domains how TLS with their servers did.
        tls_reports: bool = false,
        /// From this address.
        tls_report_contact: String = String::new(),
        /// Our addresses for connections to other servers, one of each family at most; empty: the
        /// system chooses.
        source: Vec<IpAddr> = Vec::new(),
        /// Sends mail for these domains to given hosts.
        routes: BTreeMap<String, Route> = BTreeMap::new(),
        /// What is demanded of the servers of these domains, instead of what their policies say.
        tls: BTreeMap<String, RelayTls> = BTreeMap::new(),
        /// What is different towards these domains.
        destinations: BTreeMap<String, Destination> = BTreeMap::new(),
    }
}

/// What is demanded of a domain's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayTls {
    /// Nothing: STARTTLS when it is offered, any certificate, no policy.
    Opportunistic,
    /// STARTTLS or nothing is sent, any certificate.
    Encrypted,
    /// STARTTLS or nothing is sent, certificate verified.
    Verified,
}

table! {
    /// `[mta_sts]`
    MtaSts {
        /// What other servers are to do where TLS with us fails (RFC 8461 5).
        mode: MtaStsMode = MtaStsMode::Testing,
        /// For how long they may believe it.
        max_age: Span = Span::secs(7 * 86_400),
        /// The hosts that take mail for domains here; empty: this one.
        mx: Vec<String> = Vec::new(),
    }
}

/// What other servers are to do where TLS with us fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MtaStsMode {
    /// Nothing, any more.
    None,
    /// To tell us of it (RFC 8460).
    Testing,
    /// To keep the mail.
    Enforce,
}

table! {
    /// `[verify]`
    Verify {
        /// What is done about SPF, DKIM, DMARC and ARC.
        policy: VerifyPolicy = VerifyPolicy::Enforce,
        /// Domains of forwarders and lists whose seals are believed (ARC).
        trusted_sealers: Vec<String> = Vec::new(),
        /// How long the questions about one message may take.
        time: Span = Span::secs(20),
    }
}

/// Who is told whom an alias or a group stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expn {
    /// Nobody.
    Off,
    /// Members and owners who logged in.
    Users,
    /// Everybody.
    Anyone,
}

/// What is done about SPF, DKIM, DMARC and ARC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyPolicy {
    /// Nothing is asked.
    Off,
    /// It is told in Authentication-Results.
    Tag,
    /// And policies are followed.
    Enforce,
}

table! {
    /// `[dns]`
    Dns {
        /// Name servers to ask; empty: those of /etc/resolv.conf.
        #[serde(deserialize_with = "name_servers")]
        servers: Vec<SocketAddr> = Vec::new(),
        /// The name servers check DNSSEC, and what they say of it is believed.
        trust_ad: bool = false,
    }
}

table! {
    /// `[store]`
    Store {
        /// Size of one journal segment.
        segment: Size = Size::mib(128),
        /// Longest time between checkpoints of the index.
        checkpoint: Span = Span::secs(5),
        /// Below this much free disk space no mail is accepted (DUR-04).
        low_water: Size = Size::mib(256),
        /// Kept in reserve so that a full disk can still be cleaned up (DUR-04).
        ballast: Size = Size::mib(64),
    }
}

table! {
    /// `[log]`
    Log {
        /// Which lines: a level, or a filter such as `info,buzon::relay=debug,wire=trace`.
        filter: String = "info".to_owned(),
        /// `text` or `json`.
        format: LogFormat = LogFormat::Text,
    }
}

table! {
    /// `[trace]`
    Trace {
        /// How long the stories of messages are kept; zero: not at all.
        age: Span = Span::secs(14 * 86_400),
        /// How much of them is kept at most.
        size: Size = Size::mib(512),
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people and journald.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// From a table without positions.
    pub(super) fn deserialize_table(table: toml::Table) -> Result<Self, toml::de::Error> {
        Self::deserialize(table)
    }

    /// The whole of it as a file that says the same. It has no secrets: those are in files of their
    /// own.
    ///
    /// # Errors
    /// Never for what was read from a file: paths are text there.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Every key of the file, dotted.
    pub fn keys() -> Vec<String> {
        let tables: &[(&str, &[&str])] = &[
            ("server", Server::KEYS),
            ("tls", Tls::KEYS),
            ("listen", Listen::KEYS),
            ("proxy", Proxy::KEYS),
            ("auth", Auth::KEYS),
            ("accounts", Accounts::KEYS),
            ("limits", Limits::KEYS),
            ("smtp", Smtp::KEYS),
            ("lmtp", Lmtp::KEYS),
            ("imap", Imap::KEYS),
            ("search", Search::KEYS),
            ("pop3", Pop3::KEYS),
            ("queue", Queue::KEYS),
            ("relay", Relay::KEYS),
            ("mta_sts", MtaSts::KEYS),
            ("dns", Dns::KEYS),
            ("verify", Verify::KEYS),
            ("store", Store::KEYS),
            ("log", Log::KEYS),
            ("trace", Trace::KEYS),
        ];
        debug_assert_eq!(tables.len(), Self::KEYS.len());
        let keys = tables.iter().flat_map(|(table, keys)| {
            keys.iter()
                .filter(|key| {
                    !matches!(**key, "smarthost" | "routes" | "destinations")
                        && (*table, **key) != ("relay", "tls")
                })
                .map(move |key| format!("{table}.{key}"))
        });
        keys.collect()
    }

    /// What weakens security in this configuration, for the log at start.
    pub fn insecure_keys(&self) -> Vec<&'static str> {
        let smarthost = self.relay.smarthost.as_ref().map(|host| host.tls);
        let keys = [
            ("auth.insecure_without_tls", self.auth.insecure_without_tls),
            ("smtp.insecure_any_sender", self.smtp.insecure_any_sender),
            (
                "relay.insecure_private_targets",
                self.relay.insecure_private_targets,
            ),
            (
                "relay.smarthost.tls = \"insecure-none\"",
                smarthost == Some(SmarthostTls::InsecureNone),
            ),
            (
                "relay.routes: tls = \"insecure-none\"",
                self.relay.routes.values().any(Route::is_insecure),
            ),
        ];
        keys.into_iter()
            .filter(|(_, set)| *set)
            .map(|(key, _)| key)
            .collect()
    }
}

impl Listen {
    /// Whether no port is served.
    pub fn is_empty(&self) -> bool {
        self.places().is_empty()
    }

    /// Every place by the name of its port.
    pub fn places(&self) -> Vec<(&'static str, Place)> {
        let addresses = [
            ("smtp", &self.smtp),
            ("submission", &self.submission),
            ("submissions", &self.submissions),
            ("pop3", &self.pop3),
            ("pop3s", &self.pop3s),
            ("imap", &self.imap),
            ("imaps", &self.imaps),
            ("https", &self.https),
            ("http", &self.http),
        ];
        let tcp = addresses.into_iter().flat_map(|(name, list)| {
            let places = list.iter().copied().map(Place::Tcp);
            places.map(move |place| (name, place))
        });
        let lmtp = self.lmtp.iter().cloned().map(|place| ("lmtp", place));
        tcp.chain(lmtp).collect()
    }
}

/// This machine alone.
fn loopback() -> Vec<Network> {
    let networks = ["127.0.0.0/8", "::1"].into_iter().map(str::parse);
    networks.collect::<Result<_, _>>().unwrap_or_default()
}

/// Every address, both families.
fn any(port: u16) -> Vec<SocketAddr> {
    vec![(std::net::Ipv6Addr::UNSPECIFIED, port).into()]
}
