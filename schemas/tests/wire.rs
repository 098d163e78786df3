//! What the wire promises, checked on bytes.

mod wire {
    mod document;
    mod generated;
    mod golden;
    mod hostile;
    mod later_versions;
    mod round_trip;
    mod samples;
    mod stream;
}
