//! Random batches against a sorted map: every engine agrees with the plainest model, also when reopened.
