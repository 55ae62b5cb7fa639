//! What kind of answer an attempt brought, in one word: for operators who look for a pattern, for
//! the words that senders read, and for the pace (`relay`).
//!
//! Pure. It changes nothing of what a reply means by its code: 4yz is tried again and 5yz is final,
//! whatever its kind. How a kind is told from a reply is in `relay::kind`; the bytes here
//! are stored and never given to another kind.

/// The kind of a refusal or failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// None of the others, or nothing that could be told.
    #[default]
    Other = 0,
    /// Whoever is new is asked to come back in a few minutes.
    Greylisted = 1,
    /// We send too much, or too fast.
    RateLimited = 2,
    /// Our address or our domain is on a list or has a bad name.
    Reputation = 3,
    /// A rule of the receiver that says no more.
    Policy = 4,
    /// The message itself: taken for spam or harmful, or not well formed.
    Content = 5,
    /// SPF, DKIM or DMARC do not say that the message is its sender's.
    Unauthenticated = 6,
    /// Our address has no name in the DNS, or another one than we say.
    NoReverseDns = 7,
    /// By IPv6 more is asked of us than by IPv4.
    Ipv6Refused = 8,
    /// The mailbox has no room.
    MailboxFull = 9,
    /// The mailbox gets too much from everybody at the moment.
    MailboxBusy = 10,
    /// There is no such mailbox.
    UnknownUser = 11,
    /// There is one, out of use.
    Disabled = 12,
    /// There is no such domain, or it has no mail server.
    UnknownDomain = 13,
    /// The message is larger than is taken.
    TooLarge = 14,
    /// Only for who logs in.
    AuthRequired = 15,
    /// The server does not think that it is responsible.
    RelayingDenied = 16,
    /// The server has troubles of its own.
    ServerTrouble = 17,
    /// No server could be spoken to, or the conversation broke.
    Unreachable = 18,
    /// The DNS did not say where to go.
    Dns = 19,
    /// TLS that is needed could not be made.
    Tls = 20,
    /// The server lacks what the message needs.
    Unsupported = 21,
}

/// What follows from a refusal beside the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    Ordinary,
    /// The same host again, soon: it only wants to see us a second time.
    Soon,
    /// The destination wants less of us: nothing new for a while.
    Rest,
    /// An address of the other family may do: this one is refused for being IPv6.
    OtherFamily,
    /// Another host of the same destination may do.
    OtherHost,
    /// Any other one may: this one lacks what the message needs.
    AnyHost,
}

impl Class {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Greylisted => "greylisted",
            Self::RateLimited => "rate-limited",
            Self::Reputation => "reputation",
            Self::Policy => "policy",
            Self::Content => "content",
            Self::Unauthenticated => "unauthenticated",
            Self::NoReverseDns => "no-reverse-dns",
            Self::Ipv6Refused => "ipv6-refused",
            Self::MailboxFull => "mailbox-full",
            Self::MailboxBusy => "mailbox-busy",
            Self::UnknownUser => "unknown-user",
            Self::Disabled => "disabled",
            Self::UnknownDomain => "unknown-domain",
            Self::TooLarge => "too-large",
            Self::AuthRequired => "auth-required",
            Self::RelayingDenied => "relaying-denied",
            Self::ServerTrouble => "server-trouble",
            Self::Unreachable => "unreachable",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Unsupported => "unsupported",
        }
    }

    /// As stored.
    pub(super) fn byte(self) -> u8 {
        self as u8
    }

    /// From its stored byte.
    pub(super) fn of_byte(byte: u8) -> Option<Self> {
        ALL.iter().copied().find(|class| class.byte() == byte)
    }

    /// Whether it is about one mailbox and says nothing of how the server likes us.
    pub fn is_of_mailbox(self) -> bool {
        matches!(
            self,
            Self::MailboxFull | Self::MailboxBusy | Self::UnknownUser | Self::Disabled
        )
    }

    /// What follows, for a reply with this code.
    pub fn advice(self, code: u16) -> Advice {
        match self {
            Self::Greylisted => Advice::Soon,
            Self::Ipv6Refused => Advice::OtherFamily,
            Self::RateLimited => Advice::Rest,
            // RFC 5321 3.8: it ends the conversation, whatever else it says.
            _ if code == 421 => Advice::Rest,
            Self::ServerTrouble if code < 500 => Advice::OtherHost,
            // Found out by us, before the server was asked anything.
            Self::Tls | Self::Unsupported if code == 0 => Advice::AnyHost,
            _ => Advice::Ordinary,
        }
    }
}

/// All of them.
const ALL: [Class; 22] = [
    Class::Other,
    Class::Greylisted,
    Class::RateLimited,
    Class::Reputation,
    Class::Policy,
    Class::Content,
    Class::Unauthenticated,
    Class::NoReverseDns,
    Class::Ipv6Refused,
    Class::MailboxFull,
    Class::MailboxBusy,
    Class::UnknownUser,
    Class::Disabled,
    Class::UnknownDomain,
    Class::TooLarge,
    Class::AuthRequired,
    Class::RelayingDenied,
    Class::ServerTrouble,
    Class::Unreachable,
    Class::Dns,
    Class::Tls,
    Class::Unsupported,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_byte_and_a_word_of_its_own() {
        for (place, class) in ALL.into_iter().enumerate() {
            assert_eq!(usize::from(class.byte()), place, "{class:?}");
            assert_eq!(Class::of_byte(class.byte()), Some(class));
            let same = ALL.iter().filter(|other| other.word() == class.word());
            assert_eq!(same.count(), 1, "{class:?}");
        }
        assert_eq!(Class::of_byte(22), None);
    }

    #[test]
    fn what_follows_is_told_by_class_and_code() {
        for (class, code, advice) in [
            (Class::Greylisted, 450, Advice::Soon),
            (Class::Greylisted, 421, Advice::Soon),
            (Class::RateLimited, 450, Advice::Rest),
            (Class::ServerTrouble, 421, Advice::Rest),
            (Class::Other, 421, Advice::Rest),
            (Class::ServerTrouble, 451, Advice::OtherHost),
            (Class::Tls, 0, Advice::AnyHost),
            (Class::Unsupported, 0, Advice::AnyHost),
            (Class::Unsupported, 555, Advice::Ordinary),
            (Class::ServerTrouble, 554, Advice::Ordinary),
            (Class::Ipv6Refused, 550, Advice::OtherFamily),
            (Class::MailboxFull, 452, Advice::Ordinary),
            (Class::Reputation, 554, Advice::Ordinary),
        ] {
            assert_eq!(class.advice(code), advice, "{class:?} {code}");
        }
        assert!(Class::MailboxFull.is_of_mailbox() && !Class::Other.is_of_mailbox());
    }
}
