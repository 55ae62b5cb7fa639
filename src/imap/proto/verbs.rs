//! The table of commands: where each is admitted, what it does to message numbers, what it lets
//! us announce.
//!
//! From these rows come admission and the CAPABILITY list; nothing else knows the stages of a
//! command.

use std::{fmt, num::NonZeroU32};

use super::{
    command::CommandBody,
    parse::{
        Mistake, Parsed, Scanner, acl, append, fetch, mailbox, message, metadata, notify, quota,
        search, session, sort,
    },
    response::{Capabilities, Code},
};

use crate::sasl::Mechanism;

use Numbers::{Changed, Untouched, Used};
use Stages::{AfterLogin, Any, BeforeLogin, BeforeTls, Idling, Selected, Writable};

/// Where the dialogue stands (RFC 3501 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not authenticated.
    Greeted {
        /// Whether the connection is, or can be, protected.
        tls: Tls,
        /// Whether a password may be sent without protection.
        insecure_login_allowed: bool,
    },
    /// Authenticated, no mailbox selected.
    Authenticated,
    /// A mailbox is selected.
    Selected {
        /// By EXAMINE: nothing in it may be changed.
        read_only: bool,
    },
    /// Between IDLE and DONE.
    Idling,
}

/// What TLS does for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// It protects it.
    Active,
    /// STARTTLS would begin it.
    Offered,
    /// There is none.
    Absent,
}

/// The stages that admit a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stages {
    /// All but idling.
    Any,
    /// Before login, and only where TLS is offered.
    BeforeTls,
    /// Before login, and only where a password may be sent.
    BeforeLogin,
    /// After login.
    AfterLogin,
    /// With a selected mailbox.
    Selected,
    /// With a selected mailbox that may be changed.
    Writable,
    /// Within IDLE.
    Idling,
}

/// What a command does with message sequence numbers, so when EXPUNGE may be told (RFC 3501 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Does not look at them: everything may be told when it is done.
    Untouched,
    /// Its arguments or answers are such numbers: none may change before it is done (FETCH,
    /// STORE, SEARCH).
    Used,
    /// Changes them itself, or ends them.
    Changed,
}

