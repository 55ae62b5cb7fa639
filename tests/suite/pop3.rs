//! POP3 as a whole: its transcripts.

use crate::support::player::play_all;

#[test]
fn transcripts() {
    play_all("pop3");
}
