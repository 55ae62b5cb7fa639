//! The system calls of a delivery in their order, seen by strace (DUR-01): the batch is written and
//! synced, and only then the peer is told.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::server::{Demo, have};

/// A system call, from the line of the trace where it begins to the one where it has ended.
struct Call {
    begun: usize,
    ended: usize,
    text: String,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.text.starts_with(name))
    }

    /// The file of its descriptor.
    fn file(&self) -> &str {
        let rest = self.text.split_once('<').map_or("", |(_, rest)| rest);
        rest.split_once('>').map_or("", |(file, _)| file)
    }
}

/// Watches a process until it ends; `None` when that is not allowed here.
fn watch(pid: u32, trace: &Path) -> Option<Child> {
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-s", "1000000", "-e", TRACED, "-o"])
        .arg(trace)
        .args(["-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    for line in BufReader::new(strace.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains(" attached") {
            return Some(strace);
        }
        said += &line;
    }
    strace.wait().unwrap();
    println!("skipped: strace may not attach to a process: {said}");
    None
}

/// The calls of a trace, by their beginnings.
fn calls(trace: &str) -> Vec<Call> {
    let mut waiting = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((pid, text)) = line.split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            waiting.insert(pid, (at, begun.to_owned()));
            continue;
        }
        let (begun, front) = match text.starts_with("<... ") {
            true => waiting.remove(pid).unwrap(),
            false => (at, String::new()),
        };
        calls.push(Call {
            begun,
            ended: at,
            text: front + text,
        });
    }
    calls.sort_by_key(|call| call.begun);
    calls
}

#[test]
fn dur_01_a_message_is_written_and_synced_before_it_is_acknowledged() {
    if !have("strace") {
        return;
    }
    let mut demo = Demo::start("syscalls");
    let trace = demo.dir.join("trace");
    let Some(mut strace) = watch(demo.pid(), &trace) else {
        return;
    };
    // In the batch's record, and in pieces before it.
    let messages = [("in-one-piece", 20), ("in-many-pieces", 20_000)];
    for (marker, lines) in messages {
        let filler = format!("{marker} {}\r\n", "x".repeat(50)).repeat(lines);
        let text = format!("Subject: {marker}\r\n\r\n{filler}");
        demo.deliver("alice@demo.test", &text);
    }
    demo.kill();
    strace.wait().unwrap();
    let trace = fs::read_to_string(trace).unwrap();
    let calls = calls(&trace);
    let says = |call: &Call, code: &str| call.is(ANSWERS) && call.text.contains(code);
    let mut asked = calls.iter().filter(|call| says(call, "\"354 "));
    for (marker, _) in messages {
        let asked = asked.next().unwrap();
        let answer = calls
            .iter()
            .find(|call| call.begun > asked.ended && says(call, "\"250 "))
            .unwrap();
        let written: Vec<_> = calls
            .iter()
            .filter(|call| call.is(WRITES) && call.file().ends_with(".seg"))
            .filter(|call| call.text.contains(marker))
            .collect();
        let last = written.iter().max_by_key(|call| call.ended).unwrap();
        assert!(
            last.ended < answer.begun,
            "{marker}: written after the answer"
        );
        let synced = calls.iter().any(|call| {
            let here = call.is(SYNCS) && call.file() == last.file();
            let good = call.text.trim_end().ends_with("= 0");
            here && good && call.begun > last.ended && call.ended < answer.begun
        });
        assert!(synced, "{marker}: answered before it was synced");
    }
}

const TRACED: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync";
const ANSWERS: &[&str] = &["write(", "writev(", "sendto(", "sendmsg("];
const WRITES: &[&str] = &["pwrite64(", "pwritev(", "pwritev2("];
const SYNCS: &[&str] = &["fdatasync(", "fsync("];
