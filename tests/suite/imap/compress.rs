//! COMPRESS=DEFLATE as a client hears it (RFC 4978): every command and answer deflated, wherever
//! the stream is cut.

use miniz_oxide::{
    DataFormat, MZFlush,
    deflate::{
        core::{CompressorOxide, create_comp_flags_from_zip_params},
        stream::deflate,
    },
    inflate::stream::{InflateState, inflate},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::client::{deliver, server_with_alice};
use crate::support::player::run;

/// A client whose every command is cut after so many bytes, and again.
struct Deflated {
    stream: DuplexStream,
    cut: usize,
    deflater: Box<CompressorOxide>,
    inflater: Box<InflateState>,
}

impl Deflated {
    /// After COMPRESS was answered OK.
    fn new(stream: DuplexStream, cut: usize) -> Self {
        let flags = create_comp_flags_from_zip_params(6, -15, 0);
        Self {
            stream,
            cut,
            deflater: Box::new(CompressorOxide::new(flags)),
            inflater: InflateState::new_boxed(DataFormat::Raw),
        }
    }

    async fn say(&mut self, text: &[u8]) {
        let mut said = vec![0; text.len() + 64];
        let step = deflate(&mut self.deflater, text, &mut said, MZFlush::Sync);
        assert_eq!(step.bytes_consumed, text.len());
        for piece in said[..step.bytes_written].chunks(self.cut) {
            if self.stream.write_all(piece).await.is_err() {
                // LOGOUT is there before the end of its block; what is not heard tells the rest.
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    /// All that comes up to what ends in `end`.
    async fn hear(&mut self, end: &[u8]) -> Vec<u8> {
        let (mut heard, mut space) = (Vec::new(), vec![0; 1 << 16]);
        while !heard.ends_with(end) {
            let mut raw = [0];
            let count = self.stream.read(&mut raw).await.unwrap();
            assert!(count > 0, "{}", heard.escape_ascii());
            let step = inflate(&mut self.inflater, &raw, &mut space, MZFlush::None);
            heard.extend_from_slice(&space[..step.bytes_written]);
        }
        heard
    }
}

/// What comes up to a line that begins with `tag`.
async fn plainly(stream: &mut DuplexStream, said: &[u8], end: &[u8]) -> Vec<u8> {
    stream.write_all(said).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        heard.push(stream.read_u8().await.unwrap());
    }
    heard
}

#[test]
fn rfc_4978_all_that_follows_is_deflated_however_it_is_cut() {
    run(async {
        for cut in [1, 2, 7, 4096] {
            let (server, alice) = server_with_alice().await;
            let mail = [
                b"Subject: x\r\n\r\n".to_vec(),
                b"many words, ".repeat(20_000),
                b"\r\n".to_vec(),
            ];
            deliver(&server, alice, &mail.concat()).await;
            let mut stream = server.plain(server.imap("imap"));
            plainly(&mut stream, b"", b"is ready\r\n").await;
            let login = b"a1 LOGIN alice@example.org secret-alice\r\n";
            plainly(&mut stream, login, b"LOGIN completed\r\n").await;
            let end = b"a2 OK COMPRESS completed\r\n";
            plainly(&mut stream, b"a2 COMPRESS deflate\r\n", end).await;
            let mut client = Deflated::new(stream, cut);
            client.say(b"a3 CAPABILITY\r\na4 SELECT INBOX\r\n").await;
            let heard = client.hear(b"SELECT completed\r\n").await;
            let heard = String::from_utf8(heard).unwrap();
            assert!(
                heard.starts_with("* CAPABILITY IMAP4rev1 IMAP4rev2 "),
                "{heard}"
            );
            for withheld in ["COMPRESS", "UNAUTHENTICATE"] {
                assert!(!heard.contains(withheld), "{heard}");
            }
            client.say(b"a5 FETCH 1 BODY[]\r\n").await;
            let heard = client.hear(b"a5 OK FETCH completed\r\n").await;
            let is_there = |part: &[u8]| heard.windows(part.len()).any(|window| window == part);
            assert!(is_there(&mail.concat()));
            client.say(b"a6 COMPRESS DEFLATE\r\n").await;
            client.hear(b"active already\r\n").await;
            client.say(b"a7 UNAUTHENTICATE\r\n").await;
            client.hear(b"not announced then\r\n").await;
            client.say(b"a8 IDLE\r\n").await;
            client.hear(b"+ idling\r\n").await;
            deliver(&server, alice, b"Subject: y\r\n\r\ny\r\n").await;
            client.hear(b"* 2 EXISTS\r\n").await;
            client.say(b"DONE\r\na9 APPEND INBOX {5}\r\n").await;
            client.hear(b"+ send the message\r\n").await;
            client.say(b"hello\r\nb1 LOGOUT\r\n").await;
            client.hear(b"b1 OK LOGOUT completed\r\n").await;
        }
    });
}

#[test]
fn what_is_not_deflated_after_compress_ends_the_connection() {
    run(async {
        let (server, _) = server_with_alice().await;
        let mut stream = server.plain(server.imap("imap"));
        plainly(&mut stream, b"", b"is ready\r\n").await;
        let login = b"a1 LOGIN alice@example.org secret-alice\r\n";
        plainly(&mut stream, login, b"LOGIN completed\r\n").await;
        let said = b"a2 COMPRESS DEFLATE\r\no3 NOOP\r\n";
        plainly(&mut stream, said, b"a2 OK COMPRESS completed\r\n").await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.windows(2).any(|window| window == b"o3"));
    });
}
