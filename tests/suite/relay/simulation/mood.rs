//! How servers of the world go wrong, and who else may answer in their place.

use buzon::base::{clock::Timestamp, random::Random};

/// Where in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connect,
    Greeting,
    Hello,
    StartTls,
    Handshake,
    Mail,
    Rcpt,
    Data,
    /// Amid the content.
    Content,
    /// Behind it.
    Dot,
    Reset,
    Quit,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Hang,
    Drop,
    /// 4yz.
    Later,
    /// 5yz.
    Never,
    /// 421 and gone.
    Closing,
    Junk,
    /// A line without an end.
    Endless,
    /// A positive code that has no place here.
    Wrong,
    /// A byte a second.
    Slow,
    /// A byte every twenty seconds.
    Crawl,
    /// Each byte by itself.
    Split,
    /// The reply, and another one that nothing asked for.
    Twice,
    /// The reply, and gone.
    ThenDrop,
    /// Half of the reply, and gone.
    Half,
}

/// How the server at one address is.
#[derive(Clone, Debug)]
pub(super) struct Mood {
    /// Of a hundred connections so many have a trouble.
    pub(super) trouble: u64,
    /// The trouble that it has, instead of any.
    pub(super) always: Option<(Stage, Trouble)>,
    /// When all that ends.
    pub(super) mends: Timestamp,
    /// Of a hundred connections so many are answered by somebody else.
    pub(super) masks: u64,
    pub(super) offers: Vec<&'static str>,
    /// What the pipe holds in each direction.
    pub(super) pipe: usize,
}

pub(super) fn any_trouble(chance: &Random) -> (Stage, Trouble) {
    (one_of(chance, STAGES), one_of(chance, TROUBLES))
}

pub(super) fn one_of<T: Copy>(chance: &Random, all: &[T]) -> T {
    all[usize::try_from(chance.below(all.len() as u64)).unwrap()]
}

const STAGES: &[Stage] = &[
    Stage::Connect,
    Stage::Greeting,
    Stage::Hello,
    Stage::StartTls,
    Stage::Handshake,
    Stage::Mail,
    Stage::Rcpt,
    Stage::Data,
    Stage::Content,
    Stage::Dot,
    Stage::Dot,
    Stage::Reset,
    Stage::Quit,
];

const TROUBLES: &[Trouble] = &[
    Trouble::Hang,
    Trouble::Drop,
    Trouble::Later,
    Trouble::Later,
    Trouble::Never,
    Trouble::Closing,
    Trouble::Junk,
    Trouble::Endless,
    Trouble::Wrong,
    Trouble::Slow,
    Trouble::Crawl,
    Trouble::Split,
    Trouble::Twice,
    Trouble::ThenDrop,
    Trouble::Half,
];
