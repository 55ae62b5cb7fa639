//! Several sessions of one account do as they like, deliveries come in between, the store fails and
//! the server crashes. After each step every mailbox must hold what a small model says, and each
//! client, which believes all it is told, must end up with the truth: at NOOP, and when it comes
//! back with QRESYNC from what it remembers.
//!
//! The model is a list of UID, flags and email for each mailbox; mod-sequences are checked by their
//! rules, since their values are the server's. `BUZON_TEST_MODEL_SECONDS` sets how long new seeds
//! are tried; `BUZON_TEST_MODEL_SEED` plays one, whose number a failure shows.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a history is read when it fails; how long new ones are tried is real time"
)]

mod believer;
mod commands;
mod steps;
mod truth;

use std::time::{Duration, Instant};

use self::steps::World;
use crate::support::player::run;

#[test]
fn sessions_converge_whatever_the_others_do() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    if let Some(seed) = number("BUZON_TEST_MODEL_SEED") {
        return history(seed);
    }
    let (begun, seconds) = (Instant::now(), number("BUZON_TEST_MODEL_SECONDS"));
    for seed in 0.. {
        let is_over = match seconds {
            Some(seconds) => begun.elapsed() > Duration::from_secs(seconds),
            None => seed >= USUAL_SEEDS,
        };
        if is_over {
            return;
        }
        history(seed);
    }
}

const USUAL_SEEDS: u64 = 25;
const STEPS: usize = 150;

fn history(seed: u64) {
    println!("BUZON_TEST_MODEL_SEED={seed}");
    run(async {
        let mut world = World::new(seed).await;
        for step in 0..STEPS {
            println!("-- {step}");
            world.step().await;
        }
        world.end().await;
    });
}
