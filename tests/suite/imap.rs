//! IMAP as a whole: its transcripts, and what cannot be said in one.

mod agreement;
mod babble;
mod client;
mod compress;
mod differential;
mod faults;
mod indexed;
mod listening;
mod model;
mod races;
mod rights;
mod search;
mod sections;

use crate::support::player::play_all;

#[test]
fn transcripts() {
    play_all("imap");
}
