//! Any bytes as a record of the queue: what can be read is written back the same.
#![no_main]

use buzon::queue::record::{MessageRecord, RecipientRecord};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A record ends with its checksum, which no fuzzer guesses.
    let sealed = [data, &crc32fast::hash(data).to_be_bytes()].concat();
    if let Ok(record) = MessageRecord::decode(&sealed) {
        assert_eq!(MessageRecord::decode(&record.encode()), Ok(record));
    }
    if let Ok(record) = RecipientRecord::decode(&sealed) {
        assert_eq!(RecipientRecord::decode(&record.encode()), Ok(record));
    }
});
