//! The binary: hands over to the command line.

use mimalloc::MiMalloc;

/// Password hashes take 19 MiB each, on many threads: the C library's allocator keeps what they
/// leave, ten times the server's own size; this one gives it back.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    buzon::cli::main()
}