/// One command.
pub struct Verb {
    /// Its name in capitals; two words for the UID commands.
    pub name: &'static str,
    /// Where it is admitted.
    pub stages: Stages,
    /// What it does with message numbers.
    pub numbers: Numbers,
    /// What we announce because of it, separated by spaces; empty for what RFC 3501 has.
    pub capability: &'static str,
    /// How many arguments stand before its body, whose literals the verb pulls; 0 when it has none.
    pub body_behind: usize,
    /// Reads its arguments.
    pub(super) parse: fn(&mut Scanner<'_>) -> Parsed<CommandBody>,
}

impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Verb {
    /// The verb of this name, in any case of letters.
    pub fn named(name: &[u8]) -> Option<&'static Self> {
        VERBS
            .iter()
            .find(|verb| verb.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it names messages by their numbers; a twin of it takes UIDs.
    pub fn names_numbers(&self) -> bool {
        self.numbers == Used || matches!(self.name, "COPY" | "MOVE" | "REPLACE")
    }

    /// Whether it is admitted in `stage`.
    ///
    /// # Errors
    /// The reason why it is not, and what to do first.
    pub fn admitted(&self, stage: Stage) -> Parsed<()> {
        let refusal = match (stage, self.stages) {
            (Stage::Idling, Idling) => return Ok(()),
            (Stage::Idling, _) => Mistake::bad("IDLE goes on until a line with nothing but DONE"),
            (_, Idling) => Mistake::bad("DONE ends IDLE, and there is none"),
            (_, Any) => return Ok(()),
            (Stage::Greeted { tls, .. }, BeforeTls) => match tls {
                Tls::Offered => return Ok(()),
                Tls::Active => Mistake::bad("TLS is active already"),
                Tls::Absent => Mistake::bad("there is no TLS on this port"),
            },
            (
                Stage::Greeted {
                    tls,
                    insecure_login_allowed,
                },
                BeforeLogin,
            ) => {
                if tls == Tls::Active || insecure_login_allowed {
                    return Ok(());
                }
                // RFC 5530 3
                Mistake::no(
                    Code::PrivacyRequired,
                    "no password without TLS: say STARTTLS first",
                )
            }
            (Stage::Greeted { .. }, _) => Mistake::bad("log in first: a1 LOGIN name password"),
            (_, BeforeTls) => Mistake::bad("TLS begins before login, or not at all"),
            (_, BeforeLogin) => Mistake::bad("you are logged in already"),
            (_, AfterLogin) => return Ok(()),
            (Stage::Authenticated, Selected | Writable) => {
                Mistake::bad("select a mailbox first: a1 SELECT INBOX")
            }
            (Stage::Selected { read_only: true }, Writable) => Mistake::no(
                Code::ReadOnly,
                "the mailbox may only be read: nothing can be changed",
            ),
            (Stage::Selected { .. }, Selected | Writable) => return Ok(()),
        };
        Err(refusal)
    }
}

/// Limits that are announced.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of a message.
    pub message_bytes_max: u64,
    /// Messages that one command may be about.
    pub message_limit: Option<NonZeroU32>,
}

/// What is announced in `stage` (RFC 3501 7.2.1); less while the connection is `compressed`.
pub fn capabilities(stage: Stage, bounds: Bounds, compressed: bool) -> Capabilities {
    let before_login = matches!(stage, Stage::Greeted { .. });
    // RFC 9051 7.2.2: with both, a session is of IMAP4rev1 until it enables the other.
    // RFC 7888 5: LITERAL- promises at most 4096 octets a literal, which is LIM-18.
    let mut said = String::from(if before_login {
        "IMAP4rev1 IMAP4rev2 LITERAL-"
    } else {
        "IMAP4rev1 IMAP4rev2 LITERAL+"
    });
    // All that a mailbox will allow is announced before one is selected.
    let stage = match stage {
        Stage::Greeted { .. } => stage,
        _ => Stage::Selected { read_only: false },
    };
    for verb in VERBS {
        let withheld = compressed && [COMPRESS, UNAUTHENTICATE].contains(&verb.capability);
        if !verb.capability.is_empty() && !withheld && verb.admitted(stage).is_ok() {
            said.push(' ');
            said.push_str(verb.capability);
        }
        if verb.name == "AUTHENTICATE" && verb.admitted(stage).is_ok() {
            for mechanism in Mechanism::names() {
                said.push_str(" AUTH=");
                said.push_str(mechanism);
            }
        }
    }
    if !before_login {
        // RFC 7889 2
        said.push_str(&format!(" APPENDLIMIT={}", bounds.message_bytes_max));
        if let Some(limit) = bounds.message_limit {
            // RFC 9738 3
            said.push_str(&format!(" MESSAGELIMIT={limit}"));
        }
    }
    let login_admitted = Verb::named(b"LOGIN").is_some_and(|verb| verb.admitted(stage).is_ok());
    if before_login && !login_admitted {
        // RFC 3501 6.2.3
        said.push_str(" LOGINDISABLED");
    }
    Capabilities(said)
}

const fn verb(
    name: &'static str,
    stages: Stages,
    numbers: Numbers,
    capability: &'static str,
    parse: fn(&mut Scanner<'_>) -> Parsed<CommandBody>,
) -> Verb {
    Verb {
        name,
        stages,
        numbers,
        capability,
        body_behind: 0,
        parse,
    }
}

/// Announced as long as nothing is compressed (RFC 4978 3).
const COMPRESS: &str = "COMPRESS=DEFLATE";
/// Announced as long as nothing is compressed: where what a client deflates ends, and what it sends
/// behind that begins, cannot be told (RFC 8437 4.1).
const UNAUTHENTICATE: &str = "UNAUTHENTICATE";

/// Every command.
#[rustfmt::skip]
pub static VERBS: &[Verb] = &[
    verb("CAPABILITY",   Any,         Untouched, "",                  session::capability),
    verb("NOOP",         Any,         Untouched, "",                  session::noop),
    verb("LOGOUT",       Any,         Untouched, "",                  session::logout),
    verb("ID",           Any,         Untouched, "ID",                session::id),
    verb("STARTTLS",     BeforeTls,   Untouched, "STARTTLS",          session::start_tls),
    verb("AUTHENTICATE", BeforeLogin, Untouched, "SASL-IR",           session::authenticate),
    verb("LOGIN",        BeforeLogin, Untouched, "",                  session::login),
    verb("ENABLE",       AfterLogin,  Untouched, "ENABLE",            session::enable),
    verb("COMPRESS",     AfterLogin,  Untouched, COMPRESS,            session::compress),
    verb("UNAUTHENTICATE", AfterLogin, Changed,  UNAUTHENTICATE,      session::unauthenticate),
    verb("IDLE",         AfterLogin,  Untouched, "IDLE",              session::idle),
    verb("DONE",         Idling,      Untouched, "",                  session::done),
    verb("NOTIFY",       AfterLogin,  Untouched, "NOTIFY",            notify::notify),
    verb("NAMESPACE",    AfterLogin,  Untouched, "NAMESPACE",         session::namespace),
    verb("SELECT",       AfterLogin,  Changed,   "CONDSTORE QRESYNC", mailbox::select),
    verb("EXAMINE",      AfterLogin,  Changed,   "",                  mailbox::examine),
    verb("CREATE",       AfterLogin,  Untouched, "SPECIAL-USE CREATE-SPECIAL-USE", mailbox::create),
    verb("DELETE",       AfterLogin,  Untouched, "",                  mailbox::delete),
    verb("RENAME",       AfterLogin,  Untouched, "",                  mailbox::rename),
    verb("SUBSCRIBE",    AfterLogin,  Untouched, "",                  mailbox::subscribe),
    verb("UNSUBSCRIBE",  AfterLogin,  Untouched, "",                  mailbox::unsubscribe),
    verb("LIST",         AfterLogin,  Untouched,
         "CHILDREN LIST-EXTENDED LIST-METADATA LIST-STATUS LIST-MYRIGHTS", mailbox::list),
    verb("LSUB",         AfterLogin,  Untouched, "",                  mailbox::lsub),
    verb("GETMETADATA",  AfterLogin,  Untouched, "METADATA",          metadata::get_metadata),
    verb("SETMETADATA",  AfterLogin,  Untouched, "",                  metadata::set_metadata),
    verb("GETQUOTA",     AfterLogin,  Untouched, "QUOTA QUOTA=RES-STORAGE", quota::get_quota),
    verb("GETQUOTAROOT", AfterLogin,  Untouched, "",                  quota::get_quota_root),
    verb("SETQUOTA",     AfterLogin,  Untouched, "",                  quota::set_quota),
    verb("STATUS",       AfterLogin,  Untouched, "STATUS=SIZE",       mailbox::status),
    Verb {
        body_behind: 1,
        ..verb("APPEND", AfterLogin,  Untouched,
               "MULTIAPPEND CATENATE URL-PARTIAL UTF8=ACCEPT",       append::append)
    },
    Verb {
        body_behind: 2,
        ..verb("REPLACE", Writable,   Changed,   "REPLACE",           append::replace)
    },
    Verb {
        body_behind: 2,
        ..verb("UID REPLACE", Writable, Changed, "",                  append::uid_replace)
    },
    verb("GETACL",       AfterLogin,  Untouched, "ACL RIGHTS=texk",   acl::get_acl),
    verb("SETACL",       AfterLogin,  Untouched, "",                  acl::set_acl),
    verb("DELETEACL",    AfterLogin,  Untouched, "",                  acl::delete_acl),
    verb("LISTRIGHTS",   AfterLogin,  Untouched, "",                  acl::list_rights),
    verb("MYRIGHTS",     AfterLogin,  Untouched, "",                  acl::my_rights),
    verb("CHECK",        Selected,    Untouched, "",                  session::check),
    verb("CLOSE",        Selected,    Changed,   "",                  session::close),
    verb("UNSELECT",     Selected,    Changed,   "UNSELECT",          session::unselect),
    verb("EXPUNGE",      Writable,    Changed,   "",                  session::expunge),
    verb("UID EXPUNGE",  Writable,    Changed,   "UIDPLUS",           message::uid_expunge),
    verb("SEARCH",       Selected,    Used,
         "ESEARCH SEARCHRES WITHIN PARTIAL I18NLEVEL=1 INPROGRESS SEARCH=FUZZY", search::search),
    verb("UID SEARCH",   Selected,    Untouched, "",                  search::uid_search),
    verb("ESEARCH",      AfterLogin,  Untouched, "MULTISEARCH",       search::esearch),
    verb("CANCELUPDATE", Selected,    Untouched, "CONTEXT=SEARCH",    search::cancel_update),
    verb("SORT",         Selected,    Used,      "SORT SORT=DISPLAY ESORT",   sort::sort),
    verb("UID SORT",     Selected,    Untouched, "",                  sort::uid_sort),
    verb("THREAD",       Selected,    Used,
         "THREAD=ORDEREDSUBJECT THREAD=REFERENCES",                   sort::thread),
    verb("UID THREAD",   Selected,    Untouched, "",                  sort::uid_thread),
    verb("FETCH",        Selected,    Used,
         "BINARY OBJECTID PREVIEW SAVEDATE",                          fetch::fetch),
    verb("UID FETCH",    Selected,    Untouched, "UIDONLY",           fetch::uid_fetch),
    verb("STORE",        Writable,    Used,      "",                  message::store),
    verb("UID STORE",    Writable,    Untouched, "",                  message::uid_store),
    verb("COPY",         Selected,    Untouched, "",                  message::copy),
    verb("UID COPY",     Selected,    Untouched, "",                  message::uid_copy),
    verb("MOVE",         Writable,    Changed,   "MOVE",              message::mov),
    verb("UID MOVE",     Writable,    Changed,   "",                  message::uid_move),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Stage = Stage::Greeted {
        tls: Tls::Offered,
        insecure_login_allowed: false,
    };
    const SECURED: Stage = Stage::Greeted {
        tls: Tls::Active,
        insecure_login_allowed: false,
    };
    const LAX: Stage = Stage::Greeted {
        tls: Tls::Absent,
        insecure_login_allowed: true,
    };
    const BOUNDS: Bounds = Bounds {
        message_bytes_max: 7,
        message_limit: None,
    };
    const READING: Stage = Stage::Selected { read_only: true };
    const WRITING: Stage = Stage::Selected { read_only: false };

    #[test]
    fn each_command_has_its_stages() {
        for (name, admitted) in [
            (
                "NOOP",
                &[PLAIN, SECURED, LAX, Stage::Authenticated, READING, WRITING][..],
            ),
            ("STARTTLS", &[PLAIN]),
            ("LOGIN", &[SECURED, LAX]),
            ("AUTHENTICATE", &[SECURED, LAX]),
            ("SELECT", &[Stage::Authenticated, READING, WRITING]),
            ("FETCH", &[READING, WRITING]),
            ("STORE", &[WRITING]),
            ("UID MOVE", &[WRITING]),
            ("DONE", &[Stage::Idling]),
        ] {
            let verb = Verb::named(name.as_bytes()).unwrap();
            for stage in [
                PLAIN,
                SECURED,
                LAX,
                Stage::Authenticated,
                READING,
                WRITING,
                Stage::Idling,
            ] {
                let expected = admitted.contains(&stage);
                assert_eq!(verb.admitted(stage).is_ok(), expected, "{name} {stage:?}");
            }
        }
    }

    #[test]
    fn what_is_announced_can_be_used() {
        for (stage, said) in [
            (
                PLAIN,
                "IMAP4rev1 IMAP4rev2 LITERAL- ID STARTTLS LOGINDISABLED",
            ),
            (
                SECURED,
                "IMAP4rev1 IMAP4rev2 LITERAL- ID SASL-IR AUTH=PLAIN AUTH=LOGIN",
            ),
            (
                LAX,
                "IMAP4rev1 IMAP4rev2 LITERAL- ID SASL-IR AUTH=PLAIN AUTH=LOGIN",
            ),
        ] {
            assert_eq!(capabilities(stage, BOUNDS, false).as_str(), said);
        }
        assert_eq!(
            capabilities(READING, BOUNDS, true),
            capabilities(WRITING, BOUNDS, true)
        );
        // RFC 9738 3: with all that is for those who are logged in.
        let bounds = Bounds {
            message_limit: NonZeroU32::new(1000),
            ..BOUNDS
        };
        for (stage, announced) in [(PLAIN, false), (SECURED, false), (WRITING, true)] {
            let said = capabilities(stage, bounds, false);
            let mut said = said.as_str().split(' ');
            assert_eq!(said.any(|one| one == "MESSAGELIMIT=1000"), announced);
        }
    }

    #[test]
    fn what_is_announced_after_login_is_all_we_have() {
        let announced = capabilities(Stage::Authenticated, BOUNDS, false);
        let mut announced: Vec<&str> = announced.as_str().split(' ').collect();
        announced.sort_unstable();
        let expected = [
            "ACL",
            "APPENDLIMIT=7",
            "BINARY",
            "CATENATE",
            "CHILDREN",
            "COMPRESS=DEFLATE",
            "CONDSTORE",
            "CONTEXT=SEARCH",
            "CREATE-SPECIAL-USE",
            "ENABLE",
            "ESEARCH",
            "ESORT",
            "I18NLEVEL=1",
            "ID",
            "IDLE",
            "IMAP4rev1",
            "IMAP4rev2",
            "INPROGRESS",
            "LIST-EXTENDED",
            "LIST-METADATA",
            "LIST-MYRIGHTS",
            "LIST-STATUS",
            "LITERAL+",
            "METADATA",
            "MOVE",
            "MULTIAPPEND",
            "MULTISEARCH",
            "NAMESPACE",
            "NOTIFY",
            "OBJECTID",
            "PARTIAL",
            "PREVIEW",
            "QRESYNC",
            "QUOTA",
            "QUOTA=RES-STORAGE",
            "REPLACE",
            "RIGHTS=texk",
            "SAVEDATE",
            "SEARCH=FUZZY",
            "SEARCHRES",
            "SORT",
            "SORT=DISPLAY",
            "SPECIAL-USE",
            "STATUS=SIZE",
            "THREAD=ORDEREDSUBJECT",
            "THREAD=REFERENCES",
            "UIDONLY",
            "UIDPLUS",
            "UNAUTHENTICATE",
            "UNSELECT",
            "URL-PARTIAL",
            "UTF8=ACCEPT",
            "WITHIN",
        ];
        assert_eq!(announced, expected);
    }

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        for verb in VERBS {
            let found = Verb::named(verb.name.to_lowercase().as_bytes()).unwrap();
            assert_eq!(found.name, verb.name);
        }
        assert!(Verb::named(b"UID").is_none());
        assert!(Verb::named(b"HELP").is_none());
    }
}
